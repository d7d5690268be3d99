"""What a factor of sampled rows costs, against an iteration with all of them: flops and bytes in one unit."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

#: Memory rate over dsyrk rate, bytes per flop, from memory and from the cache: what one byte of an iteration costs
#: against one flop of a Gram matrix; and the size of the matrix at which dsyrk reaches half its rate.
BYTES_PER_FLOP, BYTES_PER_FLOP_CACHED, HALF = 0.38, 0.62, 100.0

#: Largest J of a rank that counts as cached.
CACHE = 16 << 20

#: Fewest parameters for which a pivoted factor is worth its overhead, and its rank relative to p before one was tried.
LARGE, RANK = 1024, 1 / 8

#: The rank of a pivoted factor that has more informed directions than pay.
CUT = -1


class Kind(IntEnum):
    """`DualCholesky`, `GramCholesky`, `PivotedCholesky`."""

    DUAL, GRAM, PIVOTED = range(3)


@lru_cache(maxsize=256)
def cheapest(rows: float, p: int, ranks: int, rank: int) -> tuple[Kind, float, float, float]:
    """The factor of m rows of each rank with the fewest flops: those, bytes copied for it, bytes of its application."""
    m, r = rows * ranks, float(p) if rank == CUT else rank or RANK * p
    found = [(Kind.GRAM, rows * p**2 + p**3 / 3, 0.0, 8.0 * p**2)]
    if m < p:
        found = [(Kind.DUAL, m**2 * p + m**3 / 3, 32 * m * p, 32 * m * p)]
    if p >= LARGE and m <= 2 * p:  # rows that take no more memory than two p × p matrices
        found.append((Kind.PIVOTED, 2 * m * r * (p + r) + 3 * p * r**2, 32 * m * p, 32 * r * p))
    return min(found, key=lambda each: each[1])


def costs(n: float, m: float, p: int, ranks: int, rank: int = 0) -> tuple[float, float]:
    """What a factor of m of the n rows of each rank costs, and an iteration with it, in bytes moved."""
    rate = BYTES_PER_FLOP_CACHED if 8 * n * p <= CACHE else BYTES_PER_FLOP
    _, flops, copies, factor = cheapest(m, p, ranks, rank)
    return flops * rate * (1 + HALF / min(m * ranks, p)) + copies, 16 * n * p + factor
