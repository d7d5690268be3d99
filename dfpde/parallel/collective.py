"""Every rank raises, or none: agreement on errors over an MPI communicator.

Each function takes the communicator explicitly; nothing here knows ``COMM_WORLD``.
"""

from __future__ import annotations

import math
import textwrap
import traceback
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from .. import errors
from .departure import departure, meet


def raise_on_all(comm: MPI.Comm, error: Exception | None) -> None:
    """Raise on all ranks when one rank brings an error; return on all ranks otherwise.

    Collective; one reduction of one integer when nothing is wrong.  The error of the lowest failing rank is
    raised everywhere, as the same class where it is one of dfpde's (else as `errors.RemoteError` on the
    ranks that did not fail themselves), there with that rank's traceback as a note.
    """
    departure.watch(comm)
    first = comm.rank if error is not None else comm.size
    if comm.size > 1:
        first = comm.allreduce(first, op=MPI.MIN)
    if first == comm.size:
        return
    described = comm.bcast(_describe(error) if comm.rank == first else None, root=first)
    raised = error if comm.rank == first and error is not None else _remote(first, *described)
    raised.collective = True  # type: ignore[attr-defined]
    try:
        raise raised
    finally:
        del raised, error  # no cycle with the traceback: what its frames hold is freed on all ranks alike


def _describe(error: Exception | None) -> tuple[str, str, str, str, str]:
    what = getattr(error, "what", str(error))
    trace = "".join(traceback.format_exception(error)) if error is not None else ""
    return type(error).__name__, str(error), what, getattr(error, "remedy", ""), trace


def _remote(rank: int, name: str, text: str, what: str, remedy: str, trace: str) -> Exception:
    """The error of another rank as this rank raises it."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, errors.DfpdeError):
        error: errors.DfpdeError = kind(what, remedy)
    else:
        error = errors.RemoteError(f"rank {rank} raised {name}: {text}", f"look at rank {rank}'s traceback")
        error.trace = trace
    error.add_note(f"Traceback of rank {rank}:\n" + textwrap.indent(trace, "| "))
    return error


def collective_errors(comm: MPI.Comm) -> AbstractContextManager[None]:
    """Run a block that may fail on some ranks only; all ranks raise, or none.

    The block itself must not communicate: a rank that fails inside it would leave the others waiting.
    """
    return _Agreement(comm)


class _Agreement(AbstractContextManager[None]):
    """The block of `collective_errors`: a class, as a generator costs some µs and there are several in each solve."""

    def __init__(self, comm: MPI.Comm) -> None:
        self.comm = comm

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None and (not isinstance(error, Exception) or getattr(error, "collective", False)):
            return
        try:
            raise_on_all(self.comm, error)
        except Exception as raised:
            if raised is not error:
                raise
            raised.__traceback__ = trace  # the block's own error goes on as it was
        finally:
            del error, trace


def shared(comm: MPI.Comm, error: BaseException) -> bool:
    """Whether all ranks raise, so that what they do next may be collective; a rank that is alone waits a little."""
    return comm.size == 1 or getattr(error, "collective", False) or meet(comm, "") is not None


def require_finite(comm: MPI.Comm, remedy: str, **arrays: NDArray[Any]) -> None:
    """Refuse NaN and infinity on all ranks together.

    Raises
    ------
    NonFiniteError
        Names the array, how many entries are not finite on the first such rank, and the first index.
    """
    with collective_errors(comm):
        for name, array in arrays.items():
            # one pass without a temporary: a sum is finite only if all terms are (overflow is looked at closely)
            with np.errstate(over="ignore", invalid="ignore"):
                suspicious = not np.isfinite(np.sum(array))
            if suspicious:
                bad = np.flatnonzero(~np.isfinite(array))
                if bad.size:
                    raise errors.NonFiniteError(
                        f"{name} has {bad.size} of {array.size} entries that are NaN or infinite on rank "
                        f"{comm.rank}, the first at flat index {bad[0]} of shape {array.shape}",
                        remedy,
                    )


def norm(rows: NDArray[Any], comm: MPI.Comm) -> float:
    """Euclidean norm of real rows that are distributed over ranks: one reduction of one number."""
    square = float(np.dot(rows, rows))
    return math.sqrt(comm.allreduce(square) if comm.size > 1 else square)
