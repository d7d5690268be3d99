"""Preconditioners of the stacked least-squares operator: approximations of (JᵀWJ + ε²D²)⁻¹, kept across solves.

The tangent changes slowly along a run, so the Cholesky factor of an earlier Gram matrix R̃ᵀR̃ leaves AR̃⁻¹ near
orthonormal and LSQR needs a few iterations.  Parameter vectors live on rank 0 (p numbers, while points are many), so
the factor is stored and applied there without communication.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotrs, dtpttr, dtrttp

from ..errors import NonFiniteError, SolverError
from ..parallel.collective import collective_errors
from .sampling import SAMPLE, Sampling
from .system import LeastSquares, Tangent

Array = NDArray[Any]

#: Largest |Σ w_j c_j| / ‖c‖ of a resolved column c for the `waves` w of half and a quarter of the sample's rate: near 1
#: for a bump on one row, and one of them 0.7 for a bump between two.  A Gaussian of width σ on rows h apart has about
#: e^(−(πσ/h)²/2) at half the rate, its square the root of that, the error of its norm from every other row: 0.1.
WAVES = np.array([[0.01], [0.1], [0.1]])


class Preconditioner(Protocol):
    """A symmetric positive definite approximation of (JᵀWJ + ε²D²)⁻¹ that is built seldom and applied often."""

    def build(self, system: LeastSquares) -> None:
        """From the tangent of this system; collective."""
        ...

    def shift(self, system: LeastSquares) -> None:
        """New ε and D with the tangent of the last build; collective."""
        ...

    def solve(self, y: Array) -> Array:
        """Apply to a vector (p,), on rank 0."""
        ...

    def build_cost(self, tangent: Tangent) -> float:
        """Cost of `build` in iterations of the solver (one product with J and one with Jᵀ); collective."""
        ...

    @property
    def gradient(self) -> Array | None:
        """(√W J)ᵀ r of the last build, from the rows it took: P⁻¹ times it starts the solve.

        The sum over ranks on rank 0, something on the others; None on all ranks where P⁻¹ is no approximate inverse.
        """
        ...

    @property
    def resolved(self) -> bool:
        """Whether the rows of the last build resolve every column of the tangent; on rank 0."""
        ...

    def patience(self, tangent: Tangent) -> float:
        """Iterations with a fresh build after which a better one should be tried; infinite if there is none."""
        ...

    def refine(self, tangent: Tangent, iterations: int) -> bool:
        """Told that a fresh build needed so many iterations: whether the next one will be a better one; collective."""
        ...

    @property
    def counts(self) -> tuple[float, ...]:
        """What `refine` changes, as numbers for restarts."""
        ...

    @counts.setter
    def counts(self, counts: tuple[float, ...]) -> None:
        """Taken up at a restart."""
        ...


class GramCholesky:
    """Cholesky factor of JᵀWJ + ε²D², the Gram matrix accumulated by chunks and summed over ranks.

    Where rows are many more than parameters, every k-th row is enough for a preconditioner: see `Sampling`.

    Only the lower triangle travels, with four rows below: (p + 4)(p + 5)/2 numbers, once for each build.

    Parameters
    ----------
    sample : float
        Rows kept for each parameter to begin with, c; ``inf`` keeps all.
    """

    def __init__(self, sample: float = SAMPLE) -> None:
        self.sampling = Sampling(sample)
        self._gram: Array | None = None
        self._factor: Array | None = None
        self._gradient: Array | None = None
        self._waves: Array | None = None
        self._diagonal: Array | float = 0.0
        self._shift = 0.0

    def build(self, system: LeastSquares) -> None:
        """Gram matrix of this tangent, and its factor.

        Raises
        ------
        NonFiniteError
            NaN or infinity in the tangent (on all ranks; names columns).
        """
        comm = system.comm
        local = system.tangent.local_normal(system.rhs, self.sampling.keep(system.tangent))
        gram = _sum_lower(local, comm)
        finite = gram is None or math.isfinite(gram.trace())
        if not (comm.bcast(finite) if comm.size > 1 else finite):
            refuse_tangent(system.tangent)
        below = (local if gram is None else gram)[-4:, :-4].copy()
        self._gradient, self._waves = below[0], below[1:]
        self._gram = None if gram is None else gram[:-4, :-4]
        self.shift(system)

    def shift(self, system: LeastSquares) -> None:
        """Factor of the kept Gram matrix with this system's ε and D: p³/3 flops on rank 0."""
        with collective_errors(system.comm):
            if self._gram is not None:
                self._diagonal = (system.eps * (1.0 if system.scale is None else system.scale)) ** 2
                self._factor, self._shift = shifted_cholesky(self._gram, self._diagonal)

    def solve(self, y: Array) -> Array:
        """(L Lᵀ)⁻¹ y."""
        solution: Array = dpotrs(self._factor, y, lower=1)[0]
        return solution

    def build_cost(self, tangent: Tangent) -> float:
        """Flops of the sampled Gram matrix and its factor against the bytes of an iteration."""
        return self.sampling.cost(tangent)

    @property
    def gradient(self) -> Array | None:
        """(√W J)ᵀ r by the coarser quadrature of the Gram matrix."""
        return self._gradient

    @property
    def resolved(self) -> bool:
        """Whether each column is above εD in the sample and smooth on its rows, and the Gram matrix definite."""
        if self._gram is None or self._waves is None or self._shift > 0:
            return False
        squares = self._gram.diagonal()
        return bool(np.all((self._waves**2 <= WAVES**2 * squares) & (squares > self._diagonal)))

    def patience(self, tangent: Tangent) -> float:
        """See `Sampling`; collective."""
        return self.sampling.patience(tangent)

    def refine(self, tangent: Tangent, iterations: int) -> bool:
        """Choose the rows of the next build, see `Sampling`."""
        return self.sampling.learn(tangent, iterations)

    @property
    def counts(self) -> tuple[float, ...]:
        """See `Sampling`."""
        return self.sampling.counts

    @counts.setter
    def counts(self, counts: tuple[float, ...]) -> None:
        self.sampling.recall(counts)


def sum_on_root(local: Array, comm: MPI.Comm) -> Array | None:
    """Sum over ranks on rank 0, None elsewhere; `local` is overwritten."""
    if comm.size == 1:
        return local
    if comm.rank == 0:
        comm.Reduce(MPI.IN_PLACE, local, root=0)
        return local
    comm.Reduce(local, None, root=0)
    return None


def _sum_lower(gram: Array, comm: MPI.Comm) -> Array | None:
    """Sum of the lower triangles on rank 0, packed on the wire; None elsewhere."""
    if comm.size == 1:
        return gram
    packed = sum_on_root(dtrttp(gram, uplo="L")[0], comm)
    return None if packed is None else np.asarray(dtpttr(len(gram), packed, uplo="L")[0])


def shifted_cholesky(gram: Array, diagonal: Array | float) -> tuple[Array, float]:
    """Lower Cholesky factor of gram + diag(diagonal), and the smallest relative diagonal shift that makes it exist.

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
            return np.asarray(factor), shift
        shift, step = step, 10 * step
    raise SolverError(
        f"no Cholesky factor of the {p} × {p} Gram matrix, not even with its diagonal doubled",
        "the tangent is not finite or overflows when squared; look at the parameters and the units of the field",
    )


def refuse_tangent(tangent: Tangent) -> None:
    """Name the columns of a tangent that are not finite; raises on all ranks if any is.

    Raises
    ------
    NonFiniteError
    """
    with collective_errors(tangent.comm):
        squares = np.sum([block.squared_norms() for block in tangent.blocks], axis=0)
        bad = np.flatnonzero(~np.isfinite(squares))
        if bad.size:
            raise NonFiniteError(
                f"tangent has NaN, infinite or overflowing entries in {bad.size} of {tangent.columns} columns on rank "
                f"{tangent.comm.rank}, first columns {bad[:5].tolist()}",
                "look at these parameters (ansatz.unpack(theta)): overflow, or a width of zero; a smaller time step",
            )
