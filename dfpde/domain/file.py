"""Mesh files as a `RawMesh` with its named boundaries and subdomains.  One rank's work."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skfem.io.meshio import INV_HEX_MAPPING

from ..errors import DfpdeWarning, MeshError
from . import facets as mesh_facets
from . import formats, gmsh
from . import raw as mesh_raw
from .blocks import MeshFile
from .cells import Ids
from .raw import MESH_TYPES, RawMesh

CORNERS = {"vertex": 1, "line": 2, "triangle": 3, "quad": 4}  # of facets, whatever their order


def load(path: str | Path, dim: int | None = None) -> RawMesh:
    """Read a mesh file, unchecked.

    Parameters
    ----------
    path : str or Path
    dim : int, optional
        Dimension the mesh must have; by default that of its highest-dimensional cells.

    Raises
    ------
    MeshError
        If the file is missing, unreadable or truncated, has no cells, cells of several or unsupported types,
        or another dimension than `dim`.
    MissingDependency
        If the format needs a package that is not installed.

    Warns
    -----
    DfpdeWarning
        Names in the file that stand for nothing here: node sets, groups without cells, groups of edges in 3D.
    """
    path = Path(path)
    file = read(path)
    highest = max((block.dim for block in file.blocks if len(block.cells)), default=0)
    if highest == 0:
        raise MeshError(f"{path}: no cells in the mesh", "save the cells: in gmsh, give them a physical group")
    if dim is not None and dim != highest:
        held = ", ".join(f"{len(b.cells)} {b.cell_type}" for b in file.blocks if b.dim == highest)
        raise MeshError(f"{path}: dimension {highest} ({held}), not {dim}", f"pass dim={highest}, or mesh in {dim}D")
    cell_type = _cell_type(path, file, highest)
    cells, subdomains, groups = _joined(file, highest, cell_type)
    boundaries = _facets(file, highest - 1)
    raw = RawMesh(file.points.T, cells, cell_type, boundaries, subdomains)
    _decode_skfem(file, raw, boundaries, subdomains)
    _say_unread(path, file, highest)
    return _merge_grouped(raw, groups)


def read(path: Path) -> MeshFile:
    """Nodes, blocks of cells and their groups of a file of any format."""
    try:
        if not path.is_file():
            raise MeshError(f"{path}: no such file", "check the path; it is read on rank 0's machine")
        data = path.read_bytes() if path.suffix == ".msh" else b""
    except OSError as error:  # no permission, a name that is too long
        raise MeshError(f"{path}: {error.strerror}", "check the path and its permissions") from error
    if path.suffix != ".msh":
        return formats.read(path)
    fluent, scikit_fem = data[:64].lstrip().startswith(b"("), b'"skfem:' in data  # written by meshio
    return formats.read(path) if fluent or scikit_fem else gmsh.read(path, data)


def _cell_type(path: Path, file: MeshFile, dim: int) -> str:
    counts: dict[str, int] = {}
    for block in file.blocks:
        if block.dim == dim and len(block.cells):
            counts[block.cell_type] = counts.get(block.cell_type, 0) + len(block.cells)
    held = ", ".join(f"{count} {name}" for name, count in counts.items())
    if len(counts) > 1:
        raise MeshError(
            f"{path}: mixed cell types: {held}",
            "mesh with one type: in gmsh, recombine all surfaces or none; keep linear and second-order cells apart",
        )
    name = next(iter(counts))
    if name not in MESH_TYPES:
        remedy = f"use one of {', '.join(MESH_TYPES)}; in gmsh set Mesh.SecondOrderIncomplete = 0 and order 1 or 2"
        raise MeshError(f"{path}: unsupported cells: {held}", remedy)
    return name


def _joined(file: MeshFile, dim: int, cell_type: str) -> tuple[NDArray[Any], dict[str, Ids], Ids]:
    """Cells (k, n) in scikit-fem's order, subdomains, and a number for each cell's set of groups."""
    blocks, count = [], 0
    found: dict[str, list[Ids]] = {}
    for block in file.blocks:
        if block.dim == dim and len(block.cells):
            for group in block.groups:
                found.setdefault(group.name, []).append(count + group.members)
            blocks.append(block.cells)
            count += len(block.cells)
    cells = (blocks[0] if len(blocks) == 1 else np.concatenate(blocks)).T
    if cell_type.startswith("hexahedron"):
        cells = cells[INV_HEX_MAPPING[: len(cells)]]
    subdomains = {name: np.unique(np.concatenate(found[name])) for name in sorted(found) if len(found[name])}
    groups = np.zeros(count, dtype=np.int64)
    for number, members in enumerate(subdomains.values()):
        groups[members] += 1 << (7 * number % 61)
    return np.ascontiguousarray(cells), {name: ids for name, ids in subdomains.items() if ids.size}, groups


def _facets(file: MeshFile, dim: int) -> dict[str, NDArray[Any]]:
    """Corners (corners, facets) of the facets of each name, none twice."""
    found: dict[str, list[NDArray[Any]]] = {}
    for block in file.blocks:
        count = CORNERS.get(block.cell_type.rstrip("0123456789"), 0)
        for group in block.groups if block.dim == dim else ():
            corners = block.cells[group.members, :count].T
            found.setdefault(group.name, []).append(corners[::-1] if group.reversed else corners)
    named = {}
    for name in sorted(found):
        if len({len(part) for part in found[name]}) == 1:  # triangles and quadrilaterals: the cells are neither
            corners = np.concatenate(found[name], axis=1)
            _, first = np.unique(np.sort(corners, axis=0), axis=1, return_index=True)
            named[name] = np.ascontiguousarray(corners[:, np.sort(first)])
    return {name: corners for name, corners in named.items() if corners.size}


def _say_unread(path: Path, file: MeshFile, dim: int) -> None:
    """Warn of names that have no meaning here."""
    low = {group.name for block in file.blocks if block.dim < dim - 1 for group in block.groups}
    words = list(file.unread)
    if low:
        words.append(f"groups of cells of dimension below {dim - 1}: {', '.join(sorted(low))}")
    if words:
        what = "; ".join(words)
        warnings.warn(
            f"{path}: names that were not read: {what} (boundaries are groups of facets, subdomains groups of cells)",
            DfpdeWarning,
            stacklevel=4,
        )


def _decode_skfem(file: MeshFile, raw: RawMesh, boundaries: dict[str, Any], subdomains: dict[str, Any]) -> None:
    """Names that scikit-fem's Mesh.save leaves in cell data: ``skfem:s:name`` and ``skfem:b:name``."""
    for key, blocks in (file.cell_data or {}).items():
        if not key.startswith(("skfem:s:", "skfem:b:")):
            continue
        data = np.concatenate([d for d, block in zip(blocks, file.blocks, strict=True) if block.dim == raw.dim])
        kind, name = key[6], key[8:]
        if kind == "s":
            subdomains[name] = np.flatnonzero(data)
            continue
        facets = []
        for place, corners in enumerate(raw.refdom.facets):
            cells = np.flatnonzero(data.astype(np.int64) >> place & 1)
            facets.append(mesh_facets.outward(raw, np.ascontiguousarray(raw.cells[corners][:, cells]), cells))
        boundaries[name] = np.concatenate(facets, axis=1)


def _merge_grouped(raw: RawMesh, groups: Ids) -> RawMesh:
    """Formats with one group for each cell list a cell once for each of its groups: keep one, in all of them."""
    if not raw.subdomains:
        return raw
    first, later = mesh_raw.duplicate_cells(raw)
    copies = np.stack([first, groups[later]])
    if np.any(groups[first] == groups[later]) or np.unique(copies, axis=1).shape[1] < later.size:
        return raw
    return mesh_raw.drop_duplicates(raw)
