"""A whole run in one VTKHDF file: the mesh once, then the values of every step; complete after every step.

    /VTKHDF                    Points, Connectivity, Offsets, Types, NumberOf…: one part for each rank with cells
    /VTKHDF/PointData/u        values of all steps, one step behind the other
    /VTKHDF/Steps              NSteps, Values (the times), and where each step begins

Format: https://docs.vtk.org/en/latest/vtk_file_formats/vtkhdf_file_format/index.html
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..errors import ParameterError
from ..parallel.collective import collective_errors
from . import vtkhdf_file
from .series import SeriesWriter
from .vtk import Grid

Array = NDArray[Any]


class VTKHDFWriter(SeriesWriter):
    """A `SeriesWriter` of one file, ``out/run.vtkhdf``; the same fields in all steps, at times that do not decrease.

    Parameters
    ----------
    path, mesh, comm, refine, keep_until
        As for `SeriesWriter`.

    Notes
    -----
    Rank 0 writes what the others send.  Values are not compressed.  The file has space for up to twice the steps in
    it, which takes no room on disks that know holes in files, and while it is enlarged both versions exist.
    """

    SUFFIX = ".vtkhdf"
    _last = -math.inf  # time of the last step; of a step that was kept rank 0 alone knows it
    _capacity = 0  # steps for which the file has space that this session has laid out
    _layout: vtkhdf_file.Layout | None = None  # on rank 0, once this session has written

    def _keep(self, until: float) -> int:
        times = vtkhdf_file.times_in(self.path)
        count = int(np.searchsorted(times, until, side="right"))
        self._last = float(times[count - 1]) if count else -math.inf
        return count

    def _append(self, t: float, data: dict[str, Array]) -> None:
        with collective_errors(self.comm):
            if t < self._last:
                raise ParameterError(f"t = {t} after a step at {self._last}", "times that do not decrease")
        parts = _collected(self.comm, {name: np.atleast_2d(values.T).T for name, values in data.items()})
        anew = self._count >= self._capacity
        grids = _collected(self.comm, self._grid) if self._capacity == 0 else []
        with collective_errors(self.comm):
            if self.comm.rank == 0:
                step = _joined([part for part in parts if part])
                if anew:
                    mesh = _mesh_of([grid for grid in grids if grid is not None]) if grids else None
                    self._layout = vtkhdf_file.lay_out(self.path, self._count, mesh, t, step)
                elif self._layout is not None:
                    self._layout.append(self._count, t, step)
        if anew:
            self._capacity = vtkhdf_file.capacity(self._count)
        self._last = t


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
