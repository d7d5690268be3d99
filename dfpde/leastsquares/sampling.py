"""How many rows a Gram matrix that only preconditions should take.

Every k-th row is a coarser quadrature of the same norm: m rows and m p² flops instead of n p² (sketch-and-precondition,
as in Blendenpik: Avron, Maymounkov, Toledo 2010).  How many are enough depends on what has to be resolved, the
effective dimension tr(G(G + ε²)⁻¹) and the smoothness of the tangent in x, so it is found by trying: the number that
made (build + iterations) cheapest is kept, its neighbours are tried again from time to time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

from .rows import stride
from .system import Tangent

#: Memory rate over dsyrk rate, bytes per flop: what one byte of an iteration costs against one flop of a Gram matrix,
#: and the p at which dsyrk reaches half its rate.  Measured on one core: 22 GB/s in gemv from memory (N = 20 000,
#: p = 500), 30 from the cache (N = 4000, p = 100); dsyrk 20 GFlop/s at p = 100, 48 at p = 500.  The rules are flat
#: around their optimum, a factor of two changes little.
BYTES_PER_FLOP, BYTES_PER_FLOP_CACHED, HALF = 0.38, 0.62, 100.0

#: Largest J of a rank that counts as cached.
CACHE = 16 << 20

#: Rows for each parameter in the first sampled Gram matrix: for random rows of an orthonormal basis cond(A R⁻¹) is
#: then about (1 + √½)/(1 − √½) = 6.  N = 20 000, p = 498, mean of 103 solves with 0.5, 1, 2, 4: 31, 29, 27, 28 ms.
SAMPLE = 2.0

#: Flops of a Gram matrix whose rows are never thinned out: 6 µs, less than an iteration's overhead.
FEW = 256 * 32**2

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

    def keep(self, tangent: Tangent) -> float:
        """Rows kept of each block on a rank."""
        return kept(self.first, self.level, tangent.columns, tangent.comm.size)

    def cost(self, tangent: Tangent) -> float:
        """Of a build, in iterations of the solver; collective."""
        return self._choices(tangent)[0][1]

    def learn(self, tangent: Tangent, iterations: int) -> bool:
        """Told that a fresh factor needed so many iterations, choose the next sample; True where it is a larger one.

        A larger sample that was not tried is expected to need none, a smaller one to need no more.
        """
        self.builds += 1
        if forgetful(self.builds):
            self.seen.clear()
        elif self.seen.get(self.level) == iterations:
            return False  # nothing new
        level, options = self.level, self._choices(tangent)
        self.seen[level] = (self.seen.get(level, iterations) + iterations) / 2
        guess = (self.seen[level], 0.0, self.seen[level])
        total = {options[i][0]: options[i][1] + self.seen.get(options[i][0], guess[i]) for i in (-1, 1, 0)}
        self.level = min(total, key=lambda i: (total[i], i != level))
        return self.level > level

    def patience(self, tangent: Tangent) -> float:
        """Iterations after which the next larger sample would have been better; infinite if there is none."""
        finer, cost = self._choices(tangent)[1]
        return cost + self.seen.get(finer, UNKNOWN)

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

    def _choices(self, tangent: Tangent) -> tuple[tuple[int, float], ...]:
        """(level, cost) of this sample, of the next larger and of the next smaller one, in this order."""
        n = int(max(1.0, tangent.mean_rows))
        line = tangent.blocks[0].line if tangent.blocks else 0
        return choices(self.first, self.level, n, tangent.columns, tangent.comm.size, line)


@lru_cache(maxsize=256)
def choices(first: float, level: int, n: int, p: int, ranks: int, line: int) -> tuple[tuple[int, float], ...]:
    """See `Sampling`; n rows of a rank.  A sample that is not there costs infinitely much."""
    here = stride(n, kept(first, level, p, ranks), line)
    found = [(level, build_cost(n, n / here, p))]
    for step in (1, -1):
        other, limit = level, n if step > 0 else few(p) / ranks
        cost = math.inf
        while not math.isinf(first) and (kept(first, other, p, ranks) - limit) * step < 0 and math.isinf(cost):
            other += step
            k = stride(n, kept(first, other, p, ranks), line)
            cost = build_cost(n, n / k, p) if k != here else math.inf
        found.append((other if other != level else level + step, cost))
    return tuple(found)


def kept(first: float, level: int, p: int, ranks: int) -> float:
    """Rows kept of each block on a rank."""
    return max(few(p), first * 2.0**level * p) / ranks


def few(p: int) -> float:
    """Rows that are never thinned out: cheap in themselves, or beside the factor (m p² flops against p³/3)."""
    return max(FEW / p**2, p / 8)


def build_cost(n: float, m: float, p: int) -> float:
    """Flops m p² + p³/3 against the 16 n p + 8 p² bytes of an iteration."""
    ratio = (BYTES_PER_FLOP_CACHED if 8 * n * p <= CACHE else BYTES_PER_FLOP) * (1 + HALF / p)
    return (m * p**2 + p**3 / 3) * ratio / (16 * n * p + 8 * p**2)
