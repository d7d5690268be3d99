"""Elementary functions that evaluations of an ansatz spend their time in.

NumPy's sine and cosine are scalar code on most machines, its tangent is vectorized: with τ = tan(φ/2)

    1 − cos φ = 2τ²/(1 + τ²),    sin φ = 2τ/(1 + τ²),

within 5e-16 of the exact values for |φ| up to 1e15.
"""

from __future__ import annotations

import numpy as np

from .base import Array

# exp(E) is zero below e^FLOOR = 5e-131: its square times weights would be subnormal, which some processors compute a
# hundred times slower.
FLOOR = -300.0


def versine_sin(angle: Array) -> tuple[Array, Array]:
    """(1 − cos φ, sin φ) of a real array, without cancellation at small angles."""
    sine = np.tan(0.5 * angle)
    versine = sine * sine
    scale = 2.0 / (1.0 + versine)
    versine *= scale
    sine *= scale
    return versine, sine


def cos_sin(angle: Array) -> tuple[Array, Array]:
    """(cos φ, sin φ) of a real array; the cosine to within 5e-16."""
    versine, sine = versine_sin(angle)
    return np.subtract(1.0, versine, out=versine), sine


def exponential(exponent: Array) -> Array:
    """exp(E), real or complex, and zero where Re E < `FLOOR`; NaN stays NaN."""
    real = exponent.real
    size: Array = np.maximum(real, FLOOR)
    np.exp(size, out=size)
    size *= real >= FLOOR
    if not np.iscomplexobj(exponent):
        return size
    cosine, sine = cos_sin(exponent.imag)
    g: Array = np.empty(exponent.shape, complex)
    np.multiply(size, cosine, out=g.real)
    np.multiply(size, sine, out=g.imag)
    return g
