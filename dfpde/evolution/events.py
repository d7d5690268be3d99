"""Events g(t, state) = 0: found by sign changes over accepted steps, located by taking the step again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mpi4py import MPI

from ..errors import ParameterError
from ..parallel.collective import collective_errors
from ..parallel.replicated import same_on_all_ranks
from ..representation import represent
from .state import State

#: An event is located to this fraction of the step that crossed it.
LOCATED = 1e-10

#: Most steps taken to locate one event; Illinois' method needs about 8 for a smooth g, bisection 34.
MOST_TRIALS = 50


@dataclass(frozen=True)
class Event:
    """Something that happens when g(t, state) crosses zero.

    The root is the end of a step of the integrator itself, not a point of an interpolant, so the state at the event is
    as accurate as any other.  Two crossings within one step are not seen.

    Parameters
    ----------
    g : callable
        (t, state) -> float; rank 0's value counts.
    action : callable or None
        state -> State to go on from (None for the same).  Without an action the run ends at the event.
    direction : int
        1: only where g rises through zero, −1: only where it falls, 0: both.

    Raises
    ------
    ParameterError
        direction not −1, 0 or 1.
    """

    g: Callable[[float, State], float]
    action: Callable[[State], State | None] | None = None
    direction: int = 0

    __repr__ = represent

    def __post_init__(self) -> None:
        if self.direction not in (-1, 0, 1):
            raise ParameterError(f"direction = {self.direction}", "-1, 0 or 1")

    def at(self, state: State, comm: MPI.Comm) -> float:
        """g, identical on all ranks; what it raises on one of them, all raise."""
        with collective_errors(comm):
            value = float(self.g(state.t, state))
        return float(comm.bcast(value)) if comm.size > 1 else value

    def crossed(self, before: float | None, after: float) -> bool:
        """Whether g changed sign in the direction asked for; before=None is not armed."""
        if before is None or before == 0.0 or before * after > 0:
            return False
        rising = before < 0 <= after
        falling = before > 0 >= after
        return (rising and self.direction >= 0) or (falling and self.direction <= 0)


def locate(
    event: Event,
    comm: MPI.Comm,
    step_to: Callable[[float], State],
    start: tuple[float, float],
    end: tuple[State, float],
) -> State:
    """State at the root, by the Illinois variant of regula falsi on the end time of a step.

    Parameters
    ----------
    step_to : callable
        Time -> State: one step from the state before the crossing.
    start : (t, g)
        Before the crossing.
    end : (state, g)
        After it.
    """
    t0, g0 = start
    state, g1 = end
    t1, width, side = state.t, state.t - t0, 0
    for _ in range(MOST_TRIALS):
        if g1 == 0.0 or t1 - t0 <= LOCATED * width:
            break
        t = t1 - g1 * (t1 - t0) / (g1 - g0)
        t = min(max(t, t0 + 0.01 * LOCATED * width), t1)
        trial = step_to(t)
        g = event.at(trial, comm)
        if g == 0.0 or (g < 0) == (g1 < 0):
            moved = t1 - t
            state, t1, g1 = trial, t, g
            if moved <= LOCATED * width:
                break
            g0, side = (g0 / 2 if side == 1 else g0), 1
        else:
            t0, g0 = t, g
            g1, side = (g1 / 2 if side == -1 else g1), -1
    return state


class Watch:
    """The signs of all events along a run."""

    def __init__(self, events: Sequence[Event], comm: MPI.Comm) -> None:
        self.events, self.comm = tuple(events), comm
        self.before: list[float | None] = [None] * len(self.events)

    def arm(self, state: State) -> None:
        """Take the signs at this state."""
        self.before = [event.at(state, self.comm) for event in self.events]

    def first(self, start: State, end: State, step_to: Callable[[float], State]) -> tuple[Event | None, State]:
        """The earliest event of the step from start to end, and the state there; (None, end) without one."""
        after = [event.at(end, self.comm) for event in self.events]
        found: tuple[Event | None, State] = (None, end)
        for event, g0, g1 in zip(self.events, self.before, after, strict=True):
            if event.crossed(g0, g1) and g0 is not None:
                state = locate(event, self.comm, step_to, (start.t, g0), (end, g1))
                if found[0] is None or state.t < found[1].t:
                    found = (event, state)
        if found[0] is None:
            self.before = list(after)
        return found

    def act(self, event: Event, state: State) -> State:
        """The state to go on from; the event that acted is armed again after the next step, the others at once."""
        changed = self._acted(event, state)
        state = state if changed is None else changed.with_(at_end=False)
        self.before = [None if other is event else other.at(state, self.comm) for other in self.events]
        return state

    def _acted(self, event: Event, state: State) -> State | None:
        """What the action returns, the same on all ranks; what it raises on one of them, all raise."""
        with collective_errors(self.comm):
            changed = event.action(state) if event.action is not None else None
        same_on_all_ranks(self.comm, state_from_action=changed)
        return changed
