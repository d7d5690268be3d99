"""Formats other than gmsh's: what meshio reads, with the names that it leaves in many places; SU2 and Exodus by itself.

| format | names |
|---|---|
| Abaqus | sets of elements; other names are said to be there |
| anything else with meshio's cell sets (FLAC3D, MDPA, …) | the sets |
| MED | families of cells |
| Medit, Nastran, TetGen, Netgen, UGRID, AVS-UCD, `gmsh:physical` in .vtu and .xdmf | a number for each cell |
| other integers of cells, sets of nodes | said to be there |
| SU2 | markers of facets; groups of cells have no names there, which is said |
| XDMF's sets and further grids | refused |
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from pathlib import Path
from typing import Any

import meshio
import numpy as np
from meshio import extension_to_filetypes

from ..errors import MeshError, MissingDependency
from . import abaqus, exodus, su2
from .blocks import Block, Group, MeshFile, tagged

#: Cell data that meshio fills with a number of each cell's group; 0 is none.
NUMBERED = (
    "gmsh:physical", "medit:ref", "nastran:ref", "tetgen:ref", "netgen:index", "avsucd:material", "ugrid:ref",
)  # fmt: skip
SUFFIXES = {".su2": su2.read, ".e": exodus.read, ".ex2": exodus.read, ".exo": exodus.read}


def read(path: Path) -> MeshFile:
    """Read a file of any of these formats.

    Raises
    ------
    MeshError
        The file is unreadable or truncated.
    MissingDependency
        The format needs a package that is not installed.
    """
    reader = SUFFIXES.get(path.suffix)
    try:
        return _from_meshio(path) if reader is None else reader(path)
    except (ValueError, IndexError, KeyError, OSError) as error:
        if isinstance(error, MeshError):
            raise
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error


def _unreadable(path: Path, told: str) -> MeshError:
    what = f"{path}: unreadable or truncated ({told})"
    return MeshError(what, "write the file again, or convert it with `meshio convert`")


def _from_meshio(path: Path) -> MeshFile:
    """meshio.read with its prints caught and its exits turned into exceptions."""
    if "".join(path.suffixes[-1:]).lower() not in extension_to_filetypes:
        known = " ".join(sorted({*extension_to_filetypes, *SUFFIXES, ".msh"}))
        raise MeshError(f"{path}: no format of this name is known", f"convert it to one of {known}")
    _refuse_xdmf(path)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.filterwarnings("error", "string or file could not be read")  # text that ends early
            file: Any = abaqus.read(path) if path.suffix == ".inp" else meshio.read(path)
    except ImportError as error:
        raise MissingDependency(f"{path}: {error}", f"pip install {error.name}") from error
    except (Exception, SystemExit) as error:
        raise _unreadable(path, " ".join(said.getvalue().split()) or f"{type(error).__name__}: {error}") from error
    points = sorted(file.point_sets) + sorted(_flat(getattr(file, "point_tags", {})))
    unread = [f"sets of nodes: {', '.join(dict.fromkeys(points))}"] if points else []
    numbers = [name for name, blocks in file.cell_data.items() if _may_be_groups(name, blocks)]
    unread += [f"integers of cells: {', '.join(numbers)}"] if numbers else []
    groups = [_groups(file, i) for i in range(len(file.cells))]
    if path.suffix == ".inp":
        groups, points = abaqus.groups(path, [block.data.shape[1] for block in file.cells])
        unread = [f"sets of nodes, surfaces, included files: {', '.join(points)}"] if points else []
    blocks = tuple(Block(block.type, block.data, tuple(groups[i])) for i, block in enumerate(file.cells))
    return MeshFile(file.points, blocks, tuple(unread), file.cell_data, file.point_data)


def _groups(file: Any, index: int) -> list[Group]:
    """Groups of one block."""
    groups = []
    for name, members in file.cell_sets.items():
        if not name.startswith("gmsh:") and members[index] is not None and len(members[index]):
            groups.append(Group(name, np.asarray(members[index], dtype=np.int64)))
    dim = Block(file.cells[index].type, file.cells[index].data).dim
    known = {int(entry[0]): str(name) for name, entry in file.field_data.items() if _is_tag(entry, dim)}
    for key in NUMBERED:
        if key in file.cell_data:
            groups += tagged(np.asarray(file.cell_data[key][index]).ravel().astype(np.int64), known)
    families = getattr(file, "cell_tags", {})
    if "cell_tags" in file.cell_data:
        of_cells = np.asarray(file.cell_data["cell_tags"][index])
        for name in dict.fromkeys(_flat(families)):
            mine = [number for number, names in families.items() if name in names]
            members = np.flatnonzero(np.isin(of_cells, mine))
            if members.size:
                groups.append(Group(name, members))
    return groups


def _may_be_groups(name: str, blocks: list[Any]) -> bool:
    known = name in (*NUMBERED, "cell_tags", "gmsh:geometrical") or name.startswith("skfem:")
    return not known and all(np.asarray(block).dtype.kind in "iu" for block in blocks)


def _is_tag(entry: Any, dim: int) -> bool:
    return np.shape(entry) == (2,) and int(entry[1]) == dim


def _flat(tags: dict[Any, list[str]]) -> list[str]:
    return [name for names in tags.values() for name in names]


def _refuse_xdmf(path: Path) -> None:
    """Sets, and several grids (for example meshtags beside the mesh), which meshio does not read."""
    if path.suffix not in (".xdmf", ".xmf"):
        return
    text = path.read_text(errors="replace")
    for word in ("Grid", "Set"):
        found = [tag for tag in re.findall(rf"<{word}\b[^>]*>", text) if 'GridType="Collection"' not in tag]
        if len(found) > (word == "Grid"):
            named = [re.search(r'\bName="([^"]*)"', tag) for tag in found[:5]]
            what = f"{len(found)} {word.lower()}s, {', '.join(name[1] if name else '?' for name in named)}"
            raise MeshError(f"{path}: {what}", "write the mesh alone; meshtags and sets are not read")
