"""How many rows a factor that only preconditions should take.

Every k-th row is a coarser quadrature of the same norm: m rows instead of n (sketch-and-precondition, as in Blendenpik:
Avron, Maymounkov, Toledo 2010).  How many are enough depends on the effective dimension
tr(G(G + ε²)⁻¹) and on the smoothness of the tangent in x, so it is found by trying: the number that made
(build + iterations) cheapest is kept, its neighbours are tried again from time to time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum

from .rows import stride
from .system import Tangent

#: Memory rate over dsyrk rate, bytes per flop, from memory and from the cache: what one byte of an iteration costs
#: against one flop of a Gram matrix; and the size of the matrix at which dsyrk reaches half its rate.
BYTES_PER_FLOP, BYTES_PER_FLOP_CACHED, HALF = 0.38, 0.62, 100.0

#: Largest J of a rank that counts as cached.
CACHE = 16 << 20

#: Rows for each parameter in the first sample: cond(A R⁻¹) of random rows is then about 6.
SAMPLE = 2.0

#: Most iterations that the first factor may cost: a coarser one is refined where that is too few rows.
FIRST = 20.0

#: Rows that are never thinned out.
FEW = 32

#: Flops of a factor of such rows that costs less than an iteration's overhead.
CHEAP = 256 * 32**2

#: Fewest parameters for which a pivoted factor is worth its overhead, and its rank relative to p before one was tried.
LARGE, RANK = 1024, 1 / 8

#: The rank of a pivoted factor that has more informed directions than pay.
CUT = -1

#: Iterations with a larger sample that was not tried, in the worst case.
UNKNOWN = 6.0


class Kind(IntEnum):
    """`DualCholesky`, `GramCholesky`, `PivotedCholesky`."""

    DUAL, GRAM, PIVOTED = range(3)


@dataclass
class Sampling:
    """Every k-th row, k = 1, √3, 3, 3√3, ... rounded as `stride` does: level 0, 1, ...

    Attributes
    ----------
    level : int or None
        Of the next sample; None: `SAMPLE` rows for each parameter, or fewer where that costs more than `FIRST`.
    builds : int
        Samples so far.
    rank : int
        Of the last pivoted factor; 0: none was tried; `CUT`: more than pays.
    seen : dict
        Level -> iterations with that sample, the last ones counting most.
    """

    level: int | None = None
    builds: int = 0
    rank: int = 0
    seen: dict[int, float] = field(default_factory=dict)

    def choose(self, tangent: Tangent) -> tuple[Kind, float, float, float]:
        """The factor, rows to keep of each block of a rank, all rows of the sample, the most iterations it is worth.

        After so many iterations more rows would have been better; collective.
        """
        n, p, ranks = int(max(1.0, tangent.mean_rows)), tangent.columns, tangent.comm.size
        rows = ladder(n, few(p) / ranks, tangent.blocks[0].line if tangent.blocks else 0)
        both = [costs(n, m, p, ranks, self.rank) for m in rows]
        level = self.level
        if level is None:
            level = max([i for i, m in enumerate(rows) if m * ranks >= SAMPLE * p], default=0)
            while level + 1 < len(rows) and both[level][0] > FIRST * both[level][1]:
                level += 1
        self.used = min(level, len(rows) - 1)
        self._costs = {i: both[i] for i in range(max(0, self.used - 1), min(self.used + 2, len(rows)))}
        finer, iteration = self.used - 1, self._costs[self.used][1]
        self._patience = math.inf
        if finer >= 0:
            build, each = self._costs[finer]
            self._patience = max(1.0, (build + each * self.seen.get(finer, UNKNOWN)) / iteration)
        keep = rows[self.used]
        return cheapest(keep, p, ranks, self.rank)[0], keep, keep * ranks, self._patience

    def learn(self, iterations: int) -> None:
        """Told the iterations with the last sample, choose the next one.

        A larger sample that was not tried is expected to need none, a smaller one to need no more.
        """
        level, self.builds = self.used, self.builds + 1
        if self.builds in (1, 4, 16) or self.builds % 63 == 0:  # the first solves of a run are unlike the rest
            self.seen.clear()
            self.rank = max(self.rank, 0)
        if iterations >= self._patience:
            self.level, self.seen[level] = level - 1, float(iterations)
            return
        self.seen[level] = (self.seen.get(level, iterations) + iterations) / 2
        guess = {level - 1: 0.0, level + 1: self.seen[level]}
        total = {i: build + each * self.seen.get(i, guess.get(i, 0.0)) for i, (build, each) in self._costs.items()}
        self.level = min(total, key=lambda i: (total[i], i != level))

    @property
    def carry(self) -> tuple[float, ...]:
        """The numbers of the rule, for a restart."""
        if self.level is None:
            return ()
        pairs = (float(number) for item in sorted(self.seen.items()) for number in item)
        return (float(self.level), float(self.builds), float(self.rank), *pairs)

    @carry.setter
    def carry(self, carry: tuple[float, ...]) -> None:
        level, builds, rank, *pairs = carry or (-1.0, 0.0, 0.0)
        self.level, self.builds, self.rank = int(level) if carry else None, int(builds), int(rank)
        self.seen = {int(i): k for i, k in zip(pairs[::2], pairs[1::2], strict=True)}


def ladder(n: int, fewest: float, line: int) -> list[float]:
    """Rows of the samples of n rows, most first, each about √3 times the next."""
    steps = range(1 + max(0, math.floor(2 * math.log(max(1.0, n / fewest), 3))))
    return [n / k for k in sorted({stride(n, n / 3 ** (i / 2), line) for i in steps})]


def cheapest(rows: float, p: int, ranks: int, rank: int) -> tuple[Kind, float, float, float]:
    """The factor of m rows of each rank with the fewest flops: those, bytes copied for it, bytes of its application."""
    m, r = rows * ranks, float(p) if rank == CUT else rank or RANK * p
    found = [(Kind.GRAM, rows * p**2 + p**3 / 3, 0.0, 8.0 * p**2)]
    if m < p:
        found = [(Kind.DUAL, m**2 * p + m**3 / 3, 32 * m * p, 32 * m * p)]
    if p >= LARGE and m <= 2 * p:  # rows that take no more memory than two p × p matrices
        found.append((Kind.PIVOTED, 2 * m * r * (p + r) + 3 * p * r**2, 32 * m * p, 32 * r * p))
    return min(found, key=lambda each: each[1])


def few(p: int) -> float:
    """Rows that are never thinned out: `FEW`, or those of a factor that is `CHEAP`."""
    return max(float(FEW), min(CHEAP / p**2, math.sqrt(CHEAP / p)))


def costs(n: float, m: float, p: int, ranks: int, rank: int = 0) -> tuple[float, float]:
    """Bytes of an iteration, and what a factor of m rows of each rank costs in the same unit."""
    rate = BYTES_PER_FLOP_CACHED if 8 * n * p <= CACHE else BYTES_PER_FLOP
    _, flops, copies, factor = cheapest(m, p, ranks, rank)
    return flops * rate * (1 + HALF / min(m * ranks, p)) + copies, 16 * n * p + factor
