"""How many rows a factor that only preconditions should take.

Every k-th row is a coarser quadrature of the same norm: m rows instead of n (sketch-and-precondition, as in Blendenpik:
Avron, Maymounkov, Toledo 2010).  How many are enough depends on the effective dimension
tr(G(G + ε²)⁻¹) and on the smoothness of the tangent in x, so it is found by trying: the number that made
(build + iterations) cheapest is kept, its neighbours are tried again from time to time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

from .factor_cost import costs
from .rows import stride
from .system import Tangent

#: Most rows for each parameter in the first sample (the number is then between 2 and 2√3, where cond(A R⁻¹) of random
#: rows is about 6), and the most iterations that its factor may cost.
SAMPLE, FIRST = 2 * math.sqrt(3), 20.0

#: Rows that are never thinned out, and flops of a factor of such rows that costs less than an iteration's overhead.
FEW, CHEAP = 32.0, 256 * 32**2

#: Iterations with a larger sample that was not tried, in the worst case.
UNKNOWN = 6.0


@dataclass
class Sampling:
    """Every k-th row, k = 1, √3, 3, 3√3, ... rounded as `stride` does: level 0, 1, ...

    Attributes
    ----------
    level : int
        Of the next sample; -1: `SAMPLE` rows for each parameter, or fewer where that costs more than `FIRST`.
    builds : int
        Samples so far.
    rank : int
        Of the last pivoted factor; 0: none was tried; `factor_cost.CUT`: more than pays.
    seen : dict
        Level -> iterations with that sample, the last ones counting most.
    """

    level: int = -1
    builds: int = 0
    rank: int = 0
    seen: dict[int, float] = field(default_factory=dict)

    def choose(self, tangent: Tangent) -> tuple[float, float]:
        """Rows to keep of each block of a rank, and the most iterations they are worth; collective.

        After so many iterations more rows would have been better.
        """
        n, p, ranks = int(max(1.0, tangent.mean_rows)), tangent.columns, tangent.comm.size
        line = tangent.blocks[0].line if tangent.blocks else 0
        rows, self._costs = ladder(n, p, ranks, line, self.rank)
        if self.level < 0:
            most = SAMPLE * p / ranks
            fit = (i for i, (build, each) in enumerate(self._costs) if rows[i] <= most and build <= FIRST * each)
            self.level = next(fit, len(rows))
        used = self._used = min(self.level, len(rows) - 1)
        finer = self._total(used - 1, UNKNOWN) if used else math.inf
        self._patience = max(1.0, finer / self._costs[used][1])
        return rows[used], self._patience

    def _total(self, level: int, iterations: float) -> float:
        """Build and iterations with a sample, as many as seen or as given."""
        build, each = self._costs[level]
        return build + each * self.seen.get(level, iterations)

    def learn(self, iterations: int) -> None:
        """Told the iterations with the last sample, which may serve several solves, choose the next one.

        A larger sample that was not tried is expected to need none, a smaller one to need no more.
        """
        level, self.builds = self._used, self.builds + 1
        if self.builds in (1, 4, 16) or self.builds % 63 == 0:  # the first solves of a run are unlike the rest
            self.seen, self.rank = {}, max(self.rank, 0)
        mean = self.seen[level] = (self.seen.get(level, iterations) + iterations) / 2
        near = range(max(0, level - 1), min(level + 2, len(self._costs)))
        best = min(near, key=lambda i: (self._total(i, mean if i > level else 0.0), i != level))
        self.level = level - 1 if iterations >= self._patience else best

    @property
    def carry(self) -> tuple[float, ...]:
        """The numbers of the rule, for a restart."""
        return self.level, self.builds, self.rank, *(number for item in sorted(self.seen.items()) for number in item)

    @carry.setter
    def carry(self, carry: tuple[float, ...]) -> None:
        first, pairs = carry[:3] or (-1, 0, 0), carry[3:]
        self.level, self.builds, self.rank = map(int, first)
        self.seen = dict(zip(map(int, pairs[::2]), pairs[1::2], strict=True))


@lru_cache(maxsize=64)
def ladder(n: int, p: int, ranks: int, line: int, rank: int) -> tuple[list[float], list[tuple[float, float]]]:
    """Rows of the samples of n rows of a rank, most first, each about √3 times the next; and their `costs`."""
    steps = range(1 + max(0, math.floor(2 * math.log(max(1.0, n * ranks / few(p)), 3))))
    rows = [n / k for k in sorted({stride(n, n / 3 ** (i / 2), line) for i in steps})]
    return rows, [costs(n, m, p, ranks, rank) for m in rows]


def few(p: int) -> float:
    """Rows that are never thinned out: `FEW`, or those of a factor that is `CHEAP`."""
    return max(FEW, min(CHEAP / p**2, math.sqrt(CHEAP / p)))
