"""Preconditioners of the stacked least-squares operator: approximations of (JᵀWJ + ε²D²)⁻¹, kept across solves.

The tangent changes slowly along a run, so the Cholesky factor of an earlier Gram matrix R̃ᵀR̃ leaves AR̃⁻¹ near
orthonormal and LSQR needs a few iterations.  Parameter vectors live on rank 0 (p numbers, while points are many), so
the factor is stored and applied there without communication.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotrs, dtpttr, dtrttp

from ..collective import together
from ..errors import NonFiniteError, SolverError
from .system import LeastSquares, Tangent, stride

Array = NDArray[Any]

#: Memory rate over dsyrk rate, bytes per flop: what one byte of an iteration costs against one flop of a Gram matrix.
#: Measured on one core: 22 GB/s in gemv from memory (N = 20 000, p = 500), 48 GFlop/s in dsyrk; from the cache
#: (N = 4000, p = 100) 30 GB/s and 20 GFlop/s.  The rules are flat around their optimum, a factor of two changes little.
BYTES_PER_FLOP, BYTES_PER_FLOP_CACHED = 0.46, 1.5

#: Largest J of a rank that counts as cached.
CACHE = 16 << 20


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

    def refine(self, tangent: Tangent, iterations: int) -> None:
        """Told that a fresh build needed so many iterations: the next one may be made better; collective."""
        ...

    @property
    def quality(self) -> float:
        """What `refine` changes, as a number for restarts."""
        ...

    @quality.setter
    def quality(self, value: float) -> None:
        """Taken up at a restart."""
        ...


#: Rows for each parameter in the first sampled Gram matrix, c.  What has to be resolved is the effective dimension
#: tr(G(G + ε²)⁻¹), far below p for redundant parametrizations, so the start is low and `refine` doubles it on demand.
#: Measured (p, N; iterations with a fresh factor, milliseconds of a solve): network 569, 2000: c = 0.5: 4, 7.5; all
#: rows: 2, 15.  Mixture 99, 4000: c = 2.6: 3, 0.9; all rows: 2, 2.2.  Mixture 498, 20 000: c = 0.5: 37;
#: 2.2: 3, 39; 4: 3, 44.
SAMPLE = 0.5

#: Rows that are never thinned out: their Gram matrix costs less than an iteration's overhead (256 · 32² flops: 6 µs).
FEW = 256

#: Iterations with the factor of all rows (measured: 1 to 3).
EXACT = 3


class GramCholesky:
    """Cholesky factor of JᵀWJ + ε²D², the Gram matrix accumulated by chunks and summed over ranks.

    Where rows are many more than parameters, every k-th row is enough for a preconditioner: a coarser quadrature of the
    same norm, m = c p rows and m p² flops instead of n p² (sketch-and-precondition, as in Blendenpik: Avron,
    Maymounkov, Toledo 2010).  Where that costs more iterations than it saves, later factors keep twice as many rows.

    Only the lower triangle travels: p(p+1)/2 numbers, once for each build.

    Parameters
    ----------
    sample : float
        Rows kept for each parameter, c; ``inf`` keeps all.
    """

    def __init__(self, sample: float = SAMPLE) -> None:
        self.sample = sample
        self._gram: Array | None = None
        self._factor: Array | None = None

    def build(self, system: LeastSquares) -> None:
        """Gram matrix of this tangent, and its factor.

        Raises
        ------
        NonFiniteError
            NaN or infinity in the tangent (on all ranks; names columns).
        """
        comm = system.comm
        gram = _reduce_lower(system.tangent.local_gram(self._keep(system.tangent)), comm)
        finite = gram is None or bool(np.isfinite(np.sum(np.diag(gram))))
        if not (comm.bcast(finite) if comm.size > 1 else finite):
            refuse_tangent(system.tangent)
        self._gram = gram
        self.shift(system)

    def shift(self, system: LeastSquares) -> None:
        """Factor of the kept Gram matrix with this system's ε and D: p³/3 flops on rank 0."""
        with together(system.comm):
            if self._gram is not None:
                p = system.tangent.columns
                d = np.ones(p) if system.scale is None else system.scale
                self._factor = shifted_cholesky(self._gram, (system.eps * d) ** 2)

    def solve(self, y: Array) -> Array:
        """(L Lᵀ)⁻¹ y."""
        solution: Array = dpotrs(self._factor, y, lower=1)[0]
        return solution

    def build_cost(self, tangent: Tangent) -> float:
        """Flops m p² + p³/3 against the 16 n p + 8 p² bytes of an iteration; n rows of a rank, m of them kept."""
        n = max(1.0, mean_rows(tangent))
        return self._cost(n, n / stride(int(n), self._keep(tangent)), tangent.columns)

    def refine(self, tangent: Tangent, iterations: int) -> None:
        """Twice as many rows from now on, where they cost less than the iterations beyond `EXACT`."""
        n, p = max(1.0, mean_rows(tangent)), tangent.columns
        k = stride(int(n), self._keep(tangent))
        if k > 1 and iterations - EXACT > self._cost(n, 2 * n / k, p) - self._cost(n, n / k, p):
            self.sample = 2 * max(self.sample, n / k * tangent.comm.size / p)

    @property
    def quality(self) -> float:
        """Rows kept for each parameter."""
        return self.sample

    @quality.setter
    def quality(self, value: float) -> None:
        """Taken up at a restart."""
        self.sample = value

    def _keep(self, tangent: Tangent) -> float:
        """Rows kept of each block on a rank."""
        return max(FEW, self.sample * tangent.columns) / tangent.comm.size

    @staticmethod
    def _cost(n: float, m: float, p: int) -> float:
        ratio = BYTES_PER_FLOP_CACHED if 8 * n * p <= CACHE else BYTES_PER_FLOP
        return (m * p**2 + p**3 / 3) * ratio / (16 * n * p + 8 * p**2)


def mean_rows(tangent: Tangent) -> float:
    """Rows of an average rank; collective."""
    comm = tangent.comm
    return float(comm.allreduce(tangent.rows)) / comm.size if comm.size > 1 else float(tangent.rows)


def sum_on_root(local: Array, comm: MPI.Comm) -> Array | None:
    """Sum over ranks on rank 0, None elsewhere; `local` is overwritten."""
    if comm.size == 1:
        return local
    if comm.rank == 0:
        comm.Reduce(MPI.IN_PLACE, local, root=0)
        return local
    comm.Reduce(local, None, root=0)
    return None


def _reduce_lower(gram: Array, comm: MPI.Comm) -> Array | None:
    """Sum of the lower triangles on rank 0, packed on the wire; None elsewhere."""
    if comm.size == 1:
        return gram
    packed = sum_on_root(dtrttp(gram, uplo="L")[0], comm)
    return None if packed is None else np.asarray(dtpttr(len(gram), packed, uplo="L")[0])


def shifted_cholesky(gram: Array, diagonal: Array) -> Array:
    """Lower Cholesky factor of gram + diag(diagonal), with the smallest relative diagonal shift that makes it exist.

    A Gram matrix of κ(J) > 1e8 is numerically indefinite when ε is tiny.  Cholesky succeeds once the smallest
    eigenvalue of the matrix scaled to unit diagonal exceeds about p² u (Demmel 1989; Higham, Accuracy and Stability,
    Theorem 10.7), so the shift starts at p u and grows tenfold; it only weakens the preconditioner, never the solution.

    Raises
    ------
    SolverError
        No shift up to 1 helps: the matrix is not finite.
    """
    p = len(gram)
    base = np.diag(gram) + diagonal
    base = np.where(base > 0, base, 1.0)  # a zero column with ε = 0: any positive number
    shift, step = 0.0, p * 2.0**-53
    while shift <= 1.0:
        matrix = gram.copy(order="F")
        matrix[np.diag_indices(p)] = base * (1.0 + shift)
        factor, info = dpotrf(matrix, lower=1, overwrite_a=1, clean=0)
        if info == 0 and np.isfinite(factor[-1, -1]):
            return np.asarray(factor)
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
    with together(tangent.comm):
        squares = np.sum([block.squared_norms() for block in tangent.blocks], axis=0)
        bad = np.flatnonzero(~np.isfinite(squares))
        if bad.size:
            raise NonFiniteError(
                f"tangent has NaN, infinite or overflowing entries in {bad.size} of {tangent.columns} columns on rank "
                f"{tangent.comm.rank}, first columns {bad[:5].tolist()}",
                "look at these parameters (ansatz.unpack(theta)): overflow, or a width of zero; a smaller time step",
            )
