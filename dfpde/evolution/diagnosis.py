"""Why a run cannot go on: one cause, named with its numbers, and what to try.

Everything is measured at the last good state, once, when a run ends; all ranks come to the same verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DfpdeError, NonFiniteError, SolverError
from ..leastsquares import singular_values
from ..model import Model
from ..parallel.collective import norm
from ..regularization import Velocity
from .setting import Run
from .state import State


@dataclass(frozen=True)
class Try:
    """A rejected step: its size, its error over the tolerance (NaN when it failed), and the exception."""

    dt: float
    ratio: float = math.nan
    failure: DfpdeError | None = None


#: An explicit step amplifies errors once h·rate exceeds about 2 (Euler) to 3.3 (Dormand–Prince).
STABLE = 2.0

#: Growth of ‖u‖ that needs less than this fraction of the elapsed time to double is a blow-up.
DOUBLING = 1e-3

#: Rounding error of a field of a few parts, relative to them.
ROUNDING = 2.0**-50

#: Relative change of θ of a central difference, about the cube root of the unit roundoff.
DIFFERENCE = 1e-5

#: Largest number of parameters for which singular values are computed in a diagnosis (dense).
DENSE = 2000


def diagnose(run: Run, state: State, tries: Sequence[Try]) -> tuple[str, str]:
    """(cause, remedy) of a step that could not be done; collective.

    Parameters
    ----------
    tries : sequence of Try
        Rejected tries, first to last.
    """
    last = tries[-1]
    try:
        now = run.velocity(state, last.dt)
    except DfpdeError as error:  # the stage that fails is the first one: it fails without a step
        return f"the equation cannot be evaluated at the last good state itself: {error.what}", error.remedy
    known = _vanishing(run, state) or _blow_up(run, state, now) or _stiffness(run, state, now, last.dt)
    return known or _rejected(run, state, tries, now)


def stalled(run: Run, state: State) -> tuple[str, str]:
    """(cause, remedy) of accepted steps that no longer move t; collective."""
    dt = state.statistics.dt
    now = run.velocity(state, dt)
    known = _blow_up(run, state, now) or _stiffness(run, state, now, dt)
    if known is not None:
        return known
    moves = run.problem.tangent(state.theta).apply(now.value)
    from_null = float(np.linalg.norm(now.value)), norm(moves, run.problem.comm)
    return (
        f"the velocity changes within {dt:.1e}: |θ̇| = {from_null[0]:.1e} moves the field by ‖J θ̇‖ = {from_null[1]:.1e}",
        "field steps (df.FieldStep) where the field has a stepper: they take out the curvature of the ansatz; else "
        "AutoInertia(rho=0) where the equation is dispersive, a larger ε, fewer parameters, or a larger tolerance",
    )


def _vanishing(run: Run, state: State) -> tuple[str, str] | None:
    """A field of rounding errors: its parts cancel, and a tolerance relative to it is none."""
    if not run.controller.adaptive:
        return None
    size = run.problem.norm(state.theta)
    parts = float(np.max(np.abs(state.theta) * run.problem.tangent(state.theta).column_norms()))
    if run.controller.tolerance(size) > ROUNDING * parts:
        return None
    return (
        f"u vanishes (‖u‖ = {size:.1e}, its parts have {parts:.1e}), and the tolerance, "
        f"{run.controller.tolerance(size):.1e}, is below their rounding",
        "an absolute tolerance, PI(rtol=..., atol=...), in the unit of u",
    )


def _blow_up(run: Run, state: State, now: Velocity) -> tuple[str, str] | None:
    size = run.problem.norm(state.theta)
    growth = _growth(run.problem, state, now, size)
    if growth * (state.t - run.since) <= math.log(2) / DOUBLING:
        return None
    return (
        f"the field blows up: ‖u‖ = {size:.3e} doubles within {math.log(2) / growth:.1e}",
        "stop before (an Event on the norm), or rescaled variables; the equation itself may have no later solution",
    )


def _stiffness(run: Run, state: State, now: Velocity, dt: float) -> tuple[str, str] | None:
    if run.integrator.implicit:
        return None
    rate = fastest(run, state, now, dt)
    if dt * rate <= STABLE:
        return None
    return (
        f"stiffness: the fastest rate is about {rate:.1e}, so explicit steps must stay below {STABLE / rate:.1e}, and "
        f"{dt:.1e} was tried",
        "an implicit integrator (SDIRK4, RadauIIA, ROS2), a larger ε, or a smaller dt (dt_min)",
    )


def _rejected(run: Run, state: State, tries: Sequence[Try], now: Velocity) -> tuple[str, str]:
    last, order = tries[-1], run.integrator.error_order or 0
    if isinstance(last.failure, SolverError):
        return _rank(run.problem, state, last.failure)
    if isinstance(last.failure, NonFiniteError):
        return f"not finite within {last.dt:.1e} after t = {state.t:.9g}: {last.failure.what}", last.failure.remedy
    if last.failure is not None:
        return last.failure.what, last.failure.remedy
    slope = _slope(tries)
    if slope < 0.5 * (order + 2):
        return (
            f"the error of a step falls like dt^{slope:.1f}, not dt^{order + 1}: f is not smooth here (a jump in t or "
            "u), or the error is rounding",
            "output times or an Event at the jump, a smaller dt_min, or a larger tolerance",
        )
    relative = now.defect / max(now.rhs_norm, 1e-300)
    if relative > 0.5:
        return (
            f"defect too large: the tangent space follows only {100 * (1 - relative):.0f} % of f",
            "more parameters, another ansatz, or a smaller ε",
        )
    return (
        f"the minimum step {last.dt:.1e} is reached with {last.ratio:.3g} times the tolerated error",
        "a smaller dt_min, a larger tolerance, or a larger ε (lost rank lets velocities change fast)",
    )


def _rank(problem: Model, state: State, failure: SolverError) -> tuple[str, str]:
    """A linear solve that failed: how many directions are lost."""
    tangent = problem.tangent(state.theta)
    if tangent.columns > DENSE:
        return failure.what, failure.remedy
    sigma = singular_values(tangent)
    lost = tangent.columns - int(np.sum(sigma > 1e-8 * sigma[0]))
    if lost == 0:
        return failure.what, failure.remedy
    return (
        f"lost rank: {lost} of {tangent.columns} directions have singular values below 1e-8 of the largest "
        f"({sigma[0]:.1e}); {failure.what}",
        "a larger ε, or fewer parameters",
    )


def _growth(problem: Model, state: State, now: Velocity, size: float) -> float:
    """d ln‖u‖/dt along θ̇, by a central difference: a norm is what every model has, with points or without."""
    speed = float(np.linalg.norm(now.value))
    if not (size > 0 and speed > 0):
        return 0.0
    h = DIFFERENCE * max(1.0, float(np.linalg.norm(state.theta))) / speed
    ahead, behind = (problem.norm(state.theta + sign * h * now.value) for sign in (1, -1))
    return (ahead - behind) / (2 * h * size)


def fastest(run: Run, state: State, now: Velocity, dt: float) -> float:
    """Largest rate of the velocity field near θ: a few steps of the nonlinear power method, in the field norm."""
    tangent = run.problem.tangent(state.theta)
    w, rate = np.random.default_rng(0).normal(size=state.theta.size), 0.0
    scale = 1e-6 * max(1.0, float(np.linalg.norm(state.theta)))
    for _ in range(6):
        w = w * (scale / max(float(np.linalg.norm(w)), 1e-300))
        try:
            moved = run.velocity(state.with_(theta=state.theta + w), dt)
        except DfpdeError:
            return rate
        change = moved.value - now.value
        size = tangent.norm(tangent.apply(w))
        rate = tangent.norm(tangent.apply(change)) / size if size > 0 else 0.0
        if not math.isfinite(rate) or not np.any(change):
            return 0.0
        w = change
    return rate


def _slope(tries: Sequence[Try]) -> float:
    """d ln error/d ln dt of the last tries; infinite with fewer than two."""
    known = [(t.dt, t.ratio) for t in tries if math.isfinite(t.ratio) and t.ratio > 0][-3:]
    if len(known) < 2 or known[0][0] <= known[-1][0] * 1.01:
        return math.inf
    return math.log(known[0][1] / known[-1][1]) / math.log(known[0][0] / known[-1][0])
