"""How many rows a factor that only preconditions should take.

Every k-th row is a coarser quadrature of the same norm: m rows and m p² flops instead of n p² (sketch-and-precondition,
as in Blendenpik: Avron, Maymounkov, Toledo 2010).  How many are enough depends on the effective dimension
tr(G(G + ε²)⁻¹) and on the smoothness of the tangent in x, so it is found by trying: the number that made
(build + iterations) cheapest is kept, its neighbours are tried again from time to time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .system import Tangent

#: Memory rate over dsyrk rate, bytes per flop, from memory and from the cache: what one byte of an iteration costs
#: against one flop of a Gram matrix; and the p at which dsyrk reaches half its rate.
BYTES_PER_FLOP, BYTES_PER_FLOP_CACHED, HALF = 0.38, 0.62, 100.0

#: Largest J of a rank that counts as cached.
CACHE = 16 << 20

#: Rows for each parameter in the first sample: cond(A R⁻¹) of random rows is then about 6.
SAMPLE = 2.0

#: Flops of a Gram matrix whose rows are never thinned out: less than an iteration's overhead.
FEW = 256 * 32**2

#: Iterations with a larger sample that was not tried, in the worst case.
UNKNOWN = 6.0


@dataclass
class Sampling:
    """Rows n/3^level kept of the n rows of a rank.

    Attributes
    ----------
    level : int or None
        Of the next sample; None: `SAMPLE` rows for each parameter.
    builds : int
        Samples so far.
    seen : dict
        Level -> iterations with that sample, the last ones counting most.
    """

    level: int | None = None
    builds: int = 0
    seen: dict[int, float] = field(default_factory=dict)

    def choose(self, tangent: Tangent) -> tuple[float, float]:
        """Rows to keep of each block, and the iterations after which more rows would have been better; collective."""
        n, p, ranks = max(1.0, tangent.mean_rows), tangent.columns, tangent.comm.size
        first = max(0, math.floor(math.log(max(1.0, n * ranks / (SAMPLE * p)), 3)))
        coarsest = max(0, math.floor(math.log(max(1.0, n * ranks / max(FEW / p**2, p / 8)), 3)))
        self.used = min(first if self.level is None else self.level, coarsest)
        self._costs = {i: build_cost(n, n / 3**i, p) for i in range(self.used - 1, self.used + 2) if 0 <= i <= coarsest}
        finer = self.used - 1
        self._patience = self._costs[finer] + self.seen.get(finer, UNKNOWN) if finer >= 0 else math.inf
        return n // 3**self.used, self._patience

    def learn(self, iterations: int) -> None:
        """Told the iterations with the last sample, choose the next one.

        A larger sample that was not tried is expected to need none, a smaller one to need no more.
        """
        level, self.builds = self.used, self.builds + 1
        if self.builds in (1, 4, 16) or self.builds % 63 == 0:  # the first solves of a run are unlike the rest
            self.seen.clear()
        if iterations >= self._patience:
            self.level, self.seen[level] = level - 1, float(iterations)
            return
        self.seen[level] = (self.seen.get(level, iterations) + iterations) / 2
        guess = {level - 1: 0.0, level + 1: self.seen[level]}
        total = {i: cost + self.seen.get(i, guess.get(i, 0.0)) for i, cost in self._costs.items()}
        self.level = min(total, key=lambda i: (total[i], i != level))

    @property
    def carry(self) -> tuple[float, ...]:
        """The numbers of the rule, for a restart."""
        if self.level is None:
            return ()
        return (float(self.level), float(self.builds), *(x for item in sorted(self.seen.items()) for x in item))

    @carry.setter
    def carry(self, carry: tuple[float, ...]) -> None:
        level, builds, *pairs = carry or (-1.0, 0.0)
        self.level, self.builds = int(level) if carry else None, int(builds)
        self.seen = {int(i): k for i, k in zip(pairs[::2], pairs[1::2], strict=True)}


def build_cost(n: float, m: float, p: int) -> float:
    """Flops m p² + p³/3 of a factor against the 16 n p + 8 p² bytes of an iteration."""
    ratio = (BYTES_PER_FLOP_CACHED if 8 * n * p <= CACHE else BYTES_PER_FLOP) * (1 + HALF / p)
    return (m * p**2 + p**3 / 3) * ratio / (16 * n * p + 8 * p**2)
