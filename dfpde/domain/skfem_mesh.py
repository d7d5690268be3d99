"""Meshes of scikit-fem: their cells and facets as `RawMesh` has them, and whether quadrature can be trusted on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MeshError
from . import cells
from . import check as mesh_check
from . import facets as mesh_facets
from . import raw as mesh_raw
from .raw import RawMesh

Ids = NDArray[np.int64]


def cell_type_of(kind: Any) -> str:
    """meshio's name of the cells of a scikit-fem mesh class."""
    for name, known in mesh_raw.MESH_TYPES.items():
        if known.elem is kind.elem:
            return name
    raise MeshError(f"unsupported mesh class {kind.__name__}", f"use cells of type {', '.join(mesh_raw.MESH_TYPES)}")


def whole(mesh: Any) -> RawMesh:
    """Cells and nodes; the cells of scikit-fem's periodic meshes (Mesh…DG) have nodes of their own."""
    periodic = hasattr(type(mesh), "periodic")
    kind = cell_type_of(type(mesh).__bases__[-1] if periodic else type(mesh))
    corners = mesh.t.astype(np.int64) if periodic else None
    if periodic and mesh.dim() > 1:
        twice = mesh_facets.joined_twice(RawMesh(np.zeros((1, mesh.t.max() + 1)), mesh.t, kind))
        if twice.size:
            what = f"{twice.size} cells have two facets in common with another one, first {twice[:5].tolist()}"
            raise MeshError(f"{type(mesh).__name__}: {what}", "at least three cells in every period")
    return RawMesh(mesh.doflocs, cells.nodes(mesh), kind, {}, dict(mesh.subdomains or {}), corners)


def facets_of(mesh: Any, cell_type: str) -> dict[str | None, Ids]:
    """Name → facets, (2, n): cell, and place in the cell; None → the boundary of the mesh."""
    named: dict[str | None, Ids] = {name: facet_cells(mesh, ids) for name, ids in (mesh.boundaries or {}).items()}
    topology = RawMesh(np.zeros((1, mesh.t.max() + 1)), mesh.t, cell_type)
    return {**named, None: mesh_facets.outer_facets(topology)}


def require_shapes(raw: RawMesh, first: int, ids: Ids) -> None:
    """Refuse nodes that are not finite, and cells without volume or folded; their numbers in the whole mesh.

    Raises
    ------
    MeshError
    """
    if not np.all(np.isfinite(raw.points)):
        bad = ids[~np.isfinite(raw.points).all(axis=0)]
        raise MeshError(f"{bad.size} vertices are NaN or infinite: {bad[:5].tolist()}", "mend them where they are made")
    # scikit-fem sorts the vertices of triangles, so orientation means nothing here
    found = [f for f in mesh_check.bad_shapes(raw, first) if f.name != "inverted cells"]
    if found:
        raise MeshError("; ".join(str(f) for f in found), "; ".join(f.remedy for f in found))


def facet_cells(mesh: Any, named: Any) -> Ids:
    """Owning cell of each facet of a named boundary, and the facet's place in that cell: (2, facets)."""
    facets = np.asarray(named, dtype=np.int64)
    side = getattr(named, "ori", None)
    owner = mesh.f2t[0 if side is None else side, facets]
    if np.any(owner < 0):
        lost = facets[owner < 0]
        what = f"{lost.size} facets are oriented away from their only cell, first {lost[:5].tolist()}"
        raise MeshError(what, "give the boundary without orientation")
    return np.stack([owner.astype(np.int64), np.argmax(mesh.t2f[:, owner] == facets, axis=0)])
