"""The tangent of a network as factors: ∂u/∂W = Σ_γ ẑ_γ ⊗ ∂^γh for each layer, so J can be applied without being formed.

    J v = Σ_layers Σ_i ẑ_i (V h)_i,      Jᵀ y = (ẑ · y) hᵀ        (γ = 0)

cost one product of matrices for each layer: 2 N p flops, as with J stored, but N (width + fan-in) numbers are read in
the place of N p.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

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

    def kernel(self) -> Array:
        """J Jᵀ = Σ (ẑᵀẑ') ∘ (hᵀh') in the lower triangle: B² (n + m) flops in the place of B² n m."""
        if len(self.pairs) > 1:
            return self.cross(self)
        ((z, h),) = self.pairs
        return np.asarray(dsyrk(1.0, z.T, lower=1)) * dsyrk(1.0, h.T, lower=1)

    def cross(self, other: Weights) -> Array:
        """J Jᵀ of the same parameters between two sets of points, shape (B, few)."""
        both = itertools.product(self.pairs, other.pairs)
        return np.asarray(sum((z.T @ its) * (h.T @ theirs) for (z, h), (its, theirs) in both))

    def squares(self) -> Array:
        """The diagonal of J Jᵀ, shape (B,)."""
        both = itertools.product(self.pairs, self.pairs)
        return np.asarray(sum(np.sum(z * its, 0) * np.sum(h * theirs, 0) for (z, h), (its, theirs) in both))

    def at(self, points: slice | Array, root: Array) -> Weights:
        """The same at some of the points, times root (few,)."""
        return Weights(self.part, [(z[:, points] * root, h[:, points]) for z, h in self.pairs])

    def divided(self, scale: Array) -> Weights:
        """J D⁻¹, D constant here."""
        return Weights(self.part, [(z / scale[self.part.start], h) for z, h in self.pairs])

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

    def kernel(self) -> Array:
        """J Jᵀ, lower triangle."""
        return np.asarray(dsyrk(1.0, self.rows.T, lower=1))

    def cross(self, other: Plain) -> Array:
        """J Jᵀ of the same parameters between two sets of points, shape (B, few)."""
        product: Array = self.rows.T @ other.rows
        return product

    def squares(self) -> Array:
        """The diagonal of J Jᵀ, shape (B,)."""
        return np.asarray(np.einsum("ij,ij->j", self.rows, self.rows))

    def at(self, points: slice | Array, root: Array) -> Plain:
        """The same at some of the points, times root (few,)."""
        return Plain(self.index, self.rows[:, points] * root)

    def divided(self, scale: Array) -> Plain:
        """J D⁻¹."""
        return Plain(self.index, self.rows / scale[self.index][:, None])

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

    def at(self, points: slice | Array, root: Array) -> Zero:
        """Itself."""
        return self

    def divided(self, scale: Array) -> Zero:
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
