"""What a run is made of, as JSON that people read: enough to repeat it, and to notice that it has changed.

A state on disk notes by itself what it belongs to (`io.identity`), numbers exactly, functions by name.  Here are
sources, sizes and words, for the manifest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..ansatz.base import Ansatz
from ..evolution.explicit import DormandPrince
from ..evolution.run import chosen
from ..evolution.tableaus import Tableau
from ..parallel.replicated import differences

DEEPEST = 4  # levels of objects within objects


def of_problem(problem: Any) -> dict[str, Any]:
    """Ansatz, quadrature, right-hand side, conditions; the same for every number of ranks."""
    found: dict[str, Any] = {"class": type(problem).__name__, "ansatz": of_ansatz(problem.ansatz)}
    quadrature = getattr(problem, "quadrature", None)
    if quadrature is not None:
        # a sum over ranks differs in its last digits with their number
        measure = f"{quadrature.measure:.10g}"
        found["quadrature"] = {"dim": quadrature.dim, "points": quadrature.size, "measure": measure}
    if hasattr(problem, "rhs"):
        found["rhs"] = describe(problem.rhs)
    found["conditions"] = [type(condition).__name__ for condition in getattr(problem, "conditions", ())]
    return found


def of_ansatz(ansatz: Ansatz) -> dict[str, Any]:
    """Class, sizes and blocks of parameters, and the numbers it was built with."""
    simple = {name: value for name, value in vars(ansatz).items() if not name.startswith("_") and name != "size"}
    plain = (bool, int, float, str, tuple)
    built = {name: describe(value) for name, value in simple.items() if isinstance(value, plain)}
    parts = getattr(ansatz, "components", None)
    if isinstance(parts, tuple):
        built["components"] = [of_ansatz(part) if isinstance(part, Ansatz) else describe(part) for part in parts]
    blocks = {name: list(shape) for name, (_, shape) in ansatz.slices().items()}
    return {"class": type(ansatz).__name__, **built, "parameters": ansatz.size, "blocks": blocks}


def of_method(method: Mapping[str, Any]) -> dict[str, Any]:
    """Rule, integrator, controller, solver; what was left out is named as `evolve` chooses it."""
    names = ("controller", "regularization", "solver")
    found = dict(zip(names, chosen(*(method.get(name) for name in names)), strict=True))
    everything = {"integrator": DormandPrince, **method, **found}
    return {name: describe(value) for name, value in sorted(everything.items()) if value is not None}


def describe(value: Any, depth: int = 0) -> Any:
    """JSON of a value: arrays by shape and digest, functions by name and source, objects by their parts."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist() if value.size <= 8 else f"array {value.shape} {_digest(value)}"
    if isinstance(value, Mapping):
        return {str(key): describe(entry, depth) for key, entry in value.items()}
    if isinstance(value, Sequence):
        return [describe(entry, depth) for entry in value]
    if isinstance(value, partial):
        return {"function": describe(value.func), "arguments": describe([*value.args, value.keywords])}
    if inspect.isroutine(value) or isinstance(value, type):
        return _function(value, depth)
    return _object(value, depth)


def _object(value: Any, depth: int) -> Any:
    if isinstance(value, Tableau):
        return value.name
    parts = (
        {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if dataclasses.is_dataclass(value)
        else getattr(value, "__dict__", {})
    )
    name = type(value).__name__
    if depth >= DEEPEST:
        return name
    kept = {key: describe(part, depth + 1) for key, part in parts.items() if not key.startswith("_")}
    return {"class": name, **kept}


def _function(value: Any, depth: int) -> dict[str, Any]:
    """Name and source; of a method also what its object is made of, as an equation's coefficients are there."""
    try:
        source = inspect.getsource(value).strip()
    except (OSError, TypeError):
        source = ""
    found = {"function": f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', repr(value))}"}
    owner = getattr(value, "__self__", None)
    if owner is not None and not inspect.ismodule(owner) and not isinstance(owner, type):
        found["of"] = _object(owner, depth)
    return {**found, "source": source}


def _digest(array: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Nested tables as one, with dotted names; those in a list by their numbers."""
    if isinstance(value, list | tuple) and any(isinstance(entry, Mapping) for entry in value):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        parts = [leaves(entry, f"{name}.{key}".strip(".")) for key, entry in value.items()]
        return {key: leaf for part in parts for key, leaf in part.items()}
    return {name: value}


def changes(before: Any, after: Any, name: str) -> list[str]:
    """``name: before -> after`` of all leaves in which two descriptions differ."""
    texts = [{key: str(leaf) for key, leaf in leaves(part, name).items()} for part in (before, after)]
    return [f"{key}: {_short(old)} -> {_short(new)}" for key, old, new in differences(*texts)]


def _short(text: str) -> str:
    return text if len(text) < 80 else text[:77] + "..."
