"""The communicator of who gives none; and of who fails before one is given."""

from __future__ import annotations

from mpi4py import MPI

from .. import validation as check
from ..errors import ParameterError
from .departure import departure

departure.expect(MPI.COMM_WORLD)  # a rank that ends before its first collective call leaves the others waiting


def communicator(comm: MPI.Comm | None) -> MPI.Comm:
    """`comm` itself; where it is None, the communicator of one process, if the job has no more.

    Raises
    ------
    ParameterError
        None in a job of several processes: whether they share the work or each does its own is for the caller to say.
    """
    if comm is not None:
        check.instance(MPI.Comm, "a communicator of mpi4py, or None on one process")("comm", comm)
        return comm
    processes = MPI.COMM_WORLD.size  # asked for its size only
    if processes > 1:
        raise ParameterError(
            f"no communicator in a job of {processes} processes",
            "pass comm=MPI.COMM_WORLD to share the points, or comm=MPI.COMM_SELF where each process works alone",
        )
    return MPI.COMM_SELF
