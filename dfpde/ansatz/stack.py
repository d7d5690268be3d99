"""Systems of equations: components that are each their own ansatz."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ParameterError, ShapeError
from .base import Alpha, Ansatz, Array

Index = slice | Array


class Stack(Ansatz):
    r"""System u = (u₁, …, u_m), every component its own ansatz: u_i = Φ_i(θ_i).

    With separate parameters (the default) θ = (θ₁, …, θ_m) and the tangent is block diagonal.  Blocks named in
    ``shared`` are stored once and used by every component: Gaussians that share centres and widths but
    not amplitudes are ``Stack(g, g, shared=("centers", "log_widths"))``.

    Parameters
    ----------
    *components : Ansatz
        Scalar (one row of the system each) or systems themselves (their rows follow each other), same dim.
    names : sequence of str, optional
        Names of the components, ``"0", "1", …`` by default: ``unpack(theta)["left.centers"]``.
    shared : sequence of str, optional
        Parameter blocks that all components share, named without prefix: ``unpack(theta)["centers"]``; they come
        first in θ.

    Raises
    ------
    ShapeError
        Components of different dimension, or a shared block of different shapes.
    ParameterError
        No components, duplicate names, or a shared block that a component does not have.

    Notes
    -----
    `tangent` is (p, m, N) with zeros outside the blocks; `jvp` and `vjp` touch the blocks only, and `blocks` tells
    a solver where they are.
    """

    def __init__(self, *components: Ansatz, names: Sequence[str] | None = None, shared: Sequence[str] = ()) -> None:
        self.components = components
        self.names = component_names(components, names)
        self.shared = tuple(shared)
        self.dim = common_dim(components)
        self.dtype = complex if any(part.dtype is complex for part in components) else float
        self._rows = _consecutive([part.shape[0] if part.shape else 1 for part in components])
        self.shape = (self._rows[-1].stop,)
        self._slices, self._index = self._layout()
        self.size = max(part.stop for part, _ in self._slices.values())

    @property
    def blocks(self) -> tuple[tuple[Index, slice], ...]:
        """Per component: its indices into θ and its rows of the system; the tangent is zero elsewhere."""
        return tuple(zip(self._index, self._rows, strict=True))

    def value(self, theta: Array, x: Array) -> Array:
        return self._stack(theta, x, lambda part, own: part.value(own, x))

    def derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        return self._stack(theta, x, lambda part, own: part.derivative(own, x, alpha))

    def gradient(self, theta: Array, x: Array) -> Array:
        return self._stack(theta, x, lambda part, own: part.gradient(own, x), (self.dim,))

    def hessian(self, theta: Array, x: Array) -> Array:
        return self._stack(theta, x, lambda part, own: part.hessian(own, x), (self.dim, self.dim))

    def laplacian(self, theta: Array, x: Array) -> Array:
        return self._stack(theta, x, lambda part, own: part.laplacian(own, x))

    def tangent(self, theta: Array, x: Array) -> Array:
        return self._scatter(theta, x, lambda part, own: part.tangent(own, x))

    def tangent_derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        return self._scatter(theta, x, lambda part, own: part.tangent_derivative(own, x, alpha))

    def jvp(self, theta: Array, x: Array, v: Array) -> Array:
        theta, x, v = self.check_theta(theta), self.check_points(x), self.check_theta(v)
        out: Array = np.empty((*self.shape, x.shape[1]), self.dtype)
        for part, index, rows in zip(self.components, self._index, self._rows, strict=True):
            out[rows] = part.jvp(theta[index], x, v[index])
        return out

    def vjp(self, theta: Array, x: Array, y: Array) -> Array:
        theta, x = self.check_theta(theta), self.check_points(x)
        y = np.asarray(y).reshape(*self.shape, x.shape[1])
        out: Array = np.zeros(self.size)
        for part, index, rows in zip(self.components, self._index, self._rows, strict=True):
            own = y[rows] if part.shape else y[rows.start]
            out[index] += part.vjp(theta[index], x, own if part.dtype is complex else own.real)
        return out

    @property
    def matrix_free(self) -> bool:
        return all(part.matrix_free for part in self.components)

    def slices(self) -> Mapping[str, tuple[slice, tuple[int, ...]]]:
        return self._slices

    def _layout(self) -> tuple[dict[str, tuple[slice, tuple[int, ...]]], list[Index]]:
        """Places of all blocks in θ and, per component, its indices into θ."""
        own = [dict(part.slices()) for part in self.components]
        blocks: dict[str, tuple[int, ...]] = {}
        for block in self.shared:
            shapes = {names[block][1] if block in names else None for names in own}
            if None in shapes:
                raise ParameterError(
                    f"not every component has a parameter block {block!r} to share",
                    f"share one of {sorted(set.intersection(*(set(names) for names in own)))}",
                )
            if len(shapes) > 1:
                raise ShapeError(f"shared block {block!r} has the shapes {shapes}", "give the components equal shapes")
            blocks[block] = own[0][block][1]
        for name, names in zip(self.names, own, strict=True):
            blocks.update({f"{name}.{key}": shape for key, (_, shape) in names.items() if key not in self.shared})
        places = dict(zip(blocks, _consecutive([int(np.prod(shape)) for shape in blocks.values()]), strict=True))
        index: list[Index] = []
        for name, names, part in zip(self.names, own, self.components, strict=True):
            into = np.empty(part.size, dtype=np.intp)
            for key, (where, _) in names.items():
                place = places[key if key in self.shared else f"{name}.{key}"]
                into[where] = np.arange(place.start, place.stop)
            contiguous = part.size > 0 and bool(np.all(np.diff(into) == 1))
            index.append(slice(int(into[0]), int(into[0]) + part.size) if contiguous else into)
        return {key: (places[key], shape) for key, shape in blocks.items()}, index

    def _stack(
        self, theta: Array, x: Array, evaluate: Callable[[Ansatz, Array], Array], lead: tuple[int, ...] = ()
    ) -> Array:
        theta, x = self.check_theta(theta), self.check_points(x)
        out: Array = np.empty((*lead, *self.shape, x.shape[1]), self.dtype)
        for part, index, rows in zip(self.components, self._index, self._rows, strict=True):
            values = evaluate(part, theta[index])
            out[..., rows, :] = values.reshape(*lead, -1, x.shape[1]) if x.shape[1] else 0.0
        return out

    def _scatter(self, theta: Array, x: Array, evaluate: Callable[[Ansatz, Array], Array]) -> Array:
        theta, x = self.check_theta(theta), self.check_points(x)
        out: Array = np.zeros((self.size, *self.shape, x.shape[1]), self.dtype)
        for part, index, rows in zip(self.components, self._index, self._rows, strict=True):
            if part.shape:
                out[index, rows] = evaluate(part, theta[index])
            else:
                out[index, rows.start] = evaluate(part, theta[index])
        return out


def component_names(components: Sequence[Ansatz], names: Sequence[str] | None) -> tuple[str, ...]:
    """Names of the parts of a composition: those given, checked, or "0", "1", …"""
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


def _consecutive(sizes: Sequence[int]) -> list[slice]:
    stops: list[Any] = np.cumsum(sizes).tolist()
    return [slice(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
