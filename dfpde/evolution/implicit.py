"""Implicit Runge–Kutta steps by regularized Gauss–Newton, and a linearly implicit step.

The scheme is applied to θ̇ = v(t, θ), its stage velocities k_i in the sense of least squares:

    minimize over k   Σ_i ‖J(θ_i) k_i − f(t_i, Φ(θ_i))‖² + ε²‖k_i − ρ a‖²,     θ_i = θ + h Σ_j a_ij k_j.

A Gauss–Newton iteration is one solve of the same form as an explicit stage with the rows

    δ_ij J_i + h a_ij (H_i − F_i),     H_i = ∂_θ(J(θ) k_i) at θ_i,     F_i = ∂_θ f(Φ(θ)) at θ_i,

in the place of J, so every `Regularization` and every solver serves.  Where f has a part that no velocity reaches, the
minimum differs from the Dirac–Frenkel velocity J⁺f at θ_i by O(h) times that defect (a least-squares instead of a
Galerkin projection).  Derived here; schemes from Hairer & Wanner, Solving Ordinary Differential Equations II (1996).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..errors import ParameterError
from ..leastsquares import DenseRows, Solver, Tangent
from ..model import Model
from ..parallel.collective import collective_errors, norm
from ..problem import Problem
from ..regularization import Regularization, StageContext
from .explicit import Step, means, stage_time
from .gauss_newton import GaussNewton, Linearized, Sample
from .linearize import pointwise
from .state import State
from .tableaus import IMPLICIT_EULER, IMPLICIT_MIDPOINT, RADAU_IIA, SDIRK_2, SDIRK_4, ImplicitTableau

Array = NDArray[Any]


@dataclass(frozen=True)
@check.takes(
    tableau=check.instance(ImplicitTableau, "an ImplicitTableau"),
    rtol=check.real(above=0, below=1),
    iterations=check.integer(1),
)
class ImplicitRungeKutta:
    """Implicit Runge–Kutta integrator: diagonally implicit stage by stage, otherwise all stages at once.

    Parameters
    ----------
    tableau : ImplicitTableau
    rtol : float
        Gauss–Newton stops when its last change of the field is below rtol ‖u‖ (or no longer falls at rounding level).
    iterations : int
        Most Gauss–Newton iterations of a stage.

    Raises
    ------
    ParameterError
        The problem has conditions (rows in rate form only): build boundary values into the ansatz.
    MissingDerivative
        The ansatz has no tangents of the derivatives in f.
    SolverError
        Gauss–Newton does not converge: a smaller step.
    """

    tableau: ImplicitTableau
    rtol: float = 1e-10
    iterations: int = 20

    @property
    def order(self) -> int:
        """Order of the solution."""
        return self.tableau.order

    @property
    def error_order(self) -> int | None:
        """Order of the error estimate, None without one."""
        return self.tableau.embedded_order or None

    @property
    def implicit(self) -> bool:
        """True."""
        return True

    def step(self, problem: Model, solver: Solver, regularization: Regularization, state: State, dt: float) -> Step:
        """See `Integrator`."""
        tableau, s, p = self.tableau, self.tableau.stages, state.theta.size
        newton = GaussNewton(
            _suitable(problem), solver, regularization, state, dt, tableau, rtol=self.rtol, iterations=self.iterations
        )
        k, norms = np.zeros((s, p)), np.zeros((s, 2))
        groups = [slice(i, i + 1) for i in range(s)] if tableau.diagonal else [slice(0, s)]
        for part in groups:
            before = state.theta + dt * (tableau.matrix[part, : part.start] @ k[: part.start])
            k[part], sample, found = newton.solve(part, before, tableau.matrix[part, part])
            norms[part] = found.defect, found.rhs_norm
        theta = state.theta + dt * (np.asarray(tableau.b) @ k)
        error = self._error(newton, k, sample)
        return Step(theta, found, False, error, *means(tableau.b, norms), newton.count)

    def _error(self, newton: GaussNewton, k: Array, last: Sample) -> float:
        if self.tableau.b_hat is not None:
            return newton.field_norm(last, newton.dt * (np.subtract(self.tableau.b, self.tableau.b_hat) @ k))
        if self.tableau.error_weights is not None:
            moved = newton.dt * (self.tableau.matrix @ k)
            return newton.filtered_error(np.asarray(self.tableau.error_weights) @ moved)
        return math.nan


@dataclass(frozen=True)
@check.takes(gamma=check.real(above=0), error_order=check.optional(check.integer(1)))
class LinearlyImplicit:
    """Rosenbrock-type step ROS2: two regularized solves with J − γhF_θ, no iteration; order 2, L-stable.

        (J − γhF_θ) k₁ = f(θ),   (J₂ − γhF₂) k₂ = f(θ + h k₁) − 2 J₂ k₁,   θ⁺ = θ + h (3 k₁ + k₂)/2

    A W-method (Verwer, Spee, Blom, Hundsdorfer 1999): order 2 whatever stands for the Jacobian, so neither second
    derivatives of Φ nor an exact F_θ are needed.  The embedded solution θ + h k₁ has order 1.
    """

    gamma: float = 1 - math.sqrt(0.5)

    order = 2
    error_order: int | None = 1
    implicit = True

    def step(self, problem: Model, solver: Solver, regularization: Regularization, state: State, dt: float) -> Step:
        """See `Integrator`."""
        stages = Linearized(_suitable(problem))
        anchor, carry = state.anchor, state.rule_carry
        k, norms, iterations = np.zeros((2, state.theta.size)), np.zeros((2, 2)), 0
        for i in range(2):
            theta, t = state.theta + i * dt * k[0], stage_time(state.t, dt, i)
            with collective_errors(problem.comm):
                sample = stages.sample(t, theta, None)
                rows = DenseRows(sample.J - self.gamma * dt * sample.slope, stages.root)
                rhs = sample.f - 2 * i * stages.root * (k[0] @ sample.J)
            system = stages.system(Tangent((rows,), problem.comm), rhs, theta[None])
            # k₂ ≈ v − 2 k₁ ≈ −v: its anchor is minus the first velocity
            found = regularization.velocity(
                system, anchor if i == 0 else -k[0], solver, StageContext(t, dt, 2, state.step, i, carry)
            )
            k[i], carry = found.value, found.carry
            norms[i] = found.defect, norm(sample.f, problem.comm)
            iterations += found.iterations
        velocity = 1.5 * k[0] + 0.5 * k[1]
        error = stages.field_norm(sample, 0.5 * dt * (k[0] + k[1]))
        last = replace(found, value=velocity, anchor=velocity, rhs_norm=float(norms[1, 1]))
        defect, size = means((1.0, 0.0), norms)
        return Step(state.theta + dt * velocity, last, False, error, defect, size, iterations)


def _suitable(model: Model) -> Problem:
    """The model, if f can be differentiated and it has no conditions."""
    problem = pointwise(model)
    if problem.conditions:
        raise ParameterError(
            f"implicit steps with {len(problem.conditions)} condition(s)",
            "boundary values built into the ansatz (Masked, Periodic), or an explicit integrator",
        )
    return problem


ImplicitEuler = ImplicitRungeKutta(IMPLICIT_EULER)
"""Implicit Euler, order 1, L-stable, no error estimate."""
ImplicitMidpoint = ImplicitRungeKutta(IMPLICIT_MIDPOINT)
"""Implicit midpoint rule, order 2, A-stable, symplectic, no error estimate."""
SDIRK2 = ImplicitRungeKutta(SDIRK_2)
"""Singly diagonally implicit 2(1) with γ = 1 − √½, L-stable (Alexander 1977)."""
SDIRK4 = ImplicitRungeKutta(SDIRK_4)
"""Singly diagonally implicit 4(3) with γ = ¼, L-stable (Hairer & Wanner II, Table IV.6.5)."""
RadauIIA = ImplicitRungeKutta(RADAU_IIA)
"""Radau IIA of three stages solved at once, order 5, L-stable, error of order 3 (Hairer & Wanner II, IV.8)."""
ROS2 = LinearlyImplicit()
"""Rosenbrock 2(1) with γ = 1 − √½: L-stable, two linear solves for each step, no iteration."""
