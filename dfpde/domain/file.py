"""Mesh files: anything meshio reads, as a `RawMesh` with its named boundaries and subdomains.  One rank's work."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import meshio
import numpy as np
from numpy.typing import NDArray
from skfem.io.meshio import INV_HEX_MAPPING

from ..errors import MeshError
from . import raw as mesh_raw
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
    """
    file = _read(Path(path))
    highest = max((block.dim for block in file.cells if len(block.data)), default=0)
    if highest == 0:
        raise MeshError(f"{path}: no cells in the mesh", "save the cells: in gmsh, give them a physical group")
    if dim is not None and dim != highest:
        held = ", ".join(f"{len(b.data)} {b.type}" for b in file.cells if b.dim == highest)
        raise MeshError(f"{path}: dimension {highest} ({held}), not {dim}", f"pass dim={highest}, or mesh in {dim}D")
    cell_type = _cell_type(path, file, highest)
    offsets, cells = _joined(file, highest, cell_type)
    names = sorted(_named(file))
    boundaries = {name: facets for name in names if (facets := _facets(file, name, highest - 1)) is not None}
    subdomains = {name: ids for name in names if (ids := _cells(file, name, highest, offsets)) is not None}
    raw = RawMesh(file.points.T, cells, cell_type, boundaries, subdomains)
    _decode_skfem(file, raw, boundaries, subdomains)
    return _merge_tagged(raw, file, highest)


def _read(path: Path) -> Any:
    """meshio.read with its prints caught and its exits turned into exceptions."""
    if not path.is_file():
        raise MeshError(f"{path}: no such file", "check the path; it is read on rank 0's machine")
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.filterwarnings("error", "string or file could not be read")  # text that ends early
            return meshio.read(path)
    except (Exception, SystemExit) as error:
        told = " ".join(said.getvalue().split()) or f"{type(error).__name__}: {error}"
        what = f"{path}: unreadable or truncated ({told})"
        raise MeshError(what, "write the file again, or convert it with `meshio convert`") from error


def _cell_type(path: str | Path, file: Any, dim: int) -> str:
    counts: dict[str, int] = {}
    for block in file.cells:
        if block.dim == dim and len(block.data):
            counts[block.type] = counts.get(block.type, 0) + len(block.data)
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


def _joined(file: Any, dim: int, cell_type: str) -> tuple[dict[int, int], NDArray[Any]]:
    """Number of the first cell of each block of cells, and the cells (k, n) in scikit-fem's order."""
    offsets, blocks, count = {}, [], 0
    for index, block in enumerate(file.cells):
        if block.dim == dim and len(block.data):
            offsets[index] = count
            blocks.append(block.data)
            count += len(block.data)
    cells = (blocks[0] if len(blocks) == 1 else np.concatenate(blocks)).T
    if cell_type.startswith("hexahedron"):
        cells = cells[INV_HEX_MAPPING[: len(cells)]]
    return offsets, np.ascontiguousarray(cells)


# -- names ---------------------------------------------------------------------------------------------------
def _named(file: Any) -> set[str]:
    """Names of sets of cells of any dimension: meshio's cell sets and gmsh's physical groups."""
    names = {name for name in file.cell_sets if not name.startswith("gmsh:")}
    for block, tags in _tagged(file):
        names |= {_name_of(file, tag, block.dim) for tag in np.unique(np.abs(tags)) if tag}
    return names


def _tagged(file: Any) -> Iterator[tuple[Any, NDArray[Any]]]:
    yield from zip(file.cells, file.cell_data.get("gmsh:physical", []), strict=False)


def _name_of(file: Any, tag: Any, dim: int) -> str:
    """Name of a physical group, its number if it has none."""
    for name, entry in file.field_data.items():
        if len(entry) == 2 and int(entry[0]) == tag and int(entry[1]) == dim:
            return str(name)
    return str(tag)


def _members(file: Any, name: str, dim: int) -> Iterator[tuple[int, Any, Ids]]:
    """Blocks of this dimension with members of a named set: (number of the block, block, members)."""
    listed, tags = file.cell_sets.get(name), file.cell_data.get("gmsh:physical")
    for index, block in enumerate(file.cells):
        if block.dim != dim:
            continue
        members = np.zeros(0, dtype=np.int64) if listed is None or listed[index] is None else listed[index]
        if tags is not None:  # meshio forgets reversed members, whose tag is negative, in its cell sets
            size = np.abs(tags[index])
            wanted = [tag for tag in np.unique(size) if tag and _name_of(file, tag, dim) == name]
            members = np.union1d(members, np.flatnonzero(np.isin(size, wanted)))
        if len(members):
            yield index, block, np.asarray(members, dtype=np.int64)


def _facets(file: Any, name: str, dim: int) -> NDArray[Any] | None:
    """Corners (corners, facets) of the facets of this name."""
    found, tags = [], file.cell_data.get("gmsh:physical")
    for index, block, members in _members(file, name, dim):
        count = CORNERS.get(block.type.rstrip("0123456789"), 0)
        corners = block.data[members, :count].T.copy()
        if tags is not None:
            reverse = tags[index][members] < 0
            corners[:, reverse] = corners[::-1, reverse]
        found.append(corners)
    return np.concatenate(found, axis=1) if found and len({len(f) for f in found}) == 1 else None


def _cells(file: Any, name: str, dim: int, offsets: dict[int, int]) -> Ids | None:
    found = [offsets[index] + members for index, _, members in _members(file, name, dim)]
    return np.concatenate(found) if found else None


def _decode_skfem(file: Any, raw: RawMesh, boundaries: dict[str, Any], subdomains: dict[str, Any]) -> None:
    """Names that scikit-fem's Mesh.save leaves in cell data: ``skfem:s:name`` and ``skfem:b:name``."""
    for key, blocks in file.cell_data.items():
        if not key.startswith(("skfem:s:", "skfem:b:")):
            continue
        data = np.concatenate([d for d, block in zip(blocks, file.cells, strict=True) if block.dim == raw.dim])
        kind, name = key[6], key[8:]
        if kind == "s":
            subdomains[name] = np.flatnonzero(data)
            continue
        facets = []
        for place, corners in enumerate(raw.refdom.facets):
            cells = np.flatnonzero(data.astype(np.int64) >> place & 1)
            facets.append(mesh_raw.outward(raw, np.ascontiguousarray(raw.cells[corners][:, cells]), cells))
        boundaries[name] = np.concatenate(facets, axis=1)


def _merge_tagged(raw: RawMesh, file: Any, dim: int) -> RawMesh:
    """msh 2 writes a cell once for each of its physical groups: keep one, in all its subdomains."""
    tags = [t for block, t in _tagged(file) if block.dim == dim and len(t)]
    if not tags:
        return raw
    first, later = mesh_raw.duplicate_cells(raw)
    tag = np.abs(np.concatenate(tags))
    copies = np.stack([first, tag[later]])
    if np.any(tag[first] == tag[later]) or np.unique(copies, axis=1).shape[1] < later.size:
        return raw
    return mesh_raw.drop_duplicates(raw)
