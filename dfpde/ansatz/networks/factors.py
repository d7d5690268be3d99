"""The tangent of a network as factors: ∂u/∂W = Σ_γ ẑ_γ ⊗ ∂^γh for each layer, so J can be applied without being formed.

    J v = Σ_layers Σ_i ẑ_i (V h)_i,      Jᵀ y = (ẑ · y) hᵀ        (γ = 0)

cost one product of matrices for each layer: 2 N p flops, as with J stored, but N (width + fan-in) numbers are read in
the place of N p.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ..base import Array
from .layers import outer


@dataclass(frozen=True, eq=False)
class Weights:
    """∂u/∂W of one layer on a block of B points, W (n, m): pairs of ẑ_γ (n, B) and ∂^γh (m, B)."""

    part: slice
    pairs: list[tuple[Array, Array]]

    def jvp(self, v: Array) -> Array | float:
        """Part of J v, shape (B,)."""
        total: Array | float = 0.0
        for z, h in self.pairs:
            total = total + np.einsum("ib,ib->b", z, v[self.part].reshape(len(z), len(h)) @ h)
        return total

    def add_vjp(self, y: Array, out: Array) -> None:
        """out[part] += Jᵀ y."""
        for z, h in self.pairs:
            out[self.part] += ((z * y) @ h.T).reshape(-1)

    def fill(self, out: Array, points: slice) -> None:
        """Rows of J at some of the points into out (p, few)."""
        rows, pairs = out[self.part], [(z[:, points], h[:, points]) for z, h in self.pairs]
        if not pairs:
            rows[...] = 0.0
            return
        outer(rows.reshape(len(pairs[0][0]), len(pairs[0][1]), -1), pairs)


@dataclass(frozen=True, eq=False)
class Plain:
    """∂u/∂c of parameters whose rows are kept as they are: (k, B), or a constant."""

    part: slice
    rows: Array | float

    def jvp(self, v: Array) -> Array | float:
        """Part of J v, shape (B,)."""
        return self.rows * float(v[self.part].sum()) if isinstance(self.rows, float) else v[self.part] @ self.rows

    def add_vjp(self, y: Array, out: Array) -> None:
        """out[part] += Jᵀ y."""
        out[self.part] += self.rows * float(y.sum()) if isinstance(self.rows, float) else self.rows @ y

    def fill(self, out: Array, points: slice) -> None:
        """Rows of J at some of the points into out (p, few)."""
        out[self.part] = self.rows if isinstance(self.rows, float) else self.rows[:, points]


#: Points of a block, and the factors of each component there.
Block = tuple[slice, list[list[Weights | Plain]]]


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
        first, last, step = points.indices(self.points)
        few = len(range(first, last, step))
        out, done = np.empty((self.size, max(1, *self.shape, 1), few)), 0
        for block, components in self.blocks():
            inside = range(first + done * step, min(last, block.stop), step)
            where = slice(inside.start - block.start, inside.stop - block.start, step)
            for c, factors in enumerate(components):
                for factor in factors if inside else []:
                    factor.fill(out[:, c, done : done + len(inside)], where)
            done += len(inside)
        return out.reshape(self.size, *self.shape, few)
