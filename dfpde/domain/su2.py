"""SU2's meshes, whose markers meshio replaces by numbers.  https://su2code.github.io/docs_v7/Mesh-File/ ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MeshError
from .blocks import Block, Group, MeshFile

TYPES = {  # of VTK
    3: ("line", 2), 5: ("triangle", 3), 9: ("quad", 4), 10: ("tetra", 4), 12: ("hexahedron", 8), 13: ("wedge", 6),
    14: ("pyramid", 5),
}  # fmt: skip


#: Said of every file: what a mesh generator called groups of cells is lost when it writes this format.
NAMELESS = "groups of cells, for which SU2's format has no names (gmsh's .msh and MED's .med keep them)"


def read(path: Path) -> MeshFile:
    """Read a .su2 file: cells, and each marker as a group of facets.

    Raises
    ------
    MeshError
        Several zones.
    """
    lines = iter([line for text in path.read_text().splitlines() if (line := text.split("%")[0].strip())])
    points: NDArray[Any] = np.zeros((0, 0))
    blocks: list[Block] = []
    dim, marker, markers = 0, "", 0
    for line in lines:
        key, _, value = (part.strip() for part in line.partition("="))
        if key == "NZONE" and int(value) > 1:
            raise MeshError(f"{path}: {int(value)} zones, each a mesh of its own", "write one file for each zone")
        if key == "NDIME":
            dim = int(value)
        elif key == "NPOIN":
            count = int(value.split()[0])
            points = np.array([row.split()[:dim] for row in _take(lines, count)], dtype=float).reshape(count, dim)
        elif key == "NELEM":
            blocks += _blocks(_take(lines, int(value)))
        elif key == "NMARK":
            markers += int(value)
        elif key == "MARKER_TAG":
            marker = value
        elif key == "MARKER_ELEMS":
            markers -= 1
            found = _blocks(_take(lines, int(value)))
            blocks += [Block(b.cell_type, b.cells, (Group(marker, np.arange(len(b.cells))),)) for b in found]
    if markers:
        raise ValueError(f"{abs(markers)} markers too {'few' if markers > 0 else 'many'} for NMARK")
    return MeshFile(points, tuple(blocks), (NAMELESS,))


def _take(lines: Iterator[str], count: int) -> list[str]:
    taken = [line for _, line in zip(range(count), lines, strict=False)]
    if len(taken) < count:
        raise ValueError(f"{len(taken)} of {count} lines: the file ends early")
    return taken


def _blocks(lines: list[str]) -> list[Block]:
    """One block for each type, from rows type, nodes (and often a number)."""
    rows: dict[int, list[list[str]]] = {}
    for line in lines:
        words = line.split()
        kind = int(words[0])
        if kind not in TYPES:
            raise ValueError(f"cells of VTK's type {kind}")
        if len(words) <= TYPES[kind][1]:
            raise ValueError(f"a {TYPES[kind][0]} of {len(words) - 1} nodes")
        rows.setdefault(kind, []).append(words[1 : 1 + TYPES[kind][1]])
    return [Block(TYPES[kind][0], np.array(nodes, dtype=np.int64)) for kind, nodes in rows.items()]
