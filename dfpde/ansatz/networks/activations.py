"""Activation functions σ with exact derivatives, for `Network`.

An activation gives σ, σ', ..., σ^(k) at once, and where it has coefficients c that are learned (`Rational`) also the
derivatives of ∂σ/∂c.  All are analytic on the real line: a PDE may differentiate them as often as it needs.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ..base import Array
from ..elementary import cos_sin


class Activation(ABC):
    """σ(z; c) with c a vector of `size` coefficients that each layer learns (none by default)."""

    size: int = 0

    @abstractmethod
    def derivatives(self, z: Array, order: int, c: Array) -> list[Array]:
        """σ, σ', ..., σ^(order) at z, each of the shape of z."""

    def slopes(self, z: Array, order: int, c: Array) -> list[list[Array]]:
        """For each coefficient c_i the derivatives 0..order with respect to z of ∂σ/∂c_i."""
        return []

    def initial(self) -> Array:
        """Coefficients to start from, shape (size,)."""
        return np.empty(0)


@dataclass(frozen=True)
class Tanh(Activation):
    """σ = tanh z.  Derivatives are polynomials in t = tanh z: t' = 1 − t²."""

    def derivatives(self, z: Array, order: int, c: Array) -> list[Array]:
        t = np.tanh(z)
        return [t, *_polynomials(t, 1.0 - t * t, (1.0, 0.0, -1.0), order)]


@dataclass(frozen=True)
class Softplus(Activation):
    """σ = log(1 + e^z).  σ' = s is the logistic function, s' = s (1 − s)."""

    def derivatives(self, z: Array, order: int, c: Array) -> list[Array]:
        value = np.maximum(z, 0) + np.log1p(np.exp(-abs(z)))
        return [value] + (_logistic(z, order - 1) if order else [])


@dataclass(frozen=True)
class Swish(Activation):
    """σ = z s(z), s the logistic function: σ^(k) = z s^(k) + k s^(k−1)."""

    def derivatives(self, z: Array, order: int, c: Array) -> list[Array]:
        s = _logistic(z, order)
        return [z * s[0]] + [z * s[k] + k * s[k - 1] for k in range(1, order + 1)]


@dataclass(frozen=True)
class Sine(Activation):
    """σ = sin z."""

    def derivatives(self, z: Array, order: int, c: Array) -> list[Array]:
        cosine, sine = cos_sin(z)
        cycle = (sine, cosine, -sine, -cosine)
        return [cycle[k % 4] for k in range(order + 1)]


@dataclass(frozen=True)
class Gaussian(Activation):
    """σ = exp(−z²/2).  σ^(k+1) = −z σ^(k) − k σ^(k−1)."""

    def derivatives(self, z: Array, order: int, c: Array) -> list[Array]:
        found = [np.exp(-0.5 * z * z)]
        for k in range(order):
            found.append(-z * found[k] - (k * found[k - 1] if k else 0.0))
        return found


@dataclass(frozen=True)
class Rational(Activation):
    """σ = (c₀ + c₁ z + c₂ z² + c₃ z³)/(1 + (c₄ + c₅ z)²), the coefficients of each layer are learned.

    The rational functions of degree (3, 2) of N. Boullé, Y. Nakatsukasa, A. Townsend, Rational neural networks, NeurIPS
    2020, which start as their best approximation of ReLU on [−1, 1].  The denominator is written such that it has no
    real zero for any c and no common factor to move between numerator and denominator (theirs has one coefficient more,
    and both defects).
    """

    size = 6

    def initial(self) -> Array:
        return np.array([0.0218, 0.5, 1.5957, 1.1915, 0.0, math.sqrt(2.383)])

    def derivatives(self, z: Array, order: int, c: Array) -> list[Array]:
        numerator = [_horner([math.perm(i, k) * c[i] for i in range(k, 4)], z) for k in range(min(order, 3) + 1)]
        return _quotient(numerator, self._denominator(z, c), order)

    def slopes(self, z: Array, order: int, c: Array) -> list[list[Array]]:
        inverse = _quotient([np.ones(1)], self._denominator(z, c), order)
        found = list(itertools.accumulate(range(3), lambda f, _: _times(z, f), initial=inverse))  # z^i/Q
        ratio = [sum(c[i] * f[k] for i, f in enumerate(found)) for k in range(order + 1)]
        both = [-2.0 * sum(math.comb(k, j) * ratio[j] * inverse[k - j] for j in range(k + 1)) for k in range(order + 1)]
        by_c4 = [c[4] * f + c[5] * g for f, g in zip(both, _times(z, both), strict=True)]  # −2 (c₄ + c₅ z) σ/Q
        return [*found, by_c4, _times(z, by_c4)]

    def _denominator(self, z: Array, c: Array) -> tuple[Array, Array, Array]:
        """Q = 1 + (c₄ + c₅ z)² and its derivatives."""
        linear = c[4] + c[5] * z
        return 1.0 + linear * linear, 2 * c[5] * linear, 2 * c[5] * c[5]


def _logistic(z: Array, order: int) -> list[Array]:
    """s = 1/(1 + e^−z) and its derivatives."""
    s = 0.5 + 0.5 * np.tanh(0.5 * z)
    return [s, *_polynomials(s, s * (1.0 - s), (0.0, 1.0, -1.0), order)]


def _polynomials(t: Array, rate: Array, slope: tuple[float, ...], order: int) -> list[Array]:
    """Derivatives 1..order of a function t with t' = slope(t) = rate: each is t' times a polynomial q in t."""
    found: list[Array] = []
    q = np.ones(1)
    for _ in range(order):
        found.append(rate if len(q) == 1 else _horner(q, t) * rate)
        product = np.convolve(q, slope)  # (q(t) t')' = (q(t) slope(t))' t'
        q = product[1:] * np.arange(1, len(product))
    return found


def _horner(q: Array | list[float], t: Array) -> Array:
    """Σ q_i t^i."""
    if len(q) == 1:
        return np.full_like(t, q[0])
    value: Array = q[-1] * t
    for coefficient in q[-2:0:-1]:
        value += coefficient
        value *= t
    value += q[0]
    return value


def _times(z: Array, f: list[Array]) -> list[Array]:
    """Derivatives of z f(z) from those of f."""
    return [z * f[0], *(z * f[k] + k * f[k - 1] for k in range(1, len(f)))]


def _quotient(numerator: list[Array], denominator: tuple[Array, Array, Array], order: int) -> list[Array]:
    """Derivatives of P/Q from those of P (zero where the list ends) and Q, Q quadratic: r Q = P by Leibniz."""
    value, first, second = denominator
    inverse = 1.0 / value
    found = [numerator[0] * inverse]
    for k in range(1, order + 1):
        rest = -k * (first * found[k - 1])
        if k > 1:
            rest -= math.comb(k, 2) * second * found[k - 2]
        if k < len(numerator):
            rest += numerator[k]
        rest *= inverse
        found.append(rest)
    return found
