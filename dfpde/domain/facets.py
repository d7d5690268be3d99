"""Facets of a whole mesh on one rank: how many cells each has, and which cell owns it.

A set of vertices is found again by its name, a sum of random-looking numbers of its members (`raw.vertex_names`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cells import Ids
from .raw import Names, RawMesh, vertex_names

Array = NDArray[Any]


def _facet_names(mesh: RawMesh, place: int, mixed: Names) -> Names:
    """One number for the facet at this place of every cell, equal where facets are."""
    names: Names = mixed[mesh.cells[mesh.refdom.facets[place]]].sum(axis=0)
    return names


def _facets_with(mesh: RawMesh, wanted: Callable[[Ids], NDArray[np.bool_]]) -> Names:
    """Sorted names of the facets whose number of cells is as wanted."""
    mixed = vertex_names(mesh.points.shape[1])
    names = np.concatenate([_facet_names(mesh, place, mixed) for place in range(mesh.refdom.nfacets)])
    names.sort()
    starts = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1]]))
    counts = np.diff(np.append(starts, names.size))
    chosen: Names = names[starts[wanted(counts)]]
    return chosen


def crowded_facets(mesh: RawMesh) -> tuple[int, Ids]:
    """How many facets have more than two cells, and these cells."""
    crowded, mixed = _facets_with(mesh, lambda count: count > 2), vertex_names(mesh.points.shape[1])
    cells = np.zeros(mesh.cells.shape[1], dtype=bool)
    if crowded.size:
        for place in range(mesh.refdom.nfacets):
            cells |= np.isin(_facet_names(mesh, place, mixed), crowded)
    return crowded.size, np.flatnonzero(cells)


def cells_at_facets(mesh: RawMesh) -> dict[str, Ids]:
    """How many cells each facet of every named boundary has."""
    mixed = vertex_names(mesh.points.shape[1])
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
    mixed, count = vertex_names(int(mesh.cells.max(initial=0)) + 1), mesh.cells.shape[1]
    names = np.concatenate([_facet_names(mesh, place, mixed) for place in range(mesh.refdom.nfacets)])
    order = np.argsort(names, kind="stable")
    same = np.flatnonzero(names[order[1:]] == names[order[:-1]])
    pairs = np.sort(np.stack([order[same] % count, order[same + 1] % count]), axis=0)
    known, times = np.unique(pairs, axis=1, return_counts=True)
    twice: Ids = np.unique(known[:, times > 1])
    return twice


def outer_facets(mesh: RawMesh) -> Ids:
    """Cell and place in it, (2, facets), of the facets that belong to one cell only, ordered by cell."""
    mixed, single = vertex_names(mesh.points.shape[1]), _facets_with(mesh, lambda count: count == 1)
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
    mixed = vertex_names(mesh.points.shape[1])
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
