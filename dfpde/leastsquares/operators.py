"""PETSc matrices and preconditioners of the least-squares problem, as contexts of PETSc's "python" types.

Vectors of parameters live on rank 0, vectors of rows are distributed with the points (rank 0 holds the p rows of the
regularization as well): one product is one broadcast or one reduction of p numbers, whatever the number of points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from .gram import Preconditioner, sum_on_root
from .petsc import PETSc
from .system import LeastSquares

Array = NDArray[Any]


class Stacked:
    """Context of the PETSc matrix [√W J; ε D]."""

    def __init__(self, comm: MPI.Comm, rows: int, p: int) -> None:
        self.comm, self.rows, self.p = comm, rows, p
        self.first = comm.rank == 0
        self._ones = np.ones(p)

    def load(self, system: LeastSquares) -> None:
        """The tangent and ε D of the next solve."""
        self.tangent = system.tangent
        self.diagonal = system.eps * (self._ones if system.scale is None else system.scale)

    def spread(self, x: Any) -> Array:
        """The parameter vector of rank 0 on all ranks."""
        v: Array = x.getArray(readonly=True)
        if self.comm.size > 1:
            v = self.share(v.copy() if self.first else np.empty(self.p))
        return v

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
        """y = A v − rows and this rank's part of Aᵀy, in one sweep over the tangent; `rows` becomes y."""
        local = self.tangent.sweep(v, rows[: self.rows])
        if self.first:
            rest = rows[self.rows :]
            np.subtract(self.diagonal * v, rest, out=rest)
            local += self.diagonal * rest
        return rows, local

    def mult(self, mat: Any, x: Any, y: Any) -> None:
        """y = A x (called by PETSc)."""
        y.getArray()[:] = self.forward(self.spread(x))

    def multTranspose(self, mat: Any, y: Any, x: Any) -> None:
        """x = Aᵀ y (called by PETSc)."""
        total = self.reduce(self.backward(y.getArray(readonly=True)))
        fill(x, total)


class Normal:
    """Context of the PETSc matrix JᵀWJ + ε²D²; its diagonal serves ``-dfpde_pc_type jacobi``."""

    def __init__(self, stacked: Stacked) -> None:
        self.stacked = stacked

    def mult(self, mat: Any, x: Any, y: Any) -> None:
        """y = A x (called by PETSc)."""
        stacked = self.stacked
        v = stacked.spread(x)
        total = stacked.reduce(stacked.tangent.local_adjoint(stacked.tangent.apply(v)))
        fill(y, None if total is None else total + stacked.diagonal**2 * v)

    def getDiagonal(self, mat: Any, y: Any) -> None:
        """y = diag(A) (called by PETSc)."""
        norms = self.stacked.tangent.column_norms()
        fill(y, norms**2 + self.stacked.diagonal**2 if self.stacked.first else None)


class Apply:
    """Context of the PETSc preconditioner: the kept factor, on rank 0."""

    def __init__(self, preconditioner: Callable[[], Preconditioner]) -> None:
        self.preconditioner = preconditioner

    def apply(self, pc: Any, x: Any, y: Any) -> None:
        """y = P⁻¹ x (called by PETSc)."""
        fill(y, self.preconditioner().solve(x.getArray(readonly=True)) if x.comm.rank == 0 else None)


def fill(x: Any, values: Array | None) -> None:
    """Put a parameter vector of rank 0 into a PETSc vector; None on the other ranks.

    Every rank asks for its array, empty or not: PETSc keeps the norm of a vector until somebody does, and ranks that
    keep an old norm would skip the next reduction, or take a nonzero initial guess for zero.
    """
    local = x.getArray()
    if values is not None:
        local[:] = values


def python_matrix(comm: MPI.Comm, rows: Any, columns: Any, context: Any) -> Any:
    """A PETSc matrix of type "python": sizes as petsc4py takes them, (local, global)."""
    matrix = PETSc.Mat().createPython((rows, columns), context=context, comm=MPI.Intracomm(comm))
    matrix.setUp()
    return matrix
