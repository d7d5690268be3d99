"""Quadratic exponents −½ |Lᵀ(x − b)|² with L lower triangular: their jets, and those of their parameters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..base import Array, multi_index
from .exponential import Jet


@dataclass(frozen=True)
class Cholesky:
    """Which entries of the Cholesky factor L of a precision matrix are parameters.

    Attributes
    ----------
    dim : int
        L is (dim, dim).
    entries : tuple of tuples of (row, column)
        For each scale parameter the entries of L that equal it; all others are zero.
    shape : tuple of int
        Shape of the scale parameters of one component.
    """

    dim: int
    entries: tuple[tuple[tuple[int, int], ...], ...]
    shape: tuple[int, ...]

    @classmethod
    def isotropic(cls, dim: int) -> Cholesky:
        """L = s I."""
        return cls(dim, (tuple((k, k) for k in range(dim)),), ())

    @classmethod
    def diagonal(cls, dim: int) -> Cholesky:
        """L = diag(s)."""
        return cls(dim, tuple(((k, k),) for k in range(dim)), (dim,))

    @classmethod
    def full(cls, dim: int) -> Cholesky:
        """All of the lower triangle, by rows: L_00, L_10, L_11, L_20, ..."""
        entries = tuple(((k, j),) for k in range(dim) for j in range(k + 1))
        return cls(dim, entries, (len(entries),))

    @property
    def size(self) -> int:
        """Scale parameters of one component."""
        return len(self.entries)

    def matrices(self, scales: Array) -> Array:
        """L, shape (n, dim, dim), from scales (n, *shape)."""
        n = len(scales)
        factor = np.zeros((n, self.dim, self.dim))
        for number, column in enumerate(scales.reshape(n, -1).T):
            for entry in self.entries[number]:
                factor[:, entry[0], entry[1]] = column
        return factor

    def scales(self, matrices: Array) -> Array:
        """Scales (n, *shape) of factors L (n, dim, dim): the first entry of each parameter, the others are dropped."""
        first = [entries[0] for entries in self.entries]
        scales: Array = np.stack([matrices[:, k, j] for k, j in first], axis=1)
        return scales.reshape(len(matrices), *self.shape)

    def at(self, scales: Array, y: Array) -> Quadratic:
        """The quadratic form at y = x − b (dim, n, B) for scales (n, *shape)."""
        columns = scales.reshape(len(scales), -1).T[..., None]
        return Quadratic(self, {e: columns[i] for i, row in enumerate(self.entries) for e in row}, y)


class Quadratic:
    """q = |Lᵀ y|² of n components on a block of B points.

    Parameters
    ----------
    pattern : Cholesky
        Which entries are parameters.
    factor : dict
        The entries of L that are not zero, each (n, 1).
    y : array (dim, n, B)
        x − b.
    """

    def __init__(self, pattern: Cholesky, factor: dict[tuple[int, int], Array], y: Array) -> None:
        self.pattern, self.factor, self.y = pattern, factor, y
        self.z = _sums(pattern.dim, ((j, entry, y[k]) for (k, j), entry in factor.items()))

    def value(self) -> Array:
        """q, shape (n, B)."""
        return _sums(1, ((0, z, z) for z in self.z))[0]

    def half_gradient(self) -> list[Array]:
        """½ ∂q/∂x_k = (L Lᵀ y)_k, dim arrays (n, B)."""
        return _sums(self.pattern.dim, ((k, entry, self.z[j]) for (k, j), entry in self.factor.items()))

    def half_hessian(self) -> dict[tuple[int, int], Array]:
        """½ ∂²q/∂x_k∂x_m = (L Lᵀ)_km for k >= m where it is not zero, each (n, 1)."""
        hessian: dict[tuple[int, int], Array] = {}
        for (k, j), left in self.factor.items():
            for (m, i), right in self.factor.items():
                if i == j and m <= k:
                    hessian[k, m] = hessian.get((k, m), 0) + left * right
        return hessian

    def exponent(self, order: int) -> Jet:
        """Jet of −½ q up to `order`."""
        dim = self.pattern.dim
        jet: Jet = {multi_index(dim): -0.5 * self.value()}
        if order > 0:
            jet |= {multi_index(dim, k): -gradient for k, gradient in enumerate(self.half_gradient())}
        if order > 1:
            jet |= {multi_index(dim, k, m): -entry for (k, m), entry in self.half_hessian().items()}
        return jet

    def slope(self, number: int, order: int) -> Jet:
        """Jet of the derivative of −½ q with respect to scale parameter `number`, up to `order`.

        −½ ∂q/∂L_kj = −z_j y_k, z = Lᵀ y, and z_j has the gradient (L_mj)_m.
        """
        dim = self.pattern.dim
        jet: Jet = {}

        def subtract(alpha: tuple[int, ...], term: Array) -> None:
            jet[alpha] = jet[alpha] - term if alpha in jet else -term

        for k, j in self.pattern.entries[number]:
            subtract(multi_index(dim), self.z[j] * self.y[k])
            if order > 0:
                subtract(multi_index(dim, k), self.z[j])
            for (m, i), entry in self.factor.items():
                if i == j and order > 0:
                    subtract(multi_index(dim, m), entry * self.y[k])
                if i == j and order > 1:
                    subtract(multi_index(dim, m, k), entry * (2 if m == k else 1))
        return jet


def _sums(size: int, terms: Iterable[tuple[int, Array, Array]]) -> list[Array]:
    """result[i] = Σ left · right over the terms (i, left, right)."""
    result: list[Array | None] = [None] * size
    for i, left, right in terms:
        product = left * right
        known = result[i]
        result[i] = product if known is None else np.add(known, product, out=known)
    return [r for r in result if r is not None]
