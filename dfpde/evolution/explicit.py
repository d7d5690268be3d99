"""Explicit Runge–Kutta steps for θ: every stage is one regularized least-squares solve.

    k_i = velocity(t + c_i h, θ + h Σ_j a_ij k_j; anchor k_{i−1}),   θ⁺ = θ + h Σ b_i k_i

The anchor of a stage is the velocity of the stage before.  The error of a step is measured in the field, as the norm of
parameters means nothing when they are redundant; it is the larger one of

    ‖J (h Σ (b_i − b̂_i) k_i)‖                     the embedded scheme's, with the tangent of the last stage
    0.1 ‖Φ(θ⁺) − Φ(θ) − h Σ b_i J_i k_i‖          what the field did and the stages did not say: the step's own residual

The embedded estimate is linear in the velocities: where Φ bends or jumps within a step (a saturated neuron that flips),
only the residual sees it.  For a smooth θ(t) it is O(h^(q+1)) for a scheme of order q, less than the estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..calculus import Field
from ..leastsquares import Solver, Tangent
from ..model import Model
from ..regularization import Regularization, StageContext, Velocity
from ..representation import represent
from .state import State
from .tableaus import BOGACKI_SHAMPINE, DORMAND_PRINCE, EULER, HEUN, RUNGE_KUTTA_4, Tableau

Array = NDArray[Any]

#: Part of the step's residual that counts as its error; measured in docs/inertia.md.
RESIDUAL = 0.1


@dataclass(frozen=True, eq=False)
class Step:
    """A tried step.

    Attributes
    ----------
    theta : (p,) array
        θ at the end of the step.
    last : Velocity
        θ̇ of the last stage.
    at_end : bool
        That velocity belongs to exactly the new (t, θ).
    error : float
        What the step is judged by, in the field norm: embedded estimate, share of the residual; NaN without the former.
    defect, rhs_norm : float
        Means of ‖J k_i − f‖ and ‖f‖ over the stages, weighted by |b_i|.
    iterations : int
        Iterations of the linear solver, all stages.
    field : Field or None
        u at the end of the step, if a stage has evaluated it.
    rhs : (rows,) array or None
        √W f of that stage.
    carry : tuple of float
        What the integrator carries to its next step, the same on all ranks.
    tangent : Tangent or None
        √W J of the last stage.
    """

    theta: Array
    last: Velocity
    at_end: bool
    error: float
    defect: float
    rhs_norm: float
    iterations: int = 0
    field: Field | None = None
    rhs: Array | None = None
    carry: tuple[float, ...] = ()
    tangent: Tangent | None = None

    __repr__ = represent


class Integrator(Protocol):
    """A one-step method for θ."""

    @property
    def order(self) -> int:
        """Order of the solution."""
        ...

    @property
    def error_order(self) -> int | None:
        """Order of the embedded solution; None when the method does not estimate its error."""
        ...

    @property
    def implicit(self) -> bool:
        """Whether its steps are stable however fast the equation's rates are."""
        ...

    def step(
        self, problem: Model, solver: Solver, regularization: Regularization, state: State, dt: float
    ) -> Step:
        """Try one step of size dt; collective."""
        ...


@runtime_checkable
class Toleranced(Protocol):
    """An integrator that has to know the tolerance of a step; `evolve` tells it the controller's."""

    def with_tolerance(self, rtol: float, atol: float) -> Integrator:
        """The integrator for steps of this tolerance, unless it has one of its own."""
        ...


def with_tolerance(integrator: Integrator, rtol: float, atol: float) -> Integrator:
    """The integrator, told the tolerance of a step where it has to know it."""
    return integrator.with_tolerance(rtol, atol) if isinstance(integrator, Toleranced) else integrator


@dataclass(frozen=True)
@check.takes(tableau=check.instance(Tableau, "an explicit Tableau"))
class ByTableau:
    """Base of the integrators given by a tableau."""

    tableau: Tableau

    @property
    def order(self) -> int:
        """Order of the solution."""
        return self.tableau.order

    @property
    def error_order(self) -> int | None:
        """Order of the embedded solution, None without one."""
        return None if self.tableau.b_hat is None else self.tableau.embedded_order

    @property
    def implicit(self) -> bool:
        """False: the schemes here are explicit."""
        return False


@dataclass(frozen=True, eq=False)
class Wrapped:
    """Base of the integrators that add something to the steps of another one."""

    scheme: Integrator

    __repr__ = represent

    @property
    def order(self) -> int:
        """Order of the solution."""
        return self.scheme.order

    @property
    def error_order(self) -> int | None:
        """Order of the embedded solution, None without one."""
        return self.scheme.error_order

    @property
    def implicit(self) -> bool:
        """Whether the scheme is implicit."""
        return self.scheme.implicit

    def with_tolerance(self, rtol: float, atol: float) -> Self:
        """See `Toleranced`."""
        return replace(self, scheme=with_tolerance(self.scheme, rtol, atol))


@dataclass(frozen=True)
@check.takes(residual=check.real(0))
class ExplicitRungeKutta(ByTableau):
    """Explicit Runge–Kutta integrator given by its tableau.

    Parameters
    ----------
    tableau : Tableau
    residual : float
        Share of ‖Φ(θ⁺) − Φ(θ) − h Σ b_i J_i k_i‖ that counts as the error of a step, for schemes that estimate their
        error and models with points; 0 leaves it out, and saves a tangent and two evaluations of the field.
    """

    residual: float = RESIDUAL

    def step(self, problem: Model, solver: Solver, regularization: Regularization, state: State, dt: float) -> Step:
        """See `Integrator`."""
        tableau = self.tableau
        k, norms = np.zeros((tableau.stages, state.theta.size)), np.zeros((tableau.stages, 2))
        anchor, iterations, carry = state.anchor, 0, state.rule_carry
        judged = self.residual > 0 and tableau.b_hat is not None
        moved: Array = np.zeros(1)
        first = int(tableau.fsal and state.at_end and state.velocity is not None)
        if first:
            k[0], norms[0] = state.velocity, state.end_norms
        for i in range(first, tableau.stages):
            t = stage_time(state.t, dt, tableau.c[i])
            theta = state.theta + dt * (np.asarray(tableau.a[i]) @ k[:i]) if i else state.theta
            system = problem.system(t, theta)
            context = StageContext(t, dt, tableau.solves, state.step, i, carry)
            found = regularization.velocity(system, anchor, solver, context)
            k[i], norms[i], anchor = found.value, (found.defect, found.rhs_norm), found.anchor
            iterations, carry = iterations + found.iterations, found.carry
            if judged and tableau.b[i] and system.pointwise:
                moved = moved + tableau.b[i] * moves(system.tangent, k[i])
        if not tableau.fsal:  # otherwise θ⁺ is where the last stage was
            theta = state.theta + dt * (np.asarray(tableau.b) @ k)
        defect, size = means(tableau.b, norms)
        error = self._error(k, dt, system.tangent)
        if judged and system.pointwise:
            if first:
                moved = moved + tableau.b[0] * moves(problem.tangent(state.theta), k[0])
            missed = system.missed(state.theta, theta, dt * moved)
            error = float(np.maximum(error, self.residual * missed))  # NaN stays NaN
        field, rhs = (system.field, system.rhs) if tableau.fsal else (None, None)
        return Step(theta, found, tableau.fsal, error, defect, size, iterations, field, rhs, tangent=system.tangent)

    def _error(self, k: Array, dt: float, tangent: Tangent) -> float:
        weights = self.tableau.error_weights
        if weights is None:
            return float("nan")
        return tangent.norm(tangent.apply(dt * (weights @ k)))


def moves(tangent: Tangent, v: Array) -> Array:
    """Local rows of √W J v without those of conditions: the field's block comes first."""
    return tangent.blocks[0].apply(v)


def stage_time(t: float, dt: float, c: float) -> float:
    """t + c dt, inside of the step by a rounding: at its ends, output times or events, f may jump."""
    inside = 2.0**-51 * max(abs(t), abs(t + dt))
    return min(max(t + c * dt, t + inside), t + dt - inside)


def means(b: Sequence[float], norms: Array) -> tuple[float, float]:
    """Means of (‖J k_i − f‖, ‖f‖), given as rows, over the stages, weighted by |b_i|."""
    weights = np.abs(b)
    defect, size = weights @ norms / weights.sum()
    return float(defect), float(size)


Euler = ExplicitRungeKutta(EULER)
"""Explicit Euler, order 1, no error estimate."""
Heun = ExplicitRungeKutta(HEUN)
"""Heun's method, order 2, with explicit Euler for the error."""
BogackiShampine = ExplicitRungeKutta(BOGACKI_SHAMPINE)
"""Bogacki–Shampine 3(2), the last stage is the first of the next step."""
RK4 = ExplicitRungeKutta(RUNGE_KUTTA_4)
"""The classical Runge–Kutta scheme, order 4, no error estimate: for fixed steps."""
DormandPrince = ExplicitRungeKutta(DORMAND_PRINCE)
"""Dormand–Prince 5(4), the default: the last stage is the first of the next step."""
