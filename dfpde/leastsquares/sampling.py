"""How many rows a Gram matrix that only preconditions should take.

Every k-th row is a coarser quadrature of the same norm: m rows and m p² flops instead of n p² (sketch-and-precondition,
as in Blendenpik: Avron, Maymounkov, Toledo 2010).  How many are enough depends on what has to be resolved, the
effective dimension tr(G(G + ε²)⁻¹) and the smoothness of the tangent in x, so it is found by trying: the number that
made (build + iterations) cheapest is kept, its neighbours are tried again from time to time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .rows import stride
from .system import Tangent

#: Memory rate over dsyrk rate, bytes per flop: what one byte of an iteration costs against one flop of a Gram matrix.
#: Measured on one core: 22 GB/s in gemv from memory (N = 20 000, p = 500), 48 GFlop/s in dsyrk; from the cache
#: (N = 4000, p = 100) 30 GB/s and 20 GFlop/s.  The rules are flat around their optimum, a factor of two changes little.
BYTES_PER_FLOP, BYTES_PER_FLOP_CACHED = 0.46, 1.5

#: Largest J of a rank that counts as cached.
CACHE = 16 << 20

#: Rows for each parameter in the first sampled Gram matrix.
SAMPLE = 0.5

#: Rows that are never thinned out: their Gram matrix costs less than an iteration's overhead (256 · 32² flops: 6 µs).
FEW = 256

#: Iterations with a larger sample that was not tried, in the worst case.
UNKNOWN = 6.0

#: Builds after which what other samples needed is forgotten; trying half the rows in vain costs about one more solve.
FORGET = 63


def forgetful(builds: int) -> bool:
    """Whether to forget now: after 1, 4 and 16 builds, as the first solves of a run are unlike the rest, and every 63.

    An odd number, so that the trials meet all stages of a step in turn.
    """
    return builds % FORGET == 0 or builds in (1, 4, 16)


@dataclass
class Sampling:
    """Rows kept for each parameter, c = first · 2^level.

    Attributes
    ----------
    first : float
        c to begin with; ``inf`` keeps all rows.
    level : int
        Doublings since.
    builds : int
        Matrices so far.
    seen : dict
        Level -> iterations with a fresh factor, the last ones counting most.
    """

    first: float = SAMPLE
    level: int = 0
    builds: int = 0
    seen: dict[int, float] = field(default_factory=dict)

    def keep(self, tangent: Tangent, level: int | None = None) -> float:
        """Rows kept of each block on a rank."""
        c = self.first * 2.0 ** (self.level if level is None else level)
        return max(FEW, c * tangent.columns) / tangent.comm.size

    def cost(self, tangent: Tangent, n: float, level: int | None = None) -> float:
        """Flops m p² + p³/3 against the 16 n p + 8 p² bytes of an iteration; n rows of a rank, m of them kept."""
        m, p = n / self._stride(tangent, n, self.level if level is None else level), tangent.columns
        ratio = BYTES_PER_FLOP_CACHED if 8 * n * p <= CACHE else BYTES_PER_FLOP
        return (m * p**2 + p**3 / 3) * ratio / (16 * n * p + 8 * p**2)

    def learn(self, tangent: Tangent, iterations: int) -> bool:
        """Told that a fresh factor needed so many iterations, choose the next sample; True where it is a larger one.

        A larger sample that was not tried is expected to need none, a smaller one to need no more.
        """
        n, level = max(1.0, mean_rows(tangent)), self.level
        self.builds += 1
        if forgetful(self.builds):
            self.seen.clear()
        self.seen[level] = (self.seen.get(level, iterations) + iterations) / 2
        choices = {level: self.seen[level]}
        for step, guess in ((1, 0.0), (-1, self.seen[level])):
            other = self._neighbour(tangent, n, step)
            if other is not None:
                choices[other] = self.seen.get(other, guess)
        self.level = min(choices, key=lambda i: choices[i] + self.cost(tangent, n, i))
        return self.level > level

    def patience(self, tangent: Tangent) -> float:
        """Iterations after which the next larger sample would have been better; infinite if there is none."""
        n = max(1.0, mean_rows(tangent))
        finer = self._neighbour(tangent, n, 1)
        return math.inf if finer is None else self.cost(tangent, n, finer) + self.seen.get(finer, UNKNOWN)

    @property
    def counts(self) -> tuple[float, ...]:
        """The numbers of the rule, for a restart."""
        pairs = [float(number) for item in sorted(self.seen.items()) for number in item]
        return (float(self.level), float(self.builds), *pairs)

    def recall(self, counts: tuple[float, ...]) -> None:
        """Take up the numbers of a restart."""
        level, builds, *pairs = counts
        self.level, self.builds = int(level), int(builds)
        self.seen = {int(a): k for a, k in zip(pairs[::2], pairs[1::2], strict=True)}

    def _neighbour(self, tangent: Tangent, n: float, step: int) -> int | None:
        """The next level that takes more (step 1) or fewer (−1) rows; None beyond all rows, or `FEW`."""
        if math.isinf(self.first):
            return None
        here, level = self._stride(tangent, n, self.level), self.level
        limit = n if step > 0 else FEW / tangent.comm.size
        while (self.keep(tangent, level) - limit) * step < 0:
            level += step
            if self._stride(tangent, n, level) != here:
                return level
        return None

    def _stride(self, tangent: Tangent, n: float, level: int) -> int:
        return stride(int(n), self.keep(tangent, level), tangent.blocks[0].line)


def mean_rows(tangent: Tangent) -> float:
    """Rows of an average rank; collective."""
    comm = tangent.comm
    return float(comm.allreduce(tangent.rows)) / comm.size if comm.size > 1 else float(tangent.rows)
