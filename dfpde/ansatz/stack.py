"""Systems of equations: components that are each their own ansatz."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import block_diag, csr_array

from .base import Alpha, Ansatz, Array
from .layout import Index, common_dim, consecutive, layout


class Stack(Ansatz):
    r"""System u = (u₁, …, u_m), every component its own ansatz: u_i = Φ_i(θ_i).

    With separate parameters (the default) θ = (θ₁, …, θ_m) and the tangent is block diagonal.  Blocks named in
    ``shared`` are stored once and used by every component: Gaussians that share centers and scales but not
    amplitudes are ``Stack(g, g, shared=("centers", "scales"))``.

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
        self._index, self._slices = layout(components, names, shared)
        self._rows = consecutive([part.shape[0] if part.shape else 1 for part in components])
        self.dim = common_dim(components)
        self.size = max((part.stop for part, _ in self._slices.values()), default=0)
        self.shape = (self._rows[-1].stop,)
        self.dtype = complex if any(part.dtype is complex for part in components) else float
        sparse: list[Any] = [getattr(part, "sparse_tangent", None) for part in components]
        if not shared and all(sparse):

            def sparse_tangent(theta: Array, x: Array) -> Any:
                parts = zip(sparse, self._index, strict=True)
                return csr_array(block_diag([tangent(theta[index], x) for tangent, index in parts]))

            self.sparse_tangent = sparse_tangent

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

    def _stack(
        self, theta: Array, x: Array, evaluate: Callable[[Ansatz, Array], Array], lead: tuple[int, ...] = ()
    ) -> Array:
        theta, x = self.check_theta(theta), self.check_points(x)
        out: Array = np.empty((*lead, *self.shape, x.shape[1]), self.dtype)
        for part, index, rows in zip(self.components, self._index, self._rows, strict=True):
            where = rows if part.shape else rows.start
            out[..., where, :] = evaluate(part, theta[index])
        return out

    def _scatter(self, theta: Array, x: Array, evaluate: Callable[[Ansatz, Array], Array]) -> Array:
        theta, x = self.check_theta(theta), self.check_points(x)
        out: Array = np.zeros((self.size, *self.shape, x.shape[1]), self.dtype)
        for part, index, rows in zip(self.components, self._index, self._rows, strict=True):
            where = rows if part.shape else rows.start
            if part.size:
                out[index, where] = evaluate(part, theta[index])
        return out
