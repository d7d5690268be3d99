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
from scipy.linalg.lapack import dpotrs

from .. import validation as check
from ..parallel.collective import collective_errors
from ..representation import represent
from .events import FACTOR, GRAM
from .gram import shifted_cholesky
from .preconditioner import NEVER, Preconditioner, refuse_unless
from .rows import stride
from .sample import Sample, divided, join
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

    described = ("keep",)

    @check.takes(keep=check.real(above=0, infinite=True))
    def __init__(self, keep: float = math.inf) -> None:
        self.keep = keep
        self._gram, self._trace = np.empty((0, 0)), 0.0
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
        found, self._rhs = gathered(system, self.keep), system.rhs
        with collective_errors(system.comm):
            if found is not None:
                self._sampled, self._right = found
                self._kernel(system.scale)
        refuse_unless(math.isfinite(self._trace), system.tangent)
        return self.shift(system)

    def _kernel(self, scale: Array | None) -> None:
        self._scale = scale
        with GRAM:
            self._gram = divided(self._sampled, scale).kernel()
        self._trace = float(self._gram.trace())

    def shift(self, system: LeastSquares) -> float:
        """The factor with this system's ε and D: m³/3 flops, with another D the Gram matrix of the rows again."""
        with collective_errors(system.comm):
            if system.comm.rank == 0:
                scale, old = system.scale, self._scale
                if scale is not old and (scale is None or old is None or not np.array_equal(scale, old)):
                    self._kernel(scale)
                with FACTOR:
                    self._eps2 = max(system.eps**2, SMALLEST * self._trace, 1e-300)
                    self._factor = shifted_cholesky(self._gram, self._eps2)
        return NEVER

    def solve(self, y: Array) -> Array:
        """P⁻¹ y: four products with B."""
        y = self._divided(y)
        a = self._inverse(self._apply(y))
        z = (y - self._adjoint(a)) / self._eps2
        return self._divided(z + self._adjoint(self._inverse(a - self._apply(z))))

    def start(self, system: LeastSquares) -> Array | None:
        """The solution of the same problem on the sampled rows, D⁻¹Bᵀ(K + ε²)⁻¹r."""
        if system.rhs is not self._rhs:
            return None
        if system.comm.rank > 0:
            return np.empty(0)
        return self._divided(self._adjoint(self._inverse(self._right)))

    def _divided(self, v: Array) -> Array:
        """D⁻¹ v."""
        return v if self._scale is None else v / self._scale

    def _apply(self, v: Array) -> Array:
        """B v."""
        return self._sampled.apply(self._divided(v))

    def _adjoint(self, a: Array) -> Array:
        """Bᵀ a."""
        return self._divided(self._sampled.adjoint(a))

    def _inverse(self, y: Array) -> Array:
        solution: Array = dpotrs(self._factor, y, lower=1)[0]
        return solution


def gathered(system: LeastSquares, keep: float) -> tuple[Sample, Array] | None:
    """About `keep` rows of each block of all ranks on rank 0, and the right-hand side there; None elsewhere.

    Collective; m (p + 1) numbers travel.
    """
    comm = system.comm
    with collective_errors(comm):
        samples, rhs = zip(*_sample(system, keep), strict=True)
        local = join(samples), np.concatenate(rhs)
    if comm.size == 1:
        return local
    parts = comm.gather(local)
    with collective_errors(comm):
        return None if parts is None else (join([rows for rows, _ in parts]), np.concatenate([y for _, y in parts]))


def _sample(system: LeastSquares, keep: float) -> Iterator[tuple[Sample, Array]]:
    """This rank's rows of each block, and the right-hand side there."""
    start = 0
    for block in system.tangent.blocks:
        rhs = system.rhs[start : start + block.rows]
        yield block.sample(stride(block.rows, keep, block.line), rhs)
        start += block.rows
