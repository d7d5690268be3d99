"""Rows of linearized implicit stages, and Gauss–Newton for their velocities (theory in `dfpde.evolution.implicit`)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DfpdeError, NonFiniteError, SolverError
from ..leastsquares import DenseRows, LeastSquares, Solver, Tangent, real_rows, root_weights
from ..model import ImplicitSystem
from ..parallel.collective import collective_errors, norm
from ..problem import Problem
from ..regularization import Regularization, StageContext, Velocity
from .explicit import stage_time
from .linearize import DIFFERENCE, linearized
from .state import State
from .tableaus import RADAU_GAMMA, ImplicitTableau

Array = NDArray[Any]
E = TypeVar("E", bound=DfpdeError)


@dataclass(frozen=True, eq=False)
class Sample:
    """One stage linearized at (t, θ).

    Attributes
    ----------
    f : (rows,) array
        √W f.
    J, slope : (p, rows) array
        Transposed and without weights: J, and F − H.
    """

    f: Array
    J: Array
    slope: Array


class Linearized:
    """Stages of one step of a problem whose f can be differentiated."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.root = root_weights(problem.weights, problem.ansatz.shape, problem.ansatz.dtype)

    def field_norm(self, sample: Sample, change: Array) -> float:
        """‖J change‖; collective."""
        return norm(self.root * (change @ sample.J), self.problem.comm)

    def sample(self, t: float, theta: Array, k: Array | None) -> Sample:
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
        return Sample(rows, tangent, slope)

    def system(self, tangent: Tangent, rhs: Array, theta: Array) -> ImplicitSystem:
        """The system of stages at θ (s, p)."""
        problem, (s, p) = self.problem, theta.shape
        scale = None if problem.scale is None else np.tile(problem.scale, s)

        def values(stacked: Array) -> Array:
            parts = stacked.reshape(s, p)
            return np.concatenate([problem.weigh(problem.ansatz.value(part, problem.points)) for part in parts])

        return ImplicitSystem(tangent, rhs, scale, theta.reshape(-1), values, problem.field(theta[-1]))


class GaussNewton(Linearized):
    """Stage velocities of one step of an implicit scheme, group after group of coupled stages.

    Parameters
    ----------
    problem, solver, regularization, state, dt
        Of the step.
    tableau : ImplicitTableau
    rtol, iterations : float, int
        As of `ImplicitRungeKutta`.

    Attributes
    ----------
    count : int
        Iterations of the solver so far.
    """

    def __init__(
        self,
        problem: Problem,
        solver: Solver,
        regularization: Regularization,
        state: State,
        dt: float,
        tableau: ImplicitTableau,
        *,
        rtol: float,
        iterations: int,
    ) -> None:
        super().__init__(problem)
        self.solver, self.regularization, self.state, self.dt = solver, regularization, state, dt
        self.tableau, self.rtol, self.iterations = tableau, rtol, iterations
        self.anchor, self.carry, self.eps, self.count = state.anchor, state.rule_carry, math.nan, 0
        self.guess = np.zeros(state.theta.size) if state.velocity is None else np.asarray(state.velocity)
        self.size = problem.norm(state.theta)

    def solve(self, part: slice, before: Array, a: Array) -> tuple[Array, Sample, Velocity]:
        """Velocities k (s, p) of coupled stages; the last one's sample, and it as a `Velocity` of mean norms."""
        s, p = len(a), self.state.theta.size
        nodes = [stage_time(self.state.t, self.dt, c) for c in self.tableau.c[part]]
        k, last = np.tile(self.guess, (s, 1)), math.inf
        for iteration in range(self.iterations):
            theta = before + self.dt * (a @ k)
            with collective_errors(self.problem.comm):
                samples = [self.sample(nodes[i], theta[i], k[i]) for i in range(s)]
            found = self.linear(samples, theta, a, k, nodes[-1], part.start)
            change = found.value.reshape(s, p) - k
            k = k + change
            moved = max(self.field_norm(samples[i], self.dt * change[i]) for i in range(s))
            if not math.isfinite(moved):
                raise _together(NonFiniteError("Gauss–Newton left the finite numbers", "a smaller step"))
            if moved <= self.rtol * self.size or (0.5 * last < moved < 1e3 * self.rtol * self.size):
                break
            if iteration > 3 and moved > 2 * last:
                raise self._failed(iteration, moved)
            last = moved
        else:
            raise self._failed(self.iterations, moved)
        self.anchor, self.carry, self.eps, self.guess = found.anchor[-p:], found.carry, found.eps, k[-1]
        size = norm(np.concatenate([sample.f for sample in samples]), self.problem.comm) / math.sqrt(s)
        return k, samples[-1], replace(
            found, value=k[-1], anchor=self.anchor, defect=found.defect / math.sqrt(s), rhs_norm=size
        )

    def linear(self, samples: list[Sample], theta: Array, a: Array, k: Array, t: float, stage: int) -> Velocity:
        """One linearized, regularized solve for all coupled velocities."""
        s, h = len(samples), self.dt
        matrix = np.block(
            [[(samples[i].J if i == j else 0.0) - h * a[i, j] * samples[i].slope for i in range(s)] for j in range(s)]
        )
        tangent = Tangent((DenseRows(np.ascontiguousarray(matrix), np.tile(self.root, s)),), self.problem.comm)
        residual = np.concatenate([samples[i].f - self.root * (k[i] @ samples[i].J) for i in range(s)])
        anchor = None if self.anchor is None else np.tile(self.anchor, s)
        system = self.system(tangent, residual + tangent.apply(k.reshape(-1)), theta)
        context = StageContext(t, self.dt, self.tableau.stages, self.state.step, stage, self.carry)
        found = self.regularization.velocity(system, anchor, self.solver, context)
        self.count += found.iterations
        return found

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

    def _failed(self, iterations: int, moved: float) -> SolverError:
        what = (
            f"Gauss–Newton did not converge in {iterations} iterations: last change {moved:.2e}, ‖u‖ = {self.size:.2e}"
        )
        return _together(SolverError(what, "a smaller step, a larger ε, or a looser rtol of the integrator"))


def _together(error: E) -> E:
    """The error, marked as raised on all ranks: what led to it are reduced numbers."""
    error.collective = True
    return error
