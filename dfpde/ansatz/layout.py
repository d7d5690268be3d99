"""Where the parameters of the components of a composition are in its θ, and their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import validation as check
from ..errors import ParameterError, ShapeError
from .base import Ansatz, Array

Index = slice | Array
Slices = dict[str, tuple[slice, tuple[int, ...]]]


#: What compositions take beside their components.
_NAMES = {"names": check.optional(check.each(check.text, "a name for each component")), "shared": check.names}


def layout(
    components: Sequence[Ansatz], names: Sequence[str] | None, shared: Sequence[str]
) -> tuple[list[Index], Slices]:
    """For each component its indices into θ, and the names and places of all blocks."""
    check.each(check.ansatz, "ansätze")("components", components)
    check.require(_NAMES, {"names": names, "shared": shared})
    own = [dict(part.slices()) for part in components]
    blocks = {name: _shared_shape(own, name) for name in shared}
    for prefix, names_of in zip(prefixes(components, names), own, strict=True):
        own_blocks = {f"{prefix}.{name}": shape for name, (_, shape) in names_of.items() if name not in shared}
        if not blocks.keys().isdisjoint(own_blocks):
            raise ParameterError(f"two parameter blocks share a name of {sorted(own_blocks)}", "use other `names`")
        blocks |= own_blocks
    places = dict(zip(blocks, consecutive([int(np.prod(shape)) for shape in blocks.values()]), strict=True))
    index: list[Index] = []
    for prefix, names_of, part in zip(prefixes(components, names), own, components, strict=True):
        into = np.empty(part.size, dtype=np.intp)
        for name, (where, _) in names_of.items():
            place = places[name if name in shared else f"{prefix}.{name}"]
            into[where] = np.arange(place.start, place.stop)
        contiguous = part.size > 0 and bool(np.all(np.diff(into) == 1))
        index.append(slice(int(into[0]), int(into[0]) + part.size) if contiguous else into)
    return index, {name: (places[name], shape) for name, shape in blocks.items()}


def _shared_shape(own: Sequence[Slices], name: str) -> tuple[int, ...]:
    if not all(name in names_of for names_of in own):
        raise ParameterError(
            f"not every component has a parameter block {name!r} to share",
            f"share some of {sorted(set.intersection(*(set(names_of) for names_of in own)))}",
        )
    shapes = {names_of[name][1] for names_of in own}
    if len(shapes) > 1:
        raise ShapeError(f"the shared block {name!r} has the shapes {sorted(shapes)}", "give it one shape everywhere")
    return shapes.pop()


def prefixes(components: Sequence[Ansatz], names: Sequence[str] | None) -> tuple[str, ...]:
    """A name for each component: its own or its number."""
    chosen = tuple(str(i) for i in range(len(components))) if names is None else tuple(names)
    if not components or len(chosen) != len(components) or len(set(chosen)) != len(chosen):
        raise ParameterError(
            f"{len(components)} components with the names {chosen}",
            "give at least one component, each a name of its own",
        )
    return chosen


def common_dim(components: Sequence[Ansatz]) -> int:
    """Space dimension of all components."""
    dims = {part.dim for part in components}
    if len(dims) != 1:
        raise ShapeError(f"components live in {sorted(dims)} dimensions", "compose ansätze of one dimension")
    return dims.pop()


def common_period(components: Sequence[Ansatz], axis: int) -> float | None:
    """Period of all fields made of the components: the longest of theirs, where it is a multiple of the others."""
    known = [period for part in components if (period := part.period(axis)) is not None]
    if not known or len(known) < len(components):
        return None
    multiples = max(known) / np.array(known)
    return max(known) if np.allclose(multiples, np.rint(multiples), rtol=1e-12, atol=0.0) else None


def consecutive(sizes: Sequence[int]) -> list[slice]:
    """Slices of the given lengths, one after the other."""
    stops: list[Any] = np.cumsum(sizes).tolist()
    return [slice(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
