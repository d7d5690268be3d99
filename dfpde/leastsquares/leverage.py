"""Statistical leverage: how much each row of the tangent decides.

    ℓ_k = w_k J_kᵀ (JᵀWJ + ε²D²)⁻¹ J_k = ‖L⁻¹ √w_k J_k‖²,      Σ_k ℓ_k = Σ σ²/(σ² + ε²) = n_ε

with the Cholesky factor L Lᵀ = JᵀWJ + ε²D² and the singular values σ of √W J D⁻¹.  0 ≤ ℓ_k < 1; near 1 the row k alone
decides a direction of θ, so the quadrature does not resolve the tangent there.  ℓ_k/w_k is the numerical Christoffel
function (Herremans & Adcock, arXiv 2510.08461).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotri, dtrtrs

from ..parallel.collective import collective_errors
from .gram import shifted_cholesky
from .system import Tangent

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Leverage:
    """Leverages of the rows of a tangent.

    Attributes
    ----------
    rows : (rows,) array
        ℓ_k of this rank's rows.
    largest : float
        max ℓ_k over all ranks.
    total : float
        Σ ℓ_k over all ranks: the effective dimension n_ε.
    count : int
        Rows of all ranks.
    """

    rows: Array
    largest: float
    total: float
    count: int


def leverage(tangent: Tangent, eps: float, scale: Array | None = None) -> Leverage:
    """ℓ_k of all rows; collective.

    Costs 2 N p² flops and p² numbers on the wire; where N < p, N² p flops and N p numbers.

    Parameters
    ----------
    tangent : Tangent
        √W J.
    eps : float
        ε ≥ 0.  Directions with σ below 1e-8 σ_max (root of the unit roundoff) are lost in JᵀWJ and count as
        uninformed.
    scale : (p,) array or None
        D, the metric of the parameters.

    Raises
    ------
    SolverError
        The tangent is not finite.
    """
    count = tangent.comm.allreduce(tangent.rows) if tangent.comm.size > 1 else tangent.rows
    rows = _dual(tangent, eps, scale) if count < tangent.columns and eps > 0 else _primal(tangent, eps, scale)
    largest, total = float(rows.max(initial=0.0)), float(rows.sum())
    if tangent.comm.size > 1:
        largest, total = tangent.comm.allreduce(largest, op=MPI.MAX), tangent.comm.allreduce(total)
    return Leverage(rows, largest, total, count)


def _primal(tangent: Tangent, eps: float, scale: Array | None) -> Array:
    """Local rows of ‖L⁻¹ √w_k J_k‖²."""
    gram = tangent.local_gram()
    if tangent.comm.size > 1:
        tangent.comm.Allreduce(MPI.IN_PLACE, gram)
    with collective_errors(tangent.comm):
        factor = shifted_cholesky(gram, (eps * (1.0 if scale is None else scale)) ** 2 * np.ones(len(gram)))
        parts = [_squares(factor, chunk) for block in tangent.blocks for chunk in block.chunks()]
    return np.concatenate(parts) if parts else np.empty(0)


def _dual(tangent: Tangent, eps: float, scale: Array | None) -> Array:
    """The same from all rows A = √W J D⁻¹ on every rank: ℓ_k = 1 − ε² ((A Aᵀ + ε²)⁻¹)_kk."""
    comm = tangent.comm
    with collective_errors(comm):
        mine = np.vstack([block.dense() for block in tangent.blocks]) / (1.0 if scale is None else scale)
    parts = comm.allgather(mine) if comm.size > 1 else [mine]
    rows = np.vstack(parts)
    with collective_errors(comm):
        kernel = np.asfortranarray(rows @ rows.T)
        factor = shifted_cholesky(kernel, np.full(len(rows), eps**2))
        inverse = dpotri(factor, lower=1)[0]
    first = sum(len(part) for part in parts[: comm.rank])
    leverages: Array = 1.0 - eps**2 * np.diag(inverse)[first : first + len(mine)]
    return leverages


def _squares(factor: Array, chunk: Array) -> Array:
    """‖L⁻¹ y‖² of the columns y of a chunk (p, few)."""
    solved = dtrtrs(factor, chunk, lower=1)[0]
    squares: Array = np.einsum("ij,ij->j", solved, solved)
    return squares
