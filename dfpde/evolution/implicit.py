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
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..errors import DfpdeError, NonFiniteError, ParameterError, SolverError
from ..leastsquares import DenseRows, LeastSquares, Solver, Tangent, real_rows, root_weights
from ..model import ImplicitSystem, Model
from ..parallel.collective import collective_errors, norm
from ..problem import Problem
from ..regularization import Regularization, StageContext, Velocity
from .explicit import Step, means, stage_time
from .linearize import DIFFERENCE, linearized, pointwise
from .state import State
from .tableaus import (
    IMPLICIT_EULER,
    IMPLICIT_MIDPOINT,
    RADAU_GAMMA,
    RADAU_IIA,
    SDIRK_2,
    SDIRK_4,
    ImplicitTableau,
)  # fmt: skip

Array = NDArray[Any]
E = TypeVar("E", bound=DfpdeError)


@dataclass(frozen=True, eq=False)
class _Sample:
    """Rows of √W f and transposed unweighted rows (p, rows) of J, F − H at one stage."""

    f: Array
    J: Array
    slope: Array


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
        pointed = _suitable(problem)
        tableau, s, p = self.tableau, self.tableau.stages, state.theta.size
        newton = _Newton(pointed, solver, regularization, state, dt, self)
        k, norms = np.zeros((s, p)), np.zeros((s, 2))
        groups = [slice(i, i + 1) for i in range(s)] if tableau.diagonal else [slice(0, s)]
        for part in groups:
            before = state.theta + dt * (tableau.matrix[part, : part.start] @ k[: part.start])
            k[part], sample, found = newton.solve(part, before, tableau.matrix[part, part])
            norms[part] = found.defect, found.rhs_norm
        theta = state.theta + dt * (np.asarray(tableau.b) @ k)
        error = self._error(newton, k, sample)
        return Step(theta, found, False, error, *means(tableau.b, norms), newton.count)

    def _error(self, newton: _Newton, k: Array, last: _Sample) -> float:
        if self.tableau.b_hat is not None:
            return newton.field_norm(last, newton.dt * (np.subtract(self.tableau.b, self.tableau.b_hat) @ k))
        if self.tableau.error_weights is not None:
            moved = newton.dt * (self.tableau.matrix @ k)
            return newton.filtered_error(np.asarray(self.tableau.error_weights) @ moved)
        return math.nan


class _Newton:
    """Gauss–Newton for the stage velocities of one step."""

    def __init__(
        self,
        problem: Problem,
        solver: Solver,
        regularization: Regularization,
        state: State,
        dt: float,
        config: ImplicitRungeKutta,
    ) -> None:
        self.problem, self.solver, self.regularization, self.state, self.dt, self.config = (
            problem, solver, regularization, state, dt, config,
        )  # fmt: skip
        self.root = root_weights(problem.weights, problem.ansatz.shape, problem.ansatz.dtype)
        self.anchor, self.carry, self.eps, self.count = state.anchor, state.rule_carry, math.nan, 0
        self.guess = np.zeros(state.theta.size) if state.velocity is None else np.asarray(state.velocity)
        self.size = problem.norm(state.theta)

    def field_norm(self, sample: _Sample, change: Array) -> float:
        """‖J change‖; collective."""
        return norm(self.root * (change @ sample.J), self.problem.comm)

    def sample(self, t: float, theta: Array, k: Array | None) -> _Sample:
        """f, J and F − H at one stage (F alone for k=None); no communication."""
        ansatz, x = self.problem.ansatz, self.problem.points
        f, derivative = linearized(self.problem, t, theta)
        rows = self.root * real_rows(np.asarray(np.broadcast_to(f, (*ansatz.shape, x.shape[1])), dtype=ansatz.dtype))
        tangent, slope = real_rows(ansatz.tangent(theta, x), 1), real_rows(derivative, 1)
        length = 0.0 if k is None else float(np.linalg.norm(k))
        if k is not None and length > 0:
            step = DIFFERENCE * (1.0 + float(np.linalg.norm(theta))) / length
            ahead, behind = ansatz.tangent(theta + step * k, x), ansatz.tangent(theta - step * k, x)
            slope = slope - real_rows((ahead - behind) / (2 * step), 1)
        return _Sample(rows, tangent, slope)

    def solve(self, part: slice, before: Array, a: Array) -> tuple[Array, _Sample, Velocity]:
        """Velocities k (s, p) of coupled stages; the last one's sample, and it as a `Velocity` of mean norms."""
        config = self.config
        s, p = len(a), self.state.theta.size
        nodes = [stage_time(self.state.t, self.dt, c) for c in config.tableau.c[part]]
        k, last = np.tile(self.guess, (s, 1)), math.inf
        for iteration in range(config.iterations):
            theta = before + self.dt * (a @ k)
            with collective_errors(self.problem.comm):
                samples = [self.sample(nodes[i], theta[i], k[i]) for i in range(s)]
            found = self.linear(samples, theta, a, k, nodes[-1], part.start)
            change = found.value.reshape(s, p) - k
            k = k + change
            moved = max(self.field_norm(samples[i], self.dt * change[i]) for i in range(s))
            if not math.isfinite(moved):
                raise _together(NonFiniteError("Gauss–Newton left the finite numbers", "a smaller step"))
            if moved <= config.rtol * self.size or (0.5 * last < moved < 1e3 * config.rtol * self.size):
                break
            if iteration > 3 and moved > 2 * last:
                raise self._failed(iteration, moved)
            last = moved
        else:
            raise self._failed(config.iterations, moved)
        self.anchor, self.carry, self.eps, self.guess = found.anchor[-p:], found.carry, found.eps, k[-1]
        size = norm(np.concatenate([sample.f for sample in samples]), self.problem.comm) / math.sqrt(s)
        return k, samples[-1], replace(
            found, value=k[-1], anchor=self.anchor, defect=found.defect / math.sqrt(s), rhs_norm=size
        )

    def linear(self, samples: list[_Sample], theta: Array, a: Array, k: Array, t: float, stage: int) -> Velocity:
        """One linearized, regularized solve for all coupled velocities."""
        s, h = len(samples), self.dt
        matrix = np.block(
            [[(samples[i].J if i == j else 0.0) - h * a[i, j] * samples[i].slope for i in range(s)] for j in range(s)]
        )
        tangent = Tangent((DenseRows(np.ascontiguousarray(matrix), np.tile(self.root, s)),), self.problem.comm)
        residual = np.concatenate([samples[i].f - self.root * (k[i] @ samples[i].J) for i in range(s)])
        anchor = None if self.anchor is None else np.tile(self.anchor, s)
        system = self.system(tangent, residual + tangent.apply(k.reshape(-1)), theta)
        context = StageContext(t, self.dt, self.config.tableau.stages, self.state.step, stage, self.carry)
        found = self.regularization.velocity(system, anchor, self.solver, context)
        self.count += found.iterations
        return found

    def system(self, tangent: Tangent, rhs: Array, theta: Array) -> ImplicitSystem:
        """The system of stages at θ (s, p)."""
        problem, (s, p) = self.problem, theta.shape
        scale = None if problem.scale is None else np.tile(problem.scale, s)

        def values(stacked: Array) -> Array:
            parts = stacked.reshape(s, p)
            return np.concatenate([problem.weigh(problem.ansatz.value(part, problem.points)) for part in parts])

        return ImplicitSystem(tangent, rhs, scale, theta.reshape(-1), values, problem.field(theta[-1]))

    def _failed(self, iterations: int, moved: float) -> SolverError:
        what = (
            f"Gauss–Newton did not converge in {iterations} iterations: last change {moved:.2e}, ‖u‖ = {self.size:.2e}"
        )
        return _together(SolverError(what, "a smaller step, a larger ε, or a looser rtol of the integrator"))

    def filtered_error(self, moved: Array) -> float:
        """Radau: ‖J w‖ with (J − hγ₀F) w = hγ₀ f(u₀) + J Σ e_i (θ_i − θ), of order 3 (Hairer & Wanner II, IV.8).

        A Tikhonov solve with the ε of the stages.
        """
        with collective_errors(self.problem.comm):
            start = self.sample(stage_time(self.state.t, self.dt, 0.0), self.state.theta, None)
            h = self.dt * RADAU_GAMMA
            rhs = (h * start.f + self.root * (moved @ start.J)) / self.dt
            tangent = Tangent((DenseRows(start.J - h * start.slope, self.root),), self.problem.comm)
        w = self.solver.solve(LeastSquares(tangent, rhs, self.eps, self.problem.scale)).value
        return self.field_norm(start, self.dt * w)


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
        pointed = _suitable(problem)
        newton = _Newton(pointed, solver, regularization, state, dt, ImplicitEuler)
        anchor, carry = state.anchor, state.rule_carry
        k, norms, iterations = np.zeros((2, state.theta.size)), np.zeros((2, 2)), 0
        for i in range(2):
            theta, t = state.theta + i * dt * k[0], stage_time(state.t, dt, i)
            with collective_errors(problem.comm):
                sample = newton.sample(t, theta, None)
                rows = DenseRows(sample.J - self.gamma * dt * sample.slope, newton.root)
                rhs = sample.f - 2 * i * newton.root * (k[0] @ sample.J)
            system = newton.system(Tangent((rows,), problem.comm), rhs, theta[None])
            # k₂ ≈ v − 2 k₁ ≈ −v: its anchor is minus the first velocity
            found = regularization.velocity(
                system, anchor if i == 0 else -k[0], solver, StageContext(t, dt, 2, state.step, i, carry)
            )
            k[i], carry = found.value, found.carry
            norms[i] = found.defect, norm(sample.f, problem.comm)
            iterations += found.iterations
        velocity = 1.5 * k[0] + 0.5 * k[1]
        error = newton.field_norm(sample, 0.5 * dt * (k[0] + k[1]))
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


def _together(error: E) -> E:
    """Raised from reduced numbers: on all ranks."""
    error.collective = True
    return error


ImplicitEuler = ImplicitRungeKutta(IMPLICIT_EULER)
ImplicitMidpoint = ImplicitRungeKutta(IMPLICIT_MIDPOINT)
SDIRK2 = ImplicitRungeKutta(SDIRK_2)
SDIRK4 = ImplicitRungeKutta(SDIRK_4)
RadauIIA = ImplicitRungeKutta(RADAU_IIA)
ROS2 = LinearlyImplicit()
