"""How far a run is: a bar on a terminal or in a notebook, plain lines in a log file, nothing on other ranks."""

from __future__ import annotations

import importlib.util
import logging
import math
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

from mpi4py import MPI

from .. import validation as check
from ..errors import CheckpointError
from ..evolution.state import State
from ..parallel.collective import collective_errors
from ..parallel.communicator import communicator

BAR = 24  # characters
TERMINAL, LOG = 0.1, 10.0  # seconds between reports
RECENT = 20  # reported states from which the speed is taken
SHRUNK = 0.5  # "steps are shrinking" when dt is below this share of what it was RECENT states ago


@check.takes(
    states=check.having("states, as evolve yields them", "__iter__"),
    until=check.real(),
    stream=check.optional(check.having("a text stream", "write")),
    every=check.optional(check.real(0)),
    since=check.optional(check.state),
)
def progress(
    states: Iterable[State],
    until: float,
    comm: MPI.Comm | None = None,
    stream: TextIO | None = None,
    *,
    every: float | None = None,
    since: State | None = None,
) -> Iterator[State]:
    """Pass states on, and report on rank 0: t, step, dt, defect, error, time spent and time left.

    The time left is (until − t)/dt steps, each as long as the last ones were; where the steps are shrinking, which
    makes any such estimate too short, the report says so.

    Parameters
    ----------
    states : iterable of State
        For example ``evolve(problem, start, until=until, ...)``.
    until : float
        Final time.
    comm : MPI.Comm, optional
        May be left out in a job of one process.
    stream : text stream, optional
        Standard error by default.  On a terminal one line with a bar is rewritten, by tqdm where it is installed;
        elsewhere lines are added.  In a notebook tqdm shows its bar.
    every : float, optional
        Seconds between reports: 0.1 on a terminal, 10 elsewhere.  The last state is always reported.
    since : State, optional
        Where this session begins, if not at the first state less its step.

    Examples
    --------
    >>> for state in progress(evolve(problem, start, until=1.0, ...), 1.0, comm):   # doctest: +SKIP
    ...     pass
    """
    comm = communicator(comm)
    if comm.rank != 0:
        yield from states
        return
    display = _display(sys.stderr if stream is None else stream)
    pause = display.pause if every is None else every
    meter = _Meter(until, since.t if since is not None else None)
    last, reported = time.perf_counter(), None
    try:
        for state in states:
            check.state("a state", state)
            meter.add(state)
            now = time.perf_counter()
            if now - last >= pause:
                display.show(meter.share, meter.text())
                last, reported = now, state
            yield state
    finally:
        if meter.state is not None and (meter.state is not reported or display.pause == TERMINAL):
            display.show(meter.share, meter.text())
        display.close()


# -- speed ---------------------------------------------------------------------------------------------------
@dataclass
class _Meter:
    """Speed over the last states, and what is left at the present step size."""

    until: float
    start: float | None
    begin: float = field(default_factory=lambda: time.perf_counter())
    state: State | None = None
    recent: deque[tuple[float, int, float]] = field(default_factory=lambda: deque(maxlen=RECENT))  # seconds, step, dt

    def add(self, state: State) -> None:
        """Take note of a state."""
        if self.start is None:
            self.start = state.t - state.statistics.dt
        if not self.recent:
            self.recent.append((self.begin, state.step - 1, self._dt(state)))
        self.recent.append((time.perf_counter(), state.step, self._dt(state)))
        self.state = state

    @staticmethod
    def _dt(state: State) -> float:
        return state.dt if state.dt is not None else state.statistics.dt

    @property
    def share(self) -> float:
        """Part of the time that is done, 0 to 1."""
        if self.state is None or self.start is None or self.until == self.start:
            return 1.0
        return min(max((self.state.t - self.start) / (self.until - self.start), 0.0), 1.0)

    def left(self) -> float:
        """Seconds; NaN where unknown."""
        (before, first, _), (now, last, dt) = self.recent[0], self.recent[-1]
        if self.state is None or last <= first or not dt > 0:
            return math.nan
        return max(0.0, (self.until - self.state.t) / dt) * (now - before) / (last - first)

    def shrinking(self) -> bool:
        """Whether dt has fallen below half of what it was."""
        return len(self.recent) == RECENT and self.recent[-1][2] < SHRUNK * self.recent[0][2]

    def text(self) -> str:
        """One line."""
        state = self.state
        if state is None:
            return ""
        return (
            f"t = {state.t:.4g} of {self.until:g}  step {state.step}  dt {state.statistics.dt:.2e}  "
            f"defect {state.statistics.defect:.1e}  error {state.statistics.error:.1e}  "
            f"{_clock(time.perf_counter() - self.begin)} + {_clock(self.left())}"
            f"{'  steps are shrinking' if self.shrinking() else ''}"
        )


def _clock(seconds: float) -> str:
    if not seconds < 1e7:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


# -- where it is shown ---------------------------------------------------------------------------------------
class _Display(Protocol):
    pause: float

    def show(self, share: float, text: str) -> None: ...

    def close(self) -> None: ...


def _display(stream: TextIO) -> _Display:
    notebook = type(stream).__module__.startswith("ipykernel")
    if (stream.isatty() or notebook) and importlib.util.find_spec("tqdm") is not None:
        return _Tqdm(stream)
    return _Line(stream) if stream.isatty() else _Lines(stream)


class _Tqdm:
    pause = TERMINAL

    def __init__(self, stream: TextIO) -> None:
        from tqdm.auto import tqdm

        self._bar: Any = tqdm(total=100, file=stream, bar_format="{percentage:3.0f} % |{bar:24}| {desc}", leave=True)

    def show(self, share: float, text: str) -> None:
        self._bar.n = round(100 * share)
        self._bar.set_description_str(text)

    def close(self) -> None:
        self._bar.close()


class _Line:
    pause = TERMINAL

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._shown = stream, False

    def show(self, share: float, text: str) -> None:
        self._stream.write(f"\r[{'#' * round(BAR * share):<{BAR}}] {text}\033[K")
        self._stream.flush()
        self._shown = True

    def close(self) -> None:
        if self._shown:
            self._stream.write("\n")
            self._stream.flush()


class _Lines:
    pause = LOG

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, share: float, text: str) -> None:
        self._stream.write(f"{100 * share:5.1f} %  {text}\n")
        self._stream.flush()

    def close(self) -> None: ...


# -- logging -------------------------------------------------------------------------------------------------
def start_logging(comm: MPI.Comm, folder: str | Path | None = None, level: int = logging.INFO) -> None:
    """Show what dfpde logs (``logging.getLogger("dfpde")``): `level` on rank 0, warnings on the others.

    Calling it again replaces what the call before set up; handlers of the root logger stay as they are.

    Parameters
    ----------
    comm : MPI.Comm
    folder : path, optional
        Every rank also writes everything to ``folder/log.RANK.txt``, after what an earlier session wrote there.
    level : int
        Of rank 0 on standard error.

    Raises
    ------
    CheckpointError
        On all ranks: a file cannot be written.
    """
    logger = logging.getLogger("dfpde")
    for handler in [handler for handler in logger.handlers if getattr(handler, "dfpde", False)]:
        logger.removeHandler(handler)
        handler.close()
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    handlers[0].setLevel(level if comm.rank == 0 else logging.WARNING)
    with collective_errors(comm):
        if folder is not None:
            handlers.append(_to_file(Path(folder) / f"log.{comm.rank}.txt"))
    who = f" rank {comm.rank}" if comm.size > 1 else ""
    for handler in handlers:
        handler.setFormatter(logging.Formatter(f"%(asctime)s{who} %(levelname)s %(message)s", "%H:%M:%S"))
        handler.dfpde = True  # type: ignore[attr-defined]
        logger.addHandler(handler)
    logger.setLevel(min(handler.level or level for handler in handlers))
    logger.propagate = False


def _to_file(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror or error}", "a folder you may write to") from error
    handler.setLevel(logging.INFO)
    return handler
