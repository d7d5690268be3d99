"""What all ranks must hold alike: values as text, and their comparison over a communicator.

θ, times, tolerances and the choice of methods are replicated by the user.  Ranks that hold different ones diverge
silently, because each takes part in every sum.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import partial
from numbers import Complex
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..errors import ReplicationError
from .departure import departure

#: Entries of an array that are shown.
SHOWN = 3


def same_on_all_ranks(comm: MPI.Comm, *, into: tuple[type, ...] = (), **values: Any) -> None:
    """Raise on all ranks if a value differs between ranks; collective, one reduction of 64 bytes.

    Parameters
    ----------
    comm : MPI.Comm
    into, **values
        As `describe` takes them.  Functions are compared by their names.

    Raises
    ------
    ReplicationError
        Names the first value that differs, with what rank 0 and another rank hold.
    """
    departure.watch(comm)
    if comm.size == 1:
        return
    texts = describe(into=into, **values)
    digest = np.frombuffer(hashlib.sha256(json.dumps(texts).encode()).digest(), dtype=np.uint64)
    largest = np.concatenate([digest, ~digest])  # the largest complement is the complement of the smallest
    comm.Allreduce(MPI.IN_PLACE, largest, op=MPI.MAX)
    if np.array_equal(largest[:4], ~largest[4:]):
        return
    everyone = comm.allgather(texts)
    rank, other = next((rank, found) for rank, found in enumerate(everyone) if found != everyone[0])
    name, here, there = differences(everyone[0], other)[0]
    error = ReplicationError(
        f"{name} is not the same on all ranks: rank 0 has {here}, rank {rank} has {there}",
        "compute it on rank 0 and comm.bcast it, or the same way everywhere (random numbers: one seed for all ranks)",
    )
    error.collective = True
    raise error


def describe(*, into: tuple[type, ...] = (), **values: Any) -> dict[str, str]:
    """Values as texts, by name: ``{"rule": "Inertia", "rule.eps": "0.001", ...}``.

    Numbers, strings, None, arrays (by SHA-256), sequences, mappings and dataclasses are looked into, also the public
    attributes of instances of `into`, and those that a class names in `described`.  Functions, and objects of other
    classes or with a communicator (they hold the data of one rank), count by name.
    """
    return {name: text for key, value in values.items() for name, text in _texts(key, value, into, ())}


def differences(a: Mapping[str, str], b: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """(name, text in a, text in b) of all that differ, in the order of a; "nothing" where one has no such name."""
    names = dict.fromkeys([*a, *b])
    pairs = [(name, a.get(name, "nothing"), b.get(name, "nothing")) for name in names]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _texts(name: str, value: Any, into: tuple[type, ...], outer: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    if value is None or isinstance(value, str | bytes):
        yield name, repr(value)
    elif isinstance(value, np.ndarray) and value.ndim and not value.dtype.hasobject:
        yield name, _array(value)
    elif isinstance(value, Complex | np.generic | np.ndarray):
        yield name, _number(value.item() if isinstance(value, np.generic | np.ndarray) else value)
    elif isinstance(value, np.ufunc):
        yield name, f"numpy.{value.__name__}"
    elif isinstance(value, partial):
        yield from _texts(name, (value.func, value.args, value.keywords), into, outer)
    else:
        parts = {} if id(value) in outer else _parts(value, into)
        yield name, _name(value) if parts or not isinstance(value, tuple | list | Mapping) else "empty"
        for key, part in parts.items():
            yield from _texts(name + key, part, into, (*outer, id(value)))


def _parts(value: Any, into: tuple[type, ...]) -> dict[str, Any]:
    """What a compound value is made of; nothing for those that count by name."""
    if isinstance(value, Mapping):
        return {f"[{key!r}]": part for key, part in value.items()}
    if isinstance(value, tuple | list):
        return {f"[{i}]": part for i, part in enumerate(value)}
    if isinstance(value, type):
        return {}
    if known := getattr(type(value), "described", ()):
        parts = {f".{key}": getattr(value, key) for key in known}
    elif dataclasses.is_dataclass(value):
        parts = {f".{field.name}": getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
    elif isinstance(value, into):
        parts = {f".{key}": part for key, part in vars(value).items() if not key.startswith("_")}
    else:
        return {}
    return {} if any(isinstance(part, MPI.Comm) for part in parts.values()) else parts


def _name(value: Any) -> str:
    kind = value if hasattr(value, "__qualname__") else type(value)
    name: str = kind.__qualname__  # without the module: a script may be run or imported
    return name


def _number(value: Any) -> str:
    """The same text for equal numbers of different types."""
    whole = isinstance(value, float) and value.is_integer()
    return repr(int(value) if whole or isinstance(value, bool) else value)


def _array(value: NDArray[Any]) -> str:
    shown = ", ".join(f"{entry:.6g}" if value.dtype.kind in "fc" else str(entry) for entry in value.ravel()[:SHOWN])
    dots = ", ..." if value.size > SHOWN else ""
    digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return f"{value.dtype} of shape {value.shape}: [{shown}{dots}], SHA-256 {digest[:16]}"
