"""Dense LAPACK solver: the oracle of the tests and the source of singular values; never in a time loop.

The stacked matrix is reduced by QR on each rank, and the triangles are factored once more together (TSQR; Demmel,
Grigori, Hoemmen, Langou 2012), so the result has the accuracy of Householder QR whatever the number of ranks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lstsq, qr, svd

from .. import validation as check
from ..errors import NonFiniteError
from ..parallel.collective import collective_errors
from .system import LeastSquares, Solution, Tangent

Array = NDArray[Any]


@dataclass(frozen=True)
@check.takes(rcond=check.real(0, below=1))
class Dense:
    """Direct solution by TSQR and a singular value decomposition of the small triangle.

    Parameters
    ----------
    rcond : float
        Singular values of [√W J; ε D] below rcond · σ_max are treated as zero (minimum-norm solution); with ε > 0
        it normally has no effect.
    """

    rcond: float = 2.0**-52

    @check.takes(system=check.system)
    def solve(self, system: LeastSquares) -> Solution:
        """The minimizer δ; collective.

        Raises
        ------
        NonFiniteError
            NaN or infinity in the tangent or the right-hand side.
        """
        system.checked_norm()
        p = system.tangent.columns
        d = np.ones(p) if system.scale is None else system.scale
        triangle = _triangle(system.tangent, system.rhs)
        stacked = np.vstack([triangle[:, :p] / d, system.eps * np.eye(p)])
        rhs = np.concatenate([triangle[:, p], np.zeros(p)])
        value, _, rank, sigma = lstsq(stacked, rhs, cond=self.rcond)
        value = value / d
        defect = system.tangent.norm(system.tangent.apply(value) - system.rhs)
        stats = {"rank": int(rank), "singular_values": sigma, "stored_bytes": 8 * p * system.tangent.rows}
        return Solution(value, defect, 0, "direct", stats)


def singular_values(tangent: Tangent) -> Array:
    """Singular values of √W J, largest first, shape (min(rows, p),); dense, collective."""
    triangle = _triangle(tangent, None)
    sigma: Array = svd(triangle, compute_uv=False)
    return sigma


def right_singular(tangent: Tangent) -> tuple[Array, Array]:
    """σ (k,) and Vᵀ (k, p) of √W J = U Σ Vᵀ, and U is never formed; dense, collective."""
    _, sigma, vt = svd(_triangle(tangent, None), full_matrices=False)
    return sigma, vt


def truncated(tangent: Tangent, rhs: Array, eps: float, scale: Array | None = None) -> tuple[Array, Array, Array]:
    """Truncated pseudo-inverse of √W J D⁻¹: v = D⁻¹ J_ε⁺ r of the directions with σ > ε, their σ and Vᵀ; collective."""
    p = tangent.columns
    LeastSquares(tangent, rhs, eps, scale).checked_norm()
    d = np.ones(p) if scale is None else scale
    triangle = _triangle(tangent, rhs)
    u, sigma, vt = svd(triangle[:, :p] / d, full_matrices=False)
    kept = sigma > eps
    value = vt[kept].T @ ((u.T @ triangle[:, p])[kept] / sigma[kept])
    return value / d, sigma[kept], vt[kept]


def _triangle(tangent: Tangent, rhs: Array | None) -> Array:
    """R of the distributed [√W J, r], replicated: at most p + 1 rows."""
    with collective_errors(tangent.comm):
        matrix = np.vstack([block.dense() for block in tangent.blocks])
        if not np.all(np.isfinite(matrix)):
            bad = np.unique(np.argwhere(~np.isfinite(matrix))[:, 1])
            raise NonFiniteError(
                f"tangent has NaN or infinite entries in columns {bad[:5].tolist()} on rank {tangent.comm.rank}",
                "look at the parameters of these columns (ansatz.unpack(theta)): overflow, or a width of zero",
            )
        if rhs is not None:
            matrix = np.column_stack([matrix, rhs])
        local = qr(matrix, mode="r")[0][: min(matrix.shape)] if len(matrix) else matrix
    if tangent.comm.size == 1:
        return np.ascontiguousarray(local)
    parts = tangent.comm.allgather(local)
    both = np.vstack(parts)
    return np.asarray(qr(both, mode="r")[0][: min(both.shape)])
