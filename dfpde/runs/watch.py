"""The accepted steps of a run: which of them end at an event, and where the time goes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..evolution.events import Event
from ..evolution.state import State
from .record import Record


class StepWatch:
    """Tells a record the seconds of stepping, saving and what else is named; knows whether an event has acted."""

    def __init__(self, record: Record) -> None:
        self.record, self._acted, self._lap_at = record, False, 0.0

    def told(self, events: Sequence[Event]) -> list[Event]:
        """The events, which say so here when their actions are called."""
        return [self._told(event) for event in events]

    def _told(self, event: Event) -> Event:
        action = event.action
        if action is None:
            return event

        def act(state: State) -> State | None:
            self._acted = True
            return action(state)

        return replace(event, action=act)

    def __call__(self, steps: Iterator[State]) -> Iterator[tuple[State, bool]]:
        """Each state, and whether it is one at an event."""
        self._lap_at = time.perf_counter()
        for state in steps:
            self.lap("stepping")
            at_event, self._acted = self._acted, False
            yield state, at_event
            self.lap("saving")

    def lap(self, on: str) -> None:
        """The time since the last lap went into this."""
        now = time.perf_counter()
        self.record.spent(on, now - self._lap_at)
        self._lap_at = now
