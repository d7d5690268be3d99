"""A whole run in one VTKHDF file: the mesh once, then the values of every step; complete after every step.

    /VTKHDF                    Points, Connectivity, Offsets, Types, NumberOf…: one part for each rank with cells
    /VTKHDF/PointData/u        values of all steps, one step behind the other
    /VTKHDF/Steps              NSteps, Values (the times), and where each step begins

Format: https://docs.vtk.org/en/latest/vtk_file_formats/vtkhdf_file_format/index.html
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skfem
from mpi4py import MPI
from numpy.typing import NDArray

from .. import validation as check
from ..domain.mesh import Mesh
from ..errors import ParameterError
from ..parallel.collective import collective_errors
from ..representation import represent
from . import vtkhdf_file
from .vtk import Grid, on_this_rank, point_data

Array = NDArray[Any]


class VTKHDFWriter:
    """Writes fields at the vertices of a mesh into one file, ``out/run.vtkhdf``, step by step.

    Parameters
    ----------
    path : path
        ``out/run`` or ``out/run.vtkhdf``.
    mesh : Mesh or skfem.Mesh
        A scikit-fem mesh must be the same on all ranks; its cells are split over them.
    comm : MPI.Comm, optional
        Of a scikit-fem mesh; may be left out in a job of one process.
    refine : int
        Uniform refinements of the cells for a smoother picture of fields that are not linear on them.
    keep_until : float or None
        Keep steps that an earlier run wrote at times t <= keep_until, on any number of ranks; None starts a new file.

    Raises
    ------
    CheckpointError
        On all ranks: the file to be continued cannot be read.
    ParameterError
        A scikit-fem mesh without communicator in a job of several processes.

    Notes
    -----
    Rank 0 writes what the others send.  Values are not compressed.  The file has space for up to twice the steps in
    it, which takes no room on disks that know holes in files, and while it is enlarged both versions exist.

    Examples
    --------
    >>> writer = VTKHDFWriter("out/run", mesh, comm)                      # doctest: +SKIP
    >>> for state in dfpde.evolve(problem, start, until=1.0, ...):        # doctest: +SKIP
    ...     writer.write(state.t, u=problem.field(state))
    """

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
        self.path = Path(path) if Path(path).suffix == ".vtkhdf" else Path(f"{os.fspath(path)}.vtkhdf")
        times = np.zeros(0)
        with collective_errors(self.comm):
            if keep_until is not None and self.comm.rank == 0:
                known = vtkhdf_file.times_in(self.path)
                times = known[: int(np.searchsorted(known, keep_until, side="right"))]
        last = float(times[-1]) if len(times) else -math.inf
        self._count, self._last = self.comm.bcast((len(times), last), root=0)
        self._capacity = 0  # steps for which the file has space that this session has laid out
        self._layout: vtkhdf_file.Layout | None = None  # on rank 0, once this session has written

    @property
    def steps(self) -> int:
        """Steps in the file so far, those kept of an earlier run among them."""
        return int(self._count)

    @check.takes(t=check.real())
    def write(self, t: float, **fields: Callable[[Array], Array] | Array) -> None:
        """Write one step; collective.

        Parameters
        ----------
        t : float
            Time, not before that of the last step.
        **fields : callable or ndarray
            Name = field, as `ParaViewWriter.write` takes them; the same names in all steps.

        Raises
        ------
        CheckpointError
            On all ranks: the file cannot be written; the steps before are in it.
        ShapeError
            On all ranks: a field whose last axis is not N.
        ParameterError
            On all ranks: other fields than in the steps before, two of one name, or a time before the last one.
        """
        data: dict[str, Array] = {}
        with collective_errors(self.comm):
            if t < self._last:
                raise ParameterError(f"t = {t} after a step at {self._last}", "times that do not decrease")
            if self._grid is not None:
                data = {name: np.atleast_2d(values.T).T for name, values in point_data(fields, self.x).items()}
        parts = _collected(self.comm, data)
        anew = self._count >= self._capacity
        grids = _collected(self.comm, self._grid) if self._capacity == 0 else []
        with collective_errors(self.comm):
            if self.comm.rank == 0:
                step = _joined([part for part in parts if part])
                if anew:
                    mesh = _mesh_of([grid for grid in grids if grid is not None]) if grids else None
                    self._layout = vtkhdf_file.lay_out(self.path, self._count, mesh, float(t), step)
                elif self._layout is not None:
                    self._layout.append(self._count, float(t), step)
        if anew:
            self._capacity = vtkhdf_file.capacity(self._count)
        self._count, self._last = self._count + 1, float(t)


def _collected(comm: MPI.Comm, part: Any) -> list[Any]:
    """The parts of all ranks on rank 0, none elsewhere; message by message, as together they may exceed 2 GiB."""
    if comm.rank > 0:
        comm.send(part, dest=0)
        return []
    return [part, *(comm.recv(source=rank) for rank in range(1, comm.size))]


def _joined(parts: Sequence[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}


def _mesh_of(grids: Sequence[Grid]) -> dict[str, Array]:
    """The datasets of a mesh in parts."""
    shapes = [(len(grid.points), *grid.cells.shape) for grid in grids]
    points, cells, width = (np.array(sizes, dtype=np.int64) for sizes in zip(*shapes, strict=True))
    return {
        "NumberOfPoints": points,
        "NumberOfCells": cells,
        "NumberOfConnectivityIds": cells * width,
        "Points": np.concatenate([grid.points for grid in grids]),
        "Connectivity": np.concatenate([grid.cells.ravel() for grid in grids]),
        "Offsets": np.concatenate([width * np.arange(n + 1) for n, width in zip(cells, width, strict=True)]),
        "Types": np.concatenate([np.full(n, grid.code, np.uint8) for n, grid in zip(cells, grids, strict=True)]),
    }
