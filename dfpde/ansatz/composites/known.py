"""Known functions of x: ansätze without parameters, as masks, boundary values and factors of compositions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ... import validation as check
from ...errors import ParameterError, ShapeError
from ..base import Alpha, Ansatz, Array, multi_index


def _by_multi_index(entry: check.Check, expected: str) -> check.Check:
    """A mapping from multi-indices whose values pass a check."""

    def check_all(name: str, value: Any) -> None:
        check.instance(Mapping, expected)(name, value)
        for alpha, part in value.items():
            check.each(check.integer(0), "a multi-index (1, 0, ...)")(f"a key of {name}", alpha)
            entry(f"{name}[{alpha}]", part)

    return check_all


_functions = _by_multi_index(check.function, "a mapping of multi-indices to functions")
_coefficients = _by_multi_index(check.real(), "a mapping of multi-indices to numbers")


class _WithoutParameters(Ansatz):
    size = 0

    def value(self, theta: Array, x: Array) -> Array:
        return self.derivative(theta, x, multi_index(self.dim))

    def tangent(self, theta: Array, x: Array) -> Array:
        return self.tangent_derivative(theta, x, multi_index(self.dim))

    def tangent_derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        return np.zeros((0, *self.shape, self.check_points(x).shape[1]), self.dtype)

    def slices(self) -> Mapping[str, tuple[slice, tuple[int, ...]]]:
        return {}


class Known(_WithoutParameters):
    """u(x) = f(x) given with its derivatives: an ansatz with p = 0.

    Parameters
    ----------
    dim : int
        Space dimension.
    derivatives : mapping of multi-index -> callable
        ``{(0, 0): f, (1, 0): f_x, (0, 1): f_y, …}``, each x (dim, N) ↦ (*shape, N); the value is required.
    shape, dtype
        As for every `Ansatz`.

    Raises
    ------
    ParameterError
        No value among the derivatives, or a multi-index of another length.

    Examples
    --------
    >>> d = Known(1, {(0,): lambda x: np.sin(x[0]), (1,): lambda x: np.cos(x[0])})
    >>> d.gradient(np.empty(0), np.zeros((1, 1)))
    array([[1.]])
    """

    @check.takes(
        dim=check.integer(1), derivatives=_functions, shape=check.each(check.integer(1), "the shape of a value")
    )
    def __init__(
        self,
        dim: int,
        derivatives: Mapping[Alpha, Callable[[Array], Array]],
        shape: tuple[int, ...] = (),
        dtype: type = float,
    ) -> None:
        if dtype is not float and dtype is not complex:
            raise ParameterError(f"dtype = {dtype!r}", "float or complex")
        self.dim, self.shape, self.dtype = dim, tuple(shape), dtype
        self.functions = dict(derivatives)
        if multi_index(dim) not in self.functions or any(len(alpha) != dim for alpha in self.functions):
            raise ParameterError(
                f"a known function with derivatives {sorted(self.functions)} in {dim} dimensions",
                f"give multi-indices of length {dim}, the value {multi_index(dim)} among them",
            )

    def derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        x = self.check_points(x)
        if tuple(alpha) not in self.functions:
            raise self._missing(f"the derivative ∂^{alpha}", f"derivatives[{alpha}]")
        values: Array = np.asarray(self.functions[tuple(alpha)](x), self.dtype)
        if values.shape not in ((), (*self.shape, x.shape[1])):
            raise ShapeError(
                f"derivatives[{alpha}] gave the shape {values.shape} at {x.shape[1]} points",
                f"return shape {(*self.shape, x.shape[1])} or a number",
            )
        return np.array(np.broadcast_to(values, (*self.shape, x.shape[1])))


class Polynomial(_WithoutParameters):
    """u(x) = Σ_β c_β x^β, a known polynomial with all its derivatives: an ansatz with p = 0.

    Products of these make masks d(x) that vanish on the boundary: 1 − |x|² for the unit disk,
    `Polynomial.box` for boxes.

    Parameters
    ----------
    coefficients : mapping of multi-index -> float
        ``{(0, 0): 1.0, (2, 0): -1.0, (0, 2): -1.0}`` is 1 − x² − y².

    Raises
    ------
    ParameterError
        No coefficients, or multi-indices of different length.
    """

    @check.takes(coefficients=_coefficients)
    def __init__(self, coefficients: Mapping[Alpha, float]) -> None:
        lengths = {len(beta) for beta in coefficients}
        if len(lengths) != 1:
            raise ParameterError(
                f"a polynomial with the multi-indices {sorted(coefficients)}", "give one length, the dimension, to all"
            )
        self.dim = lengths.pop()
        self.coefficients = dict(coefficients)

    @classmethod
    @check.takes(lower=check.numbers(0, 1), upper=check.numbers(0, 1))
    def box(cls, lower: Array, upper: Array) -> Polynomial:
        """Π_i 4 (x_i − lower_i)(upper_i − x_i)/(upper_i − lower_i)²: zero on the boundary, one in the centre."""
        low, high = np.atleast_1d(lower), np.atleast_1d(upper)
        if low.shape != high.shape or not np.all(low < high):
            raise ParameterError(f"a box from {low.tolist()} to {high.tolist()}", "lower < upper in every direction")
        terms: dict[Alpha, float] = {(): 1.0}
        for a, b in zip(low.tolist(), high.tolist(), strict=True):
            factor = [4.0 * c / (b - a) ** 2 for c in (-a * b, a + b, -1.0)]
            terms = {(*beta, k): c * factor[k] for beta, c in terms.items() for k in range(3)}
        return cls(terms)

    def derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        x = self.check_points(x)
        out: Array = np.zeros(x.shape[1])
        for beta, coefficient in self.coefficients.items():
            if all(b >= a for a, b in zip(alpha, beta, strict=True)):
                term = np.full(x.shape[1], coefficient)
                for xi, a, b in zip(x, alpha, beta, strict=True):
                    term *= math.perm(b, a) * xi ** (b - a)
                out += term
        return out
