"""How far a run is: a line on a terminal that is rewritten, plain lines in a log file, nothing on other ranks."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO

from mpi4py import MPI

from ..evolution.state import State

BAR = 24  # characters
TERMINAL, LOG = 0.1, 10.0  # seconds between lines


def progress(
    states: Iterable[State],
    until: float,
    comm: MPI.Comm,
    stream: TextIO | None = None,
    *,
    every: float | None = None,
) -> Iterator[State]:
    """Pass states on, and report on rank 0: t, step, dt, defect, error, remaining time.

    Parameters
    ----------
    states : iterable of State
        For example ``evolve(problem, start, until=until, ...)``.
    until : float
        Final time.
    comm : MPI.Comm
    stream : text stream, optional
        Standard error by default.  On a terminal one line with a bar is rewritten; elsewhere lines are added.
    every : float, optional
        Seconds between reports: 0.1 on a terminal, 10 elsewhere.  The last state is always reported.

    Examples
    --------
    >>> for state in progress(evolve(problem, start, until=1.0, ...), 1.0, comm):   # doctest: +SKIP
    ...     pass
    """
    if comm.rank != 0:
        yield from states
        return
    stream = sys.stderr if stream is None else stream
    terminal = stream.isatty()
    pause = (TERMINAL if terminal else LOG) if every is None else every
    begin = last = time.perf_counter()
    start: float | None = None
    state: State | None = None
    reported: State | None = None
    try:
        for state in states:
            start = state.t - state.statistics.dt if start is None else start
            now = time.perf_counter()
            if now - last >= pause:
                _report(stream, terminal, state, start, until, now - begin)
                last, reported = now, state
            yield state
    finally:
        if state is not None and start is not None and (state is not reported or terminal):
            _report(stream, terminal, state, start, until, time.perf_counter() - begin)
        if terminal and state is not None:
            stream.write("\n")
            stream.flush()


def _report(stream: TextIO, terminal: bool, state: State, start: float, until: float, seconds: float) -> None:
    done = (state.t - start) / (until - start) if until != start else 1.0
    left = seconds * (1 - done) / done if done > 0 else float("nan")
    text = (
        f"t = {state.t:.4g} of {until:g}  step {state.step}  dt {state.statistics.dt:.2e}  "
        f"defect {state.statistics.defect:.1e}  error {state.statistics.error:.1e}  {_clock(seconds)} + {_clock(left)}"
    )
    if terminal:
        bar = "#" * round(BAR * min(max(done, 0.0), 1.0))
        stream.write(f"\r[{bar:<{BAR}}] {text}\033[K")
    else:
        stream.write(f"{100 * done:5.1f} %  {text}\n")
    stream.flush()


def _clock(seconds: float) -> str:
    if not seconds < 1e7:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
