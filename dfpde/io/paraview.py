"""Time series on meshes for ParaView, complete after every step: open the .pvd while the run goes on.

    out/run.pvd                          the series, replaced atomically after each step
    out/run/000012.vtu                   one step, one rank
    out/run/000012.pvtu, 000012_3.vtu    one step, several ranks: one piece for each

Formats: VTK XML, https://docs.vtk.org/en/latest/design_documents/VTKFileFormats.html
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import meshio
import numpy as np
import skfem
from mpi4py import MPI
from numpy.typing import NDArray
from skfem.io.meshio import to_meshio

from ..domain.mesh import Mesh
from ..errors import CheckpointError, ParameterError, ShapeError
from ..parallel.collective import collective_errors
from ..representation import represent
from .files import replace

Array = NDArray[Any]


class ParaViewWriter:
    """Writes fields at the vertices of a mesh, step by step.

    Parameters
    ----------
    path : path
        ``out/run`` or ``out/run.pvd``.
    mesh : Mesh or skfem.Mesh
        A scikit-fem mesh must be the same on all ranks; its cells are split over them.
    comm : MPI.Comm, optional
        Needed with a scikit-fem mesh.
    refine : int
        Uniform refinements of the cells for a smoother picture of fields that are not linear on them.
    keep_until : float or None
        Keep steps that an earlier run wrote at times t <= keep_until (a restart goes on with its series);
        None starts a new series.

    Raises
    ------
    CheckpointError
        On all ranks: the series to be continued cannot be read.
    ParameterError
        On all ranks: a mesh without communicator.

    Examples
    --------
    >>> writer = ParaViewWriter("out/run", mesh, comm)                    # doctest: +SKIP
    >>> for state in dfpde.evolve(problem, start, until=1.0, ...):        # doctest: +SKIP
    ...     writer.write(state.t, u=problem.field(state))
    """

    __repr__ = represent

    def __init__(
        self,
        path: str | os.PathLike[str],
        mesh: Mesh | skfem.Mesh,
        comm: MPI.Comm | None = None,
        *,
        refine: int = 0,
        keep_until: float | None = None,
    ) -> None:
        if not isinstance(mesh, Mesh):
            if comm is None:
                raise ParameterError("a scikit-fem mesh without a communicator", "pass comm=MPI.COMM_WORLD")
            mesh = Mesh.from_skfem(mesh, comm)
        self.comm = mesh.comm
        self.path = Path(path).with_suffix(".pvd") if Path(path).suffix == ".pvd" else Path(f"{os.fspath(path)}.pvd")
        self._folder = self.path.with_suffix("")
        with collective_errors(self.comm):
            local = None if mesh.local is None or refine == 0 else mesh.local.refined(refine)
            self._grid = _grid(mesh.local if local is None else local)
            self.x = np.zeros((mesh.dim, 0)) if self._grid is None else self._grid.points.T[: mesh.dim].copy()
        self._steps: list[tuple[float, str]] = []
        if keep_until is not None:
            with collective_errors(self.comm):
                found = _series(self.path) if self.comm.rank == 0 else []
            found = self.comm.bcast(found, root=0)
            self._steps = [(t, name) for t, name in found if t <= keep_until]

    def write(self, t: float, **fields: Callable[[Array], Array] | Array) -> None:
        """Write one step; collective.

        Parameters
        ----------
        t : float
            Time.
        **fields : callable or ndarray
            Name = field: a `Field`, any function x (dim, N) -> (\\*shape, N), or values at the points ``writer.x`` of
            this rank.  A complex field u is written as u_re and u_im.

        Raises
        ------
        CheckpointError
            On all ranks: a file cannot be written; the series keeps the steps before.
        ShapeError
            On all ranks: a field whose last axis is not N.
        """
        stem = f"{len(self._steps):06d}"
        pieces = self.comm.size > 1
        data: dict[str, Array] = {}
        with collective_errors(self.comm):
            if self._grid is not None:
                data = _point_data(fields, self.x)
                grid = meshio.Mesh(self._grid.points, self._grid.cells, point_data=data)
                name = f"{stem}_{self.comm.rank}.vtu" if pieces else f"{stem}.vtu"
                replace(self._folder / name, lambda path: grid.write(path, file_format="vtu"))
        columns = {key: values.shape[1] if values.ndim == 2 else 1 for key, values in data.items()}
        ranks = self.comm.gather(columns if self._grid is not None else None, root=0)
        steps = [*self._steps, (float(t), f"{self._folder.name}/{stem}{'.pvtu' if pieces else '.vtu'}")]
        with collective_errors(self.comm):
            if self.comm.rank == 0 and ranks is not None:
                if pieces:
                    _replace_xml(self._folder / f"{stem}.pvtu", _parallel(stem, ranks))
                _replace_xml(self.path, _collection(steps))
        self._steps = steps


def _grid(local: Any) -> Any:
    """Cells and points (N, 3) of a scikit-fem mesh in VTK's numbering; None without cells."""
    if local is None:
        return None
    grid = to_meshio(local, encode_cell_data=False)
    points = np.zeros((len(grid.points), 3))
    points[:, : grid.points.shape[1]] = grid.points
    return meshio.Mesh(points, grid.cells)


def _point_data(fields: dict[str, Any], x: Array) -> dict[str, Array]:
    """Arrays (N,) or (N, components), real."""
    data: dict[str, Array] = {}
    for name, field in fields.items():
        values = np.asarray(field(x) if callable(field) else field)
        if values.ndim == 0 or values.shape[-1] != x.shape[1]:
            raise ShapeError(
                f"{name} has shape {values.shape} at {x.shape[1]} vertices", "one value for each vertex, points last"
            )
        columns = values if values.ndim == 1 else np.moveaxis(values, -1, 0).reshape(x.shape[1], -1)
        if np.iscomplexobj(columns):
            data |= {f"{name}_re": columns.real, f"{name}_im": columns.imag}
        else:
            data[name] = columns
    return {name: np.ascontiguousarray(values, dtype=np.float64) for name, values in data.items()}


def _collection(steps: list[tuple[float, str]]) -> ET.Element:
    root = ET.Element("VTKFile", type="Collection", version="0.1")
    collection = ET.SubElement(root, "Collection")
    for t, name in steps:
        ET.SubElement(collection, "DataSet", timestep=repr(t), part="0", file=name)
    return root


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
    """Times and files of a .pvd."""
    try:
        sets = ET.parse(path).getroot().iter("DataSet")
        return [(float(entry.attrib["timestep"]), entry.attrib["file"]) for entry in sets]
    except (OSError, ET.ParseError, KeyError, ValueError) as error:
        raise CheckpointError(f"cannot go on with {path}: {error}", "keep_until=None starts a new series") from error
