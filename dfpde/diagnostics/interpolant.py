"""A field between fields: Σ_i c_i u_i(x), with the derivatives in space that the u_i have.

A field that is interpolated in time, u(s) = Σ_i L_i(s) u_i, is a polynomial in s whatever the parameters do between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calculus import Field
from ..errors import MissingDerivative

Array = NDArray[Any]


class Interpolant:
    """Linear combination of fields at the same points; what a `Field` needs of an ansatz.

    Parameters
    ----------
    fields : sequence of Field
        u_i, their derivatives evaluated once, however many combinations there are.
    weights : (n,) array
        c_i.
    """

    one_pass = False

    def __init__(self, fields: Sequence[Field], weights: Array) -> None:
        self.fields, self.weights = fields, weights
        self.dim, self.shape = fields[0].ansatz.dim, fields[0].ansatz.shape

    def field(self) -> Field:
        """The combination; its `theta` is NaN, as there is no θ for it."""
        first = self.fields[0]
        return Field(self, np.full(first.theta.size, np.nan), first.x)

    def combined(self, part: Callable[[Field], Array]) -> Array:
        """Σ_i c_i part(u_i)."""
        total: Array = sum(c * part(u) for c, u in zip(self.weights, self.fields, strict=True))
        return total

    def value(self, theta: Array, x: Array) -> Array:
        """Σ_i c_i u_i(x_k), shape (*shape, N)."""
        return self.combined(lambda u: u.value if x is u.x else u(x))

    def gradient(self, theta: Array, x: Array) -> Array:
        """∇ of the combination, shape (dim, *shape, N)."""
        return self.combined(lambda u: u.gradient)

    def hessian(self, theta: Array, x: Array) -> Array:
        """Second derivatives, shape (dim, dim, *shape, N)."""
        return self.combined(lambda u: u.hessian)

    def laplacian(self, theta: Array, x: Array) -> Array:
        """Δ of the combination, shape (*shape, N)."""
        return self.combined(lambda u: u.laplacian)

    def derivative(self, theta: Array, x: Array, alpha: tuple[int, ...]) -> Array:
        """∂^alpha of the combination, shape (*shape, N)."""
        return self.combined(lambda u: u.derivative(*alpha))

    def derivatives(self, theta: Array, x: Array, alphas: Sequence[tuple[int, ...]]) -> Array:
        """∂^alpha for several alpha, shape (len(alphas), *shape, N)."""
        return np.stack([self.derivative(theta, x, alpha) for alpha in alphas])

    def evaluate(self, theta: Array, x: Array, alphas: Sequence[tuple[int, ...]]) -> tuple[Array, Array]:
        """Not offered: a combination has no tangent."""
        raise MissingDerivative("a field between fields has no tangent", "value and derivatives only")

    def linearize(self, theta: Array, x: Array, alphas: Sequence[tuple[int, ...]] = ()) -> tuple[Array, Any]:
        """Not offered, as `evaluate`."""
        return self.evaluate(theta, x, alphas)


def lagrange(nodes: Sequence[float], s: float) -> tuple[Array, Array]:
    """Values and derivatives at s of the polynomials that are 1 at one of the nodes and 0 at the others."""
    values, rates = np.ones(len(nodes)), np.zeros(len(nodes))
    for i, own in enumerate(nodes):
        for j, other in enumerate(nodes):
            if j != i:
                rates[i] = (rates[i] * (s - other) + values[i]) / (own - other)
                values[i] *= (s - other) / (own - other)
    return values, rates
