"""What time stepping asks of an equation: the `Model` protocol, and the least-squares system of one stage.

    (t, θ)  ->  ‖√W (J v − f)‖,        u = Φ(θ),  J = ∂Φ/∂θ,  f = f(t, u)

`Problem` (an equation at quadrature points) and `fem.SemiDiscrete` (an assembled finite-element model) are models;
`evolve`, integrators, regularizations, constraints and diagnostics know nothing else of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from .ansatz.base import Ansatz
from .calculus import Field
from .conditions import Condition
from .leastsquares import Rows, Tangent
from .parallel.collective import collective_errors
from .representation import represent

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class StageSystem:
    """‖√W (J v − f)‖ of one stage: tangent and right-hand side, both local rows with weights.

    Attributes
    ----------
    tangent : Tangent
        √W J.
    rhs : (rows,) array
        √W f.
    scale : (p,) array or None
        Diagonal D of the metric of the parameters, None for the identity.
    theta : (p,) array
        Where the tangent was taken.
    values : callable
        θ ↦ local rows of √W Φ(θ), for differences of the field along a velocity; no communication.
    field : Field
        u = Φ(θ) at this rank's points, with whatever the right-hand side evaluated of it.
    pointwise : bool
        Whether rows are values at points, so that rows of different θ may be added up.
    smallest_eps : float
        Smallest ε with a meaning, in units of ‖√W J D⁻¹‖: there the normal equations of a preconditioner have no digit.
    """

    tangent: Tangent
    rhs: Array
    scale: Array | None
    theta: Array
    values: Callable[[Array], Array]
    field: Field
    pointwise: ClassVar[bool] = True
    smallest_eps: ClassVar[float] = 2.0**-26

    __repr__ = represent

    def bend(self, step: Array) -> float:
        """‖Φ(θ + step) − 2Φ(θ) + Φ(θ − step)‖, infinite or NaN where it overflows; collective."""
        with collective_errors(self.tangent.comm), np.errstate(over="ignore", invalid="ignore"):
            bend = self.values(self.theta + step) - 2 * self.values(self.theta) + self.values(self.theta - step)
        return self.tangent.norm(bend)

    def missed(self, before: Array, after: Array, moved: Array) -> float:
        """‖Φ(after) − Φ(before) − moved‖, `moved` local rows of the field, infinite or NaN on overflow; collective."""
        with collective_errors(self.tangent.comm), np.errstate(over="ignore", invalid="ignore"):
            rest = self.values(after) - self.values(before) - moved
        return self.tangent.norm(rest)


@dataclass(frozen=True, eq=False)
class ImplicitSystem(StageSystem):
    """One Gauss–Newton iteration of an implicit scheme.

    The tangent is that of the scheme's residual, J + h a (H − F), not of the field; with s coupled stages theta,
    scale and the unknown are (s p,), the stages one after another, and `field` is that of the last one.
    """


class Model(Protocol):
    """An evolution equation for u = Φ(θ) in a discrete L² norm ‖·‖_W, distributed over a communicator."""

    @property
    def ansatz(self) -> Ansatz:
        """Φ, of p parameters."""
        ...

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Further rows of the system."""
        ...

    @property
    def scale(self) -> Array | None:
        """(p,) diagonal D of the metric of the parameters, None for the identity."""
        ...

    @property
    def comm(self) -> MPI.Comm:
        """Communicator over which the points are distributed."""
        ...

    @property
    def points(self) -> Array:
        """This rank's points (dim, N)."""
        ...

    @property
    def weights(self) -> Array:
        """w of ∫ q dx ≈ Σ_k w_k q(x_k) at this rank's points, (N,)."""
        ...

    def field(self, state: Any, x: Array | None = None) -> Field:
        """u = Φ(θ) of a State, or of θ itself, at the points (or at x)."""
        ...

    def weigh(self, values: Array) -> Array:
        """Local rows √W u of values (*shape, N): their Euclidean norm over all ranks is ‖u‖_W."""
        ...

    def norm(self, state: Any) -> float:
        """‖Φ(θ)‖_W of a State, of θ itself, or of its `Field` at the points; collective."""
        ...

    def tangent(self, theta: Array) -> Tangent:
        """√W J(θ) without conditions; collective in its errors."""
        ...

    def time_derivative(self, t: float, u: Field) -> Array:
        """f(t, u) at this rank's points, (*shape, N), for a field there; collective."""
        ...

    def system(self, t: float, theta: Array, field: Field | None = None) -> StageSystem:
        """Rows of the equation and of the conditions at (t, θ); `field` is Φ(θ) where it is known; collective."""
        ...

    def stage_field(self, theta: Array) -> Field:
        """u for `system`, evaluated together with the tangent where one pass for both is cheaper."""
        ...

    def pull_back(self, g: Array, field: Field, rows: Rows) -> Array:
        """Jᵀ g in ⟨g, w⟩ = ∫ Re(conj(g) · w) dx: local part, (p,), of g (*shape, N) and the field's rows √W J."""
        ...

    def with_ansatz(self, ansatz: Ansatz, scale: Array | None) -> Self:
        """The same equation for another ansatz, with the metric of its parameters."""
        ...

    def for_run(self) -> Self:
        """The same model for one run, which may keep what its stages have in common; shares it with no other run."""
        ...
