"""A rank that leaves the job alone ends it: hooks for uncaught exceptions, ``sys.exit`` and Ctrl-C.

The exit handlers of MPI and PETSc wait for all ranks, so a rank that ends while the others sit in a collective call
hangs the job for ever, also under ``python -m mpi4py``.  Python offers a hook for exceptions (``sys.excepthook``); for
``sys.exit`` the code is noted when it is asked for, and looked at once the main program has really ended by it.
"""

from __future__ import annotations

import atexit
import contextlib
import dis
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import NoReturn

from mpi4py import MPI

from .. import errors

#: Seconds that a failing rank waits for the others to fail as well, before it ends the job.
GRACE = 5.0


def exit_code(code: object) -> int:
    """What Python makes of ``sys.exit(code)``: a number as it is, 0 for None, 1 for anything else."""
    return code if isinstance(code, int) else int(code is not None)


def together(comm: MPI.Comm, seconds: float = GRACE) -> bool:
    """Whether all ranks come to this call within the time.

    Messages under the highest tag: unlike a barrier they match no collective call that other ranks are in.
    """
    tag = int(comm.Get_attr(MPI.TAG_UB) or 0)
    waiting = set(range(comm.size)) - {comm.rank}
    sent = [comm.isend(None, rank, tag) for rank in waiting]
    end = time.monotonic() + seconds
    while waiting and time.monotonic() < end:
        for rank in [rank for rank in waiting if comm.iprobe(rank, tag)]:
            comm.recv(source=rank, tag=tag)
            waiting.discard(rank)
        time.sleep(1e-3)
    if not waiting:
        MPI.Request.Waitall(sent)
    return not waiting


def abort(comm: MPI.Comm, code: int) -> NoReturn:
    """End all ranks of the job with this exit code; what was printed is seen."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    with contextlib.suppress(MPI.Exception):
        comm.Abort(code)
    os._exit(code)  # MPI did not: the launcher ends the job of a process that went without it


class Departure:
    """The hooks of this process.

    One object for each process, as there is one ``sys.excepthook`` and one exit code.
    """

    def __init__(self) -> None:
        self.comm: MPI.Comm | None = None
        self.code = 0  # of the last sys.exit

    def watch(self, comm: MPI.Comm) -> None:
        """Install the hooks at the first communicator of several ranks; those that are there are called first."""
        if self.comm is not None or comm.size == 1:
            return
        self.comm = comm
        self.main = _bottom()
        self.hook, self.exit = sys.excepthook, sys.exit
        sys.excepthook = self.uncaught
        sys.exit = self.leave
        atexit.register(self.ended)  # before the handlers of PETSc and MPI, which are not Python's

    def uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """``sys.excepthook``: report once; end the job unless all ranks leave with the same error."""
        if self.comm is None or hasattr(sys, "ps1") or MPI.Is_finalized():  # ps1: an interactive session goes on
            self.hook(kind, error, trace)
            return
        interrupted = issubclass(kind, KeyboardInterrupt)
        shared = interrupted or getattr(error, "collective", False)
        told = not shared or self.comm.rank == 0
        if told:
            self.hook(kind, error, trace)
        if shared and together(self.comm):
            return
        if not told:
            self.hook(kind, error, trace)
        abort(self.comm, 130 if interrupted else 1)

    def leave(self, code: object = None, /) -> NoReturn:
        """``sys.exit``, with the code noted."""
        self.code = exit_code(code)
        self.exit(code)  # type: ignore[arg-type]

    def ended(self) -> None:
        """At exit: end the job if the main program was left by ``sys.exit`` with a code on some ranks only."""
        if self.comm is None or not self.code or MPI.Is_finalized() or _returned(self.main):
            return
        if not together(self.comm):
            sys.stderr.write(f"dfpde: rank {self.comm.rank} of {self.comm.size} left with exit code {self.code}\n")
            abort(self.comm, self.code)


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
    that rank, which then aborts the communicator; so does ``sys.exit`` with a code, of some ranks only.
    ``KeyboardInterrupt`` leaves with code 130.

    Without this block the same is done at the end of the main program, where ``raise SystemExit(code)`` (Python then
    tells nobody the code) goes unseen and Python prints the traceback of each rank.

    Examples
    --------
    >>> from mpi4py import MPI
    >>> with run(MPI.COMM_SELF):
    ...     pass
    """
    departure.watch(comm)
    try:
        yield
    except SystemExit as left:
        code = exit_code(left.code)
        if code and not together(comm):
            text = "" if isinstance(left.code, int) else f"{left.code}\n"
            sys.stderr.write(f"{text}dfpde: rank {comm.rank} of {comm.size} left with exit code {code}\n")
            abort(comm, code)
        departure.code = 0  # settled here
        raise
    except KeyboardInterrupt:
        _leave(comm, "interrupted\n", 130, shared=True)
    except Exception as error:
        shared = getattr(error, "collective", False)
        _leave(comm, _report(comm, error, shared), 1, shared)


def _report(comm: MPI.Comm, error: Exception, shared: bool) -> str:
    trace = getattr(error, "trace", "")
    if not trace and not isinstance(error, errors.DfpdeError):
        trace = traceback.format_exc()
    who = f" (rank {comm.rank} of {comm.size})" if comm.size > 1 and not shared else ""
    return f"{trace}dfpde: {type(error).__name__}{who}: {error}\n"


def _leave(comm: MPI.Comm, report: str, code: int, shared: bool) -> NoReturn:
    """End this rank with all others, or the job; one rank reports."""
    alone = comm.size > 1 and not shared
    if alone or comm.rank == 0:
        sys.stderr.write(report)
        sys.stderr.flush()
    if alone or not together(comm):
        if not alone and comm.rank > 0:
            sys.stderr.write(f"rank {comm.rank} of {comm.size}: {report}")
        abort(comm, code)
    raise SystemExit(code) from None
