"""Requests to stop: signals, and the wish of any rank becomes the decision of all."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

#: Batch systems send SIGTERM or SIGUSR1 before the time is up, a terminal SIGINT.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

#: Seconds within which a second signal is the first one again: a launcher passes on what the terminal sends as well.
SAME = 0.5


class StopSignals:
    """While the block runs, the first of `SIGNALS` is noted, and the second ends the process at once.

    Where signals cannot be caught (outside the main thread) nothing changes.

    Attributes
    ----------
    number : int
        Signal that came, 0 for none.
    """

    def __init__(self) -> None:
        self.number = 0
        self._when = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.number:
            self.number, self._when = number, now
        elif now - self._when > SAME:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def name(number: int) -> str:
    """``SIGTERM`` for 15."""
    return signal.Signals(number).name
