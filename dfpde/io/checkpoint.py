"""Checkpoints: a State on disk, bit for bit.

A NumPy .npz archive: `header` (JSON: format version, scalars, what the arrays are, SHA-256 of everything) and one
entry for each array.  Whatever fields `State` has are kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..errors import CheckpointError
from ..evolution.state import State, Statistics
from ..parallel.collective import collective_errors
from ..parallel.communicator import communicator
from ..problem import Problem
from .files import replace

FORMAT = "dfpde checkpoint"
VERSION = 2

Arrays = dict[str, NDArray[Any]]


def save(
    path: str | os.PathLike[str], state: State, comm: MPI.Comm | None = None, *, problem: Problem | None = None
) -> None:
    """Write a state, atomically, by rank 0; collective.

    Parameters
    ----------
    path : path
        File, for example ``out/run.npz``; replaced if it exists.
    state : State
        The same on all ranks.
    comm : MPI.Comm, optional
        May be left out in a job of one process.
    problem : Problem, optional
        Its ansatz is noted in the file, and compared by `load`.

    Raises
    ------
    CheckpointError
        On all ranks: the file cannot be written (an earlier one is untouched), or a field of the state has a type
        that cannot be kept.
    """
    comm = communicator(comm)
    with collective_errors(comm):
        if comm.rank == 0:
            content = _pack(state, problem)
            replace(Path(path), lambda beside: beside.write_bytes(content))


def load(path: str | os.PathLike[str], comm: MPI.Comm | None = None, *, problem: Problem | None = None) -> State:
    """Read a state, bit for bit what `save` was given; rank 0 reads, all ranks get it.  Any number of ranks will do.

    Parameters
    ----------
    path : path
    comm : MPI.Comm, optional
        May be left out in a job of one process.
    problem : Problem, optional
        Refuse a state that belongs to another ansatz.

    Raises
    ------
    CheckpointError
        On all ranks: no such file, not a checkpoint, truncated, damaged (checksum), of another version, or of
        another ansatz.
    """
    comm = communicator(comm)
    content = b""
    with collective_errors(comm):
        if comm.rank == 0:
            try:
                content = Path(path).read_bytes()
            except OSError as error:
                raise CheckpointError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    content = comm.bcast(content, root=0)
    with collective_errors(comm):
        return _unpack(content, os.fspath(path), problem)


# -- contents ------------------------------------------------------------------------------------------------
def _pack(state: State, problem: Problem | None) -> bytes:
    arrays: Arrays = {}
    names = [field.name for field in dataclasses.fields(State)]  # and not those of a `Fitted`
    fields = {name: _encode(getattr(state, name), name, arrays) for name in names}
    header = {"format": FORMAT, "version": VERSION, "ansatz": _describe(problem), "fields": fields}
    header["sha256"] = _digest(header, arrays)
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez(buffer, header=text, **{f"array_{name}": array for name, array in arrays.items()})
    return buffer.getvalue()


def _unpack(content: bytes, path: str, problem: Problem | None) -> State:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            entries = {name: archive[name] for name in archive.files}
        header = json.loads(entries.pop("header").tobytes())
        form, version = header["format"], header["version"]
    except Exception as error:  # a damaged archive makes zipfile and numpy raise almost anything
        raise CheckpointError(
            f"{path} ({len(content)} bytes) is no checkpoint, or a damaged one: {error}", "an earlier checkpoint"
        ) from error
    if form != FORMAT or version != VERSION:
        raise CheckpointError(
            f"{path} is a {form!r} of version {version}; this dfpde reads {FORMAT!r} of version {VERSION}",
            "the dfpde that wrote it (see the run's manifest)",
        )
    arrays = {name.removeprefix("array_"): array for name, array in entries.items()}
    if header.pop("sha256", None) != _digest(header, arrays):
        raise CheckpointError(f"{path} is damaged: its checksum does not match", "an earlier checkpoint")
    if problem is not None and header["ansatz"] not in (None, _describe(problem)):
        raise CheckpointError(
            f"{path} belongs to the ansatz {header['ansatz']}, not to {_describe(problem)}",
            "the problem it was saved with",
        )
    fields = {name: _decode(value, arrays) for name, value in header["fields"].items()}
    unknown = sorted(set(fields) - {field.name for field in dataclasses.fields(State)})
    if unknown:
        what = f"{path} has fields a State does not know: {', '.join(unknown)}"
        raise CheckpointError(what, "the dfpde that wrote it")
    return State(**fields)


def _describe(problem: Problem | None) -> dict[str, Any] | None:
    if problem is None:
        return None
    ansatz = problem.ansatz
    blocks = {name: list(shape) for name, (_, shape) in ansatz.slices().items()}
    return {
        "class": type(ansatz).__name__,
        "parameters": ansatz.size,
        "dim": ansatz.dim,
        "shape": list(ansatz.shape),
        "blocks": blocks,
    }


def _encode(value: Any, name: str, arrays: Arrays) -> Any:
    """JSON of a value; arrays go to `arrays`.  Python writes floats so that they read back to the same bits."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Statistics):
        parts = [part.name for part in dataclasses.fields(value)]
        return {"statistics": {part: _encode(getattr(value, part), f"{name}.{part}", arrays) for part in parts}}
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        arrays[name] = value
        return {"array": name}
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_encode(entry, f"{name}.{i}", arrays) for i, entry in enumerate(value)]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encode(entry, f"{name}.{key}", arrays) for key, entry in value.items()}}
    raise CheckpointError(
        f"field {name} of the state is a {type(value).__name__}",
        "numbers, strings, arrays, and tuples or dicts of them",
    )


def _decode(value: Any, arrays: Arrays) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return arrays[content]
    if kind in ("dict", "statistics"):
        entries = {key: _decode(entry, arrays) for key, entry in content.items()}
        return {"dict": dict, "statistics": Statistics}[kind](**entries)
    items = [_decode(entry, arrays) for entry in content]
    return tuple(items) if kind == "tuple" else items


def _digest(header: dict[str, Any], arrays: Arrays) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
