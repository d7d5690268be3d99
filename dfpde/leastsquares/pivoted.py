"""Few informed directions: the Gram matrix of many rows in the space of a few of them, chosen by pivoting.

    B = S √W J D⁻¹  (m × p),   K = B Bᵀ ≈ L Lᵀ  (m × r, r about the informed directions),   B ≈ L Qᵀ,  QᵀQ = I
    P⁻¹ = D⁻¹ [Q (LᵀL + ε²)⁻¹ Qᵀ + ε⁻² (I − Q Qᵀ)] D⁻¹

The pivots are rows, drawn in proportion to what is left of the diagonal of K (randomly pivoted Cholesky: Chen, Epperly,
Tropp, Webber, Commun. Pure Appl. Math. 78, 2025), so that no row of a point that alone decides a direction is missed.
Q spans the pivot rows; outside is less than `TAIL` ε² of the trace of K, so the eigenvalues of P⁻¹(D⁻¹JᵀSᵀSJD⁻¹ + ε²)
lie between 1/(2 + `TAIL`) and 2 + `TAIL`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.linalg.lapack import dpotrs, dpstrf

from .. import validation as check
from ..parallel.collective import collective_errors
from ..representation import represent
from .dual import SMALLEST, gathered
from .events import FACTOR, GRAM
from .gram import shifted_cholesky
from .preconditioner import NEVER, Preconditioner, refuse_unless
from .sample import Sample, divided
from .system import LeastSquares

Array = NDArray[Any]

#: Part of the trace of K outside the space, in units of ε².
TAIL = 10.0

#: Rows drawn at a time, and what must be left of one beside the rows drawn with it, relative to their mean.
BLOCK, REDUNDANT = 100, 1e-3


class PivotedCholesky(Preconditioner):
    """Pivoted Cholesky factor of rank r of the Gram matrix of m rows: 2 m r (p + r) + 3 p r² flops.

    Rank 0 holds the m rows and (m + p) r numbers; m (p + 1) numbers travel.

    Parameters
    ----------
    keep : float
        Rows kept of each block on a rank, at least.
    max_rank : int or None
        Largest r; None is p/4 (beyond it the Gram matrix of the columns is the better choice).
    """

    described = ("keep", "max_rank")

    @check.takes(keep=check.real(above=0, infinite=True), max_rank=check.optional(check.integer(1)))
    def __init__(self, keep: float = math.inf, max_rank: int | None = None) -> None:
        self.keep, self.max_rank = keep, max_rank
        self._rank, self._complete = 0, False
        self._basis: Array = np.empty((0, 0))
        self._gram: Array = np.empty((0, 0))
        self._sample: Sample | None = None
        self._rhs: Array | None = None

    __repr__ = represent

    @property
    def rank(self) -> int:
        """r of the last build."""
        return self._rank

    @property
    def complete(self) -> bool:
        """Whether r is less than `max_rank`, so that all informed directions are there."""
        return self._complete

    def build(self, system: LeastSquares) -> float:
        """The rows on rank 0, their pivots and factor.

        Raises
        ------
        NonFiniteError
            NaN or infinity in the tangent (on all ranks; names columns).
        """
        found, finite = gathered(system, self.keep), True
        self._rhs, self._eps2 = system.rhs, math.inf
        if found is not None:
            self._sample, self._right = found
            finite = math.isfinite(self._sample.squares().sum())
        refuse_unless(finite, system.tangent)
        return self.shift(system)

    def shift(self, system: LeastSquares) -> float:
        """Another ε or D with the same rows: the pivots again where ε is smaller or D another, else r³/3 flops."""
        scale, comm = system.scale, system.comm
        with collective_errors(comm):
            if self._sample is not None:
                if system.eps**2 < self._eps2 or scale is not self._scale:
                    with GRAM:
                        self._pivot(self._sample, system.tangent.columns, scale, system.eps**2)
                with FACTOR:
                    self._shifted = max(system.eps**2, self._floor)
                    self._factor = shifted_cholesky(self._gram, self._shifted) if self._rank else self._gram
        if comm.size > 1:
            self._rank, self._complete = comm.bcast((self._rank, self._complete))
        return NEVER

    def _pivot(self, sample: Sample, columns: int, scale: Array | None, eps2: float) -> None:
        """L, Q and LᵀL."""
        self._scale, self._eps2 = scale, eps2
        scaled, limit = divided(sample, scale), self.max_rank or max(1, columns // 4)
        left = scaled.squares()
        self._floor = max(SMALLEST * float(left.sum()), 1e-300)
        rows, lower = pivots(scaled, left, TAIL * max(eps2, self._floor), limit)
        self._rank, self._complete = len(rows), len(rows) < limit
        self._basis, self._gram = scaled.at(rows).array(), lower.T @ lower
        if self._rank:
            self._orthonormalize(np.tril(lower[rows]))
            again = cholesky(self._basis.T @ self._basis, lower=True)  # what the condition of the rows left
            self._orthonormalize(again)
            self._gram = np.asfortranarray(again.T @ self._gram @ again)

    def _orthonormalize(self, factor: Array) -> None:
        """Q <- Q C⁻ᵀ."""
        self._basis = np.ascontiguousarray(solve_triangular(factor, self._basis.T, lower=True, check_finite=False).T)

    def solve(self, y: Array) -> Array:
        """P⁻¹ y: what is left of y outside the space is projected twice, as ε⁻² magnifies its rounding."""
        scale = 1.0 if self._scale is None else self._scale
        rest, q = y / scale, self._basis
        if self._rank == 0:
            return np.asarray(rest / self._shifted / scale)
        inside = rest @ q
        rest = rest - q @ inside
        rest = rest - q @ (rest @ q)
        result: Array = (q @ dpotrs(self._factor, inside, lower=1)[0] + rest / self._shifted) / scale
        return result

    def start(self, system: LeastSquares) -> Array | None:
        """The solution of the same problem on the sampled rows, where the build had this right-hand side."""
        if system.rhs is not self._rhs:
            return None
        return np.empty(0) if self._sample is None else self.solve(self._sample.adjoint(self._right))


def pivots(sample: Sample, left: Array, tail: float, limit: int) -> tuple[Array, Array]:
    """Rows (r,) and L (m, r) with trace(K − L Lᵀ) ≤ tail, or r = limit; `left` (m,) is the diagonal of K.

    The generator begins anew for each factor: the same rows in every run.
    """
    random, m = np.random.default_rng(0), len(left)
    rows, lower = np.empty(0, int), np.empty((m, min(m, limit)), order="F")
    while left.sum() > tail and len(rows) < lower.shape[1]:
        count = min(BLOCK, lower.shape[1] - len(rows), np.count_nonzero(left))
        drawn = random.choice(m, count, replace=False, p=left / left.sum())
        known = lower[:, : len(rows)]
        block = sample.cross(sample.at(drawn)) - known @ known[drawn].T
        own = block[drawn]
        factor, order, kept, _ = dpstrf(own, tol=REDUNDANT * float(np.trace(own)) / count, lower=1)
        if kept == 0:  # what is left is rounding
            break
        order = order[:kept] - 1
        new = solve_triangular(factor[:kept, :kept], block[:, order].T, lower=True, check_finite=False).T
        lower[:, len(rows) : len(rows) + kept] = new
        rows = np.concatenate([rows, drawn[order]])
        left = np.maximum(left - np.einsum("ij,ij->i", new, new), 0.0)
        left[rows] = 0.0
    return rows, lower[:, : len(rows)]
