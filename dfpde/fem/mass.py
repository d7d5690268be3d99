"""The norm of a mass matrix as rows of a least-squares problem: sparse R with RᵀR = M.

    M = Σ_r P_rᵀ M_r P_r,  M_r = R_rᵀ R_r

Every rank factors its own sub-assembled part, nothing is communicated.  For an assembled, row-distributed M:

    M = [M_II C; Cᵀ M_ΓΓ],   R = [R_I R_I⁻ᵀC; 0 R_S],   S = M_ΓΓ − Cᵀ M_II⁻¹ C = R_SᵀR_S

with I the rows that couple to no other rank (a diagonal block for each rank) and Γ the others; S goes to rank 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu, spsolve_triangular

from .. import validation as check
from ..errors import MassError, ShapeError
from ..parallel.collective import collective_errors
from .nodes import Nodes

Array = NDArray[Any]

#: A diagonal entry below this, relative to the largest entry, is a zero with the rounding errors of its sum (64 ulp).
ZERO = 64 * float(np.finfo(float).eps)


def square_root(mass: Any) -> sparse.csr_array:
    """Sparse R (rows, n) with RᵀR = M, the transposed Cholesky factor in a fill-reducing order.

    By SuperLU in symmetric mode without pivoting: P M Pᵀ = L U with U = D Lᵀ, R = D^½ Lᵀ P.  Degrees of freedom whose
    row is empty are left out: a rank may know of some that its cells do not touch.

    Parameters
    ----------
    mass : scipy sparse (n, n)

    Raises
    ------
    ShapeError, NonFiniteError
    MassError
        M is not symmetric, or a pivot is not positive (relative to its diagonal entry, beyond rounding).
    """
    check.matrix("mass", mass)
    matrix = sparse.csc_array(mass, dtype=float)
    n = matrix.shape[0]
    if matrix.shape != (n, n):
        raise ShapeError(f"a mass matrix of shape {matrix.shape}", "a square one")
    if not np.all(np.isfinite(matrix.data)):
        raise MassError("the mass matrix has entries that are NaN or infinite", "look at the mesh and the coefficients")
    largest = float(np.abs(matrix.data).max(initial=0.0))
    if np.abs((matrix - matrix.T).data).max(initial=0.0) > 1e-12 * largest:
        raise MassError("the mass matrix is not symmetric", "give the matrix of a scalar product (u, v)")
    touched = np.flatnonzero(np.diff(matrix.indptr) > 0)
    diagonal = matrix.diagonal()[touched]
    if np.any(diagonal <= ZERO * largest):
        bad = touched[diagonal <= ZERO * largest]
        raise _not_definite(f"{bad.size} of its {n} diagonal entries are not positive, first at {bad[:5].tolist()}")
    if touched.size == 0:
        return sparse.csr_array((0, n))
    scaling = np.sqrt(diagonal)
    unit = sparse.csc_array(matrix[touched][:, touched] / scaling[:, None] / scaling)  # unit diagonal
    upper = _upper(unit)
    picked = sparse.csr_array((np.ones(touched.size), (np.arange(touched.size), touched)), shape=(touched.size, n))
    return sparse.csr_array(upper @ sparse.diags_array(scaling) @ picked)


def _upper(unit: sparse.csc_array) -> sparse.csr_array:
    """R of a matrix with unit diagonal."""
    try:
        factors = splu(
            unit, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True, "Equil": False}
        )
    except RuntimeError as error:
        raise _not_definite(f"SuperLU: {error}") from error
    pivots = factors.U.diagonal()
    smallest = float(pivots.min())
    if smallest < unit.shape[0] * np.finfo(float).eps or not np.array_equal(factors.perm_r, factors.perm_c):
        raise _not_definite(f"smallest pivot {smallest:.2e} after scaling to unit diagonal")
    ordered = sparse.csc_array(factors.U)[:, factors.perm_c]
    return sparse.csr_array(sparse.diags_array(1 / np.sqrt(pivots)) @ ordered)


def _not_definite(what: str) -> MassError:
    return MassError(
        f"the mass matrix is singular or indefinite: {what}",
        "the matrix of a scalar product on all degrees of freedom (row sums of P2 triangles, for instance, are zero at "
        "vertices); constrained degrees of freedom keep their mass and go into the argument `fixed`",
    )


def assembled_root(matrix: Any, nodes: Nodes) -> tuple[Nodes, sparse.csr_array]:
    """Nodes and R_r of an assembled, row-distributed PETSc matrix; collective.

    Rank 0's nodes are extended by those of Γ on other ranks, whose rows of R it holds.  Γ has about √size members in
    two dimensions; S is sparse where ranks do not meet.
    """
    comm = nodes.comm
    with collective_errors(comm):
        low, high = matrix.getOwnershipRange()
        if not np.array_equal(nodes.numbers, np.arange(low, high)):
            raise ShapeError(
                f"rank {comm.rank} owns the rows {low}:{high} of the mass matrix and brings {nodes.n} nodes",
                "with an assembled PETSc matrix give the nodes of the rank's own rows, in their order",
            )
        indptr, indices, data = matrix.getValuesCSR()
        own = sparse.csr_array((data, indices, indptr), shape=(high - low, nodes.size))
        away = np.diff(indptr) > np.diff(sparse.csr_array(own[:, low:high]).indptr)
    if not comm.allreduce(int(away.any())):
        with collective_errors(comm):
            root = square_root(own[:, low:high])
        return Nodes(nodes.x, comm, nodes.numbers, high - low), root
    with collective_errors(comm):
        inner, border = np.flatnonzero(~away), np.flatnonzero(away)
        local = sparse.csr_array(own[:, low:high])
        coupling = sparse.csr_array(local[inner][:, border])
        root = square_root(local[inner][:, inner])
        reach = _transposed_solve(root, coupling)
        schur = sparse.coo_array(own[border])
        correction = sparse.coo_array(reach.T @ reach)
        rows = np.concatenate([border[schur.row], border[correction.row]]) + low
        columns = np.concatenate([schur.col, border[correction.col] + low])
        values = np.concatenate([schur.data, -correction.data])
        place = sparse.csr_array((np.ones(border.size), (np.arange(border.size), border)), shape=(border.size, nodes.n))
        pick = sparse.csr_array((np.ones(inner.size), (np.arange(inner.size), inner)), shape=(inner.size, nodes.n))
        mine = sparse.csr_array(root @ pick + reach @ place)
    gathered = comm.gather((rows, columns, values, border + low, nodes.x[:, border]))
    return _with_border(nodes, mine, gathered)


def _with_border(nodes: Nodes, mine: sparse.csr_array, gathered: Any) -> tuple[Nodes, sparse.csr_array]:
    """R_S goes below R_r on rank 0."""
    x, numbers = nodes.x, nodes.numbers
    with collective_errors(nodes.comm):
        if gathered is not None:
            joined = [np.concatenate(part, axis=-1) for part in zip(*gathered, strict=True)]
            rows, columns, values, border, places = joined
            schur = sparse.csr_array((values, (rows, columns)), shape=(nodes.size, nodes.size))[border][:, border]
            last = square_root((schur + schur.T) / 2)
            new = ~np.isin(border, numbers)
            numbers, x = np.concatenate([numbers, border[new]]), np.concatenate([x, places[:, new]], axis=1)
            order = np.argsort(numbers)
            at = order[np.searchsorted(numbers[order], border)]
            spot = sparse.csr_array((np.ones(at.size), (np.arange(at.size), at)), shape=(at.size, numbers.size))
            wide = sparse.csr_array((mine.data, mine.indices, mine.indptr), shape=(mine.shape[0], numbers.size))
            mine = sparse.csr_array(sparse.vstack([wide, last @ spot]))
    return Nodes(x, nodes.comm, numbers, nodes.n), mine


def _transposed_solve(root: sparse.csr_array, coupling: sparse.csr_array) -> sparse.csr_array:
    """R⁻ᵀ C with R a permuted upper triangular matrix with positive diagonal, R = U Q."""
    if 0 in coupling.shape:
        return sparse.csr_array(coupling.shape)
    # R = U Q: the column of a row's pivot is the one whose last entry that row is
    last = sparse.csc_array(root)
    last.sort_indices()
    pivot = last.indices[last.indptr[1:] - 1]
    column = np.empty_like(pivot)
    column[pivot] = np.arange(pivot.size)
    lower = sparse.csr_array(root[:, column].T)
    return sparse.csr_array(spsolve_triangular(lower, coupling[column].toarray(), lower=True))
