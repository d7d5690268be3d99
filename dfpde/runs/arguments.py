"""What `Run.evolve` takes: checked before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import validation as check
from ..errors import ParameterError
from ..evolution.events import Event
from ..evolution.state import State
from ..problem import Problem

_MARCH = {
    "until": check.real(),
    "times": check.each(check.real(), "a sequence of times"),
    "every_step": check.truth,
    "events": check.each(check.instance(Event, "an Event"), "a sequence of Events"),
}


def march(**given: Any) -> None:
    """Refuse wrong arguments beside those that go to `evolve` as they are.

    Raises
    ------
    ParameterError
    """
    check.require(_MARCH, given)


def first(start: Any, problem: Problem, directory: Path) -> State:
    """The start of a new run: a state that fits the problem, or what makes one.

    Raises
    ------
    ParameterError, ShapeError
        There is none, it is no state, or one of another ansatz.
    """
    if start is None:
        raise ParameterError(f"a new run in {directory} without a start", "evolve(start, until=...)")
    state = start() if callable(start) else start
    check.state("start", state)
    problem.ansatz.check_theta(state.theta)
    found: State = state
    return found


def begun(run: Any, directory: Path) -> None:
    """Refuse a `Run` that is not entered.

    Raises
    ------
    ParameterError
    """
    if not hasattr(run, "history"):
        raise ParameterError(f"the run in {directory} has not begun", "with Run(...) as run: run.evolve(...)")
