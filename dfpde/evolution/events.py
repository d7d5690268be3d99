"""Events g(t, state) = 0: found by sign changes over accepted steps, located by taking the step again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpi4py import MPI

from .. import validation as check
from ..errors import NonFiniteError, ParameterError
from ..parallel.collective import collective_errors
from ..parallel.replicated import same_on_all_ranks
from ..representation import represent
from .state import State

#: An event is located to this fraction of the step that crossed it.
LOCATED = 1e-10

#: The sign of an event that has just happened is taken this fraction of a step later.
PROBE = 1e-6

StepTo = Callable[[float], State]

#: Steps by Illinois' method, which needs about 8 for a smooth g; a multiple root, or a g that is much larger on one
#: side, is bisected from then on, in 34.
SECANTS = 12

#: Most steps taken to locate one event.
MOST_TRIALS = 60


@dataclass(frozen=True)
@check.takes(g=check.function, action=check.optional(check.function), direction=check.integer(-1, 1))
class Event:
    """Something that happens when g(t, state) crosses zero.

    The root is the end of a step of the integrator itself, not a point of an interpolant, so the state at the event is
    as accurate as any other.  Two crossings within one step are not seen.  At the start of a run and after the event's
    own action the sign that counts is the one that g takes right after, which a short step finds out: g = 0 at
    the start is no event.

    Parameters
    ----------
    g : callable
        (t, state) -> finite number that changes sign; rank 0's value counts.
    action : callable or None
        state -> State to go on from (None for the same); it may change the equation.  Without an action the run ends
        at the event.  Of several events at one instant all act, in the order given.
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

    def at(self, state: State, comm: MPI.Comm) -> float:
        """g, identical on all ranks; what it raises on one of them, all raise.

        Raises
        ------
        ParameterError
            g is no number but a truth value, an array, ...
        NonFiniteError
            g is NaN or infinite.
        """
        with collective_errors(comm):
            value = _number(self.g(state.t, state))
            if not math.isfinite(value):
                raise NonFiniteError(f"an event function is {value} at t = {state.t:.9g}", "a function that is finite")
        return float(comm.bcast(value)) if comm.size > 1 else value

    def crossed(self, before: float, after: float) -> bool:
        """Whether g changed sign in the direction asked for; never from zero."""
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
    """State at the root, by the Illinois variant of regula falsi on the end time of a step, then by bisection.

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
    t1, side, secants, sure = state.t, 0, SECANTS, False
    rounding = 2.0**-52 * abs(t1)
    near, weight0, weight1 = max(LOCATED * (t1 - t0), 4 * rounding), 1.0, 1.0
    for trial in range(MOST_TRIALS):
        if g1 == 0.0 or t1 - t0 <= near:
            break
        if sure:  # t1 has stopped to move: the root is there if g has the other sign just before
            t = t1 - near / 2
        elif trial < secants:
            t = t1 - weight1 * g1 * (t1 - t0) / (weight1 * g1 - weight0 * g0)
        else:
            t = (t0 + t1) / 2
        t = min(max(t, t0 + max(0.01 * near, rounding)), t1)
        there = step_to(t)
        g = event.at(there, comm)
        if g == 0.0 or (g < 0) == (g1 < 0):
            secants = 0 if sure else secants
            sure = t1 - t <= near and not sure
            state, t1, g1 = there, t, g
            weight0, weight1, side = (weight0 / 2 if side == 1 else 1.0), 1.0, 1
        else:
            t0, g0, sure = t, g, False
            weight1, weight0, side = (weight1 / 2 if side == -1 else 1.0), 1.0, -1
    return state


def _number(value: Any) -> float:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "fiu":
        raise ParameterError(
            f"an event function returned {value!r:.60}",
            "a number that changes sign at the event: t - 0.5, not t > 0.5",
        )
    return float(array.reshape(-1)[0])


class Watch:
    """The signs of all events along a run.

    Parameters
    ----------
    events : sequence of Event
    comm : MPI.Comm
    """

    def __init__(self, events: Sequence[Event], comm: MPI.Comm) -> None:
        self.events, self.comm = tuple(events), comm
        self.before: list[float] = [0.0] * len(self.events)

    def arm(self, state: State, step_to: StepTo, dt: float, fresh: Sequence[Event] | None = None) -> None:
        """Take the signs at a state; those of events that have just happened, at first of all, a short step later.

        At first (`fresh` is None) a zero within that step has just been met, or is about to be: the state knows, where
        it comes from a run with as many events.
        """
        self.before = [event.at(state, self.comm) for event in self.events]
        unsure = [i for i, event in enumerate(self.events) if fresh is None or any(event is one for one in fresh)]
        if unsure:
            known = state.event_carry if fresh is None and len(state.event_carry) == len(self.events) else None
            soon = step_to(state.t + max(PROBE * dt, 64 * 2.0**-52 * abs(state.t)))
            for i in unsure:
                now, self.before[i] = self.before[i], self.events[i].at(soon, self.comm)
                if known is not None and known[i] != 0.0 and not now * self.before[i] > 0:
                    self.before[i] = known[i]

    def kept(self, state: State) -> State:
        """The state with the signs that are waited from."""
        return state.with_(event_carry=tuple(self.before)) if self.events else state

    def happened(self, start: State, end: State, step_to: StepTo) -> tuple[list[Event], State]:
        """The earliest events of the step from start to end, all of one instant, and the state there; or none, end."""
        if not self.events:
            return [], end
        after = [event.at(end, self.comm) for event in self.events]
        crossed = [i for i, event in enumerate(self.events) if event.crossed(self.before[i], after[i])]
        if not crossed:
            self.before = [g if g != 0.0 else old for g, old in zip(after, self.before, strict=True)]
            return [], end
        roots = [self._root(i, start, (end, after[i]), step_to) for i in crossed]
        first = min(roots, key=lambda state: state.t)
        near = LOCATED * (end.t - start.t) + 16 * 2.0**-52 * abs(end.t)
        together = [(i, root) for i, root in zip(crossed, roots, strict=True) if root.t - first.t <= near]
        latest = max((root for _, root in together), key=lambda state: state.t)  # where all of them have happened
        there = end if end.t - latest.t <= near else latest
        met = {i for i, _ in together} | {i for i in crossed if self._is_behind(i, there)}
        return [self.events[i] for i in sorted(met)], there

    def _is_behind(self, i: int, state: State) -> bool:
        """Whether event i has happened at a state: its root, found by other steps, may lie a little later."""
        return self.events[i].crossed(self.before[i], self.events[i].at(state, self.comm))

    def _root(self, i: int, start: State, end: tuple[State, float], step_to: StepTo) -> State:
        """Of event i, which crosses zero from the sign that is kept."""
        event, kept = self.events[i], self.before[i]
        now = event.at(start, self.comm)
        return locate(event, self.comm, step_to, (start.t, now if now * kept > 0 else kept), end)

    def act(self, happened: Sequence[Event], state: State) -> State | None:
        """The state to go on from after all actions; None where an event ends the run."""
        for event in happened:
            if event.action is not None:
                with collective_errors(self.comm):
                    changed = event.action(state)
                    check.optional(check.state)("what an event's action returns", changed)
                same_on_all_ranks(self.comm, state_from_action=changed)
                state = state if changed is None else changed
        return None if any(event.action is None for event in happened) else state.with_(at_end=False)
