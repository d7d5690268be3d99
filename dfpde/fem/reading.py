"""Finite-element functions from files: fields at the nodes of a mesh, found again by their places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import skfem
from mpi4py import MPI
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .. import validation as check
from ..domain import file as mesh_file
from ..domain.mesh import read_mesh
from ..domain.skfem_mesh import cell_type_of
from ..errors import NonFiniteError, ParameterError
from ..parallel.collective import collective_errors
from .skfem_adapter import Space
from .transfer import Function

Array = NDArray[Any]

#: Element whose nodes are the vertices of the cells.
LINEAR = {
    "line": skfem.ElementLineP1, "triangle": skfem.ElementTriP1, "quad": skfem.ElementQuad1,
    "tetra": skfem.ElementTetP1, "hexahedron": skfem.ElementHex1,
}  # fmt: skip
PLACE = 1e-9  # distance, in units of the largest coordinate, within which a node and a point of the file are one


@check.takes(path=check.path, space=check.optional(check.space))
def load(path: str | Path, space: Space | None = None, comm: MPI.Comm | None = None) -> dict[str, Function]:
    """u_h = Σ_j U_j φ_j with the values U_j that a file has at its nodes; collective, rank 0 reads.

    Parameters
    ----------
    path : str or Path
        .vtu, .xdmf and what else meshio reads with data of points; one time.
    space : Space, optional
        Where the functions live: a Lagrange element whose nodes are among the points of the file (P2 for second-order
        cells), on a mesh read from this file or any other one.  By default first-order elements on the file's mesh.
    comm : MPI.Comm, optional
        Without `space`; may be left out in a job of one process.

    Returns
    -------
    dict
        Name → function: nodal values (n,) of scalars, (components, n) of the rest.  Of three components in a plane,
        as VTK wants them, the last is left out where it is zero everywhere.

    Raises
    ------
    MeshError, MissingDependency
        On all ranks: the file cannot be read.
    ParameterError
        On all ranks: the file has no data of points; a node has no point in the file, or several with different values;
        degrees of freedom that are not values.
    NonFiniteError
        On all ranks: a field is not finite at a node.

    Examples
    --------
    >>> flow = fem.load("flow.vtu")["velocity"]                               # doctest: +SKIP
    >>> fitted = df.fit(problem, flow, linear="amplitudes")                   # doctest: +SKIP
    """
    if space is None:
        mesh = read_mesh(path, comm)
        kinds = mesh.comm.allgather(None if mesh.local is None else cell_type_of(type(mesh.local)))
        kind = next(kind for kind in kinds if kind is not None)
        with collective_errors(mesh.comm):
            if kind not in LINEAR:
                raise ParameterError(
                    f"{path}: {kind} cells, which carry no space",
                    "space=fem.Space(mesh, skfem.ElementTriP2()) or its like on a mesh of first-order cells",
                )
        space = Space(mesh, LINEAR[kind]())
    comm = space.comm
    places = comm.gather(space.nodes.x, root=0)
    values: Any = None
    with collective_errors(comm):
        space.nodes.require_values("fem.load")
        if comm.rank == 0 and places is not None:
            values = _at(Path(path), places)
    found = comm.scatter(values, root=0)
    return {name: Function(space, nodal) for name, nodal in found.items()}


def _at(path: Path, places: list[Array]) -> list[dict[str, Array]]:
    """Fields of a file at the nodes of each rank."""
    file = mesh_file.read(path)
    if not file.point_data:
        cells = ", ".join(file.cell_data or {})
        what = f"data of cells ({cells}) only, one value for each cell" if cells else "no data of points"
        remedy = "data of points: in ParaView the filter Cell Data to Point Data; for gmsh's views, export as .vtu"
        raise ParameterError(f"{path} has {what}", remedy)
    dim = len(places[0])
    points = np.asarray(file.points, dtype=float)
    points = np.pad(points, ((0, 0), (0, max(0, dim - points.shape[1]))))
    kind = np.asarray(file.points).dtype
    size = float(np.abs(points).max(initial=0.0))
    near = size * max(PLACE, 8 * float(np.finfo(kind if kind.kind == "f" else float).eps))
    tree = cKDTree(points)
    fields = {name: _field(np.asarray(data, dtype=float), dim) for name, data in file.point_data.items()}
    _require_one_value(path, points, fields, tree.query_pairs(near, output_type="ndarray"))
    found = []
    for x in places:
        distance, nearest = tree.query(np.pad(x, ((0, points.shape[1] - dim), (0, 0))).T)
        lost = np.flatnonzero(distance > near)
        if lost.size:
            raise ParameterError(
                f"{path}: {lost.size} of {x.shape[1]} nodes have no point there, first {x[:, lost[0]].tolist()}",
                "the mesh of this file, and an element whose nodes are its points: P1, or P2 for second-order cells",
            )
        found.append({name: np.ascontiguousarray(data[..., nearest]) for name, data in fields.items()})
        for name, nodal in found[-1].items():
            if not np.all(np.isfinite(nodal)):
                count = int(np.sum(~np.isfinite(nodal)))
                raise NonFiniteError(f"{path}: {name} is not finite at {count} nodes", "fill what is masked first")
    return found


def _field(data: Array, dim: int) -> Array:
    """(nodes,) or (components, nodes), without the third component that VTK wants in a plane."""
    columns = data.reshape(len(data), -1).T
    if len(columns) == 3 and not np.any(columns[dim:]):
        columns = columns[:dim]
    return columns[0] if data.ndim == 1 or len(columns) == 1 else columns


def _require_one_value(path: Path, points: Array, fields: dict[str, Array], pairs: Array) -> None:
    """Refuse points at one place with different values: a field that jumps, which no continuous element has."""
    for name, data in fields.items():
        apart = np.any(data[..., pairs[:, 0]] != data[..., pairs[:, 1]], axis=tuple(range(data.ndim - 1)))
        if np.any(apart):
            first = points[pairs[np.argmax(apart), 0]].tolist()
            raise ParameterError(
                f"{path}: {name} has two values at {int(apart.sum())} places, first {first}",
                "a continuous field: in ParaView the filter Clean to Grid, or write it at the vertices",
            )
