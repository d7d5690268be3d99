"""The stacked operator A = [√W J; ε D] over ranks.

Vectors of parameters live on rank 0, vectors of rows are distributed with the points (rank 0 holds the p rows of the
regularization as well): one product is one broadcast or one reduction of p numbers, whatever the number of points.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .preconditioner import sum_on_root
from .system import LeastSquares

Array = NDArray[Any]


class Stacked:
    """A = [√W J; ε D] of a system; `load` puts another system of the same shape in its place."""

    def __init__(self, system: LeastSquares) -> None:
        self.comm, self.rows, self.p = system.comm, system.tangent.rows, system.tangent.columns
        self.first = self.comm.rank == 0
        self.load(system)

    def load(self, system: LeastSquares) -> None:
        """The tangent and ε D of the next solve."""
        self.tangent = system.tangent
        self.diagonal = system.eps if system.scale is None else system.eps * system.scale

    def stack(self, rows: Array) -> Array:
        """This rank's part of [rows; 0]."""
        return np.concatenate([rows, np.zeros(self.p)]) if self.first else rows

    def spread(self, x: Array) -> Array:
        """The parameter vector of rank 0 on all ranks."""
        if self.comm.size > 1:
            return self.share(x.copy() if self.first else np.empty(self.p))
        return x

    def share(self, numbers: Array) -> Array:
        """The array of rank 0 on all ranks, in place."""
        if self.comm.size > 1:
            self.comm.Bcast(numbers, root=0)
        return numbers

    def reduce(self, local: Array) -> Array | None:
        """Sum over ranks on rank 0, None elsewhere."""
        return sum_on_root(local, self.comm)

    def collect(self, gradient: Array, *numbers: float) -> tuple[Any, ...] | None:
        """Sums of a parameter vector and a few numbers on rank 0, in one reduction; None elsewhere."""
        if self.comm.size == 1:
            return (gradient, *numbers)
        total = self.reduce(np.concatenate([gradient, numbers]))
        return None if total is None else (total[: self.p], *total[self.p :])

    def forward(self, v: Array) -> Array:
        """The local rows of A v."""
        return np.concatenate([self.tangent.apply(v), self.diagonal * v if self.first else []])

    def backward(self, rows: Array) -> Array:
        """This rank's part of Aᵀ rows."""
        local = self.tangent.local_adjoint(rows[: self.rows])
        if self.first:
            local += self.diagonal * rows[self.rows :]
        return local

    def sweep(self, v: Array, rows: Array) -> tuple[Array, Array]:
        """y = A v − rows and this rank's part of Aᵀy; `rows` becomes y."""
        local = self.tangent.sweep(v, rows[: self.rows])
        if self.first:
            rest = rows[self.rows :]
            np.subtract(self.diagonal * v, rest, out=rest)
            local += self.diagonal * rest
        return rows, local
