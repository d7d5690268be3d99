"""Combinatorics of the product rule (Leibniz) and the chain rule (Faà di Bruno) for multi-indices."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from functools import cache

from .base import Alpha


@cache
def splits(alpha: Alpha, parts: int) -> tuple[tuple[int, tuple[Alpha, ...]], ...]:
    """Leibniz: ∂^α(u₁⋯u_n) = Σ count · ∂^{β₁}u₁ ⋯ ∂^{β_n}u_n over all β₁ + … + β_n = α.

    Returns pairs (count, (β₁, …, β_n)), count = α!/(β₁!⋯β_n!).
    """
    per_axis = [_compositions(order, parts) for order in alpha]
    found = []
    for choice in itertools.product(*per_axis):
        betas = tuple(tuple(axis[i] for axis in choice) for i in range(parts))
        count = math.prod(math.factorial(order) for order in alpha)
        count //= math.prod(math.factorial(order) for beta in betas for order in beta)
        found.append((count, betas))
    return tuple(found)


@cache
def partitions(alpha: Alpha) -> tuple[tuple[int, tuple[Alpha, ...]], ...]:
    """Faà di Bruno: ∂^α F(v) = Σ count · F⁽ᵏ⁾(v) ∂^{β₁}v ⋯ ∂^{β_k}v over all partitions of α into k blocks.

    Returns pairs (count, (β₁, …, β_k)); counts add up to the Bell number of |α|.  Source: M. Hardy, Combinatorics of
    partial derivatives, Electronic J. Combinatorics 13 (2006) R1.
    """
    slots = [axis for axis, order in enumerate(alpha) for _ in range(order)]
    counts: Counter[tuple[Alpha, ...]] = Counter()
    for blocks in _set_partitions(len(slots)):
        betas = (tuple(sum(slots[s] == axis for s in block) for axis in range(len(alpha))) for block in blocks)
        counts[tuple(sorted(betas))] += 1
    return tuple((count, betas) for betas, count in counts.items())


def multi_indices(dim: int, order: int) -> tuple[Alpha, ...]:
    """All multi-indices with |α| <= order, by increasing order."""
    every = itertools.product(range(order + 1), repeat=dim)
    return tuple(sorted((alpha for alpha in every if sum(alpha) <= order), key=sum))


def _compositions(total: int, parts: int) -> list[tuple[int, ...]]:
    """All tuples of `parts` non-negative integers with the given sum."""
    if parts == 1:
        return [(total,)]
    return [(first, *rest) for first in range(total + 1) for rest in _compositions(total - first, parts - 1)]


def _set_partitions(count: int) -> list[list[list[int]]]:
    """All partitions of {0, …, count − 1} into non-empty blocks."""
    if count == 0:
        return [[]]
    found = []
    for smaller in _set_partitions(count - 1):
        found.append([*smaller, [count - 1]])
        for i, block in enumerate(smaller):
            found.append([*smaller[:i], [*block, count - 1], *smaller[i + 1 :]])
    return found
