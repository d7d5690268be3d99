"""A whole mesh as arrays on one rank: what is equal, and which way round cells are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import skfem
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from . import cells as reference
from .cells import CHUNK, Ids

Array = NDArray[Any]
Names = NDArray[np.uint64]

MESH_TYPES: Mapping[str, Any] = {
    "line": skfem.MeshLine1,
    "triangle": skfem.MeshTri1,
    "quad": skfem.MeshQuad1,
    "tetra": skfem.MeshTet1,
    "hexahedron": skfem.MeshHex1,
    "triangle6": skfem.MeshTri2,
    "quad9": skfem.MeshQuad2,
    "tetra10": skfem.MeshTet2,
    "hexahedron27": skfem.MeshHex2,
}


@dataclass(frozen=True, eq=False)
class RawMesh:
    """A whole mesh as arrays, on one rank, before it is checked and split.

    Attributes
    ----------
    points : ndarray
        Node coordinates, (columns, nodes); columns beyond the dimension of the cells ought to be zero.
    cells : ndarray of int
        Node numbers, (k, cells), in scikit-fem's order (the same as meshio's but for hexahedra).
    cell_type : str
        meshio's name: line, triangle, quad, tetra, hexahedron, triangle6, quad9, tetra10 or hexahedron27.
    boundaries : dict
        Name → corner numbers (corners, facets) of its facets.
    subdomains : dict
        Name → numbers of its cells.
    corners : ndarray of int or None
        On a periodic mesh, whose cells have nodes of their own: numbers of the corners, (corners, cells), equal where
        cells are joined.
    """

    points: Array
    cells: Array
    cell_type: str
    boundaries: Mapping[str, Array] = field(default_factory=dict)
    subdomains: Mapping[str, Ids] = field(default_factory=dict)
    corners: Ids | None = None

    @property
    def mesh_type(self) -> Any:
        """The scikit-fem class."""
        return MESH_TYPES[self.cell_type]

    @property
    def refdom(self) -> Any:
        """Its reference cell."""
        return self.mesh_type.elem.refdom

    @property
    def dim(self) -> int:
        """Dimension of the cells."""
        return int(self.refdom.dim())

    @property
    def tolerance(self) -> float:
        """8 eps max|x|: one vertex computed in two ways differs by a few roundings of the largest coordinate.

        eps is that of the type the file stores, single precision for many .vtu files.
        """
        kind = self.points.dtype if self.points.dtype.kind == "f" else np.dtype(np.float64)
        size = float(np.max(np.abs(self.points))) if self.points.size else 0.0
        return 8.0 * float(np.finfo(kind).eps) * size


# -- what is equal -------------------------------------------------------------------------------------------
def duplicate_vertices(mesh: RawMesh) -> tuple[Ids, Ids]:
    """Pairs (first, later) of vertices closer than the tolerance; every duplicate is listed once, with the lowest."""
    # vertices that close are neighbours along any line; a generic one separates nearly all others
    direction = np.sqrt([2.0, 3.0, 5.0])[: len(mesh.points)]
    along = direction @ mesh.points
    order = np.argsort(along, kind="stable")
    near = np.diff(along[order]) <= mesh.tolerance * float(np.linalg.norm(direction))
    candidates = np.sort(order[np.concatenate([[False], near]) | np.concatenate([near, [False]])])
    pairs = np.zeros((0, 2), dtype=np.int64)
    if candidates.size:
        tree = cKDTree(mesh.points[:, candidates].T.astype(np.float64))
        pairs = np.sort(candidates[tree.query_pairs(mesh.tolerance, output_type="ndarray")], axis=1).reshape(-1, 2)
    pairs = pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]
    later, at = np.unique(pairs[:, 1], return_index=True)
    return pairs[at, 0], later


def renumbered(mesh: RawMesh, target: Ids) -> RawMesh:
    """Every vertex number v replaced by target[v]."""
    named = {name: target[corners] for name, corners in mesh.boundaries.items()}
    return replace(mesh, cells=target[mesh.cells], boundaries=named)


def vertex_names(count: int) -> Names:
    """A random-looking 64-bit number for each vertex (splitmix64).

    Sums of these name sets of vertices, whatever their order.  Two of m different sets share a name with
    probability m² / 2⁶⁵: 4e-7 for 4 million facets.
    """
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def duplicate_cells(mesh: RawMesh) -> tuple[Ids, Ids]:
    """Pairs (first, later) of cells with the same corners; every later one is listed once, with the first."""
    names = vertex_names(mesh.points.shape[1])[mesh.cells[: mesh.refdom.nnodes]].sum(axis=0)
    _, first, inverse = np.unique(names, return_index=True, return_inverse=True)
    later = np.flatnonzero(first[inverse] != np.arange(names.size))
    return first[inverse[later]], later


def drop_duplicates(mesh: RawMesh) -> RawMesh:
    """Keep the first of equal cells; it belongs to the subdomains of all of them."""
    first, later = duplicate_cells(mesh)
    if later.size == 0:
        return mesh
    target = np.arange(mesh.cells.shape[1])
    target[later] = first
    kept = np.delete(np.arange(target.size), later)
    new = np.searchsorted(kept, target)
    named = {name: np.unique(new[ids]) for name, ids in mesh.subdomains.items()}
    return replace(mesh, cells=mesh.cells[:, kept], subdomains=named)


# -- which way round -----------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Shapes:
    """Range of det J over the nodes of each cell, and the cells where it is zero, of both signs, or negative."""

    smallest: Array
    largest: Array
    flat: NDArray[np.bool_]
    folded: NDArray[np.bool_]
    inverted: NDArray[np.bool_]


def cell_shapes(mesh: RawMesh) -> Shapes:
    """Sign of det J at all nodes of each cell, positive for cells in meshio's order.

    (scikit-fem's reference hexahedron is a mirror image of meshio's.)

    Coordinates are rounded to eps |x|, which changes a determinant of columns of length h by up to
    about 2 dim eps |x| h^(dim−1): twice that, in terms of `RawMesh.tolerance`, counts as zero.
    """
    element, dim, count = mesh.mesh_type.elem(), mesh.dim, mesh.cells.shape[1]
    _, slopes = reference.shape_functions(element, element.doflocs.T)
    sign = -1.0 if mesh.cell_type.startswith("hexahedron") else 1.0
    smallest, largest, zero = np.empty(count), np.empty(count), np.empty(count)
    for low in range(0, count, CHUNK // 4):
        part = slice(low, low + CHUNK // 4)
        corners = mesh.points[:dim, mesh.cells[:, part]].astype(np.float64)
        det = sign * reference.determinants(reference.jacobians(corners, slopes))
        smallest[part], largest[part] = det.min(axis=1), det.max(axis=1)
        extent = np.linalg.norm(np.ptp(corners, axis=1), axis=0)
        zero[part] = dim / 2 * mesh.tolerance * extent ** (dim - 1)
    flat = (smallest >= -zero) & (largest <= zero)
    inverted = ~flat & (largest < -zero)
    return Shapes(smallest, largest, flat, ~flat & ~inverted & (smallest <= zero), inverted)


def reflected(mesh: RawMesh, which: NDArray[np.bool_]) -> RawMesh:
    """The nodes of these cells listed the other way round."""
    here = mesh.mesh_type.elem.doflocs
    there = 1 - here if mesh.dim == 1 else here[:, [1, 0, 2][: mesh.dim]]
    order = np.argmin(np.linalg.norm(here[None] - there[:, None], axis=2), axis=1)
    turned = mesh.cells.copy()
    turned[:, which] = turned[:, which][order]
    return replace(mesh, cells=turned)
