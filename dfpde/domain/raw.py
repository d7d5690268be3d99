"""A whole mesh as arrays on one rank: what is equal, which way round cells are, which cells own which facets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def _mixed(count: int) -> Names:
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
    names = _mixed(mesh.points.shape[1])[mesh.cells[: mesh.refdom.nnodes]].sum(axis=0)
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


# -- facets --------------------------------------------------------------------------------------------------
def _facet_names(mesh: RawMesh, place: int, vertex_names: Names) -> Names:
    """One number for the facet at this place of every cell, equal where facets are."""
    names: Names = vertex_names[mesh.cells[mesh.refdom.facets[place]]].sum(axis=0)
    return names


def _facets_with(mesh: RawMesh, wanted: Callable[[Ids], NDArray[np.bool_]]) -> Names:
    """Sorted names of the facets whose number of cells is as wanted."""
    mixed = _mixed(mesh.points.shape[1])
    names = np.concatenate([_facet_names(mesh, place, mixed) for place in range(mesh.refdom.nfacets)])
    names.sort()
    starts = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1]]))
    counts = np.diff(np.append(starts, names.size))
    chosen: Names = names[starts[wanted(counts)]]
    return chosen


def crowded_facets(mesh: RawMesh) -> tuple[int, Ids]:
    """How many facets have more than two cells, and these cells."""
    crowded, mixed = _facets_with(mesh, lambda count: count > 2), _mixed(mesh.points.shape[1])
    cells = np.zeros(mesh.cells.shape[1], dtype=bool)
    if crowded.size:
        for place in range(mesh.refdom.nfacets):
            cells |= np.isin(_facet_names(mesh, place, mixed), crowded)
    return crowded.size, np.flatnonzero(cells)


def cells_at_facets(mesh: RawMesh) -> dict[str, Ids]:
    """How many cells each facet of every named boundary has."""
    mixed = _mixed(mesh.points.shape[1])
    names = np.concatenate([_facet_names(mesh, place, mixed) for place in range(mesh.refdom.nfacets)])
    known, counts = np.unique(names, return_counts=True)
    found = {}
    for name, corners in mesh.boundaries.items():
        wanted = mixed[corners].sum(axis=0)
        at = np.minimum(np.searchsorted(known, wanted), known.size - 1)
        found[name] = np.where(known[at] == wanted, counts[at], 0)
    return found


def joined_twice(mesh: RawMesh) -> Ids:
    """Cells that have two facets in common with another one: on a periodic mesh, fewer than three in a period."""
    mixed, count = _mixed(int(mesh.cells.max(initial=0)) + 1), mesh.cells.shape[1]
    names = np.concatenate([_facet_names(mesh, place, mixed) for place in range(mesh.refdom.nfacets)])
    order = np.argsort(names, kind="stable")
    same = np.flatnonzero(names[order[1:]] == names[order[:-1]])
    pairs = np.sort(np.stack([order[same] % count, order[same + 1] % count]), axis=0)
    known, times = np.unique(pairs, axis=1, return_counts=True)
    twice: Ids = np.unique(known[:, times > 1])
    return twice


def outer_facets(mesh: RawMesh) -> Ids:
    """Cell and place in it, (2, facets), of the facets that belong to one cell only, ordered by cell."""
    mixed, single = _mixed(mesh.points.shape[1]), _facets_with(mesh, lambda count: count == 1)
    places = range(mesh.refdom.nfacets)
    cells = [np.flatnonzero(np.isin(_facet_names(mesh, place, mixed), single)) for place in places]
    pairs = np.stack([np.concatenate(cells), np.repeat(places, [c.size for c in cells])])
    ordered: Ids = pairs[:, np.lexsort((pairs[1], pairs[0]))]
    return ordered


def locate_facets(mesh: RawMesh) -> dict[str, Ids]:
    """Owning cell and place in it, (2, facets), of every named facet; −1 where no cell has it.

    Between two cells the owner is the one whose outward normal agrees with the facet's own orientation in the
    file (right of a curve, right-handed for a surface, to the right in one dimension), so that normals point to
    one side all along an interface that is oriented consistently.
    """
    mixed = _mixed(mesh.points.shape[1])
    names = {name: mixed[corners].sum(axis=0) for name, corners in mesh.boundaries.items()}
    wanted = np.unique(np.concatenate(list(names.values()))) if names else np.zeros(0, dtype=np.uint64)
    if wanted.size == 0:
        return {name: np.zeros((2, 0), dtype=np.int64) for name in names}
    hits = []
    for place in range(mesh.refdom.nfacets):
        here = _facet_names(mesh, place, mixed)
        at = np.minimum(np.searchsorted(wanted, here), wanted.size - 1)
        cell = np.flatnonzero(wanted[at] == here)
        hits.append(np.stack([at[cell], cell, np.full(cell.size, place)]))
    found = np.concatenate(hits, axis=1)
    found = found[:, np.lexsort((found[1], found[0]))]
    return {
        name: _owners(mesh, mesh.boundaries[name], np.searchsorted(wanted, keys), found) for name, keys in names.items()
    }


def _owners(mesh: RawMesh, corners: Array, keys: Ids, found: Ids) -> Ids:
    """Choose among the cells `found` (key, cell, place) that have a facet."""
    low, high = np.searchsorted(found[0], keys, "left"), np.searchsorted(found[0], keys, "right")
    chosen = np.full((2, keys.size), -1, dtype=np.int64)
    some = high > low
    chosen[:, some] = found[1:, low[some]]
    two = np.flatnonzero(high - low >= 2)
    against = two[~_agrees(mesh, corners[:, two], found[1, low[two]])]
    chosen[:, against] = found[1:, low[against] + 1]
    return chosen


def _agrees(mesh: RawMesh, corners: Array, cell: Ids) -> NDArray[np.bool_]:
    """Whether the normal out of the cell and the facet's own orientation point to the same side."""
    x = mesh.points[: mesh.dim, corners].astype(np.float64)
    centre = mesh.points[: mesh.dim, mesh.cells[: mesh.refdom.nnodes, cell]].mean(axis=1)
    if mesh.dim == 1:
        normal = np.ones((1, cell.size))
    elif mesh.dim == 2:
        normal = np.stack([x[1, 1] - x[1, 0], x[0, 0] - x[0, 1]])
    else:
        normal = np.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0], axis=0)
    side: NDArray[np.bool_] = np.sum(normal * (x.mean(axis=1) - centre), axis=0) > 0
    return side


def outward(mesh: RawMesh, corners: Array, cell: Ids) -> Array:
    """Facets of these cells with corners reordered so that their own orientation points out of the cell."""
    against = ~_agrees(mesh, corners, cell)
    if mesh.dim > 1:
        corners[:, against] = corners[::-1, against]
    return corners
