"""A VTKHDF file with steps, as one rank writes it: whole steps at any moment, whoever reads or kills.

HDF5 does not promise a readable file after a kill.  So HDF5 lays out a new file beside the old one, with space for more
steps, which is then put in its place; a step is written into that space past HDF5, and becomes visible by one write of
a few bytes: ``NSteps`` and the length of ``Values``.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError, ParameterError
from .files import cannot_write, replace

Array = NDArray[Any]
Arrays = Mapping[str, Array]

FIRST = 16  # steps for which a new file has space
BLOCK = 2**20  # rows copied at once
TABLES = 2**16  # bytes that HDF5 sets aside for its own tables, first in the file

#: What NSteps and the length of Values are until their places in the file have been found.
MARKS = (int.from_bytes(b"dfNSteps", "little"), int.from_bytes(b"dfVals\0\0", "little"))

#: Datasets of a mesh; always in this order, so that equal contents are equal files.
MESH = (
    "NumberOfPoints", "NumberOfCells", "NumberOfConnectivityIds", "Points", "Connectivity", "Offsets", "Types",
)  # fmt: skip

#: Where the mesh of a step begins among all parts, points, cells and connectivity.
BEGINNINGS = {
    "PartOffsets": "NumberOfPoints", "PointOffsets": "Points", "CellOffsets": "Types",
    "ConnectivityIdOffsets": "Connectivity",
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Where things are in the file that this session has laid out.

    Attributes
    ----------
    path : Path
    marks : (int, int)
        First bytes of NSteps and of the length of Values.
    times : int
        First byte of Values.
    fields : dict
        Name → (first byte of its values, components).
    kept, before, rows : int
        Steps that were in the file, the rows of their values, and the rows of each further step.
    """

    path: Path
    marks: tuple[int, int]
    times: int
    fields: dict[str, tuple[int, int]]
    kept: int
    before: int
    rows: int

    def append(self, count: int, t: float, step: Arrays) -> None:
        """Write step number `count`, (rows, components) for each field, and let it be seen.

        Raises
        ------
        CheckpointError
            It cannot be written; the file has the steps before.
        ParameterError
            Other fields than before.
        """
        _require_same({name: components for name, (_, components) in self.fields.items()}, step)
        row = self.before + (count - self.kept) * self.rows
        try:
            number = os.open(self.path, os.O_RDWR)
            try:
                for name, values in step.items():
                    first, components = self.fields[name]
                    _put(number, np.ascontiguousarray(values, "<f8").tobytes(), first + 8 * components * row)
                _put(number, np.array(t, "<f8").tobytes(), self.times + 8 * count)
                os.fsync(number)
                _show(number, self.marks, count + 1)
                os.fsync(number)
            finally:
                os.close(number)
        except OSError as error:
            raise cannot_write(self.path, error) from error


def times_in(path: Path) -> Array:
    """Times of the steps in a file, none where there is no file yet.

    Raises
    ------
    CheckpointError
        It cannot be read.
    """
    if not path.exists():
        return np.zeros(0)
    try:
        with h5py.File(path, "r", locking=False) as file:
            return np.asarray(file["VTKHDF/Steps/Values"][()])
    except (OSError, KeyError) as error:
        raise CheckpointError(f"cannot go on with {path}: {error}", "keep_until=None starts a new file") from error


def capacity(kept: int) -> int:
    """Steps for which a file laid out after `kept` steps has space: more than these, and FIRST times a power of 2."""
    return FIRST << (kept // FIRST).bit_length()


def lay_out(path: Path, kept: int, mesh: Arrays | None, t: float, step: Arrays) -> Layout:
    """Write the file anew: its first `kept` steps, another one, and space for more.

    Parameters
    ----------
    path : Path
    kept : int
        Steps taken from the file that is there.
    mesh : mapping or None
        Datasets of the mesh of the further steps; None: that of the last one kept.
    t : float
        Time of the new step.
    step : mapping
        Its fields, (rows, components).

    Raises
    ------
    CheckpointError
        The file cannot be written, or the one before not be read, which is untouched.
    ParameterError
        Other fields than before.
    """
    made: list[Layout] = []

    def write(beside: Path) -> None:
        if kept == 0:
            made.append(_write(path, beside, None, 0, mesh, t, step))
            return
        with h5py.File(path, "r", locking=False) as source:
            made.append(_write(path, beside, source, kept, mesh, t, step))

    replace(path, write)
    return made[0]


def _write(path: Path, beside: Path, source: Any, kept: int, mesh: Arrays | None, t: float, step: Arrays) -> Layout:
    known = None if source is None else {name: data.shape[1] for name, data in source["VTKHDF/PointData"].items()}
    _require_same(known, step)
    if source is not None:
        mesh = None if mesh is None or source.attrs["mesh"] == _digest(mesh) else mesh
    space = capacity(kept)
    _probe(beside, source, mesh, step, space)
    with h5py.File(beside, "w", libver=("earliest", "v110"), locking=False, meta_block_size=TABLES) as file:
        root = file.create_group("VTKHDF")
        steps = root.create_group("Steps")
        steps.attrs.create("NSteps", MARKS[0], dtype="<i8")
        times = steps.create_dataset("Values", (MARKS[1],), "<f8", maxshape=(None,), chunks=(space,))
        times[: kept + 1] = [*(() if source is None else source["VTKHDF/Steps/Values"][:kept]), t]
        root.attrs["Version"] = np.array([2, 0])
        root.attrs.create("Type", b"UnstructuredGrid", dtype=h5py.string_dtype("ascii", len("UnstructuredGrid")))
        file.attrs["mesh"] = source.attrs["mesh"] if mesh is None else _digest(mesh)
        rows = _tables(root, None if source is None else source["VTKHDF"], kept, space, mesh)
        offsets = np.cumsum([0, *rows[:-1]])
        fields = {}
        for name, values in step.items():
            steps.create_dataset(f"PointDataOffsets/{name}", data=offsets)
            data = _reserve(root.require_group("PointData"), name, (int(sum(rows)), values.shape[1]))
            for first in range(0, int(offsets[kept]), BLOCK):
                last = min(first + BLOCK, int(offsets[kept]))
                data[first:last] = source["VTKHDF/PointData"][name][first:last]
            data[offsets[kept] : offsets[kept] + len(values)] = values
            fields[name] = (int(data.id.get_offset()), int(values.shape[1]))
        place = int(times.id.get_chunk_info(0).byte_offset)
    with beside.open("r+b") as raw:
        content = raw.read(TABLES)
        marks = (content.index(MARKS[0].to_bytes(8, "little")), content.index(MARKS[1].to_bytes(8, "little")))
        _show(raw.fileno(), marks, kept + 1)
    return Layout(path, marks, place, fields, kept, int(offsets[kept]), int(rows[kept]))


def _probe(beside: Path, source: Any, mesh: Arrays | None, step: Arrays, space: int) -> None:
    """See that the file will have room: HDF5 cannot even close a file on a disk that is full.

    Raises
    ------
    OSError
        It has not.
    """
    written = sum(values.nbytes for part in (mesh or {}, step) for values in part.values())
    written += 0 if source is None else os.path.getsize(source.filename)
    with beside.open("wb") as file:
        file.truncate(3 * TABLES + written + space * sum(values.nbytes for values in step.values()))
        os.posix_fallocate(file.fileno(), 0, TABLES + written)


def _tables(root: Any, old: Any, kept: int, space: int, mesh: Arrays | None) -> Array:
    """Write the mesh and where each step has it; returns the points of each step."""
    steps, names = root["Steps"], ("NumberOfParts", *BEGINNINGS)
    table = {name: np.zeros((0,)) if old is None else old["Steps"][name][:kept].ravel() for name in names}
    if mesh is None:
        arrays = {name: old[name][()] for name in MESH}
        further = {name: column[-1] for name, column in table.items()}
    else:
        arrays = dict(mesh) if old is None else {name: np.append(old[name], mesh[name], axis=0) for name in MESH}
        further = {name: 0 if old is None else len(old[of]) for name, of in BEGINNINGS.items()}
        further["NumberOfParts"] = len(mesh["NumberOfPoints"])
    for name, values in arrays.items():
        root.create_dataset(name, data=values)
    for name in names:
        table[name] = np.append(table[name], np.full(space - kept, further[name])).astype(np.int64)
        wide = name in ("CellOffsets", "ConnectivityIdOffsets")  # a column for each kind of cells
        steps.create_dataset(name, data=table[name][:, None] if wide else table[name])
    before = np.append(0, np.cumsum(arrays["NumberOfPoints"]))
    first = table["PartOffsets"]
    points: Array = before[first + table["NumberOfParts"]] - before[first]
    return points


def _reserve(group: Any, name: str, shape: tuple[int, int]) -> Any:
    """A dataset in one piece whose place is known at once and which is not filled."""
    how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    how.set_obj_track_times(False)
    how.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    how.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    kind = h5py.h5t.py_create(np.dtype("<f8"))
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, h5py.h5s.create_simple(shape), how))


def _show(number: int, marks: tuple[int, int], count: int) -> None:
    """Let the first `count` steps be seen: one write, within one page, which is made as a whole or not at all."""
    first = min(marks)
    content = bytearray(os.pread(number, max(marks) + 8 - first, first))
    for mark in marks:
        content[mark - first : mark - first + 8] = count.to_bytes(8, "little")
    _put(number, bytes(content), first)


def _put(number: int, content: bytes, at: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(number, view, at)
        if written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view, at = view[written:], at + written


def _require_same(known: Mapping[str, int] | None, step: Arrays) -> None:
    strange = [name for name in step if "/" in name or name in ("", ".")]
    if strange:
        remedy = "a name that is not empty and has no '/', which separates groups in HDF5"
        raise ParameterError(f"a field called {strange[0]!r}", remedy)
    given = {name: values.shape[1] for name, values in step.items()}
    if known is not None and given != known:
        what = f"a step with the components {given} after steps with {known}"
        raise ParameterError(what, "the same fields in all steps of a file")


def _digest(mesh: Arrays) -> str:
    found = hashlib.sha256()
    for name, values in mesh.items():
        found.update(name.encode() + np.ascontiguousarray(values).tobytes())
    return found.hexdigest()
