"""Error bound: a bound of the true error, accumulated along a run.

For any curve of fields ũ(t), with R(t) = ‖∂_t ũ − f(t, ũ)‖ and ℓ the one-sided Lipschitz constant of f,
⟨f(u) − f(v), u − v⟩ ≤ ℓ ‖u − v‖²,

    ‖u − ũ‖(t) ≤ e^{ℓt} ‖u₀ − ũ(0)‖ + ∫₀ᵗ e^{ℓ(t−s)} R(s) ds.

The curve of a step is the cubic in t through the fields Φ(θ̃) at four Lobatto points, θ̃ the cubic Hermite interpolant
of θ with the velocities of the states: R contains the defect of the tangent space, the regularization and the error of
the time steps alike (its own contribution is O(h³)).  As a polynomial in t the curve cannot hide what the parameters do
between the points, a unit that flips for example: for linear f without explicit t, R² is a polynomial of degree 6, and

    ∫ e^{ℓ(h−s)} R ds ≤ (∫ e^{ℓ(h−s)} ds · ∫ e^{ℓ(h−s)} R² ds)^½

leaves nothing to be estimated.  The last integral is found by Kronrod's rule of seven points; its difference from
Gauss's rule of three is added, which covers other f as far as that difference is an estimate.  What remains is the
quadrature in space: the bound is refused where it does not resolve the tangent (`dfpde.evolution.resolution`).
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
from ..errors import NonFiniteError, ParameterError, ResolutionError
from ..evolution.linearize import linearized, pointwise
from ..evolution.resolution import DECIDES, require_resolved
from ..evolution.state import State, hermite
from ..leastsquares import real_rows, root_weights
from ..model import Model
from ..parallel.collective import collective_errors, norm
from ..parallel.replicated import same_on_all_ranks
from ..representation import represent
from .interpolant import Interpolant, lagrange

Array = NDArray[Any]

#: Lobatto points of [0, 1], where the curve of a step meets fields of the ansatz.
LOBATTO = (0.0, 0.5 - math.sqrt(0.05), 0.5 + math.sqrt(0.05), 1.0)

#: Kronrod's nodes on [0, 1], their weights, and those of Gauss's rule of three points among them (0: not one of them).
_HALF = np.array([0.960491268708020283, 0.774596669241483377, 0.434243749346802559])
NODES = 0.5 + 0.5 * np.concatenate([-_HALF, [0.0], _HALF[::-1]])
_KRONROD = np.array([0.104656226026467265, 0.268488089868333440, 0.401397414775962222])
KRONROD = 0.5 * np.concatenate([_KRONROD, [0.450916538658474142], _KRONROD[::-1]])
GAUSS = np.array([0.0, 5 / 18, 0.0, 8 / 18, 0.0, 5 / 18, 0.0])


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
        Root mean square of R over the last step.

    Notes
    -----
    The norm is that of `problem`, which may be the same equation on more points than the run has: then the bound holds
    on these.  f must depend on u as a function, by its values and derivatives: the curve between the states has no θ.

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

    @check.takes(state=check.state)
    def after(self, state: State) -> ErrorBound:
        """The bound of the next accepted state; collective.

        Raises
        ------
        ParameterError
            The state is not later than the last one.
        ResolutionError
            The points of `problem` do not resolve the tangent at the state.
        NonFiniteError
            The residual is not finite.
        ReplicationError
            Ranks that bring different states.
        """
        same_on_all_ranks(self.problem.comm, t=state.t, theta=state.theta, bound=self.bound)
        dt = state.t - self.state.t
        if not dt > 0:
            raise ParameterError(
                f"a state at t = {state.t} after one at t = {self.state.t}", "every accepted state in turn"
            )
        require_resolved(self.problem, state)
        rate = self.rate(state.t, state) if callable(self.rate) else self.rate
        squares = self._squared_residuals(state, dt)
        growth = np.exp(rate * dt * (1 - NODES)) * dt
        kronrod, gauss = float(KRONROD @ (growth * squares)), float(GAUSS @ (growth * squares))
        length = dt * (math.expm1(rate * dt) / (rate * dt) if rate != 0 else 1.0)  # ∫ e^{ℓ(h−s)} ds
        bound = math.exp(rate * dt) * self.bound + math.sqrt(length * (kronrod + abs(kronrod - gauss)))
        return replace(self, state=state, bound=bound, residual=math.sqrt(float(KRONROD @ squares)))

    def _squared_residuals(self, end: State, dt: float) -> Array:
        """R² at the nodes of Kronrod's rule."""
        model = self.problem
        fields = [model.field(hermite(self.state, end, s, dt)) for s in LOBATTO]
        squares = np.zeros(NODES.size)
        for k, s in enumerate(NODES):
            weights, rates = lagrange(LOBATTO, float(s))
            with collective_errors(model.comm):
                derivative = Interpolant(fields, rates / dt).combined(lambda u: u.value)
            f = model.time_derivative(self.state.t + float(s) * dt, Interpolant(fields, weights).field())
            squares[k] = norm(model.weigh(derivative - f), model.comm) ** 2
        if not np.all(np.isfinite(squares)):
            error = NonFiniteError(
                f"the residual between t = {self.state.t:g} and {end.t:g} is not finite",
                "an f that depends on u by its values and derivatives, not on u.theta; a smaller step",
            )
            error.collective = True
            raise error
        return squares


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
@check.takes(value=check.real(0), rate=check.real(), safety=check.real(1))
class FieldStepBound:
    """Bound of ‖u − Φ(θ)‖ along field steps; ``bound = bound.after(state)`` for every accepted step.

        e_{n+1} <= e^{ℓh} e_n + σ ‖error of S_h‖ + ‖Φ(θ_{n+1}) − u*‖

    All three terms are computed: the misfit as it is, the error of S_h as the stepper estimates it (by step doubling or
    an embedded pair; zero for a stepper that is taken as exact).  The estimate is asymptotic, and too small where a
    stiff equation lowers the order of S_h: σ covers that.  The bound of the continuous form, `ErrorBound`, needs f on a
    curve between the states; this one needs nothing beyond the step.

    Parameters
    ----------
    value : float
        ‖u₀ − Φ(θ₀)‖ at first, in units of u.
    rate : float
        ℓ in 1/time.
    safety : float
        σ, at least 1.

    Raises
    ------
    ParameterError
        A bound that is negative or not finite, σ below 1.
    """

    value: float
    rate: float = 0.0
    safety: float = 2.0

    @check.takes(state=check.state)
    def after(self, state: State) -> FieldStepBound:
        """The bound at the time of the next accepted state of a `FieldStep`.

        Raises
        ------
        ResolutionError
            A point of the run's quadrature decides a direction alone: the misfit says nothing between the points.
        """
        last = state.statistics
        if last.resolution > DECIDES:
            error = ResolutionError(
                f"no bound at t = {state.t:.4g}: the largest leverage of a point is {last.resolution:.3f}",
                "more points or a higher order of the quadrature",
                state,
            )
            error.collective = True
            raise error
        grown = math.exp(self.rate * last.dt) * self.value
        return replace(self, value=grown + self.safety * last.error + last.defect * last.dt)
