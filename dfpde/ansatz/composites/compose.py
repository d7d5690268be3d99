"""Ansätze made of ansätze; all derivatives and tangents exact by the product and the chain rule.

A composition says how its derivatives follow from those of its components (`Composite._derivative`) and how its
tangent is linear in theirs,

    ∂/∂θ ∂^α u = Σ_terms factor(x, θ) · ∂/∂θ ∂^β u_i,        (`Composite._linear`)

and `tangent`, `jvp`, `vjp` and the tangents of derivatives follow for all compositions alike.
"""

from __future__ import annotations

import itertools
import math
import operator
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from ...errors import ShapeError
from ..base import PARTS, Alpha, Ansatz, Array, multi_index
from ..layout import Index, Slices, common_dim, common_period, layout
from ..linearization import Linearization
from ..mixtures.exponential import check_alpha
from ..multiindex import splits
from .composed import Composed, Scaled

Term = tuple[int, Alpha, Any]  # component, multi-index, factor (a number or an array broadcastable to (*shape, N))


class Local:
    """One component at its parameters and points x; its derivatives are computed once.

    ``points`` are the points of the composition, another array than x where the composition moves them.
    """

    def __init__(self, ansatz: Ansatz, theta: Array, x: Array, points: Array) -> None:
        self.ansatz, self.theta, self.x, self.points = ansatz, theta, x, points
        self._known: dict[Alpha, Array] = {}

    def __call__(self, alpha: Alpha) -> Array:
        """∂^α of the component, shape (*shape, N); not to be written to."""
        if alpha not in self._known and sum(alpha) == 1:  # the whole gradient costs little more than a part of it
            rows = self.ansatz.gradient(self.theta, self.x)
            self._known |= {multi_index(len(alpha), axis): row for axis, row in enumerate(rows)}
        if alpha not in self._known:
            self._known[alpha] = self.ansatz.derivative(self.theta, self.x, alpha)
        return self._known[alpha]

    def linearize(self) -> Linearization:
        """Its tangent as an operator, from the pass that gives its value."""
        zero = multi_index(self.ansatz.dim)
        values, linear = self.ansatz.linearize(self.theta, self.x, [zero])
        self._known[zero] = values[0]
        return linear

    def provide(self, alphas: Iterable[Alpha]) -> None:
        """Several derivatives in one pass, as a network's cost little more than the highest of them."""
        missing = [alpha for alpha in alphas if alpha not in self._known]
        if missing:
            self._known |= dict(zip(missing, self.ansatz._several(self.theta, self.x, missing), strict=True))


class Composite(Ansatz):
    """Base of the compositions.

    Parameters
    ----------
    components : sequence of Ansatz
        May hold the same object more than once.
    index : sequence of slice or array of int
        For each component, its indices into θ.
    slices : dict
        Names of the parameters of the composition.
    """

    components: tuple[Ansatz, ...]

    def __init__(self, components: Sequence[Ansatz], index: Sequence[Index], slices: Slices) -> None:
        self.components = tuple(components)
        self._index, self._slices = tuple(index), slices
        self.dim = common_dim(components)
        self.size = max((part.stop for part, _ in slices.values()), default=0)
        self.dtype = complex if any(part.dtype is complex for part in components) else float

    def period(self, axis: int) -> float | None:
        """The common one of the components."""
        return common_period(self.components, axis)

    @abstractmethod
    def _derivative(self, parts: Sequence[Local], alpha: Alpha) -> Array:
        """∂^α u from the derivatives of the components, a new array."""

    @abstractmethod
    def _linear(self, parts: Sequence[Local], alpha: Alpha) -> Iterable[Term]:
        """Terms of ∂/∂θ ∂^α u; for α = 0 one term with β = 0 for each component."""

    def _points(self, x: Array) -> Sequence[Array]:
        """Where each component is evaluated."""
        return [x] * len(self.components)

    def _parts(self, theta: Array, x: Array) -> list[Local]:
        theta, x = self.check_theta(theta), self.check_points(x)
        places = zip(self.components, self._index, self._points(x), strict=True)
        return [Local(part, theta[index], where, x) for part, index, where in places]

    def value(self, theta: Array, x: Array) -> Array:
        return self.derivative(theta, x, multi_index(self.dim))

    def derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        """∂^alpha u(x_k), every order that the components provide, shape (*shape, N)."""
        return self._derivative(self._parts(theta, x), check_alpha(self, alpha))

    def derivatives(self, theta: Array, x: Array, alphas: Sequence[Alpha]) -> Array:
        parts, alphas = self._parts(theta, x), [check_alpha(self, alpha) for alpha in alphas]
        for part in parts:
            part.provide(self._used(alphas))
        return np.stack([self._derivative(parts, alpha) for alpha in alphas])

    def _used(self, alphas: Sequence[Alpha]) -> Iterable[Alpha]:
        """Derivatives of every component that these of the composition follow from, where that is known in advance."""
        return ()

    def tangent(self, theta: Array, x: Array) -> Array:
        return self.tangent_derivative(theta, x, multi_index(self.dim))

    def tangent_derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        """∂/∂θ_j ∂^alpha u(x_k), every order whose tangents the components provide, shape (p, *shape, N)."""
        parts = self._parts(theta, x)
        shape = (self.size, *self.shape, parts[0].x.shape[1])
        terms = [term for term in self._linear(parts, check_alpha(self, alpha)) if parts[term[0]].ansatz.size]
        if len(terms) == 1 and parts[terms[0][0]].ansatz.size == self.size:
            tangent = self._columns(parts, terms[0])
            if tangent.shape == shape and tangent.dtype == self.dtype:  # the array is ours: no second one
                return np.multiply(terms[0][2], tangent, out=tangent)
        separate = sum(part.size for part in self.components) == self.size  # no parameter is shared
        out: Array = np.empty(shape, self.dtype) if separate else np.zeros(shape, self.dtype)
        written: set[int] = set()
        for number, beta, factor in terms:
            index, columns = self._index[number], self._columns(parts, (number, beta, factor))
            if separate and number not in written and isinstance(index, slice):
                np.multiply(factor, columns, out=out[index])
            elif separate and number not in written:
                out[index] = factor * columns
            else:
                out[index] += factor * columns
            written.add(number)
        return out

    def _columns(self, parts: Sequence[Local], term: Term) -> Array:
        """∂/∂θ ∂^β of one component, broadcastable to the shape of this field."""
        part = parts[term[0]]
        tangent = part.ansatz.tangent_derivative(part.theta, part.x, term[1])
        return tangent[:, None] if self.shape and not part.ansatz.shape else tangent

    def jvp(self, theta: Array, x: Array, v: Array) -> Array:
        parts, v = self._parts(theta, x), self.check_theta(v)
        out: Array = np.zeros((*self.shape, parts[0].x.shape[1]), self.dtype)
        for number, _, factor in self._linear(parts, multi_index(self.dim)):
            part = parts[number]
            if part.ansatz.size:
                out += factor * part.ansatz.jvp(part.theta, part.x, v[self._index[number]])
        return out

    def vjp(self, theta: Array, x: Array, y: Array) -> Array:
        parts, out = self._parts(theta, x), np.zeros(self.size)
        for number, _, factor in self._linear(parts, multi_index(self.dim)):
            part = parts[number]
            if part.ansatz.size:
                own = np.conj(factor) * y
                if self.shape and not part.ansatz.shape:
                    own = own.sum(0)
                own = own if part.ansatz.dtype is complex else own.real
                out[self._index[number]] += part.ansatz.vjp(part.theta, part.x, own)
        return out

    def linearize(self, theta: Array, x: Array, alphas: Sequence[Alpha] = ()) -> tuple[Array, Linearization]:
        if not self._is_latest("linearize", (*PARTS, "jvp", "vjp")):
            return super().linearize(theta, x, alphas)
        parts, alphas, zero = self._parts(theta, x), [check_alpha(self, alpha) for alpha in alphas], (0,) * self.dim
        linear = {n: part.linearize() for n, part in enumerate(parts) if part.ansatz.size}
        for part in parts:
            part.provide(self._used(alphas))
        found = [self._derivative(parts, alpha) for alpha in alphas]
        terms = [
            Scaled(self._index[n], factor, linear[n], parts[n].ansatz) for n, _, factor in self._linear(parts, zero)
            if n in linear
        ]  # fmt: skip
        shape = (*self.shape, parts[0].x.shape[1])
        return np.array(found).reshape(len(alphas), *shape), Composed(self.size, shape, self.dtype, terms)

    @property
    def matrix_free(self) -> bool:
        return all(part.matrix_free for part in self.components if part.size)

    def slices(self) -> Mapping[str, tuple[slice, tuple[int, ...]]]:
        return self._slices


class Sum(Composite):
    """u = u₁ + … + u_n, each with its own parameters.

    Parameters
    ----------
    *components : Ansatz
        Same dim and shape.
    names : sequence of str, optional
        Names of the components, "0", "1", … by default: ``unpack(theta)["left.centers"]``.
    shared : sequence of str, optional
        Parameter blocks used by all components, named without prefix, first in θ.

    Raises
    ------
    ShapeError
        Components of different dim or shape.
    ParameterError
        No components, duplicate names, an unknown shared block.
    """

    def __init__(self, *components: Ansatz, names: Sequence[str] | None = None, shared: Sequence[str] = ()) -> None:
        super().__init__(components, *layout(components, names, shared))
        self.shared = tuple(shared)
        shapes = {part.shape for part in components}
        if len(shapes) != 1:
            raise ShapeError(f"a sum of fields of the shapes {sorted(shapes)}", "add fields of one shape")
        self.shape = shapes.pop()

    def _derivative(self, parts: Sequence[Local], alpha: Alpha) -> Array:
        return add_up(part(alpha) for part in parts)

    def _used(self, alphas: Sequence[Alpha]) -> Iterable[Alpha]:
        return alphas

    def _linear(self, parts: Sequence[Local], alpha: Alpha) -> Iterable[Term]:
        return [(number, alpha, 1.0) for number in range(len(parts))]


class Product(Composite):
    """u = u₁ ⋯ u_n, each with its own parameters; scalars multiply every component of a system.

    Parameters
    ----------
    *components : Ansatz
        Same dim; shape () or one common (m,).
    names, shared : sequence of str, optional
        As in `Sum`.

    Raises
    ------
    ShapeError
        Components of different dim, or systems of different length.
    ParameterError
        No components, duplicate names, an unknown shared block.
    """

    def __init__(self, *components: Ansatz, names: Sequence[str] | None = None, shared: Sequence[str] = ()) -> None:
        super().__init__(components, *layout(components, names, shared))
        self.shared = tuple(shared)
        shapes = {part.shape for part in components} - {()}
        if len(shapes) > 1:
            raise ShapeError(f"a product of fields of the shapes {sorted(shapes)}", "use scalars and one length")
        self.shape = shapes.pop() if shapes else ()

    def _used(self, alphas: Sequence[Alpha]) -> Iterable[Alpha]:
        return below(alphas)

    def _derivative(self, parts: Sequence[Local], alpha: Alpha) -> Array:
        return add_up(_times(count, parts, betas) for count, betas in splits(alpha, len(parts)))

    def _linear(self, parts: Sequence[Local], alpha: Alpha) -> Iterable[Term]:
        factors: dict[tuple[int, Alpha], Any] = {}
        for count, betas in splits(alpha, len(parts)):
            for number, beta in enumerate(betas):
                others = [k for k in range(len(parts)) if k != number]
                term = _times(count, [parts[k] for k in others], [betas[k] for k in others])
                factors[number, beta] = factors.get((number, beta), 0.0) + term
        return [(number, beta, factor) for (number, beta), factor in factors.items()]


def below(alphas: Sequence[Alpha]) -> Iterable[Alpha]:
    """All β ≤ α, each once: the product and the chain rule use these."""
    return dict.fromkeys(beta for alpha in alphas for beta in itertools.product(*(range(k + 1) for k in alpha)))


def add_up(terms: Iterable[Any]) -> Array:
    """Sum of at least one array, broadcast."""
    total: Array = reduce(operator.add, terms)
    return total


def _times(count: int, parts: Sequence[Local], betas: Sequence[Alpha]) -> Any:
    return math.prod((part(beta) for part, beta in zip(parts, betas, strict=True)), start=float(count))
