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

    def with_slopes(self, z: Array, order: int, slopes: int, c: Array) -> tuple[list[Array], list[list[Array]]]:
        """`derivatives` up to `order`, and for each c_i those of ∂σ/∂c_i with respect to z up to order `slopes`."""
        return self.derivatives(z, order, c), []

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
        return self._values(*self._parts(z, c), order, c)

    def with_slopes(self, z: Array, order: int, slopes: int, c: Array) -> tuple[list[Array], list[list[Array]]]:
        powers, rate = self._parts(z, c)
        sigma = self._values(powers, rate, max(order, slopes), c)
        inverse = _quotient([powers[0]], powers[0], rate, c[5], slopes)
        found = [inverse]
        for power in powers[1:]:
            found.append(_times(z, found[-1], power))
        higher = (-2.0 * ((c[4] + c[5] * z) * inverse[k] + k * c[5] * inverse[k - 1]) for k in range(1, slopes + 1))
        rates = [rate, *higher]
        by_c4 = [sum(math.comb(k, j) * rates[j] * sigma[k - j] for j in range(k + 1)) for k in range(slopes + 1)]
        return sigma[: order + 1], [*found, by_c4, _times(z, by_c4, z * by_c4[0])]

    def _parts(self, z: Array, c: Array) -> tuple[Array, Array]:
        """z^i/Q for i = 0..3, shape (4, *z.shape), and R = −2 (c₄ + c₅ z)/Q: all that divides by Q."""
        powers, rate = np.empty((4, *z.shape)), c[5] * z
        rate += c[4]
        inverse = np.multiply(rate, rate, out=powers[0])
        inverse += 1.0
        np.divide(1.0, inverse, out=inverse)
        for lower, power in itertools.pairwise(powers):
            np.multiply(z, lower, out=power)
        rate *= inverse
        rate *= -2.0
        return powers, rate

    def _values(self, powers: Array, rate: Array, order: int, c: Array) -> list[Array]:
        """σ and its derivatives: P^(k)/Q is a combination of z^i/Q."""
        numerator = []
        for k in range(min(order, 3) + 1):
            weights = np.array([math.perm(i, k) * c[i] for i in range(k, 4)])
            numerator.append((weights @ powers[: 4 - k].reshape(4 - k, -1)).reshape(rate.shape))
        return _quotient(numerator, powers[0], rate, c[5], order)


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


def _times(z: Array, f: list[Array], value: Array) -> list[Array]:
    """Derivatives of z f(z) from those of f, its value given."""
    return [value, *(z * f[k] + k * f[k - 1] for k in range(1, len(f)))]


def _quotient(numerator: list[Array], inverse: Array, rate: Array, c5: float, order: int) -> list[Array]:
    """Derivatives of P/Q from P^(k)/Q (zero where the list ends), 1/Q and R: Q = 1 + (c₄ + c₅ z)², Leibniz' rule.

    (P/Q)^(k) = P^(k)/Q + k c₅ R (P/Q)^(k−1) − k (k−1) c₅²/Q (P/Q)^(k−2).
    """
    found = numerator[:1]
    for k in range(1, order + 1):
        value: Array = rate * found[k - 1]
        value *= k * c5
        if k < len(numerator):
            value += numerator[k]
        if k > 1:
            rest: Array = inverse * found[k - 2]
            rest *= k * (k - 1) * c5**2
            value -= rest
        found.append(value)
    return found
