"""Explicit Runge–Kutta steps for θ: every stage is one regularized least-squares solve.

    k_i = velocity(t + c_i h, θ + h Σ_j a_ij k_j; anchor k_{i−1}),   θ⁺ = θ + h Σ b_i k_i

The anchor of a stage is the velocity of the stage before.  The error of a step is measured in the field:
‖J (h Σ (b_i − b̂_i) k_i)‖ with the tangent of the last stage; the norm of parameters means nothing when they are
redundant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..calculus import Field
from ..leastsquares import Solver, Tangent
from ..problem import Problem
from ..regularization import Regularization, StageContext
from .state import State
from .tableaus import BOGACKI_SHAMPINE, DORMAND_PRINCE, EULER, HEUN, RUNGE_KUTTA_4, Tableau

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Step:
    """A tried step.

    Attributes
    ----------
    theta, velocity, anchor : (p,) arrays
        At the end of the step.
    at_end : bool
        The velocity belongs to exactly the new (t, θ).
    error : float
        Field norm of the embedded error estimate; NaN without one.
    defect : float
        Mean of ‖J k_i − f‖ over the stages, weighted by |b_i|.
    defect_end : float
        ‖J k − f‖ of the last stage.
    iterations : int
        Iterations of the linear solver, all stages.
    memory : tuple of float
        Memory of the regularization.
    field : Field or None
        u at the end of the step, if a stage has evaluated it.
    """

    theta: Array
    velocity: Array
    anchor: Array
    at_end: bool
    error: float
    defect: float
    defect_end: float
    iterations: int = 0
    memory: tuple[float, ...] = ()
    field: Field | None = None


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

    def step(
        self, problem: Problem, solver: Solver, regularization: Regularization, state: State, dt: float
    ) -> Step:
        """Try one step of size dt; collective."""
        ...


@dataclass(frozen=True)
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


@dataclass(frozen=True, eq=False)
class Wrapped:
    """Base of the integrators that add something to the steps of another one."""

    scheme: Integrator

    @property
    def order(self) -> int:
        """Order of the solution."""
        return self.scheme.order

    @property
    def error_order(self) -> int | None:
        """Order of the embedded solution, None without one."""
        return self.scheme.error_order


@dataclass(frozen=True)
class ExplicitRungeKutta(ByTableau):
    """Explicit Runge–Kutta integrator given by its tableau."""

    def step(self, problem: Problem, solver: Solver, regularization: Regularization, state: State, dt: float) -> Step:
        """See `Integrator`."""
        tableau = self.tableau
        k = np.zeros((tableau.stages, state.theta.size))
        defects = np.zeros(tableau.stages)
        anchor, iterations, memory = state.anchor, 0, state.memory
        tangent: Tangent | None = None
        field: Field | None = None
        first = 0
        if tableau.fsal and state.at_end and state.velocity is not None:
            k[0], defects[0], first = state.velocity, state.defect_end, 1
        for i in range(first, tableau.stages):
            t = state.t + tableau.c[i] * dt
            theta = state.theta + dt * (np.asarray(tableau.a[i]) @ k[:i]) if i else state.theta
            system = problem.system(t, theta)
            context = StageContext(t, dt, tableau.solves, state.step, i, memory)
            found = regularization.velocity(system, anchor, solver, context)
            k[i], defects[i], anchor = found.value, found.defect, found.anchor
            iterations, memory = iterations + found.iterations, found.memory
            tangent, field = system.tangent, system.field
        if not tableau.fsal:  # otherwise θ⁺ is where the last stage was
            theta = state.theta + dt * (np.asarray(tableau.b) @ k)
        weights = np.abs(tableau.b)
        defect = float(weights @ defects / weights.sum())
        error = self._error(k, dt, tangent)
        last = k[-1]
        end = last if anchor is None else anchor
        return Step(
            theta, last, end, tableau.fsal, error, defect, float(defects[-1]), iterations, memory,
            field if tableau.fsal else None,
        )  # fmt: skip

    def _error(self, k: Array, dt: float, tangent: Tangent | None) -> float:
        weights = self.tableau.error_weights
        if weights is None or tangent is None:
            return float("nan")
        return tangent.norm(tangent.apply(dt * (weights @ k)))


Euler = ExplicitRungeKutta(EULER)
Heun = ExplicitRungeKutta(HEUN)
BogackiShampine = ExplicitRungeKutta(BOGACKI_SHAMPINE)
RK4 = ExplicitRungeKutta(RUNGE_KUTTA_4)
DormandPrince = ExplicitRungeKutta(DORMAND_PRINCE)
