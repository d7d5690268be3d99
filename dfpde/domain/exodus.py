"""Exodus II meshes: element blocks as subdomains, side sets as boundaries; meshio reads neither name.

Exodus is netCDF: version 3 is read by SciPy, version 4 (which is HDF5) by h5py.
https://sandialabs.github.io/seacas-docs/exodusII-new.pdf
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import netcdf_file

from ..errors import MeshError, MissingDependency
from .blocks import Block, Group, MeshFile

Array = NDArray[Any]

# (spelling in capitals without digits, nodes) -> meshio's name
TYPES = {
    ("BAR", 2): "line", ("BEAM", 2): "line", ("EDGE", 2): "line", ("TRUSS", 2): "line",
    ("TRI", 3): "triangle", ("TRIANGLE", 3): "triangle", ("TRI", 6): "triangle6", ("TRIANGLE", 6): "triangle6",
    ("TRISHELL", 3): "triangle", ("TRISHELL", 6): "triangle6", ("SHELL", 8): "quad8",
    ("QUAD", 4): "quad", ("SHELL", 4): "quad", ("QUAD", 8): "quad8", ("QUAD", 9): "quad9", ("SHELL", 9): "quad9",
    ("TETRA", 4): "tetra", ("TET", 4): "tetra", ("TETRA", 10): "tetra10", ("TET", 10): "tetra10",
    ("HEX", 8): "hexahedron", ("HEXAHEDRON", 8): "hexahedron", ("HEX", 20): "hexahedron20",
    ("HEX", 27): "hexahedron27", ("WEDGE", 6): "wedge", ("PYRAMID", 5): "pyramid",
}  # fmt: skip

# corners of side 1, 2, … of a cell
SIDES = {
    "line": ("vertex", [[0], [1]]),
    "triangle": ("line", [[0, 1], [1, 2], [2, 0]]),
    "quad": ("line", [[0, 1], [1, 2], [2, 3], [3, 0]]),
    "tetra": ("triangle", [[0, 1, 3], [1, 2, 3], [0, 3, 2], [0, 2, 1]]),
    "hexahedron": ("quad", [[0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [0, 4, 7, 3], [0, 3, 2, 1], [4, 5, 6, 7]]),
}

# The first two sides of a shell, and of a triangle among points in space, are its faces
FACES = 2

# Exodus lists middles of vertical edges before those of the upper face, and faces in another order than VTK
ORDER = {"hexahedron27": [*range(12), *range(16, 20), *range(12, 16), 23, 24, 25, 26, 21, 22, 20]}


def read(path: Path) -> MeshFile:
    """Read an Exodus file.

    Raises
    ------
    MeshError
        A side set holds faces of shells.
    MissingDependency
        A netCDF 4 file, and h5py is not installed.
    """
    variables = _variables(path)
    points = _points(variables)
    blocks, first, before, count = [], [], [], 0
    names = _strings(variables.get("eb_names"))
    for key in sorted((k for k in variables if k.startswith("connect")), key=_trailing):
        nodes, kind = variables[key]
        cell_type = TYPES.get((kind.upper().rstrip("0123456789"), nodes.shape[1]), f"{kind.lower()}{nodes.shape[1]}")
        cells = nodes.astype(np.int64) - 1
        name = _name(names, variables.get("eb_prop1"), _trailing(key))
        cells = cells[:, ORDER[cell_type]] if cell_type in ORDER else cells
        blocks.append(Block(cell_type, cells, (Group(name, np.arange(len(cells))),)))
        first.append(count)
        shell = "SHELL" in kind.upper() or (cell_type.startswith("triangle") and points.shape[1] > 2)
        before.append(FACES if shell else 0)
        count += len(cells)
    sides = _side_sets(path, variables, blocks, np.array(first), before)
    sets = [n or str(i + 1) for i, n in enumerate(_strings(variables.get("ns_names")))]
    return MeshFile(points, (*blocks, *sides), (f"sets of nodes: {', '.join(sets)}",) if sets else ())


def _side_sets(
    path: Path, variables: dict[str, Any], blocks: list[Block], first: Array, before: list[int]
) -> list[Block]:
    """Each side set as blocks of facets; the cells of a block have `before` sides ahead of these."""
    names, found = _strings(variables.get("ss_names")), []
    for key in sorted((k for k in variables if k.startswith("elem_ss")), key=_trailing):
        cell = variables[key][0].astype(np.int64) - 1
        side = variables[f"side_ss{_trailing(key)}"][0].astype(np.int64) - 1
        name = _name(names, variables.get("ss_prop1"), _trailing(key))
        owner = np.searchsorted(first, cell, side="right") - 1
        for index in np.unique(owner):
            block, mine = blocks[index], owner == index
            facet, corners = SIDES[block.cell_type.rstrip("0123456789")]
            local, which = cell[mine] - first[index], side[mine] - before[index]
            if np.any(which < 0):
                what = f"{path}: side set {name!r} has faces of {np.sum(which < 0)} shells"
                raise MeshError(what, "make it of curves: their sides count from 3 on shells; or write QUAD, TRI in 2D")
            nodes = block.cells[local[:, None], np.array(corners)[which]]
            found.append(Block(facet, nodes, (Group(name, np.arange(len(nodes))),)))
    return found


def _name(names: list[str], ids: Any, number: int) -> str:
    """Name of block or set number 1, 2, …, else its id."""
    if number <= len(names) and names[number - 1]:
        return names[number - 1]
    return str(int(ids[0][number - 1]) if ids is not None else number)


def _trailing(key: str) -> int:
    return int(key.lstrip("abcdefghijklmnopqrstuvwxyz_") or 0)


def _points(variables: dict[str, Any]) -> Array:
    if "coord" in variables:
        joined: Array = np.asarray(variables["coord"][0], dtype=float).T
        return joined
    return np.stack([np.asarray(variables[k][0], float) for k in ("coordx", "coordy", "coordz") if k in variables], 1)


def _strings(variable: Any) -> list[str]:
    """Rows of characters, ended by a zero byte."""
    if variable is None:
        return []
    return [bytes(np.asarray(row).tobytes()).split(b"\0")[0].decode().strip() for row in variable[0]]


def _variables(path: Path) -> dict[str, tuple[Array, str]]:
    """Arrays by name, with the attribute ``elem_type``."""
    with path.open("rb") as file:
        start = file.read(4)
    if start[:3] == b"CDF" and start[3:] in (b"\x01", b"\x02"):
        with netcdf_file(path, "r", mmap=False) as file3:
            return {k: (v[:].copy(), getattr(v, "elem_type", b"").decode()) for k, v in file3.variables.items()}
    if start != b"\x89HDF":
        raise MeshError(f"{path}: neither netCDF 3 nor 4", "write it as netCDF 4")
    try:
        import h5py
    except ImportError as error:
        raise MissingDependency(f"{path} is a netCDF 4 file, and h5py is missing", "pip install h5py") from error
    with h5py.File(path, "r") as file4:
        return {k: (v[()], _text(v.attrs.get("elem_type", b""))) for k, v in file4.items()}


def _text(value: Any) -> str:
    found = np.asarray(value).ravel()[0] if np.size(value) else ""
    return found.decode() if isinstance(found, bytes) else str(found)
