"""Where the components of a mixture begin: centers spread over a sample of points, widths from their distances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import ParameterError
from ..base import Array

#: Sweeps of Lloyd's iteration; centers need to be spread, not optimal.
SWEEPS = 10


def spread(x: Array, n: int, periods: Sequence[float] | None, seed: int) -> tuple[Array, Array]:
    """n centers (n, dim) with the density of the points x (dim, M), and a standard deviation for each (n,).

    In one dimension centers are quantiles of the points.  In more they are the means of Lloyd's iteration (k-means)
    from farthest points, the first of them drawn by the seed.  On a periodic box distances are those of the torus
    (cos κx, sin κx)/κ, κ = 2π/period.  The standard deviation is the mean distance to the dim + 1 nearest centers
    over √dim, so that neighbours overlap in any dimension.

    Raises
    ------
    ParameterError
        Fewer points than centers.
    """
    dim, count = x.shape
    if count < n:
        raise ParameterError(f"{n} components for {count} points", "more quadrature points, or fewer components")
    if dim == 1:
        centers = np.quantile(x[0], (np.arange(n) + 0.5) / n)[:, None]
    else:
        centers = _unfold(_lloyd(_fold(x, periods), n, seed), periods)
    folded = _fold(centers.T, periods)
    distances = np.sort(np.linalg.norm(folded[:, :, None] - folded[:, None], axis=0), axis=1)[:, 1 : dim + 2]
    if n == 1:
        distances = np.std(_fold(x, periods), axis=1).reshape(1, -1).max(axis=1, keepdims=True)
    return centers, distances.mean(axis=1) / np.sqrt(dim)


def _lloyd(points: Array, n: int, seed: int) -> Array:
    """Means of n clusters of points (d, M), shape (d, n)."""
    chosen = [int(np.random.default_rng(seed).integers(points.shape[1]))]
    nearest = np.full(points.shape[1], np.inf)
    while len(chosen) < n:
        nearest = np.minimum(nearest, np.sum((points - points[:, chosen[-1:]]) ** 2, axis=0))
        chosen.append(int(np.argmax(nearest)))
    means: Array = points[:, chosen].copy()
    for _ in range(SWEEPS):
        owner = np.argmin(np.sum(means**2, axis=0) - 2 * points.T @ means, axis=1)
        counts = np.bincount(owner, minlength=n)
        for axis, row in enumerate(points):
            sums = np.bincount(owner, weights=row, minlength=n)
            means[axis] = np.where(counts > 0, sums / np.maximum(counts, 1), means[axis])
    return means


def _fold(x: Array, periods: Sequence[float] | None) -> Array:
    """Points (dim, M), on a torus as (2 dim, M)."""
    if periods is None:
        return x
    kappa = 2 * np.pi / np.asarray(periods)[:, None]
    return np.concatenate([np.cos(kappa * x) / kappa, np.sin(kappa * x) / kappa])


def _unfold(folded: Array, periods: Sequence[float] | None) -> Array:
    """Centers (n, dim) of what `_fold` gives."""
    if periods is None:
        return folded.T
    dim = len(periods)
    kappa = 2 * np.pi / np.asarray(periods)[:, None]
    centers: Array = (np.arctan2(folded[dim:], folded[:dim]) / kappa).T
    return centers
