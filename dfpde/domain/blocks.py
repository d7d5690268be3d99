"""What a mesh file holds, whatever its format: nodes, blocks of cells of one type, and named groups of these cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cells import Ids

Array = NDArray[Any]

#: Dimension of cells by the letters of their meshio names; what follows counts nodes.
DIMENSIONS = {"vertex": 0, "line": 1, "triangle": 2, "quad": 2, "polygon": 2} | dict.fromkeys(
    ("tetra", "hexahedron", "wedge", "pyramid", "polyhedron"), 3
)


@dataclass(frozen=True, eq=False)
class Group:
    """Members of a named group in one block of cells.

    Attributes
    ----------
    name : str
    members : ndarray of int
        Numbers within the block.
    reversed : bool
        Whether the group turns its cells round (gmsh's negative tags).
    """

    name: str
    members: Ids
    reversed: bool = False


@dataclass(frozen=True, eq=False)
class Block:
    """Cells of one type, in the order of the file.

    Attributes
    ----------
    cell_type : str
        meshio's name.
    cells : ndarray of int
        Node numbers from 0, (cells, k), in meshio's order.
    groups : tuple of Group
    """

    cell_type: str
    cells: Array
    groups: tuple[Group, ...] = ()

    @property
    def dim(self) -> int:
        """Dimension of the cells."""
        return DIMENSIONS.get(self.cell_type.rstrip("0123456789"), -1)


@dataclass(frozen=True, eq=False)
class MeshFile:
    """Nodes, blocks of cells, and messages about names that were found but not understood.

    Attributes
    ----------
    points : ndarray
        (nodes, columns).
    blocks : tuple of Block
    unread : tuple of str
    cell_data : dict
        Name → one array for each block, where the format has such data.
    point_data : dict
        Name → (nodes,) or (nodes, components), where the format has such data.
    """

    points: Array
    blocks: tuple[Block, ...]
    unread: tuple[str, ...] = ()
    cell_data: dict[str, list[Array]] | None = None
    point_data: dict[str, Array] | None = None


def tagged(tags: Array, names: dict[int, str] | None = None) -> list[Group]:
    """Groups of one block from a number for each cell: 0 is none, negative is reversed; without a name its number."""
    groups = []
    for tag in np.unique(tags):
        if tag:
            name = (names or {}).get(abs(int(tag)), str(abs(int(tag))))
            groups.append(Group(name, np.flatnonzero(tags == tag), bool(tag < 0)))
    return groups
