"""One accepted step: tried, judged, tried again with a smaller size, or given up with a diagnosis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import DfpdeError, NonFiniteError, SolverError, StepError
from ..leastsquares import LSQR, Solver
from ..parallel.threads import one_thread
from ..regularization import StageContext
from .diagnosis import Try, diagnose
from .explicit import Step
from .setting import Run
from .state import State

#: Tries of one step before the run ends with a diagnosis: 0.2^25 ≈ 3e-18 of the first try.
MOST_TRIES = 25

#: A step that would end this close (relative) to an output time is stretched onto it.
SNAP = 1e-9

#: Rounding error of t after n steps of t + dt, as a multiple of n |t|.
ROUNDING = 2.0**-52


def advance(run: Run, state: State, stop: float) -> tuple[State, Step]:
    """One accepted step towards `stop`, never past it: the state at its end, and the step itself.

    Raises
    ------
    StepError
        No step was acceptable: one diagnosis.
    """
    controller = run.controller
    proposal = min(state.dt if state.dt is not None else stop - state.t, controller.dt_max)
    smallest = max(controller.dt_min, 8 * 2.0**-53 * max(abs(state.t), abs(stop)))
    tries: list[Try] = []
    while len(tries) < MOST_TRIES:
        dt, ends = _towards(state, proposal, stop, controller.adaptive)
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
            return _accepted(run, state, step, dt, stop if ends else state.t + dt, proposed, decision.carry), step
        tries.append(Try(dt, ratio))
        state = _rejected(state).with_(controller_carry=decision.carry)
        proposal = decision.dt
    raise _give_up(run, state, tries)


@one_thread()
def _try(run: Run, state: State, dt: float) -> tuple[Step, float]:
    """A step and ‖u‖ after it (0 where no error is controlled), both finite."""
    recall(run.solver, state)
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


def step_to(run: Run, state: State, t: float) -> State:
    """One step that ends at t, whatever its error: it is shorter than one that was accepted."""
    dt = t - state.t
    step, _ = _try(run, state, dt)
    return _accepted(run, state, step, dt, t, state.dt or dt, state.controller_carry)


def recall(solver: Solver, state: State) -> None:
    """Give the solver what it knew at this state, so that a step is a function of it: restarts are bitwise equal."""
    if isinstance(solver, LSQR):
        solver.carry = state.solver_carry


def close(a: float, b: float) -> bool:
    """Whether two times are the same up to a few roundings."""
    return abs(a - b) <= 16 * ROUNDING * max(abs(a), abs(b))


def _towards(state: State, dt: float, stop: float, adaptive: bool) -> tuple[float, bool]:
    """Step size that does not pass `stop`, and whether it ends there.

    What is left beyond dt may be the rounding error of t alone, which grows with the steps: no step of its own.
    """
    left = stop - state.t
    drift = min(1e-3 * dt, ROUNDING * max(state.step, 16) * abs(stop))
    if dt + max(SNAP * dt, drift) >= left:
        return left, True
    if adaptive and dt > left / 2:  # two equal steps instead of a long and a tiny one
        return left / 2, False
    return dt, False


def _rejected(state: State) -> State:
    return state.counted(rejected=state.statistics.rejected + 1)


def _accepted(
    run: Run, state: State, step: Step, dt: float, t: float, proposed: float, carry: tuple[float, ...]
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
        integrator_carry=step.carry,
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


def _give_up(run: Run, state: State, tries: Sequence[Try]) -> StepError:
    cause, remedy = diagnose(run, state, tries)
    error = StepError(
        f"no acceptable step at t = {state.t:.9g}, step {state.step}, tried dt = {tries[0].dt:.1e} down to "
        f"{tries[-1].dt:.1e}: {cause}",
        remedy,
        state,
    )
    error.collective = True
    return error


@one_thread()
def first_step(run: Run, state: State, end: float) -> float:
    """Automatic first step size from ‖u‖, ‖u_t‖ and ‖u_tt‖ (Hairer, Nørsett, Wanner I, II.4), in field norms."""
    problem = run.problem
    guess = 1e-3 * (end - state.t)
    system = problem.system(state.t, state.theta)
    context = StageContext(state.t, guess, 1, state.step, 0, state.rule_carry)
    v = run.regularization.velocity(system, state.anchor, run.solver, context)
    before = system.tangent.apply(v.value)
    size, speed = problem.norm(state.theta), system.tangent.norm(before)
    scale = run.controller.tolerance(size if size > 0 else guess * speed)  # u = 0 is no measure: the u that comes is
    d0, d1 = size / scale, speed / scale
    small = 0.01 * d0 / d1 if min(d0, d1) > 1e-5 else guess
    small = min(small, end - state.t)
    later = problem.system(state.t + small, state.theta + small * v.value)
    w = run.regularization.velocity(later, v.anchor, run.solver, context)
    d2 = later.tangent.norm(later.tangent.apply(w.value) - before) / (small * scale)
    q = (run.integrator.error_order or run.integrator.order) + 1
    steep = max(d1, d2)
    first = (0.01 / steep) ** (1 / q) if steep > 1e-15 else guess
    return min(100 * small, first, end - state.t, run.controller.dt_max)
