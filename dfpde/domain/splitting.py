"""Contiguous blocks of cells or points, one for each rank."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import ParameterError

Ids = NDArray[np.int64]


def blocks(count: int, parts: int, weights: NDArray[np.float64] | None = None) -> Ids:
    """Cuts (parts + 1,) of 0 … count into contiguous blocks of equal total weight.

    Raises
    ------
    ParameterError
        If the weights are not `count` finite non-negative numbers with a positive sum.
    """
    if weights is None:
        equal: Ids = np.arange(parts + 1, dtype=np.int64) * count // parts
        return equal
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (count,) or not np.all(weights >= 0) or not 0 < np.sum(weights) < np.inf:
        raise ParameterError(
            f"cell weights of shape {weights.shape} for {count} cells, sum {np.sum(weights)}",
            "give one finite non-negative number per cell, not all zero",
        )
    total = np.cumsum(weights)
    cuts = np.searchsorted(total, total[-1] * np.arange(1, parts) / parts, side="left") + 1
    balanced: Ids = np.concatenate([[0], np.minimum(cuts, count), [count]]).astype(np.int64)
    return balanced


def within(rows: Ids, low: int, high: int) -> Ids:
    """Those columns whose first row, a cell number, is in [low, high), counted from `low`."""
    inside: Ids = rows[:, (rows[0] >= low) & (rows[0] < high)].astype(np.int64)
    inside[0] -= low
    return inside
