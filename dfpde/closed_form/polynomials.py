"""Polynomials as symmetric tensors, and their Gaussian integrals.

    p(y) = Σ_k T_k[y, ..., y],      E[p̄ q] = Σ_m ⟨E ∇^m p̄, Σ^{⊗m} E ∇^m q⟩/m!     for y ~ N(0, Σ)

The second formula is Hermite's expansion.  It holds for complex symmetric Σ, Re Σ⁻¹ > 0, by continuation, with the
polynomials as they are and no conjugate.  Source: S. Janson, Gaussian Hilbert Spaces, Cambridge 1997, theorem 4.9.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: T_0 (m,), T_1 (m, d), T_2 (m, d, d), ...: m polynomials, each T_k symmetric in its last k indices.
Polynomials = list[Array]


def add(p: Polynomials, q: Polynomials) -> Polynomials:
    """p + q."""
    return [a + b for a, b in zip(p, q, strict=False)] + p[len(q) :] + q[len(p) :]


def scale(factor: Any, p: Polynomials) -> Polynomials:
    """factor · p."""
    return [factor * part for part in p]


def multiply(p: Polynomials, q: Polynomials) -> Polynomials:
    """p_j q_j for the polynomials j = 1 ... m."""
    dim, m = p[-1].shape[-1] if len(p) > 1 else q[-1].shape[-1] if len(q) > 1 else 1, len(p[0])
    dtype = np.result_type(p[0], q[0])
    result = [np.zeros((m,) + (dim,) * k, dtype) for k in range(len(p) + len(q) - 1)]
    for i, left in enumerate(p):
        for j, right in enumerate(q):
            outer = left.reshape(m, -1, 1) * right.reshape(m, 1, -1)
            result[i + j] += outer.reshape(result[i + j].shape)
    return [symmetric(part, k) for k, part in enumerate(result)]


def symmetric(tensor: Array, k: int) -> Array:
    """Mean over all orders of the last k indices."""
    if k < 2:
        return tensor
    first = tensor.ndim - k
    orders = list(itertools.permutations(range(first, tensor.ndim)))
    total: Array = sum(tensor.transpose(*range(first), *order) for order in orders)  # type: ignore[assignment]
    return total / len(orders)


def total(p: Polynomials) -> Polynomials:
    """Σ_j p_j, one polynomial."""
    return [part.sum(axis=0, keepdims=True) for part in p]


def stack(parts: Sequence[Polynomials], dim: int) -> Polynomials:
    """All polynomials of the parts, one after the other; those of lower degree are filled up."""
    degree = max(map(len, parts))
    return [
        np.concatenate([p[k] if k < len(p) else np.zeros((len(p[0]),) + (dim,) * k) for p in parts])
        for k in range(degree)
    ]


def shift(p: Polynomials, c: Array) -> Polynomials:
    """y ↦ p(y + c)."""
    result: Polynomials = [np.zeros(part.shape, np.result_type(part, c)) for part in p]
    for k, part in enumerate(p):
        for j in range(k, -1, -1):
            result[j] += math.comb(k, j) * part
            if j:
                part = part @ c
    return result


def evaluate(p: Polynomials, y: Array) -> Array:
    """p_j(y_k), (m, N), for y (d, N)."""
    n = y.shape[1]
    result = np.zeros((len(p[0]), n), np.result_type(p[0], y))
    for part in p:
        value = part.reshape(*part.shape, 1) * np.ones(n)
        while value.ndim > 2:
            value = np.einsum("...in,in->...n", value, y)
        result += value
    return result


def derivatives(p: Polynomials, sigma: Array) -> Polynomials:
    """E ∇^m p for m = 0, 1, ..., y ~ N(0, Σ)."""
    result: Polynomials = [np.zeros(part.shape, np.result_type(part, sigma)) for part in p]
    for k, part in enumerate(p):
        pairs = 1  # (k − m − 1)!!, ways to pair the indices that are contracted
        for m in range(k, -1, -2):
            result[m] += math.perm(k, m) * pairs * part
            if m > 1:
                part = np.einsum("...ij,ij->...", part, sigma)
                pairs *= k - m + 1
    return result


def inner(p: Polynomials, q: Polynomials, sigma: Array) -> Array:
    """Σ_m ⟨p_m, Σ^{⊗m} q_m⟩/m!, (m_p, m_q), of what `derivatives` gives."""
    result: Any = 0
    for m, (left, right) in enumerate(zip(p, q, strict=False)):
        for axis in range(1, m + 1):
            right = np.moveaxis(np.tensordot(right, sigma, (axis, 0)), -1, axis)
        result = result + left.reshape(len(left), -1) @ right.reshape(len(right), -1).T / math.factorial(m)
    found: Array = result
    return found
