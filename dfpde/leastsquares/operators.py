"""PETSc matrices, preconditioner and Krylov method of the least-squares problem: contexts of PETSc's "python" types.

None of them refers to the object that owns the PETSc objects, so that both are freed together.
"""

from __future__ import annotations

from typing import Any

from mpi4py import MPI
from numpy.typing import NDArray

from .lsqr import End, lsqr
from .petsc import PETSc
from .preconditioner import Preconditioner
from .stacked import Stacked

Array = NDArray[Any]


class Wide:
    """Context of the PETSc matrix A = [√W J; ε D]."""

    def __init__(self, operator: Stacked) -> None:
        self.operator = operator

    def mult(self, mat: Any, x: Any, y: Any) -> None:
        """y = A x (called by PETSc)."""
        y.getArray()[:] = self.operator.forward(spread(x, self.operator))

    def multTranspose(self, mat: Any, y: Any, x: Any) -> None:
        """x = Aᵀ y (called by PETSc)."""
        fill(x, self.operator.reduce(self.operator.backward(y.getArray(readonly=True))))


class Normal:
    """Context of the PETSc matrix JᵀWJ + ε²D²; its diagonal serves ``-dfpde_pc_type jacobi``."""

    def __init__(self, operator: Stacked) -> None:
        self.operator = operator

    def mult(self, mat: Any, x: Any, y: Any) -> None:
        """y = A x (called by PETSc)."""
        operator = self.operator
        v = spread(x, operator)
        total = operator.reduce(operator.tangent.local_adjoint(operator.tangent.apply(v)))
        fill(y, None if total is None else total + operator.diagonal**2 * v)

    def getDiagonal(self, mat: Any, y: Any) -> None:
        """y = diag(A) (called by PETSc)."""
        norms = self.operator.tangent.column_norms()
        fill(y, norms**2 + self.operator.diagonal**2 if self.operator.first else None)


class Method:
    """Context of the PETSc preconditioner and of the Krylov method: the preconditioner in use, and `lsqr` with it."""

    def __init__(self, operator: Stacked, preconditioner: Preconditioner) -> None:
        self.operator, self.preconditioner = operator, preconditioner
        self.end: End | None = None

    def apply(self, pc: Any, x: Any, y: Any) -> None:
        """y = P⁻¹ x (called by PETSc)."""
        fill(y, self.preconditioner.solve(x.getArray(readonly=True)) if self.operator.first else None)

    def solve(self, ksp: Any, b: Any, x: Any) -> None:
        """x = argmin ‖A x − b‖ (called by PETSc); collective."""
        rtol, _, _, limit = ksp.getTolerances()
        guess = x.getArray(readonly=True).copy() if ksp.getInitialGuessNonzero() else None

        def monitor(iteration: int, norm: float) -> None:
            ksp.setIterationNumber(iteration)
            ksp.setResidualNorm(norm)
            ksp.logConvergenceHistory(norm)
            ksp.monitor(iteration, norm)

        rows = b.getArray(readonly=True)
        self.end = lsqr(self.operator, self.preconditioner, rows, guess, rtol, limit, monitor)
        fill(x, self.end.x)
        ksp.setConvergedReason(getattr(PETSc.KSP.ConvergedReason, self.end.reason))


def spread(x: Any, operator: Stacked) -> Array:
    """The parameter vector of rank 0 on all ranks."""
    return operator.spread(x.getArray(readonly=True))


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
