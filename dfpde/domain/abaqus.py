"""Abaqus' sets of elements, which meshio gives to the wrong blocks where some have names and some have none."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import meshio
import numpy as np

from ..errors import MeshError
from .blocks import Group

#: Sections that make the mesh.
MESH = ("NODE", "ELEMENT")

#: Keyword -> parameter with a name that is not read; what they name is said to be there.
UNREAD = {"NODE": "NSET", "NSET": "NSET", "SURFACE": "NAME", "INCLUDE": "INPUT"}


def read(path: Path) -> Any:
    """meshio's mesh of the nodes and elements alone: it fails at sets of sets."""
    text = path.read_text(errors="replace")
    sections = list(_sections(text))
    if any(key == "INCLUDE" for key, *_ in sections):
        return meshio.read(path)
    kept = "\n".join(f"*{key}, TYPE={given.get('TYPE', '')}\n{data}" for key, given, data in sections if key in MESH)
    return meshio.abaqus.read(io.StringIO(kept))


def groups(path: Path, nodes: list[int]) -> tuple[list[list[Group]], list[str]]:
    """Groups of each *ELEMENT block, and the names of sets of nodes, surfaces and included files, which are not read.

    With included files no group is known: meshio joins their cells, and their numbers may be those of others.

    Parameters
    ----------
    path : Path
    nodes : list of int
        Nodes of a cell of each block, in the order of the file.

    Raises
    ------
    MeshError
        Two elements of one number, more than one instance, or one that is moved.
    ValueError
        Other blocks than `nodes` has, a set of numbers or names that are not there.
    """
    where: dict[int, tuple[int, int]] = {}
    sets: dict[str, dict[int, None]] = {}
    names: dict[str, str] = {}
    blocks = instances = 0
    sections = list(_sections(path.read_text(errors="replace")))
    unread = dict.fromkeys(given[UNREAD[key]] for key, given, _ in sections if UNREAD.get(key, "") in given)
    if any(key == "INCLUDE" for key, *_ in sections):
        return [[] for _ in nodes], list(unread)
    for key, given, data in sections:
        instances += key == "INSTANCE"
        if instances > 1 or (key == "INSTANCE" and data):
            _refuse(path, "more than one instance of parts, or one that is moved")
        numbers: list[int] = []
        if key == "ELEMENT":
            numbers = [int(word) for word in _words(data)][:: nodes[blocks] + 1]
            if twice := where.keys() & set(numbers):
                _refuse(path, f"two elements of number {min(twice)}")
            where |= {number: (blocks, index) for index, number in enumerate(numbers)}
            blocks += 1
        elif key == "ELSET":
            numbers = _members(_words(data), "GENERATE" in given, sets)
        if name := given.get("ELSET", "") if key in ("ELEMENT", "ELSET") else "":
            names.setdefault(name.upper(), name)
            sets.setdefault(name.upper(), {}).update(dict.fromkeys(numbers))
    if blocks != len(nodes):
        raise ValueError(f"{blocks} *ELEMENT blocks, {len(nodes)} read")
    found: list[list[Group]] = [[] for _ in nodes]
    for name, members in sets.items():
        for block, cells in _of_blocks(names[name], members, where).items():
            found[block].append(Group(names[name], np.sort(np.array(cells, dtype=np.int64))))
    return found, list(unread)


def _of_blocks(name: str, members: Iterable[int], where: dict[int, tuple[int, int]]) -> dict[int, list[int]]:
    """Block -> numbers of these elements within it."""
    found: dict[int, list[int]] = {}
    for number in members:
        if number not in where:
            raise ValueError(f"set {name!r} has element {number}, which is not there")
        block, index = where[number]
        found.setdefault(block, []).append(index)
    return found


def _refuse(path: Path, what: str) -> None:
    raise MeshError(f"{path}: {what}", "export one flat mesh, without parts")


def _sections(text: str) -> Iterator[tuple[str, dict[str, str], str]]:
    """(keyword, parameters, data lines); names of parameters in capitals."""
    key, given, data = "", dict[str, str](), list[str]()
    for line in text.splitlines():
        if line.startswith("**") or not line.strip():
            continue
        if line.startswith("*"):
            yield key, given, "\n".join(data)
            key, *words = (word.strip() for word in line[1:].split(","))
            key, data = key.upper(), []
            given = {k.strip().upper(): v.strip() for k, _, v in (word.partition("=") for word in words)}
        else:
            data.append(line)
    yield key, given, "\n".join(data)


def _words(data: str) -> list[str]:
    return [word for part in data.replace("\n", ",").split(",") if (word := part.strip())]


def _members(data: list[str], generated: bool, sets: dict[str, dict[int, None]]) -> list[int]:
    """Numbers of a set: given, from first to last, or those of sets before it."""
    if generated:
        rows = [[int(word) for word in data[k : k + 3]] for k in range(0, len(data), 3)]
        return [number for first, last, step in rows for number in range(first, last + 1, step)]
    found: list[int] = []
    for word in data:
        if not word.isdigit() and word.upper() not in sets:
            raise ValueError(f"a set of the set {word!r}, which is not there")
        found += [int(word)] if word.isdigit() else list(sets[word.upper()])
    return found
