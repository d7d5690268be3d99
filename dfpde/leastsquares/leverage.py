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
from scipy.linalg.lapack import dtrtrs

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
    """ℓ_k of all rows; collective.  Costs 2 N p² flops and p² numbers on the wire.

    Parameters
    ----------
    tangent : Tangent
        √W J.
    eps : float
        ε ≥ 0.  Directions with σ below √u σ_max, u the unit roundoff, are lost in JᵀWJ and count as uninformed.
    scale : (p,) array or None
        D, the metric of the parameters.

    Raises
    ------
    SolverError
        The tangent is not finite.
    """
    gram = tangent.local_gram()
    if tangent.comm.size > 1:
        tangent.comm.Allreduce(MPI.IN_PLACE, gram)
    with collective_errors(tangent.comm):
        factor = shifted_cholesky(gram, (eps * (1.0 if scale is None else scale)) ** 2 * np.ones(len(gram)))
        parts = [_squares(factor, chunk) for block in tangent.blocks for chunk in block.chunks()]
    rows = np.concatenate(parts) if parts else np.empty(0)
    largest, sums = float(rows.max(initial=0.0)), np.array([rows.sum(), rows.size])
    if tangent.comm.size > 1:
        largest = tangent.comm.allreduce(largest, op=MPI.MAX)
        tangent.comm.Allreduce(MPI.IN_PLACE, sums)
    return Leverage(rows, largest, float(sums[0]), int(sums[1]))


def _squares(factor: Array, chunk: Array) -> Array:
    """‖L⁻¹ y‖² of the columns y of a chunk (p, few)."""
    solved = dtrtrs(factor, chunk, lower=1)[0]
    squares: Array = np.einsum("ij,ij->j", solved, solved)
    return squares
