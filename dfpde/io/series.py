"""Time series of fields at the vertices of a mesh: what their writers have in common, whatever the format."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import skfem
from mpi4py import MPI
from numpy.typing import NDArray

from .. import validation as check
from ..domain.mesh import Mesh
from ..parallel.collective import collective_errors
from ..parallel.replicated import same_on_all_ranks
from ..representation import represent
from .vtk import on_this_rank, point_data

Array = NDArray[Any]


class SeriesWriter(ABC):
    """Writes fields at the vertices of a mesh, step by step; what has been written is complete after every step.

    Parameters
    ----------
    path : path
        ``out/run``, with or without the suffix of the format.
    mesh : Mesh or skfem.Mesh
        A scikit-fem mesh must be the same on all ranks; its cells are split over them.
    comm : MPI.Comm, optional
        Of a scikit-fem mesh; may be left out in a job of one process.
    refine : int
        Uniform refinements of the cells for a smoother picture of fields that are not linear on them.
    keep_until : float or None
        Keep steps that an earlier run wrote at times t <= keep_until (a restart goes on with its series), on any
        number of ranks; None starts a new series.  Where there is none yet, a new one starts too.

    Attributes
    ----------
    path : Path
        The file to open.
    x : ndarray
        Vertices of this rank's cells, (dim, N).

    Raises
    ------
    CheckpointError
        On all ranks: the series to be continued cannot be read.
    ParameterError
        A scikit-fem mesh without communicator in a job of several processes.

    Examples
    --------
    >>> writer = ParaViewWriter("out/run", mesh, comm)                    # doctest: +SKIP
    >>> for state in dfpde.evolve(problem, start, until=1.0, ...):        # doctest: +SKIP
    ...     writer.write(state.t, u=problem.field(state))
    """

    SUFFIX: ClassVar[str]

    __repr__ = represent

    @check.takes(
        path=check.path,
        mesh=check.having("a Mesh or a scikit-fem mesh", "subdomains"),
        refine=check.integer(0),
        keep_until=check.optional(check.real(infinite=True)),
    )
    def __init__(
        self,
        path: str | os.PathLike[str],
        mesh: Mesh | skfem.Mesh,
        comm: MPI.Comm | None = None,
        *,
        refine: int = 0,
        keep_until: float | None = None,
    ) -> None:
        self.comm, self._grid, self.x = on_this_rank(mesh, comm, refine)
        self.path = Path(path) if Path(path).suffix == self.SUFFIX else Path(f"{os.fspath(path)}{self.SUFFIX}")
        self._count = 0
        with collective_errors(self.comm):
            if keep_until is not None and self.comm.rank == 0:
                self._count = self._keep(keep_until)
        self._count = self.comm.bcast(self._count, root=0)

    @property
    def steps(self) -> int:
        """Steps in the series so far, those kept of an earlier run among them."""
        return self._count

    @check.takes(t=check.real())
    def write(self, t: float, **fields: Callable[[Array], Array] | Array) -> None:
        """Write one step; collective.

        Parameters
        ----------
        t : float
            Time.
        **fields : callable or ndarray
            Name = field: a `Field`, any function x (dim, N) -> (\\*shape, N), or values at the points ``writer.x`` of
            this rank.  A complex field u is written as u_re and u_im; vectors of the plane get a third component 0.

        Raises
        ------
        CheckpointError
            On all ranks: a file cannot be written; the series keeps the steps before.
        ShapeError
            On all ranks: a field whose last axis is not N.
        ParameterError
            On all ranks: two fields of one name, or what the format does not take.
        """
        data: dict[str, Array] = {}
        same_on_all_ranks(self.comm, t=t, fields=list(fields))
        with collective_errors(self.comm):
            if self._grid is not None:
                data = point_data(fields, self.x)
        self._append(float(t), data)
        self._count += 1

    @abstractmethod
    def _keep(self, until: float) -> int:
        """How many steps of the series that is there are kept, those of times t <= until; on rank 0."""

    @abstractmethod
    def _append(self, t: float, data: dict[str, Array]) -> None:
        """Write step number `_count`, data (N,) or (N, components), none on a rank without cells; collective."""
