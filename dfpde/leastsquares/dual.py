"""Few rows and many parameters: the Gram matrix of the rows in the place of the Gram matrix of the columns.

    B = S √W J D⁻¹  (m × p, m < p),   K = B Bᵀ,   P⁻¹ = D⁻¹ (BᵀB + ε²)⁻¹ D⁻¹
    a = (K + ε²)⁻¹ B y,   z = (y − Bᵀa)/ε²,   (BᵀB + ε²)⁻¹ y = z + Bᵀ(K + ε²)⁻¹(a − B z)

The first line of Woodbury's formula takes the difference of nearly equal vectors where σ ≫ ε: rounding leaves u |y|/ε²
in directions where y/σ² is wanted.  B z − a is exactly this error, and the second part takes it off.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrs

from .. import validation as check
from ..parallel.collective import collective_errors
from ..representation import represent
from .events import FACTOR, GRAM
from .gram import shifted_cholesky
from .preconditioner import NEVER, Preconditioner, refuse_unless
from .rows import stride
from .system import LeastSquares

Array = NDArray[Any]

#: ε² relative to ‖K‖ below which P takes this in its place: below it K + ε² has no digits left.
SMALLEST = 2.0**-52


class DualCholesky(Preconditioner):
    """Cholesky factor of the m × m matrix K + ε²: m²p + m³/3 flops, m p numbers on rank 0.

    With all rows of a tangent that has fewer rows than columns it is a direct solver (N²p + N³/3 flops).

    Parameters
    ----------
    keep : float
        Rows kept of each block on a rank, at least.
    """

    @check.takes(keep=check.real(above=0, infinite=True))
    def __init__(self, keep: float = math.inf) -> None:
        self.keep = keep
        self._rows = np.empty((0, 0))  # D⁻¹ √W Jᵀ Sᵀ (p, m), on rank 0
        self._scale: Array | None = None
        self._rhs: Array | None = None

    __repr__ = represent

    def build(self, system: LeastSquares) -> float:
        """The rows on rank 0, their Gram matrix and its factor; m (p + 1) numbers travel.

        Raises
        ------
        NonFiniteError
            NaN or infinity in the tangent (on all ranks; names columns).
        """
        comm = system.comm
        with collective_errors(comm):
            parts = list(self._sample(system))
            local = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        gathered = [local] if comm.size == 1 else comm.gather(local)
        finite = gathered is None or all(math.isfinite(float(np.sum(part[:-1]))) for part in gathered)
        refuse_unless(finite, system.tangent)
        if gathered is not None:
            both = gathered[0] if comm.size == 1 else np.concatenate(gathered, axis=1)
            self._rows, self._right = both[:-1], both[-1]
        self._rhs = system.rhs
        self._scale, self._gram = None, np.empty((0, 0))
        return self.shift(system)

    def _sample(self, system: LeastSquares) -> Iterator[Array]:
        """This rank's rows (p + 1, few) of each block, the right-hand side below them."""
        start = 0
        for block in system.tangent.blocks:
            rhs = system.rhs[start : start + block.rows]
            yield block.sample(stride(block.rows, self.keep, block.line), rhs)
            start += block.rows

    def shift(self, system: LeastSquares) -> float:
        """The factor with this system's ε and D: m³/3 flops, with another D m²p more."""
        with collective_errors(system.comm):
            if system.comm.rank == 0:
                with GRAM:
                    self._rescale(system.scale)
                with FACTOR:
                    self._eps2 = max(system.eps**2, SMALLEST * float(np.trace(self._gram)), 1e-300)
                    self._factor = shifted_cholesky(self._gram, self._eps2)
        return NEVER

    def _rescale(self, scale: Array | None) -> None:
        old, self._scale = self._scale, scale
        same = scale is old or (scale is not None and old is not None and np.array_equal(scale, old))
        if not same:
            self._rows *= (np.ones(len(self._rows)) if old is None else old)[:, None]
            self._rows /= (np.ones(len(self._rows)) if scale is None else scale)[:, None]
        if not same or not self._gram.size:
            self._gram = dsyrk(1.0, self._rows.T, lower=1)

    def solve(self, y: Array) -> Array:
        """P⁻¹ y: four products with B."""
        rows, scale = self._rows, 1.0 if self._scale is None else self._scale
        y = y / scale
        a = self._inverse(y @ rows)
        z = (y - rows @ a) / self._eps2
        found: Array = (z + rows @ self._inverse(a - z @ rows)) / scale
        return found

    def start(self, system: LeastSquares) -> Array | None:
        """The solution of the same problem on the sampled rows, D⁻¹Bᵀ(K + ε²)⁻¹r."""
        if system.rhs is not self._rhs:
            return None
        if system.comm.rank > 0:
            return np.empty(0)
        found: Array = self._rows @ self._inverse(self._right)
        return found if self._scale is None else found / self._scale

    def _inverse(self, y: Array) -> Array:
        solution: Array = dpotrs(self._factor, y, lower=1)[0]
        return solution
