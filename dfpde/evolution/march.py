"""The march of `evolve`: from step to step, with what happens between two of them (events, adaptation, output)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .. import validation as check
from ..ansatz.base import Ansatz
from ..leastsquares import block_metric
from ..model import Model
from ..parallel.collective import collective_errors, shared
from ..parallel.replicated import same_on_all_ranks
from ..parallel.threads import one_thread
from ..regularization import Regularization
from .advance import advance, first_step, recall, step_to
from .events import Event, Watch
from .explicit import Step, stage_time
from .guard import Guard
from .resolution import ResolutionGuard
from .setting import Run
from .start import look
from .state import State

Adapt = Callable[[Model, State], "tuple[Model, State] | None"]


def _pair(changed: object) -> None:
    if not (isinstance(changed, tuple | list) and len(changed) == 2):
        raise check.wrong_type("what adapt returns", changed, "None, or a pair (problem, state)")
    check.model("the problem that adapt returns", changed[0])
    check.state("the state that adapt returns", changed[1])


def measured(problem: Model, state: State, rule: Regularization) -> tuple[Model, State]:
    """The problem in the metric of the run, and the state that knows it; collective."""
    if problem.scale is not None or not rule.chooses_metric:
        return problem, state
    if state.scale is None or state.scale.size != problem.ansatz.size:
        blocks = [part for part, _ in problem.ansatz.slices().values()]
        state = state.with_(scale=block_metric(problem.tangent(state.theta).column_norms(), blocks))
    return problem.with_ansatz(problem.ansatz, state.scale), state


@dataclass(frozen=True, eq=False)
class March:
    """A run and what happens along it.

    Attributes
    ----------
    problem : Model
        As `adapt` left it; `run` has it in its metric.
    run : Run
    stops : sequence of float
        Where steps end, increasing; the last one is the final time.
    everything : bool
        Whether each step's state is yielded, and not only those at `stops` and events.
    events, adapt
        As `evolve` takes them.
    guard, resolution
        What ends a run that gets nowhere, and one whose points do not see the solution.
    """

    problem: Model
    run: Run
    stops: Sequence[float]
    everything: bool
    events: tuple[Event, ...]
    adapt: Adapt | None
    guard: Guard
    resolution: ResolutionGuard

    def adapted(self, state: State) -> tuple[March, State]:
        """The march of what `adapt` returns, and the state to go on from."""
        with collective_errors(self.problem.comm):
            changed = self.adapt(self.problem, state) if self.adapt is not None else None
            if changed is not None:
                _pair(changed)
        if self.adapt is not None:
            chosen = None if changed is None else (changed[0].ansatz, changed[1].t, changed[1].theta)
            same_on_all_ranks(self.problem.comm, into=(Ansatz,), what_adapt_returns=chosen)
        if changed is None or (changed[0] is self.problem and changed[1] is state):
            return self, state
        problem, state = changed
        in_metric, state = measured(problem, state, self.run.regularization)
        march = replace(self, problem=problem, run=replace(self.run, problem=in_metric.for_run()))
        return march, state.with_(at_end=False, solver_carry=())

    def arm(self, watched: Watch, state: State, fresh: Sequence[Event] | None = None) -> None:
        """Let events look at the state that the next step goes from; `fresh` have just happened, None at first."""
        ahead = self.stops[-1] - state.t
        watched.arm(state, partial(step_to, self.run, state), min(state.dt or ahead, ahead), fresh)


def states(march: March, state: State, rescue: Callable[[State], None] | None) -> Iterator[State]:
    """The states that `evolve` yields."""
    try:
        if not march.stops:
            return
        until = march.stops[-1]
        look(march.problem, state)
        state = _begun(march.run, state, until)
        watched = Watch(march.events, march.problem.comm)
        march.arm(watched, state)
        for stop in march.stops:
            while state.t < stop:
                run = march.run
                before, (state, step) = state, advance(run, state, stop)
                happened, state = watched.happened(before, state, partial(step_to, run, before))
                march.guard.check(run, state)
                state = march.resolution.after(run.problem, state, None if happened else step.tangent)
                step = replace(step, tangent=None)  # J is large
                if state.t == stop:
                    state = state.with_(at_end=False)  # f may jump here
                if happened:
                    acted = watched.act(happened, state)
                    if acted is None:
                        yield state
                        return
                    state = acted
                else:
                    march, state = march.adapted(state)
                if happened and state.t < until:
                    march.arm(watched, state, happened)
                state = watched.kept(state)
                if happened or march.everything or state.t == stop:
                    yield state
                    state = _as_the_equation_is_now(march.run, state, step)
                if happened and state.t < until:  # the loop body may have changed f
                    march.arm(watched, state, happened)
    except Exception as error:
        if rescue is not None and shared(march.problem.comm, error):
            with collective_errors(march.problem.comm):
                rescue(state)
        raise


def _begun(run: Run, state: State, until: float) -> State:
    """The state with a first step; collective."""
    recall(run.solver, state)
    if state.dt is not None and run.controller.adaptive:
        return state
    first = run.controller.first
    return state.with_(dt=first_step(run, state, until) if first is None else first)


@one_thread()
def _as_the_equation_is_now(run: Run, state: State, step: Step) -> State:
    """The state without its kept velocity if the loop body changed f."""
    if not (state.at_end and step.field is not None and step.rhs is not None):
        return state
    if not np.array_equal(step.field.theta, state.theta):
        return state
    t, dt = state.t, state.statistics.dt
    now = run.problem.weigh(run.problem.time_derivative(stage_time(t - dt, dt, 1.0), step.field))
    same = int(np.array_equal(now, step.rhs[: now.size]))
    comm = run.problem.comm
    return state if (comm.allreduce(same) if comm.size > 1 else same) == comm.size else state.with_(at_end=False)
