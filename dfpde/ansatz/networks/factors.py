"""The tangent of a network as factors: ∂u/∂W = Σ_γ ẑ_γ ⊗ ∂^γh for each layer, so J can be applied without being formed.

    J v = Σ_layers Σ_i ẑ_i (V h)_i,      Jᵀ y = (ẑ · y) hᵀ        (γ = 0)

cost one product of matrices for each layer: 2 N p flops, as with J stored, but N (width + fan-in) numbers are read in
the place of N p.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg.blas import dsyrk

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

    def add_kernel(self, scale: float, out: Array) -> None:
        """out += J Jᵀ/scale², lower triangle: Σ (ẑᵀẑ) ∘ (hᵀh), B² (n + m) flops in the place of B² n m."""
        for z, h in self.pairs:
            for other, its in self.pairs:
                if other is z:
                    out += dsyrk(scale**-2.0, z.T, lower=1) * dsyrk(1.0, h.T, lower=1)
                else:
                    out += (z.T @ other) * (h.T @ its) / scale**2

    def at(self, points: slice, root: Array) -> Weights:
        """The same at some of the points, times root (few,)."""
        return Weights(self.part, [(z[:, points] * root, h[:, points]) for z, h in self.pairs])

    def joined(self, others: Sequence[Weights]) -> Weights:
        """The same parameters on several blocks of points."""
        found = []
        for parts in zip(self.pairs, *(other.pairs for other in others), strict=True):
            z, h = (np.concatenate(side, axis=1) for side in zip(*parts, strict=True))
            found.append((z, h))
        return Weights(self.part, found)


@dataclass(frozen=True, eq=False)
class Plain:
    """∂u/∂c of parameters c = θ[index] whose rows (k, B) are kept as they are."""

    index: Array
    rows: Array

    def jvp(self, v: Array) -> Array:
        """Part of J v, shape (B,)."""
        product: Array = v[self.index] @ self.rows
        return product

    def add_vjp(self, y: Array, out: Array) -> None:
        """out[index] += Jᵀ y."""
        out[self.index] += self.rows @ y

    def fill(self, out: Array, points: slice) -> None:
        """Rows of J at some of the points into out (p, few)."""
        out[self.index] = self.rows[:, points]

    def at(self, points: slice, root: Array) -> Plain:
        """The same at some of the points, times root (few,)."""
        return Plain(self.index, self.rows[:, points] * root)

    def joined(self, others: Sequence[Plain]) -> Plain:
        """The same parameters on several blocks of points."""
        return Plain(self.index, np.concatenate([self.rows, *(other.rows for other in others)], axis=1))


@dataclass(frozen=True, eq=False)
class Zero:
    """Parameters that u does not depend on."""

    part: slice

    def jvp(self, v: Array) -> float:
        """Part of J v."""
        return 0.0

    def add_vjp(self, y: Array, out: Array) -> None:
        """Nothing to add."""

    def fill(self, out: Array, points: slice) -> None:
        """Zeros into out (p, few)."""
        out[self.part] = 0.0

    def at(self, points: slice, root: Array) -> Zero:
        """Itself."""
        return self

    def joined(self, others: Sequence[Zero]) -> Zero:
        """Itself."""
        return self


def plain(parts: Sequence[tuple[slice, Array | float]], points: int) -> Plain:
    """One factor of several: rows (k, B), or a number for all parameters and points of the part."""
    index = [np.arange(part.start, part.stop) for part, _ in parts]
    rows = [np.broadcast_to(row, (len(i), points)) for i, (_, row) in zip(index, parts, strict=True)]
    return Plain(np.concatenate(index), np.concatenate(rows))


Factor = Weights | Plain | Zero

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

    def kernel(self, scale: Array | None) -> Array:
        """B D⁻² Bᵀ (m, m): 2 m² Σ (width + fan-in) flops where D is constant in each layer's weights, else m² p."""
        scale = np.ones(self.size) if scale is None else scale
        weights = [factor for factor in self.factors if isinstance(factor, Weights)]
        if any(np.ptp(scale[factor.part]) > 0 for factor in weights):
            columns = self.array() / scale[:, None]
            return np.asfortranarray(columns.T @ columns)
        (other,) = (factor for factor in self.factors if isinstance(factor, Plain))
        total: Array = dsyrk(1.0, (other.rows / scale[other.index][:, None]).T, lower=1)
        for factor in weights:
            factor.add_kernel(scale[factor.part.start], total)
        return total

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
