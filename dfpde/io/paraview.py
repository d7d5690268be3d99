"""Time series on meshes for ParaView, complete after every step: open the .pvd while the run goes on.

    out/run.pvd                          the series, a line longer after each step
    out/run/000012.vtu                   one step, one rank
    out/run/000012.pvtu, 000012_3.vtu    one step, several ranks: one piece for each
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import skfem
from mpi4py import MPI
from numpy.typing import NDArray

from .. import validation as check
from ..domain.mesh import Mesh
from ..errors import CheckpointError
from ..parallel.collective import collective_errors
from ..representation import represent
from .files import append, replace
from .vtk import on_this_rank, point_data, write_vtu

Array = NDArray[Any]

HEAD = b'<?xml version="1.0" encoding="utf-8"?>\n<VTKFile type="Collection" version="0.1">\n  <Collection>\n'
TAIL = b"  </Collection>\n</VTKFile>\n"


class ParaViewWriter:
    """Writes fields at the vertices of a mesh, step by step.

    Parameters
    ----------
    path : path
        ``out/run`` or ``out/run.pvd``.
    mesh : Mesh or skfem.Mesh
        A scikit-fem mesh must be the same on all ranks; its cells are split over them.
    comm : MPI.Comm, optional
        Of a scikit-fem mesh; may be left out in a job of one process.
    refine : int
        Uniform refinements of the cells for a smoother picture of fields that are not linear on them.
    keep_until : float or None
        Keep steps that an earlier run wrote at times t <= keep_until (a restart goes on with its series);
        None starts a new series.  Where there is none yet, a new one starts too.

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
        self.path = Path(path).with_suffix(".pvd") if Path(path).suffix == ".pvd" else Path(f"{os.fspath(path)}.pvd")
        self._folder = self.path.with_suffix("")
        kept: list[tuple[float, str]] = []
        with collective_errors(self.comm):
            if keep_until is not None and self.comm.rank == 0:
                kept = [(t, name) for t, name in _series(self.path) if t <= keep_until]
        self._count = self.comm.bcast(len(kept), root=0)
        self._kept, self._started = kept, False  # rank 0 writes them with the first step

    @property
    def steps(self) -> int:
        """Steps in the series so far, those kept of an earlier run among them."""
        return int(self._count)

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
            On all ranks: two fields of one name.
        """
        stem = f"{self._count:06d}"
        pieces = self.comm.size > 1
        data: dict[str, Array] = {}
        with collective_errors(self.comm):
            if self._grid is not None:
                grid, data = self._grid, point_data(fields, self.x)
                name = f"{stem}_{self.comm.rank}.vtu" if pieces else f"{stem}.vtu"
                replace(self._folder / name, lambda path: write_vtu(path, grid, data))
        columns = {key: values.shape[1] if values.ndim == 2 else 1 for key, values in data.items()}
        ranks = self.comm.gather(columns if self._grid is not None else None, root=0)
        step = (float(t), f"{self._folder.name}/{stem}{'.pvtu' if pieces else '.vtu'}")
        with collective_errors(self.comm):
            if self.comm.rank == 0 and ranks is not None:
                if pieces:
                    _replace_xml(self._folder / f"{stem}.pvtu", _parallel(stem, ranks))
                if self._started:
                    append(self.path, _entry(step), TAIL)
                else:
                    series = HEAD + b"".join(_entry(known) for known in (*self._kept, step)) + TAIL
                    replace(self.path, lambda path: path.write_bytes(series))
        self._count, self._started = self._count + 1, True


def _entry(step: tuple[float, str]) -> bytes:
    t, name = step
    attributes = {"timestep": repr(t), "part": "0", "file": name}
    line: str = ET.tostring(ET.Element("DataSet", attributes), encoding="unicode")
    return f"    {line}\n".encode()


def _parallel(stem: str, ranks: list[dict[str, int] | None]) -> ET.Element:
    """Names the pieces of all ranks with cells, and the data they have."""
    root = ET.Element("VTKFile", type="PUnstructuredGrid", version="0.1")
    grid = ET.SubElement(root, "PUnstructuredGrid", GhostLevel="0")
    points = ET.SubElement(grid, "PPoints")
    ET.SubElement(points, "PDataArray", type="Float64", Name="Points", NumberOfComponents="3")
    names = next(columns for columns in ranks if columns is not None)
    data = ET.SubElement(grid, "PPointData")
    for name, count in names.items():
        ET.SubElement(data, "PDataArray", type="Float64", Name=name, NumberOfComponents=str(count))
    for rank, columns in enumerate(ranks):
        if columns is not None:
            ET.SubElement(grid, "Piece", Source=f"{stem}_{rank}.vtu")
    return root


def _replace_xml(path: Path, root: ET.Element) -> None:
    ET.indent(root)
    replace(path, lambda beside: ET.ElementTree(root).write(beside, encoding="utf-8", xml_declaration=True))


def _series(path: Path) -> list[tuple[float, str]]:
    """Times and files of a .pvd; none where there is no file yet."""
    if not path.exists():
        return []
    try:
        content = path.read_bytes()
        if content.startswith(HEAD) and not content.endswith(TAIL):  # killed within the write of a line
            content = content[: content.rfind(b"/>\n") + 3] + TAIL
        sets = ET.fromstring(content).iter("DataSet")
        return [(float(entry.attrib["timestep"]), entry.attrib["file"]) for entry in sets]
    except (OSError, ET.ParseError, KeyError, ValueError) as error:
        raise CheckpointError(f"cannot go on with {path}: {error}", "keep_until=None starts a new series") from error
