"""The tangent of a network at all points, or at a sample of them, as an operator made of factors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..base import Array
from .factors import Factor, Weights, Zero

#: Points of a block, and the factors of each component there.
Block = tuple[slice, list[list[Factor]]]


@dataclass(frozen=True, eq=False)
class Factored:
    """J of p parameters at N points.

    Attributes
    ----------
    size, points : int
        p and N.
    shape : tuple of int
        Of u(x).
    blocks : callable
        () -> blocks of points with their factors: those that are kept, or the same evaluated again.
    """

    size: int
    points: int
    shape: tuple[int, ...]
    blocks: Callable[[], Iterable[Block]]

    def jvp(self, v: Array) -> Array:
        """J v, shape (*shape, N)."""
        out = np.empty((max(1, *self.shape, 1), self.points))
        for points, components in self.blocks():
            for row, factors in zip(out, components, strict=True):
                row[points] = sum(factor.jvp(v) for factor in factors)
        return out.reshape(*self.shape, self.points)

    def vjp(self, y: Array) -> Array:
        """Jᵀ y, shape (p,)."""
        out = np.zeros(self.size)
        for points, components in self.blocks():
            for row, factors in zip(np.reshape(y, (-1, self.points)), components, strict=True):
                for factor in factors:
                    factor.add_vjp(row[points], out)
        return out

    def columns(self, points: slice) -> Array:
        """J at some of the points, shape (p, *shape, few)."""
        few = len(range(*points.indices(self.points)))
        out = np.empty((self.size, max(1, *self.shape, 1), few))
        for where, chosen, components in self._at(points):
            for c, factors in enumerate(components):
                for factor in factors:
                    factor.fill(out[:, c, chosen], where)
        return out.reshape(self.size, *self.shape, few)

    def _at(self, points: slice) -> Iterator[tuple[slice, slice, list[list[Factor]]]]:
        """For each block that has some of the points: where they are in it, which of them they are, and its factors."""
        first, last, step = points.indices(self.points)
        done = 0
        for block, components in self.blocks():
            inside = range(first + done * step, min(last, block.stop), step)
            if inside:
                where = slice(inside.start - block.start, inside.stop - block.start, step)
                yield where, slice(done, done + len(inside)), components
            done += len(inside)

    def sample(self, points: slice, root: Array) -> FactoredSample | None:
        """J at some of the points, row k times root_k; None for several components."""
        if max(1, *self.shape, 1) > 1:
            return None
        found = [[f.at(where, root[chosen]) for f in factors] for where, chosen, (factors,) in self._at(points)]
        if not found:
            return None
        return FactoredSample(self.size, len(root), [f.joined(others) for f, *others in zip(*found, strict=True)])


@dataclass(frozen=True, eq=False)
class FactoredSample:
    """Rows of J at m points as factors: an operator B (m × p), and B D⁻² Bᵀ without B.

    Attributes
    ----------
    size, rows : int
        p and m.
    factors : list
        Of all parameters at these points.
    """

    size: int
    rows: int
    factors: Sequence[Any]

    def apply(self, v: Array) -> Array:
        """B v, shape (m,)."""
        total: Array = sum(factor.jvp(v) for factor in self.factors)
        return total

    def adjoint(self, a: Array) -> Array:
        """Bᵀ a, shape (p,)."""
        out = np.zeros(self.size)
        for factor in self.factors:
            factor.add_vjp(a, out)
        return out

    def scaled(self, scale: Array) -> FactoredSample | None:
        """B D⁻¹; None where D differs within the weights of a layer."""
        if any(np.ptp(scale[factor.part]) > 0 for factor in self.factors if isinstance(factor, Weights)):
            return None
        return FactoredSample(self.size, self.rows, [factor.divided(scale) for factor in self.factors])

    def at(self, index: Array) -> FactoredSample:
        """Some of the rows."""
        return FactoredSample(self.size, len(index), [factor.at(index, np.ones(len(index))) for factor in self.factors])

    def kernel(self) -> Array:
        """B Bᵀ (m, m): 2 m² Σ (width + fan-in) flops."""
        total: Array = sum(factor.kernel() for factor in self._dependent)
        return np.asfortranarray(total)

    def cross(self, other: FactoredSample) -> Array:
        """B Cᵀ, as `kernel`."""
        both = zip(self._dependent, other._dependent, strict=True)
        total: Array = sum(factor.cross(its) for factor, its in both)
        return total

    def squares(self) -> Array:
        """The diagonal of B Bᵀ, shape (m,)."""
        total: Array = sum(factor.squares() for factor in self._dependent)
        return total

    @property
    def _dependent(self) -> list[Any]:
        """Factors of the parameters that u depends on."""
        return [factor for factor in self.factors if not isinstance(factor, Zero)]

    def joined(self, others: Sequence[FactoredSample]) -> FactoredSample:
        """This sample and others, one after another."""
        rows = self.rows + sum(other.rows for other in others)
        both = zip(self.factors, *(other.factors for other in others), strict=True)
        return FactoredSample(self.size, rows, [factor.joined(rest) for factor, *rest in both])

    def array(self) -> Array:
        """Bᵀ, shape (p, m)."""
        out = np.empty((self.size, self.rows))
        for factor in self.factors:
            factor.fill(out, slice(None))
        return out
