"""Sums of exponentials u = Σ_i c_i exp(E_i(x)): every derivative and every tangent from the jets of E_i.

Repeated use of the product rule gives all derivatives of g = exp(E) from those of E (Hermite's recurrence where E is
quadratic, Faà di Bruno's formula unrolled in general):

    ∂^{α+e_k} g = ∂^α (∂_k E · g) = Σ_{β ≤ α} binom(α, β) ∂^{β+e_k}E · ∂^{α−β}g,

and a parameter s of E enters through ∂^α ∂_s g = ∂^α (∂_s E · g), the same product rule.  A *jet* is a dict
{β: ∂^βE on a block of points, broadcastable to (n, B)}; a missing entry is zero.  A subclass writes down the jets of
its exponent and of its parameters; blocking, memory and the rest is here.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ... import validation as check
from ...errors import ShapeError
from ..base import Alpha, Ansatz, Array, multi_index

Jet = dict[Alpha, Array]

# Components × points of one block.  Its arrays stay in a core's own cache.
BLOCK = 32768


class Exponential:
    """Derivatives of g = c exp(E) on one block, each computed once.

    Parameters
    ----------
    g : array (n, B)
        Values.
    exponent : Jet
        Jet of E (the entry of order zero is not used).
    """

    def __init__(self, g: Array, exponent: Jet) -> None:
        self._exponent = exponent
        self._known = {(0,) * len(next(iter(exponent))): g}

    def __call__(self, alpha: Alpha) -> Array:
        """∂^alpha g, shape (n, B)."""
        if alpha not in self._known:
            k = next(i for i, order in enumerate(alpha) if order)
            slope = shifted(self._exponent, k)
            self._known[alpha] = self.times(slope, add(alpha, multi_index(len(alpha), k), -1))
        return self._known[alpha]

    def times(self, factor: Jet, alpha: Alpha, out: Array | None = None) -> Array:
        """∂^alpha (factor · g) by the product rule, shape (n, B)."""
        terms = [beta for beta in factor if all(b <= a for a, b in zip(alpha, beta, strict=True))]
        zero = self._known[(0,) * len(alpha)]
        if out is None:
            out = np.empty_like(zero)
        if not terms:
            out[...] = 0
        for number, beta in enumerate(terms):
            rest = self(add(alpha, beta, -1))
            count = math.prod(math.comb(a, b) for a, b in zip(alpha, beta, strict=True))
            if number == 0:
                np.multiply(factor[beta], rest, out=out)
                if count != 1:
                    out *= count
            else:
                out += (factor[beta] if count == 1 else count * factor[beta]) * rest
        return out


@dataclass(frozen=True)
class Block:
    """Jets on one block of points.

    Attributes
    ----------
    g : array (n, B)
        exp(E) without the amplitude.
    amplitudes : array (n,) or None
        Linear coefficients c_i; None when they are all one (and no parameters).
    exponent : Jet
        Jet of E up to the order asked for.
    parameters : sequence of (slice of θ, Jet)
        Rows of the tangent and the jet of ∂E/∂(those parameters), one parameter for each of the n components.
    """

    g: Array
    amplitudes: Array | None
    exponent: Jet
    parameters: Sequence[tuple[slice, Jet]] = ()


class Exponentials(Ansatz):
    """u = Σ_i c_i exp(E_i(x)); c_i = 1, or the first n parameters.

    Attributes
    ----------
    n : int
        Number of components.
    """

    n: int

    @check.takes(dim=check.integer(1), n=check.integer(1))
    def __init__(self, dim: int, n: int) -> None:
        self.dim, self.n = dim, n

    @abstractmethod
    def _block(self, theta: Array, x: Array, order: int, tangent: int) -> Block:
        """Jets at the points x of a block: E up to `order`, parameters up to `tangent` < `order` (-1: none)."""

    def value(self, theta: Array, x: Array) -> Array:
        return self.derivative(theta, x, (0,) * self.dim)

    def tangent(self, theta: Array, x: Array) -> Array:
        return self.tangent_derivative(theta, x, (0,) * self.dim)

    def derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        """∂^alpha u, any order, shape (N,)."""
        found: Array = self.derivatives(theta, x, [alpha])[0]
        return found

    def derivatives(self, theta: Array, x: Array, alphas: Sequence[Alpha]) -> Array:
        return self._evaluate(theta, x, alphas, None)[0]

    def tangent_derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        """∂/∂θ ∂^alpha u, any order, shape (p, N)."""
        return self._evaluate(theta, x, [], alpha)[1]

    def evaluate(self, theta: Array, x: Array, alphas: Sequence[Alpha]) -> tuple[Array, Array]:
        return self._evaluate(theta, x, alphas, multi_index(self.dim))

    def _evaluate(
        self, theta: Array, x: Array, alphas: Sequence[Alpha], tangent: Alpha | None
    ) -> tuple[Array, Array]:
        """∂^alpha u for several alpha, and ∂/∂θ ∂^tangent u (no rows without one), block by block."""
        theta, x, alphas = self.check_theta(theta), self.check_points(x), [check_alpha(self, a) for a in alphas]
        tangent = None if tangent is None else check_alpha(self, tangent)
        slopes = -1 if tangent is None else sum(tangent)
        order = max([slopes + 1, *map(sum, alphas)])
        values: Array = np.empty((len(alphas), x.shape[1]), self.dtype)
        rows: Array = np.empty((0 if tangent is None else self.size, x.shape[1]), self.dtype)
        for part in self._blocks(x.shape[1]):
            block = self._block(theta, x[:, part], order, slopes)
            g = Exponential(block.g, block.exponent)
            for value, alpha in zip(values, alphas, strict=True):
                value[part] = g(alpha).sum(0) if block.amplitudes is None else block.amplitudes @ g(alpha)
            if tangent is not None:
                self._rows_of(block, g, tangent, rows[:, part])
        return values, rows

    def _rows_of(self, block: Block, g: Exponential, alpha: Alpha, out: Array) -> None:
        """∂/∂θ ∂^alpha u on one block."""
        if block.amplitudes is not None:
            out[: self.n] = g(alpha)
            g = Exponential(block.amplitudes[:, None] * block.g, block.exponent)
        for rows, jet in block.parameters:
            g.times(jet, alpha, out=out[rows])

    def _blocks(self, points: int) -> Iterator[slice]:
        """Slices of points such that the (n, B) arrays of a block stay in cache."""
        step = max(64, BLOCK // (self.n * np.dtype(self.dtype).itemsize // 8))
        for start in range(0, points, step):
            yield slice(start, min(start + step, points))


def check_alpha(ansatz: Ansatz, alpha: Alpha) -> Alpha:
    """The multi-index as a tuple of dim non-negative integers.

    Raises
    ------
    ShapeError
        It is not.
    """
    alpha = tuple(alpha)
    if len(alpha) != ansatz.dim or any(a != int(a) or a < 0 for a in alpha):
        raise ShapeError(
            f"multi-index {alpha} in {ansatz.dim} dimensions",
            f"give {ansatz.dim} non-negative integers, one order for each axis",
        )
    return tuple(int(a) for a in alpha)


def add(alpha: Alpha, beta: Alpha, sign: int = 1) -> Alpha:
    """alpha + sign · beta."""
    return tuple(a + sign * b for a, b in zip(alpha, beta, strict=True))


def shifted(jet: Jet, axis: int, sign: int = 1) -> Jet:
    """Jet of sign · ∂_axis of the function."""
    return {
        (*beta[:axis], beta[axis] - 1, *beta[axis + 1 :]): value if sign > 0 else -value
        for beta, value in jet.items()
        if beta[axis] > 0
    }
