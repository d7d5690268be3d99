"""The regularized least-squares problem of one stage, and its solution.

    minimize ‖√W J δ − r‖² + ε² ‖D δ‖²        (increment form: v = ρ a + δ, r = √W (f − ρ J a))

Points are distributed over ranks, parameters are replicated: J δ needs no communication, Jᵀ y one sum of p numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..errors import DfpdeError, NonFiniteError, ParameterError, ShapeError
from ..parallel.collective import collective_errors, norm
from ..representation import represent
from .rows import Rows, stride

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Tangent:
    """√W J distributed by rows: blocks of local rows and the communicator.

    Attributes
    ----------
    blocks : tuple of Rows
        Local blocks (field rows, then rows of boundary conditions), at least one.
    comm : MPI.Comm
    """

    blocks: tuple[Rows, ...]
    comm: MPI.Comm

    __repr__ = represent

    @property
    def columns(self) -> int:
        """Parameters p."""
        return self.blocks[0].columns

    @cached_property
    def rows(self) -> int:
        """Local real rows."""
        return sum(block.rows for block in self.blocks)

    @cached_property
    def mean_rows(self) -> float:
        """Rows of an average rank; collective the first time."""
        return float(self.comm.allreduce(self.rows)) / self.comm.size if self.comm.size > 1 else float(self.rows)

    @property
    def stored_bytes(self) -> int:
        """Local bytes held for the tangent; 0 when matrix-free."""
        return sum(block.stored_bytes for block in self.blocks)

    def apply(self, v: Array) -> Array:
        """√W J v on the local rows; no communication."""
        if len(self.blocks) == 1:
            return self.blocks[0].apply(v)
        return np.concatenate([block.apply(v) for block in self.blocks])

    def local_adjoint(self, y: Array) -> Array:
        """This rank's part of (√W J)ᵀ y, shape (p,); no communication."""
        if len(self.blocks) == 1:
            return self.blocks[0].adjoint(y)
        total = np.zeros(self.columns)
        start = 0
        for block in self.blocks:
            total += block.adjoint(y[start : start + block.rows])
            start += block.rows
        return total

    def sweep(self, v: Array, y: Array) -> Array:
        """y <- √W J v − y on the local rows, and this rank's part of (√W J)ᵀ of it (p,); no communication."""
        if len(self.blocks) == 1:
            return self.blocks[0].sweep(v, y)
        total = np.zeros(self.columns)
        start = 0
        for block in self.blocks:
            total += block.sweep(v, y[start : start + block.rows])
            start += block.rows
        return total

    def adjoint(self, y: Array) -> Array:
        """(√W J)ᵀ y summed over ranks, shape (p,); collective."""
        return self._sum(self.local_adjoint(y))

    def local_gram(self, keep: float = np.inf) -> Array:
        """This rank's part of JᵀWJ: lower triangle of a Fortran-ordered (p, p) array; no communication."""
        gram = np.zeros((self.columns, self.columns), order="F")
        for block in self.blocks:
            block.add_gram(gram, None, stride(block.rows, keep, block.line))
        return gram

    def local_normal(self, y: Array, keep: float) -> Array:
        """This rank's part of AᵀA for A = [√W J, y] (p + 1 columns), as `local_gram`.

        From about `keep` rows of each block (every k-th, see `stride`); no communication.
        """
        gram = np.zeros((self.columns + 1, self.columns + 1), order="F")
        start = 0
        for block in self.blocks:
            block.add_gram(gram, y[start : start + block.rows], stride(block.rows, keep, block.line))
            start += block.rows
        return gram

    def column_norms(self) -> Array:
        """‖√W J e_j‖, shape (p,); collective."""
        total = np.zeros(self.columns)
        for block in self.blocks:
            total += block.squared_norms()
        return np.sqrt(self._sum(total))

    def norm(self, y: Array) -> float:
        """Euclidean norm of distributed rows (weights included): the field norm ‖·‖_W; collective."""
        return norm(y, self.comm)

    def _sum(self, local: Array) -> Array:
        if self.comm.size > 1:
            self.comm.Allreduce(MPI.IN_PLACE, local)
        return local


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """min ‖√W J δ − r‖² + ε² ‖D δ‖² over δ ∈ R^p.

    Attributes
    ----------
    tangent : Tangent
        √W J.
    rhs : (rows,) array
        Local rows of r, weights included.
    eps : float
        Regularization ε ≥ 0, in units of the columns of √W J divided by D.
    scale : (p,) array or None
        Diagonal of D > 0; None is the identity.
    """

    tangent: Tangent
    rhs: Array
    eps: float
    scale: Array | None = None

    __repr__ = represent

    @property
    def comm(self) -> MPI.Comm:
        """The communicator of the tangent."""
        return self.tangent.comm

    def checked_norm(self) -> float:
        """‖r‖ over all ranks, or one error on all ranks; a single reduction of one number.

        Raises
        ------
        ShapeError, ParameterError, NonFiniteError
            What is wrong with the system, found before any solve.
        """
        square = np.nan if self._misshaped() else float(np.dot(self.rhs, self.rhs))
        if self.comm.size > 1:
            square = self.comm.allreduce(square)
        if not math.isfinite(square):
            with collective_errors(self.comm):
                self._refuse()
        return math.sqrt(square)

    def _misshaped(self) -> DfpdeError | None:
        p, rows = self.tangent.columns, self.tangent.rows
        if self.rhs.shape != (rows,):
            return ShapeError(f"right-hand side of shape {self.rhs.shape} for {rows} rows", f"give shape ({rows},)")
        if not 0 <= self.eps < math.inf:
            return ParameterError(f"regularization eps = {self.eps}", "choose a finite eps >= 0")
        if self.scale is not None and (self.scale.shape != (p,) or not np.all(self.scale > 0)):
            return ParameterError(f"scale D of shape {self.scale.shape}", f"give {p} positive numbers")
        return None

    def _refuse(self) -> None:
        error = self._misshaped()
        if error is not None:
            raise error
        bad = np.flatnonzero(~np.isfinite(self.rhs))
        advice = (
            "look at f(t, u) there (division by zero, root or log of a negative number, overflow), at the anchor and "
            "at the tangent; a smaller time step if the field has blown up"
        )
        rank = self.comm.rank
        if bad.size:
            raise NonFiniteError(
                f"right-hand side f − ρJa has {bad.size} of {self.rhs.size} rows that are NaN or infinite on rank "
                f"{rank}, the first at local row {bad[0]}",
                advice,
            )
        largest = float(np.max(np.abs(self.rhs), initial=0.0))
        if largest > 1e150:  # the square overflows a double
            raise NonFiniteError(f"right-hand side f − ρJa reaches {largest:.1e} on rank {rank}", advice)


@dataclass(frozen=True, eq=False)
class Solution:
    """δ and how it was found.

    Attributes
    ----------
    value : (p,) array
        The increment δ, identical on all ranks.
    defect : float
        ‖√W J δ − r‖, the part of the equation that the tangent space cannot follow (regularization included).
    iterations : int
        Krylov iterations (0 for direct solvers).
    reason : str
        Why the solver stopped.
    stats : dict
        Figures: "stored_bytes", "builds" of the preconditioner, "rank", ... as the solver has them.
    """

    value: Array
    defect: float
    iterations: int
    reason: str
    stats: dict[str, Any] = field(default_factory=dict)

    __repr__ = represent


class Solver(Protocol):
    """Anything that solves a `LeastSquares` problem; collective, identical results on all ranks."""

    def solve(self, system: LeastSquares) -> Solution:
        """The minimizer δ."""
        ...
