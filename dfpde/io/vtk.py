"""Meshes and fields as VTK has them: cells right way round, vectors of three components, any name.

Formats: VTK XML, https://docs.vtk.org/en/latest/vtk_file_formats/vtkxml_file_format.html
"""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from skfem.io.meshio import HEX_MAPPING

from ..domain import cells, raw
from ..domain.mesh import Mesh
from ..domain.skfem_mesh import cell_type_of
from ..errors import ParameterError, ShapeError
from ..parallel.collective import collective_errors

Array = NDArray[Any]
Fields = Mapping[str, Callable[[Array], Array] | Array]

#: VTK's number of each cell type.
CODES = {
    "line": 3, "triangle": 5, "quad": 9, "tetra": 10, "hexahedron": 12,
    "triangle6": 22, "tetra10": 24, "quad9": 28, "hexahedron27": 29,
}  # fmt: skip
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # in XML 1.0


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells of one type.

    Attributes
    ----------
    points : ndarray
        (N, 3), zero beyond the dimension of the mesh.
    cells : ndarray of int
        (cells, k), in VTK's order, det J > 0.
    code : int
        VTK's number of the type.
    dim : int
        Dimension of the cells.
    """

    points: Array
    cells: Array
    code: int
    dim: int

    @property
    def x(self) -> Array:
        """Points as fields want them, (dim, N)."""
        return np.ascontiguousarray(self.points.T[: self.dim])


def on_this_rank(mesh: Any, comm: MPI.Comm | None, refine: int) -> tuple[MPI.Comm, Grid | None, Array]:
    """Communicator, this rank's cells (None without) and vertices (dim, N) of a mesh refined uniformly; collective."""
    if not isinstance(mesh, Mesh):
        mesh = Mesh.from_skfem(mesh, comm)
    with collective_errors(mesh.comm):
        local = None if mesh.local is None or refine == 0 else mesh.local.refined(refine)
        grid = grid_of(mesh.local if local is None else local)
    return mesh.comm, grid, np.zeros((mesh.dim, 0)) if grid is None else grid.x


def grid_of(mesh: Any) -> Grid | None:
    """The cells of a scikit-fem mesh; None without a mesh.

    scikit-fem sorts the vertices of triangles and tetrahedra: half of them are inside out until they are reflected.
    """
    if mesh is None:
        return None
    kind = cell_type_of(type(mesh))
    nodes = raw.RawMesh(mesh.doflocs, cells.nodes(mesh), kind)
    right = raw.reflected(nodes, raw.cell_shapes(nodes).inverted).cells
    if kind.startswith("hexahedron"):
        right = right[HEX_MAPPING[: len(right)]]
    points = np.zeros((mesh.doflocs.shape[1], 3))
    points[:, : len(mesh.doflocs)] = mesh.doflocs.T
    return Grid(points, np.ascontiguousarray(right.T, dtype=np.int64), CODES[kind], nodes.dim)


def point_data(fields: Fields, x: Array) -> dict[str, Array]:
    """Real arrays (N,) or (N, components) of fields at points x (dim, N).

    A complex u gives u_re and u_im.  In the plane, vectors (2, N) and tensors (2, 2, N) get zeros for z, as VTK's
    filters want three and nine components.

    Raises
    ------
    ShapeError
        The last axis of a field is not N.
    ParameterError
        Two arrays of one name.
    """
    data: dict[str, Array] = {}
    for name, field in fields.items():
        values = np.asarray(field(x) if callable(field) else field)
        if values.ndim == 0 or values.shape[-1] != x.shape[1]:
            raise ShapeError(
                f"{name} has shape {values.shape} at {x.shape[1]} vertices", "one value for each vertex, points last"
            )
        if values.shape[:-1] in ((2,), (2, 2)) and len(x) == 2:
            values = np.pad(values, [(0, 1)] * (values.ndim - 1) + [(0, 0)])
        columns = values if values.ndim == 1 else np.moveaxis(values, -1, 0).reshape(x.shape[1], -1)
        parts = {name: columns}
        if np.iscomplexobj(columns):
            parts = {f"{name}_re": columns.real, f"{name}_im": columns.imag}
        for key, part in parts.items():
            if readable(key) in data:
                raise ParameterError(f"two fields {readable(key)!r}", "a complex u is written as u_re and u_im: rename")
            data[readable(key)] = np.ascontiguousarray(part, dtype=np.float64)
    return data


def readable(name: str) -> str:
    """The name, without the characters that XML cannot hold."""
    return FORBIDDEN.sub("\ufffd", name)


def write_vtu(path: Path, grid: Grid, data: Mapping[str, Array]) -> None:
    """One unstructured grid with point data, compressed, in VTK's XML format."""
    root = ET.Element(
        "VTKFile", type="UnstructuredGrid", version="1.0", byte_order="LittleEndian", header_type="UInt64",
        compressor="vtkZLibDataCompressor",
    )  # fmt: skip
    count, width = grid.cells.shape
    piece = ET.SubElement(
        ET.SubElement(root, "UnstructuredGrid"), "Piece", NumberOfPoints=str(len(grid.points)), NumberOfCells=str(count)
    )
    _array(ET.SubElement(piece, "Points"), "Points", grid.points)
    topology = ET.SubElement(piece, "Cells")
    _array(topology, "connectivity", grid.cells.ravel())
    _array(topology, "offsets", width * np.arange(1, count + 1, dtype=np.int64))
    _array(topology, "types", np.full(count, grid.code, dtype=np.uint8))
    values = ET.SubElement(piece, "PointData")
    for name, array in data.items():
        _array(values, name, array)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _array(parent: ET.Element, name: str, array: Array) -> None:
    kind = {"f": "Float64", "i": "Int64", "u": "UInt8"}[array.dtype.kind]
    entry = ET.SubElement(parent, "DataArray", type=kind, Name=name, format="binary")
    if array.ndim == 2:
        entry.set("NumberOfComponents", str(array.shape[1]))
    plain = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    packed = zlib.compress(plain, 1)
    header = np.array([1, len(plain), 0, len(packed)] if plain else [0, 0, 0], dtype="<u8").tobytes()
    entry.text = (base64.b64encode(header) + base64.b64encode(packed if plain else b"")).decode()
