"""evolve: a generator of immutable states from now until then."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from .. import validation as check
from ..ansatz.base import Ansatz
from ..conditions import scalars
from ..errors import DfpdeWarning, ParameterError
from ..leastsquares import Solver, default_solver
from ..model import Model
from ..parallel.replicated import same_on_all_ranks
from ..regularization import AutoInertia, Regularization
from .advance import close
from .control import PI, Controller
from .events import Event
from .explicit import DormandPrince, Integrator, with_tolerance
from .guard import Guard
from .march import Adapt, March, measured, states
from .resolution import Policy, ResolutionGuard
from .setting import Run
from .state import State

#: What `evolve` takes.
_ARGUMENTS = {
    "state": check.state,
    "until": check.real(),
    "times": check.each(check.real(), "a sequence of times"),
    "every_step": check.truth,
    "regularization": check.optional(check.rule),
    "controller": check.optional(check.controller),
    "integrator": check.integrator,
    "solver": check.optional(check.solver),
    "events": check.each(check.instance(Event, "an Event"), "a sequence of Events"),
    "adapt": check.optional(check.function),
    "rescue": check.optional(check.function),
    "max_steps": check.optional(check.integer(1)),
    "max_seconds": check.optional(check.real(above=0)),
}


def evolve(
    problem: Model,
    state: State,
    *,
    until: float,
    times: Sequence[float] = (),
    every_step: bool = False,
    regularization: Regularization | None = None,
    controller: Controller | None = None,
    integrator: Integrator = DormandPrince,
    solver: Solver | None = None,
    events: Sequence[Event] = (),
    adapt: Adapt | None = None,
    rescue: Callable[[State], None] | None = None,
    max_steps: int | None = None,
    max_seconds: float | None = None,
    on_unresolved: Policy = "warn",
) -> Iterator[State]:
    """Solve u_t = f(t, u) from state.t to `until`; the caller's loop body does all output.

    Parameters
    ----------
    problem : Problem or fem.SemiDiscrete
    state : State
        Start (from `fit`, a checkpoint, or ``State(t, theta)``).
    until : float
        Final time, hit exactly.
    times : sequence of float
        Output times, increasing, at most `until`, hit exactly: f may jump there.  When given, only the states at these
        times, at events and at `until` are yielded; otherwise every accepted step is.  Times up to state.t are skipped
        with a warning.
    every_step : bool
        Yield every accepted step also when output times are given.
    regularization : Regularization or None
        `AutoInertia`, `Inertia`, `Tikhonov`, ...; None is `AutoInertia` with the controller's tolerance.
    controller : Controller or None
        `PI(rtol=1e-6)`, `Fixed(dt)`, ...; None is ``PI(rtol=1e-4)``.
    integrator : Integrator
        `DormandPrince` (default), `BogackiShampine`, `RK4`, `Heun`, `Euler`; implicit: `SDIRK4`, `RadauIIA`, ...
    solver : Solver or None
        None is `KSP()`, and `LSQR()` where petsc4py is not installed.
    events : sequence of Event
        What stops the run, or changes its state, when g(t, state) crosses zero; the state yielded at an event is the
        one after its action.
    adapt : callable or None
        (problem, state) -> (problem, state) to go on with, or None for the same, after every accepted step and before
        it is yielded: an ansatz that grows (`Growing`), points that move (`dfpde.measures.Moving`).  If it has a method
        ``problem(problem, state)``, that gives the problem which a state with `measure_carry` was left with.
    rescue : callable or None
        Called on all ranks with the last good state before an error leaves this generator: write it.
    max_steps : int or None
        Most steps of this run.
    max_seconds : float or None
        Most seconds of this run, by the clock of rank 0.
    on_unresolved : {"warn", "raise", "ignore"}
        What to do when a single point of the quadrature decides a direction of θ (`dfpde.evolution.resolution`).

    Yields
    ------
    State

    Raises
    ------
    ParameterError
        A final time behind the state, times that are not increasing, or a controller that needs an error estimate the
        integrator lacks.
    StepError
        No acceptable step, steps that no longer move t (see `dfpde.evolution.guard`), or a limit that is reached: the
        message names the cause; its attribute ``state`` is the last good state.

    Warns
    -----
    DfpdeWarning
        Once each: what the ansatz does not follow of u_t comes to a hundredth of ‖u‖; fixed steps beyond the bound of
        stability; points that do not fit the period of the ansatz.

    Notes
    -----
    What the loop body changes in the equation (a coefficient that f refers to) holds from the yielded state on.  A run
    from a state at `until` yields nothing.
    """
    check.require({"problem": check.model}, {"problem": problem})
    given = dict(
        state=state, until=until, times=times, every_step=every_step, regularization=regularization,
        controller=controller, integrator=integrator, solver=solver, events=events, max_steps=max_steps,
        max_seconds=max_seconds, on_unresolved=on_unresolved, adapt=adapt, rescue=rescue,
    )  # fmt: skip
    equation = dict(ansatz=problem.ansatz, scale=problem.scale, conditions=scalars(problem.conditions))
    same_on_all_ranks(problem.comm, into=(Ansatz,), **equation, **given)
    check.require(_ARGUMENTS, given)
    controller, regularization, solver = chosen(controller, regularization, solver)
    stops = _stops(state.t, times, until)
    integrator = _scheme(integrator, controller)
    problem.ansatz.check_theta(state.theta)
    resumed = getattr(adapt, "problem", None)
    if resumed is not None and state.measure_carry:
        problem = resumed(problem, state)
    in_metric, state = measured(problem, state, regularization)
    run = Run(in_metric.for_run(), regularization, controller, integrator, solver, state.t)
    guard = Guard(problem.comm, state, float(until), max_steps, max_seconds)
    everything, resolution = every_step or len(times) == 0, ResolutionGuard(on_unresolved)
    march = March(problem, run, stops, everything, tuple(events), adapt, guard, resolution)
    return states(march, state, rescue)


def chosen(
    controller: Controller | None, regularization: Regularization | None, solver: Solver | None
) -> tuple[Controller, Regularization, Solver]:
    """Controller, rule and solver, with what `evolve` takes in place of None."""
    if controller is None:
        controller = PI(rtol=1e-4)
    if regularization is None:
        regularization = AutoInertia(min(getattr(controller, "rtol", 0.0) or 1e-4, 0.1))
    return controller, regularization, default_solver() if solver is None else solver


def _stops(start: float, times: Sequence[float], until: float) -> list[float]:
    """Where steps end: the output times and `until`, those that differ by rounding only once."""
    given = [float(t) for t in times]
    if not (math.isfinite(until) and (until >= start or close(until, start))):
        raise ParameterError(f"until = {until} with the state at t = {start}", "a finite final time after the state's")
    if not np.all(np.isfinite(given)) or any(b <= a for a, b in pairwise(given)) or (given and given[-1] > until):
        raise ParameterError(
            f"output times {given[:3]}{'…' if len(given) > 3 else ''} for a run from {start} until {until}",
            "finite, increasing times up to `until`",
        )
    ahead = [t for t in given if t > start and not close(t, start)]
    if len(ahead) < len(given):
        behind = len(given) - len(ahead)
        warnings.warn(f"{behind} output times up to the state's t = {start:g} are skipped", DfpdeWarning, stacklevel=3)
    stops = [t for t, after in pairwise([*ahead, float(until)]) if not close(t, after)]
    if close(until, start) and until != start:
        what = f"no step: until = {until!r} and the state's t are {abs(until - start):.1g} apart, a few roundings of t"
        warnings.warn(f"{what}\n  Try: a clock that starts near 0", DfpdeWarning, stacklevel=3)
    return stops if close(until, start) else [*stops, float(until)]


def _scheme(integrator: Integrator, controller: Controller) -> Integrator:
    """The integrator with the controller's tolerance, if it estimates the error that the controller asks for."""
    if controller.adaptive and integrator.error_order is None:
        raise ParameterError(
            f"{integrator} does not estimate its error",
            "an embedded scheme (Heun, BogackiShampine, DormandPrince, SDIRK4, RadauIIA, ROS2) or Fixed(dt)",
        )
    return with_tolerance(integrator, getattr(controller, "rtol", 0.0), getattr(controller, "atol", 0.0))
