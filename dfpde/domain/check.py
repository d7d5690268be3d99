"""Validation: what is wrong with a mesh, by cell and vertex number, and what of it can be mended.

Numbers count from 0 in the order of the file: cells among the cells of the mesh's own type, vertices among all.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import DfpdeWarning, MeshError
from . import facets as mesh_facets
from . import raw as mesh_raw
from .cells import Ids
from .raw import RawMesh


@dataclass(frozen=True, eq=False)
class Finding:
    """One thing wrong with a mesh.

    Attributes
    ----------
    name : str
        What, in words, e.g. ``"inverted cells"``.
    ids : ndarray of int
        Numbers of the cells or vertices concerned.
    detail : str
        Numbers that help.
    remedy : str
    repairable : bool
        Whether `repair` mends it.
    harmless : bool
        Whether no integral depends on it: `mend` mends it, or it may stay.
    """

    name: str
    ids: Ids
    detail: str
    remedy: str
    repairable: bool = False
    harmless: bool = False

    def __str__(self) -> str:
        listed = ", ".join(str(i) for i in self.ids[:5]) + (", …" if self.ids.size > 5 else "")
        counted = f"{self.ids.size} {self.name}: {listed}" if self.ids.size else f"no {self.name}"
        return counted + (f" ({self.detail})" if self.detail else "")


def check_mesh(mesh: RawMesh) -> list[Finding]:
    """All that is wrong with a mesh; an empty list if nothing is.

    Missing or non-finite vertices, and cells that do not lie in their plane, hide what lies behind them: then only
    these are reported.
    """
    fatal = _unusable(mesh) or _height(mesh)
    if fatal:
        return fatal
    found = [*_unused(mesh), *_duplicate_vertices(mesh), *_duplicate_cells(mesh)]
    return [*found, *bad_shapes(mesh), *_facets(mesh)]


def repair(mesh: RawMesh) -> RawMesh:
    """Merge duplicate vertices and cells, drop unused vertices, reflect inverted cells."""
    return mend(mesh_raw.drop_duplicates(_merged(mesh)))


def mend(mesh: RawMesh) -> RawMesh:
    """Mend what no integral depends on: orientation, unused vertices, and vertices twice at one place.

    Vertices stay apart where a named boundary runs between them: there the mesh is slit on purpose.
    """
    if not _lips(mesh):
        mesh = _merged(mesh)
    used = _used(mesh)
    mesh = replace(mesh_raw.renumbered(mesh, np.cumsum(used) - 1), points=mesh.points[:, used])
    return mesh_raw.reflected(mesh, mesh_raw.cell_shapes(mesh).inverted)


def accept(raw: RawMesh, name: str, everything: bool = False) -> RawMesh:
    """The mesh, mended, in scikit-fem's form: coordinates of the right dimension, float64.

    Parameters
    ----------
    raw : RawMesh
    name : str
        What messages call it.
    everything : bool
        Whether to `repair` it, not only to `mend` it.

    Raises
    ------
    MeshError
        Lists everything `check_mesh` finds that is not harmless.

    Warns
    -----
    DfpdeWarning
        Lists what was mended.
    """
    findings = check_mesh(raw)
    mended = [f for f in findings if f.harmless or (everything and f.repairable)]
    left = wrong = [f for f in findings if not f.harmless]
    if mended:
        raw = repair(raw) if everything else mend(raw)
        left = [f for f in check_mesh(raw) if not f.harmless]
    if left:
        listed = wrong or left  # with the numbers of the file where there are any
        what = "; ".join(str(f) for f in listed)
        raise MeshError(f"{name}: {what}", "; ".join(dict.fromkeys(f.remedy for f in listed)))
    if mended:
        warnings.warn(f"{name}: mended: {'; '.join(str(f) for f in mended)}", DfpdeWarning, stacklevel=3)
    points = np.ascontiguousarray(raw.points[: raw.dim], dtype=np.float64)
    order = np.sort(raw.cells, axis=0) if raw.mesh_type.sort_t else raw.cells  # scikit-fem sorts triangles itself
    return RawMesh(points, order, raw.cell_type, raw.boundaries, raw.subdomains)


def _merged(mesh: RawMesh) -> RawMesh:
    """Vertices at one place become one."""
    first, later = mesh_raw.duplicate_vertices(mesh)
    target = np.arange(mesh.points.shape[1])
    target[later] = first
    while np.any(target[target] != target):  # c lies on b and b on a
        target = target[target]
    return mesh_raw.renumbered(mesh, target)


def _lips(mesh: RawMesh) -> list[str]:
    """Names of boundaries with facets that have one cell, and two once vertices at one place are one."""
    if not mesh.boundaries or mesh_raw.duplicate_vertices(mesh)[1].size == 0:
        return []
    before, after = mesh_facets.cells_at_facets(mesh), mesh_facets.cells_at_facets(_merged(mesh))
    return [name for name in mesh.boundaries if np.any((before[name] == 1) & (after[name] > 1))]


def _unusable(mesh: RawMesh) -> list[Finding]:
    none = np.zeros(0, dtype=np.int64)
    if mesh.cells.shape[1] == 0:
        return [Finding("cells in the mesh", none, "", "save the cells: in gmsh, give them a physical group")]
    lost = np.flatnonzero(((mesh.cells < 0) | (mesh.cells >= mesh.points.shape[1])).any(axis=0))
    if lost.size:
        detail = f"the mesh has {mesh.points.shape[1]} vertices"
        return [Finding("cells with vertices that do not exist", lost, detail, "write the file again")]
    bad = np.flatnonzero(~np.isfinite(mesh.points).all(axis=0))
    if bad.size:
        return [Finding("vertices with coordinates that are NaN or infinite", bad, "", "mend them where they are made")]
    return []


def _height(mesh: RawMesh) -> list[Finding]:
    if len(mesh.points) <= mesh.dim:
        return []
    height = np.abs(mesh.points[mesh.dim :]).max(axis=0)
    bad = np.flatnonzero(height > mesh.tolerance)
    if bad.size == 0:
        return []
    axis = "z" if mesh.dim == 2 else "y or z"
    detail = f"up to {height.max():.3g}, cells are of type {mesh.cell_type}"
    remedy = (
        f"a {mesh.dim}D mesh must lie in {axis} = 0: move or project it there; curved manifolds are not supported. If "
        f"it is the boundary of a {mesh.dim + 1}D mesh, its cells were not saved: in gmsh give them a physical group"
    )
    return [Finding(f"vertices of a {mesh.dim}D mesh with non-zero {axis}", bad, detail, remedy)]


def _unused(mesh: RawMesh) -> list[Finding]:
    bad = np.flatnonzero(~_used(mesh))
    return [Finding("unused vertices", bad, "", "they are dropped on reading", True, True)] if bad.size else []


def _duplicate_vertices(mesh: RawMesh) -> list[Finding]:
    first, later = mesh_raw.duplicate_vertices(mesh)
    if later.size == 0:
        return []
    detail = f"vertex {later[0]} lies on vertex {first[0]}; tolerance {mesh.tolerance:.1e}"
    slit = _lips(mesh)
    if slit:
        what = f"duplicate vertices, kept apart along the slit {', '.join(slit)}"
        return [Finding(what, later, detail, "repair=True merges them", True, True)]
    return [Finding("duplicate vertices", later, detail, "they are merged on reading", True, True)]


def _used(mesh: RawMesh) -> NDArray[np.bool_]:
    used = np.zeros(mesh.points.shape[1], dtype=bool)
    used[mesh.cells] = True
    return used


def _duplicate_cells(mesh: RawMesh) -> list[Finding]:
    first, later = mesh_raw.duplicate_cells(mesh)
    if later.size == 0:
        return []
    return [Finding("duplicate cells", later, f"cell {later[0]} is cell {first[0]}", "repair=True drops them", True)]


def bad_shapes(mesh: RawMesh, first: int = 0) -> list[Finding]:
    """Zero-volume, folded and inverted cells; the mesh's first cell is number `first`."""
    shapes = mesh_raw.cell_shapes(mesh)
    found = []
    for name, bad, remedy in (
        ("zero-volume cells", shapes.flat, "remove them, or mesh again with fewer constraints"),
        ("folded cells", shapes.folded, "their det J vanishes or changes sign: order their vertices, make them convex"),
        ("inverted cells", shapes.inverted, "they are reflected on reading"),
    ):
        ids = np.flatnonzero(bad)
        if ids.size:
            detail = f"det J of cell {first + ids[0]} in [{shapes.smallest[ids[0]]:.3g}, {shapes.largest[ids[0]]:.3g}]"
            mends = name == "inverted cells"
            found.append(Finding(name, first + ids, detail, remedy, mends, mends))
    return found


def _facets(mesh: RawMesh) -> list[Finding]:
    found = []
    count, cells = mesh_facets.crowded_facets(mesh)
    if count:
        remedy = "no facet may have more than two cells: remove overlapping parts"
        found.append(Finding("cells at non-manifold facets", cells, f"{count} facets with over two cells", remedy))
    for name, facets in mesh_facets.locate_facets(mesh).items():
        lost = np.flatnonzero(facets[0] < 0)
        if lost.size:
            what = f"facets of boundary {name!r} that are facets of no cell"
            detail = f"the first has vertices {mesh.boundaries[name][:, lost[0]].tolist()}"
            found.append(Finding(what, lost, detail, "embed the curve or surface in the mesh, or remove its group"))
    return found
