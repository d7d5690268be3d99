"""A few points of a quadrature that stand for all: where a first guess puts its components."""

from __future__ import annotations

from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Where in its share of the mass a point is taken: irrational, so that equal weights meet no tie.
PLACE = (3 - 5**0.5) / 2


def representative_points(x: Array, w: Array, values: NDArray[Any], count: int, comm: MPI.Comm) -> Array:
    """`count` of all ranks' points x (dim, N) of weights w, shape (dim, count), the same on all ranks; collective.

    Half of their density is that of the measure, half that of |u|² (values, shape (*shape, N)), so that they cover
    the domain and resolve where u is.  The k-th point is the one at which the cumulated density reaches
    (k + PLACE)/count; on a coarse quadrature a point may occur more than once.
    """
    w = np.maximum(w, 0.0)  # nodal weights of finite elements may be negative
    square = w * np.sum(np.abs(values.reshape(-1, w.size)) ** 2, axis=0)
    total = comm.allreduce(float(square.sum()))
    density = 0.5 * w / comm.allreduce(float(w.sum())) + (0.5 * square / total if total > 0 else 0.0)
    first = sum(comm.allgather(float(density.sum()))[: comm.rank])
    cumulated = first + np.cumsum(density)
    last = cumulated[-1] if w.size else first
    whole = comm.bcast(last, root=comm.size - 1)
    places = whole * (np.arange(count) + PLACE) / count
    mine = places[(places >= first) & ((places < last) | (comm.rank == comm.size - 1) & (w.size > 0))]
    local = np.minimum(np.searchsorted(cumulated, mine, side="right"), max(w.size - 1, 0))
    return np.concatenate(comm.allgather(x[:, local]), axis=1)
