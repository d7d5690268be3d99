"""evolve: a generator of immutable states from now until then."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..ansatz.base import Ansatz
from ..errors import DfpdeError, NonFiniteError, ParameterError, SolverError, StepError
from ..leastsquares import LSQR, Solver, default_solver
from ..model import Model
from ..parallel.collective import collective_errors, shared
from ..parallel.replicated import same_on_all_ranks
from ..parallel.threads import one_thread
from ..regularization import AutoInertia, Regularization, StageContext
from .control import PI, Controller
from .diagnosis import Try, diagnose
from .events import Event, Watch
from .explicit import DormandPrince, Integrator, Step
from .state import State

#: Tries of one step before the run ends with a diagnosis: 0.2^25 ≈ 3e-18 of the first try.
MOST_TRIES = 25

#: A step that would end this close (relative) to an output time is stretched onto it.
SNAP = 1e-9


def evolve(
    problem: Model,
    state: State,
    *,
    until: float,
    regularization: Regularization | None = None,
    controller: Controller | None = None,
    integrator: Integrator = DormandPrince,
    solver: Solver | None = None,
    times: Sequence[float] = (),
    events: Sequence[Event] = (),
    rescue: Callable[[State], None] | None = None,
) -> Iterator[State]:
    """Solve u_t = f(t, u) from state.t to `until`; the caller's loop body does all output.

    Parameters
    ----------
    problem : Problem or fem.SemiDiscrete
    state : State
        Start (from `fit`, a checkpoint, or ``State(t, theta)``).
    until : float
        Final time, hit exactly.
    regularization : Regularization or None
        `Inertia`, `Inertia`, `Tikhonov`, ...; None is `AutoInertia` with the controller's tolerance.
    controller : Controller or None
        `PI(rtol=1e-6)`, `Fixed(dt)`, ...; None is ``PI(rtol=1e-4)``.
    integrator : Integrator
        `DormandPrince` (default), `BogackiShampine`, `RK4`, `Heun`, `Euler`; implicit: `SDIRK4`, `RadauIIA`, ...
    solver : Solver or None
        None is `KSP()`, and `LSQR()` where petsc4py is not installed.
    times : sequence of float
        Output times, increasing, in (state.t, until], hit exactly.  When given, only the states at these times, at
        events and at `until` are yielded; otherwise every accepted step is.
    events : sequence of Event
        What stops the run, or changes its state, when g(t, state) crosses zero.
    rescue : callable or None
        Called on all ranks with the last good state before an error leaves this generator: write it.

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
    same_on_all_ranks(
        problem.comm, into=(Ansatz,), ansatz=problem.ansatz, scale=getattr(problem, "scale", None), state=state,
        until=until, regularization=regularization, controller=controller, integrator=integrator, solver=solver,
        times=times, events=events,
    )  # fmt: skip
    controller = PI(rtol=1e-4) if controller is None else controller
    if not (math.isfinite(until) and until > state.t):
        raise ParameterError(
            f"until = {until} with the state at t = {state.t}", "a finite final time after the state's"
        )
    stops = [float(t) for t in times]
    if any(b <= a for a, b in zip([state.t, *stops], stops, strict=False)) or (stops and stops[-1] > until):
        raise ParameterError(
            f"output times {stops} for a run from {state.t} until {until}", "increasing times in that range"
        )
    if controller.adaptive and integrator.error_order is None:
        raise ParameterError(
            f"{integrator} does not estimate its error",
            "an embedded scheme (Heun, BogackiShampine, DormandPrince, SDIRK4, RadauIIA, ROS2) or Fixed(dt)",
        )
    problem.ansatz.check_theta(state.theta)
    if regularization is None:
        regularization = AutoInertia(min(getattr(controller, "rtol", 0.0) or 1e-4, 0.1))
    solver = default_solver() if solver is None else solver
    run = _Run(problem.for_run(), regularization, controller, integrator, solver, state.t)
    everything = not stops
    if not stops or stops[-1] < until:
        stops.append(float(until))
    return _states(run, state, stops, everything, events, rescue)


@dataclass(frozen=True, eq=False)
class _Run:
    """What stays the same along a run."""

    problem: Model
    regularization: Regularization
    controller: Controller
    integrator: Integrator
    solver: Solver
    since: float


def _states(
    run: _Run,
    state: State,
    stops: list[float],
    everything: bool,
    events: Sequence[Event],
    rescue: Callable[[State], None] | None,
) -> Iterator[State]:
    try:
        _recall(run.solver, state)
        if state.dt is None or not run.controller.adaptive:
            first = run.controller.first
            state = state.with_(dt=_first_step(run, state, stops[-1]) if first is None else first)
        watched = Watch(events, run.problem.comm)
        watched.arm(state)
        for stop in stops:
            while state.t < stop:
                before, state = state, advance(run, state, stop)
                event, state = watched.first(before, state, partial(_step_to, run, before))
                if event is None:
                    if everything or state.t == stop:
                        yield state
                    continue
                yield state
                if event.action is None:
                    return
                state = watched.act(event, state)
    except Exception as error:
        if rescue is not None and shared(run.problem.comm, error):
            with collective_errors(run.problem.comm):
                rescue(state)
        raise


def advance(run: _Run, state: State, stop: float) -> State:
    """One accepted step towards `stop`, never past it.

    Raises
    ------
    StepError
        No step was acceptable: one diagnosis.
    """
    controller = run.controller
    proposal = state.dt if state.dt is not None else stop - state.t
    smallest = max(controller.dt_min, 8 * 2.0**-53 * max(abs(state.t), abs(stop)))
    tries: list[Try] = []
    while len(tries) < MOST_TRIES:
        dt, ends = _towards(state.t, proposal, stop, controller.adaptive)
        if tries and tries[-1].dt <= smallest:
            break
        dt = dt if ends or not controller.adaptive else max(dt, smallest)
        try:
            step, norm = _try(run, state, dt)
        except (SolverError, NonFiniteError) as error:
            tries.append(Try(dt, failure=error))
            if not controller.adaptive:
                break
            state = _rejected(state)
            proposal = dt / 4
            continue
        ratio = step.error / controller.tolerance(norm) if controller.adaptive else 0.0
        decision = controller.decide(ratio, dt, run.integrator.error_order or 0, state.controller_carry)
        if decision.accept:
            proposed = max(decision.dt, proposal) if ends and dt < proposal else decision.dt
            return _accepted(run, state, step, dt, stop if ends else state.t + dt, proposed, decision.carry)
        tries.append(Try(dt, ratio))
        state = _rejected(state).with_(controller_carry=decision.carry)
        proposal = decision.dt
    raise _give_up(run, state, tries)


@one_thread()
def _try(run: _Run, state: State, dt: float) -> tuple[Step, float]:
    """A step and ‖u‖ after it (0 where no error is controlled), both finite."""
    _recall(run.solver, state)
    step = run.integrator.step(run.problem, run.solver, run.regularization, state, dt)
    if not np.all(np.isfinite(step.theta)):
        raise _collective(NonFiniteError(f"θ is not finite after a step of {dt:.3e}", "a smaller step"))
    if not run.controller.adaptive:
        return step, 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        known = step.field is not None and np.array_equal(step.field.theta, step.theta)
        norm = run.problem.norm(step.field if known else step.theta)
    if not math.isfinite(norm + step.error):
        raise _collective(NonFiniteError(f"‖u‖ = {norm} after a step of {dt:.3e}", "a smaller step"))
    return step, norm


def _step_to(run: _Run, state: State, t: float) -> State:
    """One step that ends at t, whatever its error: it is shorter than one that was accepted."""
    dt = t - state.t
    step, _ = _try(run, state, dt)
    return _accepted(run, state, step, dt, t, state.dt or dt, state.controller_carry)


def _recall(solver: Solver, state: State) -> None:
    """Give the solver what it knew at this state, so that a step is a function of it: restarts are bitwise equal."""
    if isinstance(solver, LSQR):
        solver.carry = state.solver_carry


def _towards(t: float, dt: float, stop: float, adaptive: bool) -> tuple[float, bool]:
    """Step size that does not pass `stop`, and whether it ends there."""
    left = stop - t
    if dt >= left * (1 - SNAP):
        return left, True
    if adaptive and dt > left / 2:  # two equal steps instead of a long and a tiny one
        return left / 2, False
    return dt, False


def _rejected(state: State) -> State:
    return state.counted(rejected=state.statistics.rejected + 1)


def _accepted(
    run: _Run, state: State, step: Step, dt: float, t: float, proposed: float, carry: tuple[float, ...]
) -> State:
    last, before = step.last, state.statistics
    return state.with_(
        t=t,
        theta=step.theta,
        step=state.step + 1,
        velocity=last.value,
        anchor=last.anchor,
        at_end=step.at_end,
        dt=proposed,
        end_norms=(last.defect, last.rhs_norm),
        controller_carry=carry,
        rule_carry=last.carry,
        solver_carry=run.solver.carry if isinstance(run.solver, LSQR) else (),
        statistics=replace(
            before,
            defect=step.defect,
            rhs_norm=step.rhs_norm,
            eps=last.eps,
            rho=last.rho,
            error=step.error,
            dt=dt,
            iterations=before.iterations + step.iterations,
        ),
    )


def _collective(error: DfpdeError) -> DfpdeError:
    """θ and norms are identical on all ranks, so all of them come here."""
    error.collective = True
    return error


def _give_up(run: _Run, state: State, tries: Sequence[Try]) -> StepError:
    order = run.integrator.error_order or 0
    cause, remedy = diagnose(run.problem, state, tries, run.regularization, run.solver, order, state.t - run.since)
    error = StepError(
        f"no acceptable step at t = {state.t:.9g}, step {state.step}, tried dt = {tries[0].dt:.1e} down to "
        f"{tries[-1].dt:.1e}: {cause}",
        remedy,
        state,
    )
    error.collective = True
    return error


@one_thread()
def _first_step(run: _Run, state: State, end: float) -> float:
    """Automatic first step size from ‖u‖, ‖u_t‖ and ‖u_tt‖ (Hairer, Nørsett, Wanner I, II.4), in field norms."""
    problem = run.problem
    scale = run.controller.tolerance(problem.norm(state.theta))
    guess = 1e-3 * (end - state.t)
    system = problem.system(state.t, state.theta)
    context = StageContext(state.t, guess, 1, state.step, 0, state.rule_carry)
    v = run.regularization.velocity(system, state.anchor, run.solver, context)
    before = system.tangent.apply(v.value)
    d0, d1 = problem.norm(state.theta) / scale, system.tangent.norm(before) / scale
    small = 0.01 * d0 / d1 if min(d0, d1) > 1e-5 else guess
    small = min(small, end - state.t)
    later = problem.system(state.t + small, state.theta + small * v.value)
    w = run.regularization.velocity(later, v.anchor, run.solver, context)
    d2 = later.tangent.norm(later.tangent.apply(w.value) - before) / (small * scale)
    q = (run.integrator.error_order or run.integrator.order) + 1
    steep = max(d1, d2)
    first = (0.01 / steep) ** (1 / q) if steep > 1e-15 else guess
    return min(100 * small, first, end - state.t, run.controller.dt_max)
