"""Fields and their calculus: what a right-hand side f(t, x, u) is written with.

A `Field` is u = Φ(θ) at the points x, with its derivatives evaluated when first asked for, then kept.  The functions
`grad`, `laplacian`, `dx`, `div`, `dot` read like the equation.
"""

from __future__ import annotations

from collections.abc import Callable, KeysView, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Protocol

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from . import validation as check
from .errors import ShapeError
from .representation import represent

Array = NDArray[Any]
Alpha = tuple[int, ...]


class Differentiable(Protocol):
    """What a `Field` needs of an ansatz (see `dfpde.Ansatz` for shapes)."""

    dim: int
    shape: tuple[int, ...]

    @property
    def one_pass(self) -> bool:
        """Whether `evaluate` is cheaper than its parts."""
        ...

    def value(self, theta: Array, x: Array) -> Array:
        """u(x_k)."""
        ...

    def gradient(self, theta: Array, x: Array) -> Array:
        """∂u/∂x_i."""
        ...

    def hessian(self, theta: Array, x: Array) -> Array:
        """∂²u/∂x_i∂x_j."""
        ...

    def laplacian(self, theta: Array, x: Array) -> Array:
        """Δu."""
        ...

    def derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        """∂^alpha u."""
        ...

    def derivatives(self, theta: Array, x: Array, alphas: Sequence[Alpha]) -> Array:
        """∂^alpha u for several alpha."""
        ...

    def evaluate(self, theta: Array, x: Array, alphas: Sequence[Alpha]) -> tuple[Array, Array]:
        """`derivatives` and the tangent."""
        ...

    def linearize(self, theta: Array, x: Array, alphas: Sequence[Alpha] = ()) -> tuple[Array, Any]:
        """`derivatives` and the tangent as an operator."""
        ...


@dataclass(frozen=True, eq=False)
class Field(NDArrayOperatorsMixin):
    """u = Φ(θ) at points x: lazy values and derivatives (read-only arrays), and a function of space.

    In arithmetic, in NumPy's functions and in comparisons (``u - u**3``, ``np.exp(u)``, ``u > 0``) a field is its
    `value`, and the result an array; ``u[i]`` is component i of a system.

    Attributes
    ----------
    ansatz : Ansatz
    theta : (p,) array
    x : (dim, N) array
    """

    ansatz: Differentiable
    theta: Array
    x: Array
    _kept: dict[Any, Array] = field(default_factory=dict, repr=False)
    _asked: dict[Alpha, None] = field(default_factory=dict, repr=False)

    __repr__ = represent
    __hash__ = object.__hash__  # by identity; == compares values, as NumPy does

    @classmethod
    def evaluated(
        cls, ansatz: Differentiable, theta: Array, x: Array, alphas: Sequence[Alpha], stored: bool = True
    ) -> Field:
        """u with derivatives ∂^alpha u and the tangent (stored, or as an operator), from one pass over the points."""
        values, tangent = (ansatz.evaluate if stored else ansatz.linearize)(theta, x, alphas)
        return cls(ansatz, theta, x, {**dict(zip(alphas, map(read_only, values), strict=True)), "tangent": tangent})

    @property
    def tangent(self) -> Any:
        """∂u/∂θ, shape (p, *shape, N) or a `Linearization`, if it has been evaluated with the field."""
        return self._kept.get("tangent")

    @property
    def asked(self) -> KeysView[Alpha]:
        """Multi-indices of what is asked for, where the ansatz evaluates several in one pass; follows the field."""
        return self._asked.keys()

    @property
    def evaluated_derivatives(self) -> tuple[Alpha, ...]:
        """Multi-indices of the derivatives evaluated so far; of a Hessian or Laplacian all ∂²u/∂x_i²."""
        found = {alpha: None for alpha in self._kept if isinstance(alpha, tuple)}
        if "laplacian" in self._kept or "hessian" in self._kept:
            found.update(dict.fromkeys(laplacian_alphas(self.ansatz.dim)))
        return tuple(found)

    def _keep(self, key: Any, make: Callable[[], Array]) -> Array:
        if key not in self._kept:
            self._kept[key] = read_only(make())
        return self._kept[key]

    def _partials(self, alphas: Sequence[Alpha]) -> list[Array]:
        """∂^alpha u for several alpha, those that are missing in one pass."""
        self._asked.update(dict.fromkeys(alphas))
        missing = [alpha for alpha in dict.fromkeys(alphas) if alpha not in self._kept]
        if missing:
            found = self.ansatz.derivatives(self.theta, self.x, missing)
            self._kept.update(zip(missing, map(read_only, found), strict=True))
        return [self._kept[alpha] for alpha in alphas]

    @property
    def value(self) -> Array:
        """u(x_k), shape `(*shape, N)`."""
        if self.ansatz.one_pass:
            return self._partials([multi_index(self.ansatz.dim)])[0]
        return self._keep("value", lambda: self.ansatz.value(self.theta, self.x))

    @property
    def gradient(self) -> Array:
        """∂u/∂x_i, shape (dim, *shape, N)."""
        if self.ansatz.one_pass:
            return self._keep("gradient", lambda: np.stack(self._partials(gradient_alphas(self.ansatz.dim))))
        return self._keep("gradient", lambda: self.ansatz.gradient(self.theta, self.x))

    @property
    def hessian(self) -> Array:
        """∂²u/∂x_i∂x_j, shape (dim, dim, *shape, N)."""
        if self.ansatz.one_pass:
            return self._keep("hessian", self._second)
        return self._keep("hessian", lambda: self.ansatz.hessian(self.theta, self.x))

    def _second(self) -> Array:
        dim = self.ansatz.dim
        found = np.stack(self._partials(hessian_alphas(dim)))
        return found.reshape(dim, dim, *found.shape[1:])

    @property
    def laplacian(self) -> Array:
        """Δu, shape `(*shape, N)`."""
        if self.ansatz.one_pass:
            return self._keep("laplacian", lambda: np.sum(self._partials(laplacian_alphas(self.ansatz.dim)), axis=0))
        return self._keep("laplacian", lambda: self.ansatz.laplacian(self.theta, self.x))

    def derivative(self, *alpha: int) -> Array:
        """∂^alpha u, shape `(*shape, N)`: ``u.derivative(3)`` is u_xxx in 1D, ``u.derivative(1, 1)`` is u_xy in 2D.

        Raises
        ------
        ShapeError
            Not one order per dimension.
        """
        if len(alpha) != self.ansatz.dim or not all(isinstance(order, Integral) and order >= 0 for order in alpha):
            raise ShapeError(
                f"derivative{alpha} of a field in {self.ansatz.dim} dimensions",
                f"give {self.ansatz.dim} non-negative orders, one for each direction",
            )
        if self.ansatz.one_pass:
            return self._partials([alpha])[0]
        return self._keep(alpha, lambda: self.ansatz.derivative(self.theta, self.x, alpha))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        values = self.value
        return np.array(values, dtype) if copy else np.asarray(values, dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(out, Field) for out in kwargs.get("out", ())):
            return NotImplemented  # a field is not written to
        return getattr(ufunc, method)(*(u.value if isinstance(u, Field) else u for u in inputs), **kwargs)

    def __getitem__(self, index: Any) -> Array:
        found: Array = self.value[index]
        return found

    def __call__(self, x: Array) -> Array:
        """u at other points x (dim, *M): shape (*shape, *M), so that ``basis.project(u)`` of scikit-fem works."""
        check.numbers(finite=False)("x", x)
        x = np.asarray(x, dtype=float)
        if x.ndim < 1 or len(x) != self.ansatz.dim:
            raise ShapeError(f"points of shape {x.shape}", f"({self.ansatz.dim}, ...), one row for each direction")
        values = self.ansatz.value(self.theta, x.reshape(len(x), -1))
        return values.reshape(*values.shape[:-1], *x.shape[1:])


def _field(u: Field) -> Field:
    if not isinstance(u, Field) and not hasattr(u, "gradient"):  # a known function with derivatives is as good
        raise check.wrong_type("u", u, "a Field, the u of a right-hand side f(t, x, u)")
    return u


def grad(u: Field) -> Array:
    """∇u, shape (dim, *shape, N)."""
    return _field(u).gradient


def laplacian(u: Field) -> Array:
    """Δu, shape `(*shape, N)`."""
    return _field(u).laplacian


def dx(u: Field, order: int = 1) -> Array:
    """∂^order u/∂x^order of a field in one dimension, shape `(*shape, N)`."""
    return _field(u).derivative(order)


def div(u: Field) -> Array:
    """∇·u = Σ_i ∂u_i/∂x_i of a vector field with dim components, shape (N,).

    Raises
    ------
    ShapeError
        The field does not have dim components.
    """
    if _field(u).ansatz.shape != (u.ansatz.dim,):
        raise ShapeError(
            f"divergence of a field of shape {u.ansatz.shape} in {u.ansatz.dim} dimensions",
            f"a vector field has shape ({u.ansatz.dim},)",
        )
    divergence: Array = np.einsum("iin->n", u.gradient)
    return divergence


def dot(a: Array, b: Array) -> Array:
    """Σ_i a_i b_i over the first axis: b·∇u is ``dot(b, grad(u))`` with b (dim, N) and ∇u (dim, *shape, N).

    Raises
    ------
    ShapeError
        First or last axes differ.
    """
    for name, part in (("a", a), ("b", b)):
        if not getattr(part, "shape", ()):
            raise check.wrong_type(name, part, "an array with points last")
    if a.shape[0] != b.shape[0] or a.shape[-1] != b.shape[-1]:
        raise ShapeError(f"dot of shapes {a.shape} and {b.shape}", "first axes (dim) and last axes (N) must agree")
    if a.ndim < b.ndim:
        a = a.reshape(a.shape[0], *(1,) * (b.ndim - a.ndim), *a.shape[1:])
    elif b.ndim < a.ndim:
        b = b.reshape(b.shape[0], *(1,) * (a.ndim - b.ndim), *b.shape[1:])
    total: Array = np.sum(a * b, axis=0)
    return total


def read_only(values: Array) -> Array:
    """A read-only view: who writes to what a field keeps would change it for all that ask later."""
    view = np.asarray(values).view()
    view.flags.writeable = False
    return view


def gradient_alphas(dim: int) -> list[Alpha]:
    """Multi-indices of ∇u."""
    return [multi_index(dim, i) for i in range(dim)]


def hessian_alphas(dim: int) -> list[Alpha]:
    """Multi-indices of ∇∇u, row by row."""
    return [multi_index(dim, i, j) for i in range(dim) for j in range(dim)]


def laplacian_alphas(dim: int) -> list[Alpha]:
    """Multi-indices whose sum is Δu."""
    return [multi_index(dim, i, i) for i in range(dim)]


def multi_index(dim: int, *axes: int) -> Alpha:
    """Multi-index of the partial derivative along the given axes: ``multi_index(2, 0, 0) == (2, 0)``."""
    alpha = [0] * dim
    for axis in axes:
        alpha[axis] += 1
    return tuple(alpha)
