"""evolve: a generator of immutable states from now until then."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ..errors import DfpdeError, NonFiniteError, ParameterError, SolverError, StepError
from ..inertia import Regularization, StageContext
from ..leastsquares import KSP, LeastSquares, Solver
from ..problem import Problem
from .control import Controller
from .explicit import DormandPrince, Integrator, Step
from .state import State

#: Tries of one step before the run ends with a diagnosis: 0.2^20 ≈ 1e-14 of the first try.
MOST_TRIES = 20

#: A step that would end this close (relative) to an output time is stretched onto it.
SNAP = 1e-9


def evolve(
    problem: Problem,
    state: State,
    *,
    until: float,
    inertia: Regularization,
    controller: Controller,
    integrator: Integrator = DormandPrince,
    solver: Solver | None = None,
    times: Sequence[float] = (),
) -> Iterator[State]:
    """Solve u_t = f(t, u) from state.t to `until`; the caller's loop body does all output.

    Parameters
    ----------
    problem : Problem
    state : State
        Start (from `fit`, a checkpoint, or ``State(t, theta)``).
    until : float
        Final time, hit exactly.
    inertia : Regularization
        `Inertia`, `Inertia.per_step`, `Tikhonov`, ...
    controller : Controller
        `PI(rtol=1e-6)`, `Fixed(dt)`, ...
    integrator : Integrator
        `DormandPrince` (default), `BogackiShampine`, `RK4`, `Heun`, `Euler`, ...
    solver : Solver or None
        None is `KSP()`.
    times : sequence of float
        Output times, increasing, in (state.t, until], hit exactly.  When given, only the states at these times and at
        `until` are yielded; otherwise every accepted step is.

    Yields
    ------
    State

    Raises
    ------
    ParameterError
        Times that are not ahead or not increasing, or a controller that needs an error estimate the integrator lacks.
    StepError
        No acceptable step: the message names the cause; its attribute ``state`` is the last good state.
    """
    if not (math.isfinite(until) and until > state.t):
        raise ParameterError(f"until = {until} with the state at t = {state.t}", "a finite final time after the state's")
    stops = [float(t) for t in times]
    if any(b <= a for a, b in zip([state.t, *stops], stops, strict=False)) or (stops and stops[-1] > until):
        raise ParameterError(f"output times {stops} for a run from {state.t} until {until}", "increasing times in that range")
    if controller.adaptive and integrator.error_order is None:
        raise ParameterError(
            f"{integrator} does not estimate its error", "an embedded scheme (Heun, BogackiShampine, DormandPrince) or Fixed(dt)"
        )
    problem.ansatz.check_theta(state.theta)
    everything = not stops
    if not stops or stops[-1] < until:
        stops.append(float(until))
    return _run(problem, state, stops, everything, inertia, controller, integrator, KSP() if solver is None else solver)


def _run(
    problem: Problem,
    state: State,
    stops: list[float],
    everything: bool,
    inertia: Regularization,
    controller: Controller,
    integrator: Integrator,
    solver: Solver,
) -> Iterator[State]:
    resume(problem, state, solver)
    if state.dt is None or not controller.adaptive:
        first = controller.first
        if first is None:
            first = first_step(problem, state, stops[-1], inertia, controller, integrator, solver)
        state = state.with_(dt=first)
    for stop in stops:
        while state.t < stop:
            state = advance(problem, state, stop, inertia, controller, integrator, solver)
            if everything or state.t == stop:
                yield state


def advance(
    problem: Problem,
    state: State,
    stop: float,
    inertia: Regularization,
    controller: Controller,
    integrator: Integrator,
    solver: Solver,
) -> State:
    """One accepted step towards `stop`, never past it.

    Raises
    ------
    StepError
        No step was acceptable.
    """
    proposal = state.dt if state.dt is not None else stop - state.t
    failure: DfpdeError | None = None
    for attempt in range(MOST_TRIES):
        dt, ends = _towards(state.t, proposal, stop, controller.adaptive)
        if state.t + dt == state.t or (attempt and dt < controller.dt_min):
            break
        try:
            step = integrator.step(problem, solver, inertia, state, dt)
            if not np.all(np.isfinite(step.theta)):
                raise _collective(NonFiniteError(f"θ is not finite after a step of {dt:.3e}", "a smaller step"))
            norm = problem.norm(step.theta) if controller.adaptive else 0.0
            if not math.isfinite(norm + (step.error if controller.adaptive else 0.0)):
                raise _collective(NonFiniteError(f"‖u‖ = {norm} after a step of {dt:.3e}", "a smaller step"))
        except (SolverError, NonFiniteError) as error:
            if not controller.adaptive:
                raise _give_up(state, dt, error) from error
            failure = error
            state = state.with_(rejected=state.rejected + 1)
            proposal = dt / 4
            continue
        ratio = step.error / controller.tolerance(norm) if controller.adaptive else 0.0
        decision = controller.decide(ratio, dt, integrator.error_order or 0, state.control)
        if decision.accept:
            proposed = max(decision.dt, proposal) if ends and dt < proposal else decision.dt
            done = _accepted(state, step, dt, stop if ends else state.t + dt, proposed, decision.control)
            return done.with_(kept=solver.memory if isinstance(solver, KSP) else None)
        state = state.with_(rejected=state.rejected + 1, control=decision.control)
        if dt <= controller.dt_min:
            break
        proposal = decision.dt
    raise _give_up(state, dt, failure)


def resume(problem: Problem, state: State, solver: Solver) -> None:
    """Give the solver exactly the preconditioner it had when this state was made, so that restarts are bitwise equal."""
    if not isinstance(solver, KSP):
        return
    solver.reset()
    if state.kept is not None:
        system = problem.system(state.kept.t, state.kept.theta)
        solver.restore(LeastSquares(system.tangent, system.rhs, state.kept.eps, system.scale), state.kept)


def _towards(t: float, dt: float, stop: float, adaptive: bool) -> tuple[float, bool]:
    """Step size that does not pass `stop`, and whether it ends there."""
    left = stop - t
    if dt >= left * (1 - SNAP):
        return left, True
    if adaptive and dt > left / 2:  # two equal steps instead of a long and a tiny one
        return left / 2, False
    return dt, False


def _accepted(state: State, step: Step, dt: float, t: float, proposed: float, control: tuple[float, ...]) -> State:
    return state.with_(
        t=t,
        theta=step.theta,
        step=state.step + 1,
        velocity=step.velocity,
        anchor=step.anchor,
        at_end=step.at_end,
        dt=proposed,
        control=control,
        defect=step.defect,
        defect_end=step.defect_end,
        error=step.error,
        last_dt=dt,
        memory=step.memory,
    )


def _collective(error: DfpdeError) -> DfpdeError:
    """θ and norms are identical on all ranks, so all of them come here."""
    error.collective = True
    return error


def _give_up(state: State, dt: float, failure: DfpdeError | None) -> StepError:
    cause = f": {failure.what}" if failure is not None else ": the error estimate stays above the tolerance"
    error = StepError(
        f"no acceptable step at t = {state.t:.6g}, step {state.step}, tried down to dt = {dt:.3e}{cause}",
        (failure.remedy if failure is not None else "")
        or "a larger tolerance, a larger ε (lost rank lets velocities grow), or an implicit integrator (stiffness)",
        state,
    )
    error.collective = True
    return error


def first_step(
    problem: Problem,
    state: State,
    end: float,
    inertia: Regularization,
    controller: Controller,
    integrator: Integrator,
    solver: Solver,
) -> float:
    """Automatic first step size from ‖u‖, ‖u_t‖ and ‖u_tt‖ (Hairer, Nørsett, Wanner I, Section II.4), in field norms."""
    scale = controller.tolerance(problem.norm(state.theta))
    guess = 1e-3 * (end - state.t)
    system = problem.system(state.t, state.theta)
    context = StageContext(state.t, guess, 1, state.step, 0, state.memory)
    v = inertia.velocity(system, state.anchor, solver, context)
    before = system.tangent.apply(v.value)
    d0, d1 = problem.norm(state.theta) / scale, system.tangent.norm(before) / scale
    small = 0.01 * d0 / d1 if min(d0, d1) > 1e-5 else guess
    small = min(small, end - state.t)
    later = problem.system(state.t + small, state.theta + small * v.value)
    w = inertia.velocity(later, v.anchor, solver, context)
    d2 = later.tangent.norm(later.tangent.apply(w.value) - before) / (small * scale)
    q = (integrator.error_order or integrator.order) + 1
    steep = max(d1, d2)
    first = (0.01 / steep) ** (1 / q) if steep > 1e-15 else guess
    return min(100 * small, first, end - state.t)
