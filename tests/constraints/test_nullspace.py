"""The projected preconditioner of constrained solves where the system has nearly lost its rank."""

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.constraints import Constrained, NullSpace, Projector
from dfpde.constraints.nullspace import ProjectedRows
from dfpde.leastsquares import Dense, DenseRows, GramCholesky, LeastSquares, Tangent

RNG = np.random.default_rng(3)


def system(eps, p=15, rows=60):
    """Singular values from 1 to 1e-9, a right-hand side of which all but 1e-6 can be reached."""
    u, _ = np.linalg.qr(RNG.normal(size=(rows, p)))
    v, _ = np.linalg.qr(RNG.normal(size=(p, p)))
    matrix = (u * np.logspace(0, -9, p)) @ v.T
    rhs = matrix @ RNG.normal(size=p) + 1e-6 * RNG.normal(size=rows)
    block = DenseRows(np.ascontiguousarray(matrix.T), np.ones(rows))
    return LeastSquares(Tangent((block,), MPI.COMM_SELF), rhs, eps, None)


@pytest.mark.parametrize("eps", [1e-2, 1e-3, 1e-4])
def test_constrained_solves_by_krylov_and_by_lapack_agree(eps):
    """Projected from one side only, yᵀP⁻¹y turns negative by rounding after two iterations, where P⁻¹ is up to ε⁻²."""
    for _ in range(20):
        data, projector = system(eps), Projector.of(RNG.normal(size=(1, 15)), None)
        krylov = Constrained(df.LSQR(preconditioner=NullSpace(GramCholesky())), projector)
        found, exact = krylov.solve(data).value, Dense().solve(projected(data, projector)).value
        assert found == pytest.approx(projector.apply(exact), abs=1e-6 * np.linalg.norm(exact))


def projected(data, projector):
    block = ProjectedRows(data.tangent.blocks[0], projector)
    return LeastSquares(Tangent((block,), MPI.COMM_SELF), data.rhs, data.eps, None)
