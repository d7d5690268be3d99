"""Checkpoints: a State on disk, bit for bit.

A NumPy .npz archive: `header` (JSON: format version, scalars, what the arrays are, what the state belongs to, SHA-256
of everything) and one uncompressed entry for each array.  Whatever fields `State` has are kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from .. import validation as check
from ..errors import CheckpointError
from ..evolution.state import State, Statistics
from ..model import Model
from ..parallel.collective import collective_errors
from ..parallel.communicator import communicator
from ..parallel.replicated import same_on_all_ranks
from .files import replace
from .identity import different, identity

FORMAT = "dfpde checkpoint"
VERSION = 4

Arrays = dict[str, NDArray[Any]]


@check.takes(path=check.path, state=check.state, problem=check.optional(check.model), label=check.optional(check.text))
def save(
    path: str | os.PathLike[str],
    state: State,
    comm: MPI.Comm | None = None,
    *,
    problem: Model | None = None,
    label: str | None = None,
    **methods: Any,
) -> None:
    """Write a state, atomically, by rank 0; collective.

    Parameters
    ----------
    path : path
        File, for example ``out/run.npz``; replaced if it exists.  Of a symbolic link the target is replaced.
    state : State
        The same on all ranks.
    comm : MPI.Comm, optional
        May be left out in a job of one process.
    problem : Problem or fem.SemiDiscrete, optional
        Its ansatz with all constants, conditions, scale, points and weights are noted, and compared by `load`.
    label : str, optional
        What the equation is, which no program can see in a function: "Burgers, nu = 0.01".
    **methods
        What else is to be noted and compared, by the names that `evolve` has for it: regularization, controller,
        integrator, solver.

    Raises
    ------
    CheckpointError
        On all ranks: the file cannot be written (an earlier one is untouched), or a field of the state has a type
        that cannot be kept.
    ReplicationError
        The ranks hold different states.
    """
    comm = communicator(comm)
    same_on_all_ranks(comm, state=state)
    belongs = identity(problem, label, methods)
    with collective_errors(comm):
        if comm.rank == 0:
            content = _pack(state, belongs)
            replace(Path(path), lambda beside: beside.write_bytes(content))


@check.takes(path=check.path, problem=check.optional(check.model), label=check.optional(check.text))
def load(
    path: str | os.PathLike[str],
    comm: MPI.Comm | None = None,
    *,
    problem: Model | None = None,
    label: str | None = None,
    **methods: Any,
) -> State:
    """Read a state, bit for bit what `save` was given; rank 0 reads, all ranks get it.  Any number of ranks will do.

    Parameters
    ----------
    path : path
    comm : MPI.Comm, optional
        May be left out in a job of one process.
    problem, label, **methods
        Refuse a state that was saved with others; what is not given, or was not given to `save`, is not compared.

    Raises
    ------
    CheckpointError
        On all ranks: no such file, not a checkpoint, truncated, damaged (checksum), of another version, or of
        another problem, label or method; the message names the first difference.
    """
    comm = communicator(comm)
    comm = communicator(comm)
    content = b""
    with collective_errors(comm):
        if comm.rank == 0:
            content = _read(Path(path))
    content = comm.bcast(content, root=0)
    here = identity(problem, label, methods)
    with collective_errors(comm):
        state, belongs = _unpack(content, os.fspath(path))
        for name, noted, given in different(belongs, here)[:1]:
            raise CheckpointError(
                f"{path} belongs to another run: {name} is {noted} in the file, {given} here",
                "the problem and the methods it was saved with"
                + ("; the scale is in the file's header" if name == "scale" else ""),
            )
        return state


def _read(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError(f"cannot read {path}: no regular file", "the path of a checkpoint")
        return path.read_bytes()
    except OSError as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}", "check the path") from error


# -- contents ------------------------------------------------------------------------------------------------
def _pack(state: State, belongs: dict[str, Any]) -> bytes:
    arrays: Arrays = {}
    names = [field.name for field in dataclasses.fields(State)]  # and not those of a `Fitted`
    fields = {name: _encode(getattr(state, name), name, arrays) for name in names}
    header = {"format": FORMAT, "version": VERSION, "belongs": belongs, "fields": fields}
    header["sha256"] = _digest(header, arrays)
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez(buffer, header=text, **{f"array_{name}": array for name, array in arrays.items()})
    return buffer.getvalue()


def _unpack(content: bytes, path: str) -> tuple[State, dict[str, Any]]:
    """The state, and what it belongs to."""
    try:
        entries = _entries(content)
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
    try:
        fields = {name: _decode(value, arrays) for name, value in header["fields"].items()}
        return State(**fields), {**header["belongs"], "texts": dict(header["belongs"]["texts"])}
    except Exception as error:  # a right checksum of something that is no state: made by hand
        raise CheckpointError(f"{path} holds no state: {error}", "an earlier checkpoint") from error


def _entries(content: bytes) -> Arrays:
    """The arrays of an archive that takes no more memory than its file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = archive.infolist()
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise ValueError("its entries are compressed")
        if sum(part.file_size for part in parts) > len(content):
            raise ValueError("its entries are larger than the file")
        contents = {part.filename.removesuffix(".npy"): io.BytesIO(archive.read(part)) for part in parts}
    return {name: np.load(content, allow_pickle=False) for name, content in contents.items()}


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
    return {"tuple": tuple, "list": list}[kind](items)


def _digest(header: dict[str, Any], arrays: Arrays) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
