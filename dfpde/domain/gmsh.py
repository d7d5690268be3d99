"""gmsh's own format, versions 1, 2, 4.0 and 4.1, text and binary: nodes, cells, and all physical groups of each entity.

https://gmsh.info/doc/texinfo/gmsh.html#MSH-file-format .  meshio keeps the first group of an entity only, and reads no
partitioned files, no parametric nodes and no MSH 4.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MeshError
from .blocks import Block, Group, MeshFile, tagged
from .cells import Ids
from .gmsh_sections import Format, Numbers, Section, format_of, sections

Array = NDArray[Any]
Names = dict[tuple[int, int], str]  # (dimension, physical tag) -> name

TYPES = {
    1: ("line", 2), 2: ("triangle", 3), 3: ("quad", 4), 4: ("tetra", 4), 5: ("hexahedron", 8), 6: ("wedge", 6),
    7: ("pyramid", 5), 8: ("line3", 3), 9: ("triangle6", 6), 10: ("quad9", 9), 11: ("tetra10", 10),
    12: ("hexahedron27", 27), 13: ("wedge18", 18), 14: ("pyramid14", 14), 15: ("vertex", 1), 16: ("quad8", 8),
    17: ("hexahedron20", 20), 18: ("wedge15", 15), 19: ("pyramid13", 13), 21: ("triangle10", 10),
    23: ("triangle15", 15), 25: ("triangle21", 21), 26: ("line4", 4), 27: ("line5", 5), 28: ("line6", 6),
    29: ("tetra20", 20), 30: ("tetra35", 35), 31: ("tetra56", 56), 36: ("quad16", 16), 37: ("quad25", 25),
    38: ("quad36", 36), 92: ("hexahedron64", 64), 93: ("hexahedron125", 125),
}  # fmt: skip

# gmsh lists some nodes of second-order cells in another order than VTK and meshio
ORDER = {
    "tetra10": [0, 1, 2, 3, 4, 5, 6, 7, 9, 8],
    "hexahedron27": [*range(8), 8, 11, 13, 9, 16, 18, 19, 17, 10, 12, 14, 15, 22, 23, 21, 24, 20, 25, 26],
}


def read(path: Path, data: bytes) -> MeshFile:
    """Nodes, cells and groups of a .msh file with this content.

    Raises
    ------
    MeshError
        The file is truncated, is of another version, or holds cells of an unknown type.
    """
    try:
        found = sections(data)
        form = format_of(data, found)
        names = _names(data, found)
        nodes, points = _nodes(form, found)
        blocks = _elements(form, found, names)
        numbered = [Block(b.cell_type, _places(nodes, b.cells), b.groups) for b in blocks]
    except MeshError as error:
        raise MeshError(f"{path}: {error.what}", error.remedy) from error
    except (ValueError, IndexError, KeyError) as error:
        what = f"{path}: unreadable or truncated ({error})"
        raise MeshError(what, "write the file again: gmsh -save -format msh41, or msh22") from error
    used = {(block.dim, group.name) for block in blocks for group in block.groups}
    empty = [name for (dim, _), name in names.items() if (dim, name) not in used]
    why = " (format 2 loses them with Mesh.SaveAll = 1: write format 4.1)" if form.version < 4 else ""
    unread = (f"physical groups without cells: {', '.join(empty)}{why}",) if empty else ()
    return MeshFile(points, tuple(numbered), unread)


def _names(data: bytes, found: dict[str, Section]) -> Names:
    start, end = found.get("PhysicalNames", (0, 0))
    lines = re.findall(rb'^\s*(\d+)\s+(-?\d+)\s+"(.*)"\s*$', data[start:end], flags=re.MULTILINE)
    return {(int(dim), int(tag)): name.decode("utf-8", "replace") for dim, tag, name in lines}


# -- nodes ---------------------------------------------------------------------------------------------------
def _nodes(form: Format, found: dict[str, Section]) -> tuple[Ids, Array]:
    """Tags (n,) and coordinates (n, 3)."""
    if form.version < 4:
        section = next(name for name in ("ParametricNodes", "NOD", "Nodes") if name in found or name == "Nodes")
        numbers = form.numbers(found[section])
        count = numbers.line()
        if section == "ParametricNodes" or (form.version == 1 and numbers.values.size != 1 + 4 * count):
            rows = np.concatenate([rows[:, :4] for rows in _parametric(numbers, count)])
        else:
            rows = numbers.table(count, "iddd")
        return rows[:, 0].astype(np.int64), np.ascontiguousarray(rows[:, 1:])
    numbers = form.numbers(found["Nodes"])
    modern = form.version > 4
    blocks = numbers.integers("ssss" if modern else "ss")[0]
    tags, points = [np.zeros(0)], [np.zeros((0, 3))]
    for _ in range(blocks):
        first, second, parametric, count = numbers.integers("iiis")
        more = "d" * (first if modern else second) if parametric else ""
        if modern:
            tags.append(numbers.table(count, "s")[:, 0])
            points.append(numbers.table(count, "ddd" + more)[:, :3])
        else:
            rows = numbers.table(count, "iddd" + more)
            tags.append(rows[:, 0])
            points.append(rows[:, 1:4])
    return np.concatenate(tags).astype(np.int64), np.concatenate(points)


def _parametric(numbers: Numbers, count: int) -> Iterator[Array]:
    """Rows tag x y z, dimension and tag of the entity, parameters on it (version 2)."""
    for _ in range(count):
        row = numbers.table(1, "idddii")
        numbers.table(1, "d" * (int(row[0, 4]) % 3))
        yield row


def _places(nodes: Ids, tags: Array) -> Ids:
    """Place of each node tag of the cells among the nodes."""
    order = np.argsort(nodes, kind="stable")
    at = np.minimum(np.searchsorted(nodes[order], tags), max(nodes.size - 1, 0))
    if tags.size and (nodes.size == 0 or np.any(nodes[order][at] != tags)):
        lost = tags[nodes[order][at] != tags] if nodes.size else tags.ravel()
        raise MeshError(f"cells with nodes that do not exist, first {int(lost[0])}", "write the file again")
    places: Ids = order[at].astype(np.int64)
    return places


# -- cells ---------------------------------------------------------------------------------------------------
def _elements(form: Format, found: dict[str, Section], names: Names) -> list[Block]:
    """Blocks whose cells are node tags."""
    if form.version >= 4:
        return _blocks_of_entities(form, found, names)
    numbers = form.numbers(found["ELM" if form.version == 1 else "Elements"])
    count = numbers.line()
    runs = _binary_runs if form.codes else _text_runs
    blocks = []
    for kind, physical, cells in runs(numbers, count, form.version):
        cell_type, _ = TYPES[kind]
        dim = Block(cell_type, cells).dim
        known = {tag: name for (of, tag), name in names.items() if of == dim}
        blocks.append(Block(cell_type, _ordered(cell_type, cells), tuple(tagged(physical, known))))
    return blocks


def _ordered(cell_type: str, cells: Array) -> Array:
    return cells[:, ORDER[cell_type]] if cell_type in ORDER else cells


def _nodes_of(kind: int) -> int:
    if kind not in TYPES:
        raise MeshError(f"unsupported cells: gmsh's type {kind}", "set Mesh.ElementOrder = 1 or 2")
    return TYPES[kind][1]


def _text_runs(numbers: Numbers, count: int, version: float) -> Iterator[tuple[int, Array, Array]]:
    """Runs of rows of one length: (type, physical tags, node tags)."""
    values, at, left = numbers.values, numbers.place, count
    key, before = (4, 5) if version == 1 else (2, 3)  # column that decides the length beside the type
    while left:
        kind, number = int(values[at + 1]), int(values[at + key])
        lead = before if version == 1 else before + number
        width = lead + _nodes_of(kind)
        run, window = 0, 64
        while run < left:  # a growing window, so that alternating types cost no more than one type
            window = min(2 * window, left - run)
            part = values[at + run * width :][: window * width]
            rows = part[: part.size // width * width].reshape(-1, width)
            other = (rows[:, 1] != kind) | (rows[:, key] != number)
            run += int(np.argmax(other)) if other.any() else len(rows)
            if other.any() or len(rows) < window:
                break
        if run == 0:
            raise ValueError("section $Elements is shorter than it says")
        rows = values[at : at + run * width].reshape(run, width)
        physical = rows[:, 2] if version == 1 else rows[:, 3] if number else np.zeros(run)
        yield kind, physical.astype(np.int64), rows[:, lead:].astype(np.int64)
        at, left = at + run * width, left - run


def _binary_runs(numbers: Numbers, count: int, version: float) -> Iterator[tuple[int, Array, Array]]:
    while count > 0:
        kind, size, tags = numbers.integers("iii")
        rows = numbers.table(size, "i" * (1 + tags + _nodes_of(kind))).astype(np.int64)
        yield kind, rows[:, 1] if tags else np.zeros(size, np.int64), rows[:, 1 + tags :]
        count -= size


@dataclass(frozen=True)
class _Entity:
    """Physical tags of an entity, and the parts of a partition that it belongs to."""

    physical: tuple[int, ...]
    parts: frozenset[int]


def _blocks_of_entities(form: Format, found: dict[str, Section], names: Names) -> list[Block]:
    entities: dict[tuple[int, int], _Entity] = {}
    for section in ("Entities", "PartitionedEntities"):
        if section in found:
            entities |= _entities(form.numbers(found[section]), form.version, section == "PartitionedEntities")
    numbers, modern = form.numbers(found["Elements"]), form.version > 4
    blocks, held = [], set()
    for _ in range(numbers.integers("ssss" if modern else "ss")[0]):
        first, second, kind, count = numbers.integers("iiis")
        dim, entity = (first, second) if modern else (second, first)
        rows = numbers.table(count, ("s" if modern else "i") * (1 + _nodes_of(kind)))
        cell_type = TYPES[kind][0]
        physical = entities[dim, entity].physical if (dim, entity) in entities else ()
        groups = [Group(names.get((dim, abs(tag)), str(abs(tag))), np.arange(count), tag < 0) for tag in physical]
        blocks.append(Block(cell_type, _ordered(cell_type, rows[:, 1:].astype(np.int64)), tuple(groups)))
        held.add((dim, entity))
    _refuse_one_part(entities, held)
    return blocks


def _refuse_one_part(entities: dict[tuple[int, int], _Entity], held: set[tuple[int, int]]) -> None:
    """gmsh can write a file for each part of a mesh; each lists the entities of all parts."""
    highest = max((dim for dim, _ in held), default=0)
    known = {key: entity for key, entity in entities.items() if key[0] == highest and entity.parts}
    saved = {key: entity for key, entity in known.items() if entity.physical} or known  # others only with SaveAll
    everything = frozenset[int]().union(*(entity.parts for entity in saved.values()))
    here = frozenset[int]().union(*(entity.parts for key, entity in known.items() if key in held))
    if here and not everything <= here:
        lost = sorted(everything - here)
        raise MeshError(f"a mesh in several files, without the parts {lost}", "set Mesh.PartitionSplitMeshFiles = 0")


def _entities(numbers: Numbers, version: float, partitioned: bool) -> dict[tuple[int, int], _Entity]:
    if partitioned:
        _, ghosts = numbers.integers("ss")
        numbers.table(ghosts, "ii")
    counts = numbers.integers("ssss")
    return dict(_entity(numbers, dim, version, partitioned) for dim, n in enumerate(counts) for _ in range(n))


def _entity(numbers: Numbers, dim: int, version: float, partitioned: bool) -> tuple[tuple[int, int], _Entity]:
    (entity,) = numbers.integers("i")
    parts: list[int] = []
    if partitioned:
        numbers.integers("ii")  # the entity that was cut
        parts = numbers.listed()
    numbers.table(1, "d" * (3 if dim == 0 and version > 4 else 6))  # the place of a point, else the bounding box
    physical = numbers.listed()
    if dim:
        numbers.listed()  # its boundary
    return (dim, entity), _Entity(tuple(physical), frozenset(parts))
