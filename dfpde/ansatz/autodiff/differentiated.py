"""Ansätze by automatic differentiation: what JAX (`JaxFunction`) and PyTorch (`TorchFunction`) share.

A function of one point, f(θ, x) with θ (p,) and x (dim,), and seven transformations of functions (`Transforms`) give
the values, all derivatives, the tangent and its products on any number of points:

    ∂^α f            forward mode, one nested directional derivative for each order
    ∂/∂θ ∂^α f       reverse mode over it
    J v, Jᵀ y        forward and reverse mode; the tangent is not formed
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from ...errors import ParameterError
from ..base import Alpha, Ansatz, Array, multi_index
from ..mixtures.exponential import check_alpha

Function = Callable[..., Any]


class Transforms(Protocol):
    """What a library for automatic differentiation has to offer; arrays of the library are `Any`."""

    pad: bool  # True when every new number of points costs a compilation

    def array(self, values: Array) -> Any:
        """An array of the library."""

    def numpy(self, values: Any) -> Array:
        """And back."""

    def compiled(self, function: Function) -> Function:
        """The same function, compiled where the library compiles."""

    def over_points(self, function: Function, shared: int) -> Function:
        """Map over the last axis of the last argument (`shared` others come before it); points last in the result."""

    def along(self, function: Function, at: Any, direction: Any) -> Any:
        """Directional derivative of a function of one argument."""

    def pullback(self, function: Function, at: Any, y: Any) -> Any:
        """(∂function/∂at)ᵀ y."""

    def by_theta(self, function: Function) -> Function:
        """∂/∂θ of function(θ, x) by reverse mode, θ first in the result."""


class Differentiated(Ansatz):
    """Values and derivatives of a function of one point, evaluated on chunks of points.

    Parameters
    ----------
    function : callable (θ, x) -> array
        Real: (*shape,), or (2, *shape), real and imaginary part, for complex fields.
    transforms : Transforms
    theta0 : array (p,)
    slices : mapping
        Names of the parameters.
    dim, shape, dtype
        As for every `Ansatz`.
    chunk : int
        Largest number of points evaluated together.
    """

    def __init__(
        self,
        function: Function,
        transforms: Transforms,
        theta0: Array,
        slices: Mapping[str, tuple[slice, tuple[int, ...]]],
        *,
        dim: int,
        shape: tuple[int, ...],
        dtype: type,
        chunk: int,
    ) -> None:
        if chunk < 1:
            raise ParameterError(f"chunk = {chunk}", "give a positive number of points")
        self.dim, self.size, self.shape, self.dtype, self.chunk = dim, theta0.size, shape, dtype, chunk
        self._function, self._transforms, self._slices = function, transforms, slices
        self._theta0 = theta0
        self._compiled: dict[Any, Function] = {}

    @property
    def theta0(self) -> Array:
        """The parameters given at the start, shape (p,), a copy."""
        return self._theta0.copy()

    def value(self, theta: Array, x: Array) -> Array:
        return self.derivative(theta, x, multi_index(self.dim))

    def derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        """∂^alpha u, any order, shape (*shape, N)."""
        alpha = check_alpha(self, alpha)
        return self._fill((), ("derivative", alpha), lambda: self._partial(alpha), theta, x)

    def laplacian(self, theta: Array, x: Array) -> Array:
        def build() -> Function:
            parts = [self._partial(multi_index(self.dim, i, i)) for i in range(self.dim)]
            return lambda theta, x: sum(part(theta, x) for part in parts)

        return self._fill((), "laplacian", build, theta, x)

    def tangent(self, theta: Array, x: Array) -> Array:
        return self.tangent_derivative(theta, x, multi_index(self.dim))

    def tangent_derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        """∂/∂θ ∂^alpha u, any order, shape (p, *shape, N)."""
        alpha = check_alpha(self, alpha)
        by_theta = self._transforms.by_theta
        return self._fill((self.size,), ("tangent", alpha), lambda: by_theta(self._partial(alpha)), theta, x)

    def jvp(self, theta: Array, x: Array, v: Array) -> Array:
        t, f = self._transforms, self._function

        def build() -> Function:
            return lambda theta, v, x: t.along(lambda theta: f(theta, x), theta, v)

        return self._fill((), "jvp", build, theta, x, self.check_theta(v))

    def vjp(self, theta: Array, x: Array, y: Array) -> Array:
        t, theta, x = self._transforms, self.check_theta(theta), self.check_points(x)
        if "vjp" not in self._compiled:
            everywhere = t.over_points(self._function, 1)
            self._compiled["vjp"] = t.compiled(
                lambda theta, x, y: t.pullback(lambda theta: everywhere(theta, x), theta, y)
            )
        y = np.stack([y.real, y.imag]) if self.dtype is complex else np.asarray(y)
        out = np.zeros(self.size)
        for part, width in self._chunks(x.shape[1]):
            arrays = [theta, _padded(x[:, part], width), _padded(y[..., part], width, zero=True)]
            out += t.numpy(self._compiled["vjp"](*map(t.array, arrays)))
        return out

    def slices(self) -> Mapping[str, tuple[slice, tuple[int, ...]]]:
        return self._slices

    def _partial(self, alpha: Alpha) -> Function:
        """∂^alpha of the function of one point."""
        function, t = self._function, self._transforms
        for axis, order in enumerate(alpha):
            e = t.array(np.eye(self.dim)[axis])
            for _ in range(order):
                function = _directional(t, function, e)
        return function

    def _fill(
        self, lead: tuple[int, ...], key: Any, build: Callable[[], Function], theta: Array, x: Array, *more: Array
    ) -> Array:
        """Evaluate the compiled function build() of (θ, *more, x) on all points."""
        t, theta, x = self._transforms, self.check_theta(theta), self.check_points(x)
        if key not in self._compiled:
            self._compiled[key] = t.compiled(t.over_points(build(), 1 + len(more)))
        function, shared = self._compiled[key], [t.array(array) for array in (theta, *more)]
        out: Array = np.empty((*lead, *self.shape, x.shape[1]), self.dtype)
        for part, width in self._chunks(x.shape[1]):
            values = t.numpy(function(*shared, t.array(_padded(x[:, part], width))))[..., : part.stop - part.start]
            if self.dtype is complex:
                real, imaginary = np.moveaxis(values, len(lead), 0)
                out.real[..., part], out.imag[..., part] = real, imaginary
            else:
                out[..., part] = values
        return out

    def _chunks(self, points: int) -> Iterator[tuple[slice, int]]:
        """Even chunks and the number of points each is filled up to, so that few different numbers occur."""
        count = -(-points // self.chunk)
        size = -(-points // count) if count else 0
        width = rounded(size) if self._transforms.pad else 0
        for start in range(0, points, size or 1):
            stop = min(start + size, points)
            yield slice(start, stop), max(width, stop - start)


def _directional(t: Transforms, function: Function, e: Any) -> Function:
    return lambda theta, x: t.along(lambda x: function(theta, x), x, e)


def rounded(points: int) -> int:
    """Next number with three leading binary digits (at most 25 % more): four shapes for each factor of two."""
    grain = 1 << max(points.bit_length() - 3, 0)
    return -(-points // grain) * grain


def _padded(values: Array, width: int, zero: bool = False) -> Array:
    """Repeat the last point (or add zeros) up to `width` points, contiguous."""
    missing = width - values.shape[-1]
    if missing == 0:
        return np.ascontiguousarray(values)
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, missing)], mode="constant" if zero else "edge")
