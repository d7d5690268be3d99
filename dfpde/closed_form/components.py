"""Mixtures and wave packets as polynomials times exponentials of quadratic forms, with tangent and curvature.

    u = Σ_i a_i exp(E_i),   E = −½ yᵀ P y + qᵀ y + r,   y = x − b

Tangent, right-hand side and second derivatives along a velocity are polynomials in y times exp(E).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ansatz.base import Ansatz
from ..ansatz.mixtures.gaussian import GaussianMixture
from ..ansatz.mixtures.quadratic import Cholesky
from ..ansatz.mixtures.wavepacket import WavePackets
from ..errors import ParameterError
from .polynomials import Polynomials, add, derivatives, inner, multiply, scale, shift

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Component:
    """a exp(E): a real amplitude, or 1, times the exponential of a complex quadratic form.

    Attributes
    ----------
    precision : (d, d) array
        P, symmetric, Re P positive definite.
    center : (d,) array
        b.
    slope : (d,) array
        q.
    height : complex
        r.
    amplitude : float
        a.
    columns : (m,) array of int
        Its parameters among all.
    tangent : Polynomials
        m polynomials: ∂/∂θ of a exp(E), over exp(E).
    """

    precision: Array
    center: Array
    slope: Array
    height: complex
    amplitude: float
    columns: NDArray[np.int64]
    tangent: Polynomials

    @property
    def logarithm(self) -> Polynomials:
        """∇E: d polynomials of degree 1."""
        return [self.slope.copy(), -self.precision]


def components(ansatz: Ansatz, theta: Array) -> list[Component]:
    """The components of a mixture or of wave packets.

    Raises
    ------
    ParameterError
        Another ansatz, or a precision that is not positive definite.
    """
    if isinstance(ansatz, GaussianMixture):
        found = _mixture(ansatz, theta)
    elif isinstance(ansatz, WavePackets):
        found = _packets(ansatz, theta)
    else:
        what = f"a {type(ansatz).__name__} has no integrals in closed form"
        raise ParameterError(what, "GaussianMixture or WavePackets, or a Problem with a quadrature")
    for number, part in enumerate(found):
        if not np.linalg.eigvalsh(part.precision.real)[0] > 0:
            what = f"component {number} is not integrable: its precision has the eigenvalue 0"
            raise ParameterError(what, "scales other than zero")
    return found


def _mixture(ansatz: GaussianMixture, theta: Array) -> list[Component]:
    part, n, d, s = ansatz.unpack(theta), ansatz.n, ansatz.dim, ansatz.factor.size
    factors, slopes = ansatz.factor.matrices(part["scales"]), ansatz.amplitude_slopes(theta)
    found = []
    for i, (a, b, factor) in enumerate(zip(ansatz.amplitudes(theta), part["centers"], factors, strict=True)):
        precision = factor @ factor.T
        m = 1 + d + s
        t0, t1, t2 = np.zeros(m), np.zeros((m, d)), np.zeros((m, d, d))
        t0[0] = slopes[i]
        t1[1 : 1 + d] = a * precision
        t2[1 + d :] = a * _scale_slopes(ansatz.factor, factor)
        start = n * (1 + d) + i * s
        columns = np.concatenate([[i], n + i * d + np.arange(d), start + np.arange(s)])
        found.append(Component(precision, b, np.zeros(d), 0.0, float(a), columns, [t0, t1, t2]))
    return found


def _scale_slopes(pattern: Cholesky, factor: Array) -> Array:
    """Symmetric matrices S with ∂/∂(scale parameter) of −½ |Lᵀy|² = yᵀ S y: −z_j y_k, z = Lᵀ y, for each entry."""
    d = pattern.dim
    found = np.zeros((pattern.size, d, d))
    for number, entries in enumerate(pattern.entries):
        for k, j in entries:
            found[number, k] -= 0.5 * factor[:, j]
            found[number, :, k] -= 0.5 * factor[:, j]
    return found


def _packets(ansatz: WavePackets, theta: Array) -> list[Component]:
    part, d, pattern = ansatz.unpack(theta), ansatz.dim, ansatz.factor
    widths, thawed = ansatz.width_matrices(theta), not ansatz.frozen
    m = 2 * d + 2 + (2 * pattern.size if thawed else 0)
    found = []
    for i in range(ansatz.n):
        precision, slope = -1j * widths[i], 1j * part["momenta"][i]
        t0, t1, t2 = np.zeros(m, complex), np.zeros((m, d), complex), np.zeros((m, d, d), complex)
        t0[:d], t1[:d] = -slope, precision
        t1[d : 2 * d] = 1j * np.eye(d)
        t0[2 * d : 2 * d + 2] = 1j, -1.0
        if thawed:
            for number, ((k, j),) in enumerate(pattern.entries):
                t2[2 * d + 2 + number, k, j] += 0.25j
                t2[2 * d + 2 + number, j, k] += 0.25j
                if k != j:
                    t2[2 * d + 2 + number] *= 2
            factor = pattern.matrices(part["scales"])[i]
            t2[2 * d + 2 + pattern.size :] = _scale_slopes(pattern, factor)
        columns = np.concatenate([
            block.start + i * count + np.arange(count) for block, (_, count) in ansatz.slices().values()
        ])  # fmt: skip
        height = complex(1j * part["zeta"][i, 0] - part["zeta"][i, 1])
        found.append(Component(precision, part["centers"][i], slope, height, 1.0, columns, [t0, t1, t2]))
    return found


def gram(parts: Sequence[Component], functions: Sequence[Polynomials]) -> Array:
    """∫ conj(p exp(E_i)) q exp(E_k) dx of all polynomials p of component i and q of component k: (n, n) blocks."""
    blocks = np.empty((len(parts), len(parts)), object)
    for i, left in enumerate(parts):
        for k, right in enumerate(parts[: i + 1]):
            blocks[i, k] = _block(left, functions[i], right, functions[k])
            blocks[k, i] = blocks[i, k].conj().T
    return blocks


def _block(left: Component, p: Polynomials, right: Component, q: Polynomials) -> Array:
    """∫ conj(p exp(E_left)) q exp(E_right) dx."""
    a, b = left.precision.conj(), right.precision
    both = a + b
    sigma = np.linalg.inv(both)
    sigma = 0.5 * (sigma + sigma.T)
    linear = a @ left.center + b @ right.center + left.slope.conj() + right.slope
    middle = sigma @ linear
    y, z = middle - left.center, middle - right.center
    exponent = -0.5 * (y @ a @ y + z @ b @ z) + left.slope.conj() @ y + right.slope @ z
    exponent += np.conj(left.height) + right.height
    roots = np.sqrt(np.linalg.eigvals(2 * np.pi * sigma))  # Re > 0 each: the branch that is positive for real Σ
    weight = np.exp(exponent) * np.prod(roots)
    if not np.iscomplexobj(both):
        weight = weight.real
    conjugated = [part.conj() for part in p]
    block: Array = weight * inner(derivatives(shift(conjugated, y), sigma), derivatives(shift(q, z), sigma), sigma)
    return block


def bend(ansatz: Ansatz, theta: Array, v: Array) -> list[Polynomials]:
    """d²/ds² of every component along θ + s v, over exp(E): polynomials of degree 4.

    a (E'² + E'') + 2 a' E' with E' = −½ yᵀP'y + (P b' + q')ᵀy + r' − qᵀb' and
    E'' = −½ yᵀP''y + 2 (P'b')ᵀy − b'ᵀP b' − 2 q'ᵀb'.
    """
    found = []
    for part, change in zip(components(ansatz, theta), _changes(ansatz, theta, v), strict=True):
        a1, b1, q1, r1, p1, p2 = change
        first = [(r1 - part.slope @ b1)[None], (part.precision @ b1 + q1)[None], -0.5 * p1[None]]
        second = [(-b1 @ part.precision @ b1 - 2 * q1 @ b1)[None], 2 * (p1 @ b1)[None], -0.5 * p2[None]]
        bent = scale(part.amplitude, add(multiply(first, first), second))
        found.append(add(bent, scale(2 * a1, first)))
    return found


def _changes(ansatz: Ansatz, theta: Array, v: Array) -> list[tuple[Any, ...]]:
    """(a', b', q', r', P', P'') of every component along v; where ln a is a parameter, r' has its rate."""
    part, rate, none = ansatz.unpack(theta), ansatz.unpack(v), np.zeros(ansatz.dim)
    packets = isinstance(ansatz, WavePackets)
    n, pattern = ansatz.n, ansatz.factor  # type: ignore[attr-defined]
    amplitudes, logarithms = (rate.get(name, np.zeros(n)) for name in ("amplitudes", "log_amplitudes"))
    found = []
    for i in range(n):
        p1 = p2 = np.zeros((ansatz.dim, ansatz.dim))
        if "scales" in rate:
            factor, moved = (pattern.matrices(known["scales"])[i] for known in (part, rate))
            half = moved @ factor.T
            p1, p2 = half + half.T, 2 * moved @ moved.T
        if packets and "chirps" in rate:
            lower = pattern.matrices(rate["chirps"])[i]
            p1 = p1 - 1j * (lower + np.tril(lower, -1).T)
        zeta = np.array(1j * rate["zeta"][i, 0] - rate["zeta"][i, 1] if packets else logarithms[i])
        slope = 1j * rate["momenta"][i] if packets else none
        found.append((amplitudes[i], rate["centers"][i], slope, zeta, p1, p2))
    return found
