"""What preconditions the least-squares solve: an approximation of (JᵀWJ + ε²D²)⁻¹.

Parameter vectors live on rank 0 (p numbers, while points are many), so a factor is stored and applied there without
communication.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..errors import NonFiniteError
from ..parallel.collective import collective_errors
from .system import LeastSquares, Tangent

Array = NDArray[Any]


class Preconditioner(ABC):
    """A symmetric positive definite P⁻¹ ≈ (JᵀWJ + ε²D²)⁻¹, built for each tangent; `build` and `solve` are enough."""

    #: Attributes that checkpoints and ranks must agree on.
    described: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def build(self, system: LeastSquares) -> float:
        """From the tangent of this system; collective.

        Returns the iterations after which another, finer build is the better choice (infinity: there is none).
        """

    @abstractmethod
    def solve(self, y: Array) -> Array:
        """P⁻¹ y, shape (p,), on rank 0."""

    def shift(self, system: LeastSquares) -> float:
        """New ε and D with the tangent of the last build; as `build`, collective."""
        return self.build(system)

    def start(self, system: LeastSquares) -> Array | None:
        """An approximate solution (p,) to begin with, on rank 0, something on the others; None on all for zero."""
        return None

    def learn(self, iterations: int) -> None:  # noqa: B027 - nothing to learn by default
        """Told, on all ranks, how many iterations were done with the last build, before the next one."""

    @property
    def carry(self) -> tuple[float, ...]:
        """What was learnt, for a restart; () is nothing."""
        return ()

    @carry.setter  # noqa: B027
    def carry(self, carry: tuple[float, ...]) -> None:
        pass


def sum_on_root(local: Array, comm: MPI.Comm) -> Array | None:
    """Sum over ranks on rank 0, None elsewhere; `local` is overwritten."""
    if comm.size == 1:
        return local
    if comm.rank == 0:
        comm.Reduce(MPI.IN_PLACE, local, root=0)
        return local
    comm.Reduce(local, None, root=0)
    return None


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


def refuse_unless(finite: bool, tangent: Tangent) -> None:
    """Rank 0 says whether what was made of the tangent is finite; `refuse_tangent` where it is not; collective."""
    if tangent.comm.size > 1:
        finite = tangent.comm.bcast(finite)
    if not finite:
        refuse_tangent(tangent)


NEVER = math.inf
