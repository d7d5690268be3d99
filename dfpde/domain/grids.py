"""Tensor grids on boxes, a contiguous block of the points for each rank; the last direction runs fastest."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..errors import ParameterError
from .cells import line_rule
from .splitting import blocks

Array = NDArray[np.float64]
Bounds = Sequence[float] | Sequence[Sequence[float]]

#: Most points or cells of a grid: more than any memory holds, and few enough to be counted in 64 bits.
MOST = 1 << 44


def periodic(bounds: Bounds, n: int | Sequence[int], rank: int, size: int) -> tuple[Array, Array]:
    """Equispaced points and equal weights, a + (b − a) k / n in each direction: x (dim, N) and w (N,)."""
    box = _box(bounds)
    counts = _counts("n", n, len(box))
    axes = [a + (b - a) * np.arange(k) / k for (a, b), k in zip(box, counts, strict=True)]
    weights = [np.full(k, (b - a) / k) for (a, b), k in zip(box, counts, strict=True)]
    return _tensor(axes, weights, rank, size)


def gauss(bounds: Bounds, cells: int | Sequence[int], order: int, rank: int, size: int) -> tuple[Array, Array]:
    """Gauss–Legendre points on equal cells, exact for degree `order` in each direction: x (dim, N) and w (N,)."""
    box = _box(bounds)
    counts = _counts("cells", cells, len(box))
    nodes, factors = line_rule(order)
    steps = [(b - a) / k for (a, b), k in zip(box, counts, strict=True)]
    pairs = zip(box, counts, steps, strict=True)
    axes = [(a + h * (np.arange(k)[:, None] + nodes)).ravel() for (a, _), k, h in pairs]
    weights = [np.tile(h * factors, k) for k, h in zip(counts, steps, strict=True)]
    return _tensor(axes, weights, rank, size)


def _box(bounds: Bounds) -> list[tuple[float, float]]:
    check.numbers(1, 2, finite=False)("bounds", bounds)
    array = np.asarray(bounds, dtype=np.float64)
    array = array[None] if array.ndim == 1 else array
    pairs = array.ndim == 2 and array.shape[1] == 2 and bool(np.all(np.isfinite(array)))
    if not pairs or not np.all(array[:, 0] < array[:, 1]):
        raise ParameterError(f"bounds {bounds!r}", "give (a, b) with a < b, or one such pair for each direction")
    return [(float(a), float(b)) for a, b in array]


def _counts(name: str, counts: int | Sequence[int], dim: int) -> list[int]:
    listed = np.asarray(counts)
    if listed.dtype.kind not in "iu" or listed.shape not in ((), (dim,)) or np.any(listed < 1):
        raise ParameterError(f"{name} = {counts!r} in {dim} dimensions", "give positive integers, one per direction")
    each = [int(k) for k in np.broadcast_to(listed, (dim,))]
    if math.prod(each) > MOST:
        what = f"{name} = {counts!r} in {dim} dimensions, {math.prod(each):.3g} in all"
        raise ParameterError(what, f"at most {MOST:.2g}; in many dimensions random points, Quadrature.samples")
    return each


def _tensor(axes: list[Array], weights: list[Array], rank: int, size: int) -> tuple[Array, Array]:
    """This rank's block of a tensor-product rule; the last direction runs fastest."""
    shape = tuple(axis.size for axis in axes)
    cuts = blocks(int(np.prod(shape)), size)
    index = np.unravel_index(np.arange(cuts[rank], cuts[rank + 1]), shape)
    x = np.array([axis[i] for axis, i in zip(axes, index, strict=True)])
    w = np.prod([weight[i] for weight, i in zip(weights, index, strict=True)], axis=0)
    return x, w
