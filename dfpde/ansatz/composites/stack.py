"""Systems of equations: components that are each their own ansatz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import block_diag, csr_array

from ..base import PARTS, Alpha, Ansatz, Array
from ..layout import Index, common_dim, common_period, consecutive, layout, prefixes
from ..linearization import Linearization
from .composed import Composed, Scaled


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
        self.shared = tuple(shared)
        self._rows = consecutive([part.shape[0] if part.shape else 1 for part in components])
        self.dim = common_dim(components)
        self.size = max((part.stop for part, _ in self._slices.values()), default=0)
        self.shape = (self._rows[-1].stop,)
        self.dtype = complex if any(part.dtype is complex for part in components) else float
        self._disjoint = not shared
        own = zip(prefixes(components, names), components, strict=True)
        linear = ((prefix, name) for prefix, part in own for name in part.linear_parameters)
        self.linear_parameters = tuple(
            dict.fromkeys(name if name in shared else f"{prefix}.{name}" for prefix, name in linear)
        )

    @property
    def blocks(self) -> tuple[tuple[Index, slice], ...]:
        """Per component: its indices into θ and its rows of the system; the tangent is zero elsewhere."""
        return tuple(zip(self._index, self._rows, strict=True))

    def value(self, theta: Array, x: Array) -> Array:
        return self._stack(x, [part.value(own, x) for part, own in self._own(theta)])

    def derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        return self._stack(x, [part.derivative(own, x, alpha) for part, own in self._own(theta)])

    def gradient(self, theta: Array, x: Array) -> Array:
        return self._stack(x, [part.gradient(own, x) for part, own in self._own(theta)], (self.dim,))

    def hessian(self, theta: Array, x: Array) -> Array:
        return self._stack(x, [part.hessian(own, x) for part, own in self._own(theta)], (self.dim, self.dim))

    def laplacian(self, theta: Array, x: Array) -> Array:
        return self._stack(x, [part.laplacian(own, x) for part, own in self._own(theta)])

    def tangent(self, theta: Array, x: Array) -> Array:
        return self._scatter(x, [part.tangent(own, x) for part, own in self._own(theta)])

    def tangent_derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        return self._scatter(x, [part.tangent_derivative(own, x, alpha) for part, own in self._own(theta)])

    def derivatives(self, theta: Array, x: Array, alphas: Sequence[Alpha]) -> Array:
        return self._stack(x, [part.derivatives(own, x, alphas) for part, own in self._own(theta)], (len(alphas),))

    def evaluate(self, theta: Array, x: Array, alphas: Sequence[Alpha]) -> tuple[Array, Array]:
        values, tangents = zip(*[part.evaluate(own, x, alphas) for part, own in self._own(theta)], strict=True)
        return self._stack(x, values, (len(alphas),)), self._scatter(x, tangents)

    def linearize(self, theta: Array, x: Array, alphas: Sequence[Alpha] = ()) -> tuple[Array, Linearization]:
        if not self._is_latest("linearize", (*PARTS, "evaluate", "jvp", "vjp")):
            return super().linearize(theta, x, alphas)
        x = self.check_points(x)
        values, linear = zip(*[part.linearize(own, x, alphas) for part, own in self._own(theta)], strict=True)
        rows = [rows if part.shape else rows.start for part, rows in zip(self.components, self._rows, strict=True)]
        every = zip(self._index, linear, self.components, rows, strict=True)
        terms = [Scaled(index, 1.0, operator, part, row) for index, operator, part, row in every if part.size]
        shape = (*self.shape, x.shape[1])
        return self._stack(x, values, (len(alphas),)), Composed(self.size, shape, self.dtype, terms)

    def period(self, axis: int) -> float | None:
        """The common one of the components."""
        return common_period(self.components, axis)

    @property
    def one_pass(self) -> bool:
        return super().one_pass and all(part.one_pass for part in self.components)

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
    def sparse(self) -> bool:
        return self._disjoint and all(part.sparse for part in self.components)

    def sparse_tangent(self, theta: Array, x: Array) -> Any:
        return csr_array(block_diag([part.sparse_tangent(own, x) for part, own in self._own(theta)]))

    @property
    def matrix_free(self) -> bool:
        return all(part.matrix_free for part in self.components)

    def slices(self) -> Mapping[str, tuple[slice, tuple[int, ...]]]:
        return self._slices

    def guess(self, x: Array, seed: int = 0) -> Array:
        """Guesses of the components; of a shared block that of the last one."""
        theta = np.empty(self.size)
        for part, index in zip(self.components, self._index, strict=True):
            theta[index] = part.guess(x, seed)
        return theta

    def _own(self, theta: Array) -> list[tuple[Ansatz, Array]]:
        """Components and their parameters."""
        theta = self.check_theta(theta)
        return [(part, theta[index]) for part, index in zip(self.components, self._index, strict=True)]

    def _stack(self, x: Array, parts: Sequence[Array], lead: tuple[int, ...] = ()) -> Array:
        """Fields of the components as one, shape (*lead, m, N)."""
        out: Array = np.empty((*lead, *self.shape, self.check_points(x).shape[1]), self.dtype)
        for part, rows, values in zip(self.components, self._rows, parts, strict=True):
            out[..., rows if part.shape else rows.start, :] = values
        return out

    def _scatter(self, x: Array, parts: Sequence[Array]) -> Array:
        """Tangents of the components as one, shape (p, m, N)."""
        out: Array = np.zeros((self.size, *self.shape, self.check_points(x).shape[1]), self.dtype)
        for part, index, rows, tangent in zip(self.components, self._index, self._rows, parts, strict=True):
            if part.size:
                out[index, rows if part.shape else rows.start] = tangent
        return out
