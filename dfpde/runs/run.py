"""A run in a directory: it keeps what is needed to go on, stops when asked to, and goes on by itself."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from .. import validation as check
from ..diagnostics.history import History, Quantity
from ..errors import Stopped
from ..evolution import evolve
from ..evolution.events import Event
from ..evolution.state import State
from ..io.paraview import ParaViewWriter
from ..io.reporting import progress
from ..io.vtkhdf import VTKHDFWriter
from ..parallel.collective import collective_errors
from ..problem import Problem
from . import arguments, contents, describe, signals
from .due import Due
from .lock import DirectoryLock
from .record import Record
from .store import Store
from .watch import StepWatch

log = logging.getLogger(__name__)


class Run:
    """u_t = f(t, u) in a directory: `evolve`, with states on disk from which the same call goes on.

        manifest.json                what is needed to repeat it; status, last t, step and time
        history.csv                  a line for each accepted step
        outputs/000000120.npz        states at the output times, which stay
        checkpoints/000000133.npz    the last few others

    Run a script again and it goes on from the newest intact state, bit for bit as if it had not been interrupted (on
    the same number of ranks); a run that is finished does nothing.  SIGTERM, SIGINT, SIGUSR1 and `max_seconds` let the
    step end, keep the state and leave with `errors.Stopped`, exit code 75; a second signal ends the process at once.

    Parameters
    ----------
    directory : path
        Of this run alone; made if it is not there.
    problem : Problem
        Its communicator is the run's.
    every_steps, every_seconds : int, float or None
        Checkpoint after so many steps or seconds; states at output times are always kept.
    keep : int
        Checkpoints kept.
    max_seconds : float or None
        Stop after this time; leave a margin of a few steps to the limit of the queue.
    overwrite : bool
        Delete the run that is in the directory, and start anew.
    accept_changes : bool
        Go on even though the ansatz, the quadrature, f or the method changed since; the manifest lists what.
    show_progress : bool
        Report t, step, error and the time left, as `progress` does.
    quantities : mapping, optional
        Further columns of the history, as for `History`.
    rescue : callable or None
        Called on all ranks with the last good state when an error, a signal or the time limit ends the run.
    **parameters
        What else the run depends on (coefficients, seeds), for the manifest; numbers, strings, arrays.

    Attributes
    ----------
    state : State or None
        The newest state; None until there is one.
    resumed : bool
        Whether an earlier run was found.

    Raises
    ------
    RunError
        On all ranks: another job is in the directory, it holds something else, or another run.
    CheckpointError
        On all ranks: a file cannot be written, or no state is intact.

    Examples
    --------
    >>> with Run("out/burgers", problem, every_seconds=60) as run:                  # doctest: +SKIP
    ...     for state in run.evolve(start, until=1.0, times=times):                 # doctest: +SKIP
    ...         ...
    """

    @check.takes(
        directory=check.path,
        problem=check.model,
        every_steps=check.optional(check.integer(1)),
        every_seconds=check.optional(check.real(above=0)),
        keep=check.integer(1),
        max_seconds=check.optional(check.real(above=0)),
        overwrite=check.truth,
        accept_changes=check.truth,
        show_progress=check.truth,
        quantities=check.optional(check.quantities),
        rescue=check.optional(check.function),
    )
    def __init__(
        self,
        directory: str | os.PathLike[str],
        problem: Problem,
        *,
        every_steps: int | None = None,
        every_seconds: float | None = 60.0,
        keep: int = 3,
        max_seconds: float | None = None,
        overwrite: bool = False,
        accept_changes: bool = False,
        show_progress: bool = False,
        quantities: Mapping[str, Quantity] | None = None,
        rescue: Callable[[State], None] | None = None,
        **parameters: Any,
    ) -> None:
        self.directory, self.problem, self.comm = Path(directory), problem, problem.comm
        self.state: State | None = None
        self.resumed = False
        self._overwrite, self._accept = overwrite, accept_changes
        self._show_progress, self._rescue, self._parameters = show_progress, rescue, parameters
        self._quantities = quantities
        self._store, self._signals = Store(self.directory, problem, keep), signals.StopSignals()
        self._due = Due(self.comm, self._signals, every_steps, every_seconds, max_seconds)
        self._lock: DirectoryLock | None = None
        self._saved: State | None = None  # the newest state on disk

    def __repr__(self) -> str:
        return f"Run({str(self.directory)!r}, {'not begun' if self.state is None else self.state!r})"

    # -- begin and end ---------------------------------------------------------------------------------------
    def __enter__(self) -> Self:
        self._due.begin()
        lock = DirectoryLock(self.directory)
        with collective_errors(self.comm):
            if self.comm.rank == 0:
                contents.prepare(self.directory, lock, self._overwrite)
        self._lock = lock
        try:
            self._open()
        except BaseException:
            lock.release()
            raise
        self._signals.__enter__()
        return self

    def _open(self) -> None:
        self.state = self._saved = self._store.newest()
        if self.state is not None:
            self._due.resume(self.state)
        self.resumed = self.state is not None
        self.record = Record(self.directory, self.comm, self.state, self._parameters)
        self.record.describe("problem", describe.of_problem(self.problem), self._accept)
        path = self.directory / contents.HISTORY
        columns: dict[str, Any] = {"quantities": self._quantities, "problem": self.problem}
        if self.state is None:
            with collective_errors(self.comm):
                if self.comm.rank == 0:
                    path.unlink(missing_ok=True)  # of a job that was killed before its first state was kept
            self.history = History(path, **columns, comm=self.comm)
        else:
            self.history = History.resume(path, self.state, **columns, comm=self.comm)
        if self.state is not None:
            log.info("%s: going on from t = %.9g, step %d", self.directory, self.state.t, self.state.step)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._signals.__exit__(kind, error, traceback)
        try:
            if error is None and self.state is not None and self.state is not self._saved:
                self._save(self.state, output=False)  # the loop was left: all ranks are here
            self.record.close(error, self.state)
        finally:
            if self._lock is not None:
                self._lock.release()
        if error is None or isinstance(error, Stopped):
            self.comm.Barrier()  # a rank that leaves with code 75 may end the job: not before rank 0 is done

    # -- the run ---------------------------------------------------------------------------------------------
    def evolve(
        self,
        start: State | Callable[[], State] | None = None,
        *,
        until: float,
        times: Sequence[float] | NDArray[Any] = (),
        every_step: bool = False,
        events: Sequence[Event] = (),
        **method: Any,
    ) -> Iterator[State]:
        """`dfpde.evolve` from where this run is; the loop body sees each state before it is kept.

        Parameters
        ----------
        start : State, callable or None
            Where a new run begins; a callable (the fit of initial data) is called only then.
        until, times, every_step, events, **method
            As for `dfpde.evolve`; output times before the present one are left out.

        Yields
        ------
        State
            As `dfpde.evolve`.

        Raises
        ------
        Stopped
            A signal came, or the time was up; the state is kept.
        """
        arguments.march(until=until, times=times, every_step=every_step, events=events)
        state = self.begin(start)
        if self.record.finished(until) or state.t >= until:
            log.info("%s: finished at t = %.9g, nothing to do", self.directory, state.t)
            self.record.finish(until, state)
            return
        self.record.method(describe.of_method(method), until, self._accept)
        self._stop_if(self._due.agree(state)[1], state)
        stops = [float(t) for t in times if t > state.t]
        everything = every_step or not len(times)
        watch = StepWatch(self.record)
        steps = evolve(
            self.problem, state, until=until, times=stops, every_step=True, rescue=self._keep_last,
            events=watch.told(events), **method,
        )  # fmt: skip
        steps = progress(steps, until, self.comm, since=state) if self._show_progress else steps
        shown = state
        for state, at_event in watch(steps):
            self.state = state
            self.history.record(state)
            output = state.t in stops or state.t == until
            if everything or output or at_event:
                shown = state
                yield state
                watch.lap("loop body")
            self._after(state, output)
        if shown is not state:  # an event that ends the run
            yield state
        if self._saved is not state:
            self._save(state, output=True)
        self.record.finish(until, state)

    def begin(self, start: State | Callable[[], State] | None = None) -> State:
        """The state to go on from; of a new run the start, kept as its first output; collective."""
        arguments.begun(self, self.directory)
        if self.state is None:
            self.state = arguments.first(start, self.problem, self.directory)
            self.history.record(self.state)
            self._save(self.state, output=True)
        return self.state

    def paraview(self, mesh: Any, name: str = "series", **options: Any) -> ParaViewWriter:
        """A `ParaViewWriter` in the directory that goes on with the series from where this run does; collective."""
        return ParaViewWriter(self.directory / name, mesh, self.comm, keep_until=self._reached, **options)

    def vtkhdf(self, mesh: Any, name: str = "series", **options: Any) -> VTKHDFWriter:
        """A `VTKHDFWriter` in the directory, one file, that goes on from where this run does; collective."""
        return VTKHDFWriter(self.directory / name, mesh, self.comm, keep_until=self._reached, **options)

    @property
    def _reached(self) -> float | None:
        return None if self.state is None else self.state.t

    # -- after each step -------------------------------------------------------------------------------------
    def _after(self, state: State, output: bool) -> None:
        """Keep the state where it is due, and stop where a rank was asked to."""
        due, request = self._due.agree(state)
        if output or due or request:
            self._save(state, output)
        self.record.beat(state)
        self._stop_if(request, state)

    def _stop_if(self, request: int, state: State) -> None:
        if not request:
            return
        reason = signals.name(request) if request > 0 else f"max_seconds = {self._due.limit:g}"
        log.warning("%s: %s, stopped at t = %.9g, step %d", self.directory, reason, state.t, state.step)
        if self._rescue is not None:
            self._rescue(state)
        raise Stopped(reason)

    def _save(self, state: State, output: bool) -> None:
        self._store.save(state, output)
        self._saved = state
        self._due.saved(state)

    def _keep_last(self, state: State) -> None:
        """`rescue` of `evolve`: called on all ranks."""
        if self._saved is None or state.step > self._saved.step:
            self._save(state, output=False)
        self.state = state
        if self._rescue is not None:
            self._rescue(state)
