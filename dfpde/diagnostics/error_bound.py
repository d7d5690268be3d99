"""Error bound: a bound of the true error, accumulated along a run.

For any curve θ̃(t), with R(t) = ‖J θ̃' − f(t, Φ(θ̃))‖ and ℓ the one-sided Lipschitz constant of f,
⟨f(u) − f(v), u − v⟩ ≤ ℓ ‖u − v‖²,

    ‖u − Φ(θ̃)‖(t) ≤ e^{ℓt} ‖u₀ − Φ(θ̃₀)‖ + ∫₀ᵗ e^{ℓ(t−s)} R(s) ds.

The curve through the computed states is the cubic Hermite interpolant of θ with their velocities, so R contains the
defect of the tangent space, the regularization and the error of the time steps alike (its own contribution is O(h³)).
The bound is exact up to the quadratures: of the norm, and of the integral over each step (Gauss, three points).
Lasser & Lubich, Acta Numerica 29 (2020), for the idea; the discrete form is derived here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..errors import ParameterError
from ..evolution.linearize import linearized, pointwise
from ..evolution.state import State
from ..leastsquares import real_rows, root_weights
from ..model import Model
from ..parallel.collective import collective_errors, norm
from ..representation import represent

Array = NDArray[Any]

#: Gauss nodes and weights on [0, 1], exact to degree 5.
NODES = (0.5 - math.sqrt(0.15), 0.5, 0.5 + math.sqrt(0.15))
WEIGHTS = (5 / 18, 8 / 18, 5 / 18)


@dataclass(frozen=True, eq=False)
@check.takes(
    problem=check.model,
    state=check.state,
    bound=check.real(0),
    rate=check.either(callable, check.function, check.real()),
)
class ErrorBound:
    """Bound of ‖u − Φ(θ)‖ at the time of `state`; ``bound = bound.after(state)`` for every accepted step.

    Parameters
    ----------
    problem : Problem
    state : State
        Where the bound holds; at first the start of the run.
    bound : float
        ‖u₀ − Φ(θ₀)‖ at first (``state.statistics.error`` after `fit`), in units of u.
    rate : float or callable
        ℓ in 1/time, or (t, state) -> ℓ valid over the step that ends there; 0 for transport with divergence-free
        velocity, Schrödinger equations and diffusion with suitable boundary values.  `growth_rate` estimates it.
    residual : float
        Mean of R over the last step.

    Examples
    --------
    >>> bound = ErrorBound(problem, start, start.statistics.error, rate=0.0)    # doctest: +SKIP
    >>> for state in evolve(problem, start, until=1.0):                     # doctest: +SKIP
    ...     bound = bound.after(state)

    Raises
    ------
    ParameterError
        A bound that is negative or not finite.
    """

    problem: Model
    state: State
    bound: float
    rate: float | Callable[[float, State], float] = 0.0
    residual: float = math.nan

    __repr__ = represent

    def after(self, state: State) -> ErrorBound:
        """The bound of the next accepted state; collective.

        Raises
        ------
        ParameterError
            The state is not later than the last one.
        """
        dt = state.t - self.state.t
        if not dt > 0:
            raise ParameterError(
                f"a state at t = {state.t} after one at t = {self.state.t}", "every accepted state in turn"
            )
        rate = self.rate(state.t, state) if callable(self.rate) else self.rate
        bound, mean = math.exp(rate * dt) * self.bound, 0.0
        for node, weight in zip(NODES, WEIGHTS, strict=True):
            residual = self._residual(state, node, dt)
            mean += weight * residual
            bound += dt * weight * math.exp(rate * dt * (1 - node)) * residual
        return replace(self, state=state, bound=bound, residual=mean)

    def _residual(self, end: State, s: float, dt: float) -> float:
        """R at t + s dt."""
        theta, velocity = hermite(self.state, end, s, dt)
        model = self.problem
        u = model.field(theta)
        f = model.time_derivative(self.state.t + s * dt, u)
        with collective_errors(model.comm):
            rows = model.weigh(model.ansatz.jvp(theta, u.x, velocity) - f)
        return norm(rows, model.comm)


def hermite(start: State, end: State, s: float, dt: float) -> tuple[Array, Array]:
    """θ and θ̇ at t + s dt on the cubic through both states; quadratic where the first velocity is unknown."""
    change = end.theta - start.theta
    after = np.asarray(end.velocity) * dt if end.velocity is not None else change
    before = np.asarray(start.velocity) * dt if start.velocity is not None else 2 * change - after
    a, b = before + after - 2 * change, 3 * change - 2 * before - after
    theta = start.theta + s * (before + s * (b + s * a))
    return theta, (before + s * (2 * b + 3 * s * a)) / dt


@check.takes(model=check.model, state=check.state, rcond=check.real(above=0, below=1))
def growth_rate(model: Model, state: State, rcond: float = 1e-6) -> float:
    """Estimate of ℓ: the largest growth rate ⟨∂f w, w⟩/‖w‖² over fields w of the tangent space; dense, collective.

    A lower bound of the one-sided Lipschitz constant near u, because only directions J v with singular values above
    rcond σ_max are seen.
    """
    problem = pointwise(model)
    with collective_errors(problem.comm):
        q, ansatz = problem.quadrature, problem.ansatz
        _, derivative = linearized(problem, state.t, np.asarray(state.theta))
        root = root_weights(q.w, ansatz.shape, ansatz.dtype)
        J, F = real_rows(ansatz.tangent(state.theta, q.x), 1) * root, real_rows(derivative, 1) * root
        local = np.stack([J @ J.T, F @ J.T])
    gram, mixed = problem.comm.allreduce(local) if problem.comm.size > 1 else local
    values, vectors = np.linalg.eigh(gram)
    kept = values > (rcond**2) * values[-1]
    basis = vectors[:, kept] / np.sqrt(values[kept])
    projected = basis.T @ mixed @ basis
    return float(np.linalg.eigvalsh(0.5 * (projected + projected.T))[-1])


@dataclass(frozen=True)
@check.takes(value=check.real(0), rate=check.real())
class FieldStepBound:
    """Bound of ‖u − Φ(θ)‖ along field steps; ``bound = bound.after(state)`` for every accepted step.

        e_{n+1} <= e^{ℓh} e_n + ‖error of S_h‖ + ‖Φ(θ_{n+1}) − u*‖

    All three terms are computed: the misfit as it is, the error of S_h as the stepper estimates it (by step doubling or
    an embedded pair; zero for a stepper that is taken as exact).  The bound of the continuous form, `ErrorBound`, needs
    f on a curve between the states; this one needs nothing beyond the step.

    Parameters
    ----------
    value : float
        ‖u₀ − Φ(θ₀)‖ at first, in units of u.
    rate : float
        ℓ in 1/time.

    Raises
    ------
    ParameterError
        A bound that is negative or not finite.
    """

    value: float
    rate: float = 0.0

    def after(self, state: State) -> FieldStepBound:
        """The bound at the time of the next accepted state of a `FieldStep`."""
        last = state.statistics
        grown = math.exp(self.rate * last.dt) * self.value
        return replace(self, value=grown + last.error + last.defect * last.dt)
