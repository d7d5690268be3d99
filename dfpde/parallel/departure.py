"""A rank that leaves the job alone ends it: hooks for uncaught exceptions, ``sys.exit`` and Ctrl-C.

The exit handlers of MPI and PETSc wait for all ranks, so a rank that ends while the others sit in a collective call
hangs the job for ever, also under ``python -m mpi4py``.  Python offers a hook for exceptions (``sys.excepthook``); for
``sys.exit`` the code is noted when it is asked for, and looked at once the main program has really ended by it.
"""

from __future__ import annotations

import atexit
import contextlib
import dis
import gc
import os
import signal
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType, TracebackType
from typing import NoReturn

from mpi4py import MPI

from .. import errors
from .. import validation as check

#: Seconds that a failing rank waits for the others to fail as well, before it ends the job.
GRACE = 3.0

#: Seconds that the exit handlers have when all ranks fail.
LAST = 30

#: Characters of an error that the ranks compare: a message that is sent without waiting for its receiver.
LONGEST = 200


def exit_code(code: object) -> int:
    """What Python makes of ``sys.exit(code)``: a number as it is, 0 for None, 1 for anything else."""
    return code if isinstance(code, int) else int(code is not None)


def meet(comm: MPI.Comm, word: str) -> list[str] | None:
    """The words of all ranks if all come to this call within `GRACE`, else None.

    Messages under the highest tag: unlike a barrier they match no collective call that other ranks are in.
    """
    tag = int(comm.Get_attr(MPI.TAG_UB) or 0)
    words = [word] * comm.size
    waiting = set(range(comm.size)) - {comm.rank}
    sent = [comm.isend(word[:LONGEST], rank, tag) for rank in waiting]
    end = time.monotonic() + GRACE
    while waiting and time.monotonic() < end:
        for rank in [rank for rank in waiting if comm.iprobe(rank, tag)]:
            words[rank] = comm.recv(source=rank, tag=tag)
            waiting.discard(rank)
        time.sleep(1e-3)
    if waiting:
        return None
    MPI.Request.Waitall(sent)
    return [other[:LONGEST] for other in words]


def leave_with(comm: MPI.Comm, error: BaseException, report: Callable[[], object], code: int) -> None:
    """Report an error once, and return if all ranks come here with one; end the job otherwise.

    Rank 0 reports at once; another rank when it is alone, or has another error that is not `collective`.
    """
    word = f"{type(error).__name__}: {error}"[:LONGEST]
    if comm.rank == 0:
        report()
    words = meet(comm, word)
    if comm.rank > 0 and (words is None or (words[0] != word and not getattr(error, "collective", False))):
        report()
    if words is None:
        abort(comm, code)
    if comm.size > 1:
        departure.failed = True
        _release(error)


def _release(error: BaseException | None) -> None:
    """Free what the frames of an error still hold.

    PETSc objects, freed on some ranks and not on others, would hang PETSc's exit handler, a collective call.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()


def _end_within(seconds: int) -> None:
    """The process ends by then whatever its exit handlers do (SIGALRM's default action)."""
    with contextlib.suppress(ValueError):  # signals belong to the main thread
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)


def abort(comm: MPI.Comm, code: int) -> NoReturn:
    """End all ranks of the job with this exit code; what was printed is seen."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    with contextlib.suppress(MPI.Exception):
        comm.Abort(code)
    os._exit(code)  # MPI did not: the launcher ends the job of a process that went without it


class _Left(SystemExit):
    """What ``sys.exit`` raises once the hooks are there: built-in exceptions have no weak references."""


class Departure:
    """The hooks of this process.

    One object for each process, as there is one ``sys.excepthook`` and one exit code.
    """

    def __init__(self) -> None:
        self.comm: MPI.Comm | None = None
        self.early = False  # before the first collective call
        self.code = 0  # of the last sys.exit
        self.failed = False  # all ranks leave with an error
        self.order = 0  # of the exit handlers: 1 before MPI's, 2 before PETSc's

    def expect(self, world: MPI.Comm) -> None:
        """Install the hooks for what fails before the first collective call of a job of several processes."""
        if world.size > 1 and self.comm is None:
            self.early = True
            self._install(world)

    def watch(self, comm: MPI.Comm) -> None:
        """Install the hooks at the first communicator of several ranks; those that are there are called first.

        A process whose first communicator is its own alone shares no work, so its end concerns no other: the hooks go.
        """
        if comm.size == 1:
            if self.early:
                self._remove()
            return
        if self.comm is None or self.early:
            self.early = False
            self._install(comm)
        self._register()

    def _install(self, comm: MPI.Comm) -> None:
        self.comm, self.main = comm, _bottom()
        if sys.excepthook != self.uncaught:
            self.hook, sys.excepthook = sys.excepthook, self.uncaught
        if sys.exit != self.leave:
            self.exit, sys.exit = sys.exit, self.leave
        self._register()

    def _register(self) -> None:
        """`ended` is to be the first exit handler: before MPI's, and before PETSc's once that is imported."""
        order = 2 if "petsc4py.PETSc" in sys.modules else 1
        if order > self.order:
            self.order = order
            atexit.unregister(self.ended)
            atexit.register(self.ended)  # the last that is registered comes first

    def _remove(self) -> None:
        self.comm, self.early = None, False
        if sys.excepthook == self.uncaught:
            sys.excepthook = self.hook
        if sys.exit == self.leave:
            sys.exit = self.exit

    def uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """``sys.excepthook``: report once; end the job unless all ranks leave with the same error."""
        if self.comm is None or hasattr(sys, "ps1") or MPI.Is_finalized():  # ps1: an interactive session goes on
            self.hook(kind, error, trace)
            return
        code = 130 if issubclass(kind, KeyboardInterrupt) else 1
        leave_with(self.comm, error, lambda: self.hook(kind, error, trace), code)

    def leave(self, code: object = None, /) -> NoReturn:
        """``sys.exit``, with the code noted until someone catches it."""
        try:
            self.exit(code)  # type: ignore[arg-type]
        except SystemExit as error:
            left = _Left(*error.args)
        self.code = exit_code(code)
        self.left = weakref.ref(left, self.caught)
        try:
            raise left
        finally:
            del left  # its traceback holds this frame

    def caught(self, _: weakref.ref[_Left]) -> None:
        """Forget the code when what `sys.exit` raised is gone and the main program still runs."""
        if _bottom() is self.main:
            self.code = 0

    def ended(self) -> None:
        """At exit: end the job if the main program was left by ``sys.exit`` with a code on some ranks only."""
        if self.comm is None or MPI.Is_finalized():
            return
        gc.collect()  # see `_release`
        if self.failed:
            _end_within(LAST)
        if not self.code or _returned(self.main):
            return
        if meet(self.comm, "") is None:
            sys.stderr.write(f"dfpde: rank {self.comm.rank} of {self.comm.size} left with exit code {self.code}\n")
            abort(self.comm, self.code)
        _end_within(LAST)


def _bottom() -> FrameType | None:
    """The outermost frame of the main thread: the main program, or what runs it."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _returned(frame: FrameType | None) -> bool:
    """Whether a frame has ended by its ``return``, not by an exception (a ``sys.exit`` that someone caught is over)."""
    return frame is not None and dis.opname[frame.f_code.co_code[frame.f_lasti]].startswith("RETURN_")


#: The hooks of this process.
departure = Departure()


# -- the block of a script -----------------------------------------------------------------------------------
@contextmanager
def run(comm: MPI.Comm) -> Iterator[None]:
    """Body of a parallel script: any failure ends all ranks within seconds, with one message.

    An error that every rank raises is printed by rank 0 alone, with the traceback of the rank where it arose, and all
    ranks leave with exit code 1.  An error that one rank raises alone (user code between dfpde's calls) is printed by
    that rank, which then aborts the job; so does ``sys.exit`` with a code, of some ranks only.  ``KeyboardInterrupt``
    leaves with code 130.

    Without this block the same is done at the end of the main program, but for ``raise SystemExit(code)``, of which
    Python tells nobody the code.

    Examples
    --------
    >>> from mpi4py import MPI
    >>> with run(MPI.COMM_SELF):
    ...     pass
    """
    check.instance(MPI.Comm, "a communicator of mpi4py")("comm", comm)
    departure.watch(comm)
    try:
        yield
    except SystemExit as left:
        code = exit_code(left.code)
        if code and meet(comm, "") is None:
            text = "" if isinstance(left.code, int) else f"{left.code}\n"
            sys.stderr.write(f"{text}dfpde: rank {comm.rank} of {comm.size} left with exit code {code}\n")
            abort(comm, code)
        departure.code = 0  # settled here
        raise
    except (Exception, KeyboardInterrupt) as error:
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
        leave_with(comm, error, partial(_report, comm, error, traceback.format_exc()), code)
        raise SystemExit(code) from None


def _report(comm: MPI.Comm, error: BaseException, trace: str) -> None:
    """The traceback of the rank where the error arose, unless the message says it all, and the message."""
    if isinstance(error, errors.DfpdeError | KeyboardInterrupt):
        trace = getattr(error, "trace", "")
    who = f" (rank {comm.rank} of {comm.size})" if comm.size > 1 and not getattr(error, "collective", False) else ""
    sys.stderr.write(f"{trace}dfpde: {type(error).__name__}{who}: {error}\n")
    sys.stderr.flush()
