"""`repr` that fits a screen: shapes and norms of arrays, names of functions, one line for each object."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

#: Characters of one attribute, and of an object.
PART, WHOLE = 60, 400


def represent(thing: Any) -> str:
    """``Class(name=value, …)`` of an object's public attributes; as ``__repr__ = represent`` of a class."""
    if dataclasses.is_dataclass(thing):
        names = [field.name for field in dataclasses.fields(thing) if field.repr and not field.name.startswith("_")]
    else:
        names = [name for name in vars(thing) if not name.startswith("_")]
    known = [(name, getattr(thing, name)) for name in names]
    text = f"{type(thing).__name__}({', '.join(f'{name}={part(value)}' for name, value in known if value is not None)})"
    return text if len(text) <= WHOLE else f"{text[: WHOLE - 2]}…)"


def part(value: Any) -> str:
    """A value inside of another one."""
    if isinstance(value, np.ndarray):
        numeric = value.dtype.kind in "fciu" and value.size
        size = f", norm {float(np.linalg.norm(value.reshape(-1))):.3g}" if numeric else ""
        return f"<{value.dtype} {value.shape}{size}>"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple | list) and len(value) <= 4:
        inside = ", ".join(part(entry) for entry in value)
        return _short(f"({inside})")
    if isinstance(value, tuple | list | dict):
        return f"<{type(value).__name__} of {len(value)}>"
    how: Any = type(value).__repr__
    if how is represent or how is object.__repr__:
        return f"<{getattr(value, '__qualname__', type(value).__name__)}>"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"<{value.__qualname__}>"
    return _short(repr(value))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= PART else f"{text[: PART - 1]}…"
