"""Arguments of an ansatz's evaluations: their shapes are checked at the call, in less than a microsecond.

θ of another ansatz, or points that come first, would else be cut, broadcast or refused in NumPy's words.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from numbers import Integral
from types import FunctionType
from typing import Any

import numpy as np

from .. import validation as check
from ..errors import ShapeError

#: Methods (θ, x, …) -> array.
EVALUATIONS = ("value", "gradient", "hessian", "laplacian", "tangent", "sparse_tangent")
DERIVATIVES = ("derivative", "tangent_derivative")
SEVERAL = ("derivatives", "evaluate")


def checked(cls: type) -> None:
    """Let the evaluations that a class defines begin with the checks; those it calls of its bases do without."""
    last = dict.fromkeys(EVALUATIONS) | dict.fromkeys(DERIVATIVES, _alpha) | dict.fromkeys(SEVERAL, _alphas)
    for name, third in {**last, "jvp": _direction, "vjp": _values}.items():
        if isinstance(vars(cls).get(name), FunctionType):  # a method, not a staticmethod
            setattr(cls, name, _checked(name, vars(cls)[name], third))


def _checked(name: str, method: Any, third: Callable[[Any, Any, Any], Any] | None) -> Any:
    @functools.wraps(method)
    def call(self: Any, theta: Any, x: Any, *rest: Any, **named: Any) -> Any:
        if getattr(type(self), name) is call:
            theta = theta if _plain(theta, self.size, 1) else self.check_theta(theta)
            x = x if _plain(x, self.dim, 2) else self.check_points(x)
            if third is not None and (rest or named):
                third(self, x, rest[0] if rest else next(iter(named.values())))
        return method(self, theta, x, *rest, **named)

    return call


def _plain(array: Any, first: int, ndim: int) -> bool:
    """Whether nothing is to be done: the usual case."""
    return type(array) is np.ndarray and array.ndim == ndim and len(array) == first and array.dtype == np.float64


def _alpha(ansatz: Any, x: Any, alpha: Any) -> None:
    """One order for each direction."""
    listed = isinstance(alpha, Iterable) and not isinstance(alpha, str | bytes)
    orders = tuple(alpha) if listed else ()
    if len(orders) != ansatz.dim or not all(isinstance(k, Integral) and int(k) >= 0 for k in orders):
        raise ShapeError(
            f"the multi-index {alpha!r} in {ansatz.dim} dimensions",
            f"a tuple of {ansatz.dim} non-negative orders, one for each direction",
        )


def _alphas(ansatz: Any, x: Any, alphas: Any) -> None:
    check.each(lambda name, alpha: _alpha(ansatz, x, alpha), "a sequence of multi-indices")("alphas", alphas)


def _direction(ansatz: Any, x: Any, v: Any) -> None:
    """One number for each parameter."""
    if not _plain(v, ansatz.size, 1):
        check.numbers(1, finite=False)("v", v)
        if np.shape(v) != (ansatz.size,):
            raise ShapeError(f"a direction v of shape {np.shape(v)}", f"shape ({ansatz.size},)")


def _values(ansatz: Any, x: Any, y: Any) -> None:
    """One number for each component and point."""
    y, shape = check.values("y", y, x.shape[1]), (*ansatz.shape, x.shape[1])
    if y.shape != shape:
        raise ShapeError(f"values y of shape {y.shape} for a field of shape {shape}", "points last")
