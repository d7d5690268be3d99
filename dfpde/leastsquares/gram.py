"""Cholesky factor of the Gram matrix of the columns, from all rows or a sample, as a preconditioner."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotrs, dtpttr, dtrttp

from .. import validation as check
from ..errors import SolverError
from ..parallel.collective import collective_errors
from ..representation import represent
from .events import FACTOR, GRAM
from .preconditioner import NEVER, Preconditioner, refuse_unless, sum_on_root
from .system import LeastSquares

Array = NDArray[Any]


class GramCholesky(Preconditioner):
    """Cholesky factor of JᵀWJ + ε²D², the Gram matrix accumulated by chunks and summed over ranks.

    Only the lower triangle travels, with one row below: (p + 1)(p + 2)/2 numbers, once for each build.

    Parameters
    ----------
    keep : float
        Rows kept of each block on a rank, at least.
    """

    described = ("keep",)

    @check.takes(keep=check.real(above=0, infinite=True))
    def __init__(self, keep: float = math.inf) -> None:
        self.keep = keep
        self._gram: Array | None = None
        self._factor: Array | None = None
        self._gradient: Array = np.empty(0)
        self._rhs: Array | None = None

    __repr__ = represent

    def build(self, system: LeastSquares) -> float:
        """Gram matrix of this tangent, and its factor.

        Raises
        ------
        NonFiniteError
            NaN or infinity in the tangent (on all ranks; names columns).
        """
        with GRAM:
            gram = _sum_lower(system.tangent.local_normal(system.rhs, self.keep), system.comm)
        refuse_unless(gram is None or math.isfinite(gram.trace()), system.tangent)
        if gram is not None:
            self._gram, self._gradient = gram[:-1, :-1], gram[-1, :-1].copy()
        self._rhs = system.rhs
        return self.shift(system)

    def shift(self, system: LeastSquares) -> float:
        """Factor of the Gram matrix with this system's ε and D: p³/3 flops on rank 0."""
        with collective_errors(system.comm), FACTOR:
            if self._gram is not None:
                diagonal = (system.eps * (1.0 if system.scale is None else system.scale)) ** 2
                self._factor = shifted_cholesky(self._gram, diagonal)
        return NEVER

    def solve(self, y: Array) -> Array:
        """(L Lᵀ)⁻¹ y."""
        solution: Array = dpotrs(self._factor, y, lower=1)[0]
        return solution

    def start(self, system: LeastSquares) -> Array | None:
        """The solution of the same problem on the sampled rows, where the build had this right-hand side."""
        if system.rhs is not self._rhs:
            return None
        return self._gradient if self._factor is None else self.solve(self._gradient)


def _sum_lower(gram: Array, comm: MPI.Comm) -> Array | None:
    """Sum of the lower triangles on rank 0, packed on the wire; None elsewhere."""
    if comm.size == 1:
        return gram
    packed = sum_on_root(dtrttp(gram, uplo="L")[0], comm)
    return None if packed is None else np.asarray(dtpttr(len(gram), packed, uplo="L")[0])


def shifted_cholesky(gram: Array, diagonal: Array | float) -> Array:
    """Lower Cholesky factor of gram + diag(diagonal), shifted relative to its diagonal where it is indefinite.

    A Gram matrix of κ(J) > 1e8 is numerically indefinite when ε is tiny.  Cholesky succeeds once the smallest
    eigenvalue of the matrix scaled to unit diagonal exceeds about p² u (Demmel 1989; Higham, Accuracy and Stability,
    Theorem 10.7), so the shift starts at p u and grows tenfold; it only weakens the preconditioner, never the solution.

    Raises
    ------
    SolverError
        No shift up to 1 helps: the matrix is not finite.
    """
    p = len(gram)
    base = gram.diagonal() + diagonal
    base[~(base > 0)] = 1.0  # a zero column with ε = 0: any positive number
    shift, step = 0.0, p * 2.0**-53
    while shift <= 1.0:
        matrix = gram.copy(order="F")
        matrix.reshape(-1, order="F")[:: p + 1] = base * (1.0 + shift)
        factor, info = dpotrf(matrix, lower=1, overwrite_a=1, clean=0)
        if info == 0 and math.isfinite(factor[-1, -1]):
            return np.asarray(factor)
        shift, step = step, 10 * step
    raise SolverError(
        f"no Cholesky factor of the {p} × {p} Gram matrix, not even with its diagonal doubled",
        "the tangent is not finite or overflows when squared; look at the parameters and the units of the field",
    )
