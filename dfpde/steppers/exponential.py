"""Exponential Runge–Kutta steps of u_t = L u + N(t, u) on a periodic grid: L exactly, N with order 3 or 4.

S. M. Cox, P. C. Matthews, J. Comput. Phys. 176 (2002), ETDRK3 and ETDRK4, in the form with φ-functions
(M. Hochbruck, A. Ostermann, Acta Numerica 19, 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..representation import represent
from .fourier import Fourier, phi

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class ETDRK4(Fourier):
    """Order 4, four evaluations of N; parameters of `Fourier`.

    On stiff problems whose N has derivatives the order may fall to 3 (Hochbruck & Ostermann, Section 2.7).
    """

    order = 4

    __repr__ = represent

    @check.takes(dt=check.real())
    def __call__(self, t: float, u: Array, dt: float) -> Array:
        """u(t + dt) of u(t), values at this rank's points; collective."""
        v = self.modes(u)
        z = dt * self.symbol()
        half, mean = phi(z / 2, 1)
        mean = dt / 2 * mean
        e, p1, p2, p3 = phi(z, 3)
        n0 = self.rate(t, v, u)
        a = half * v + mean * n0
        n1 = self.rate(t + dt / 2, a, u)
        n2 = self.rate(t + dt / 2, half * v + mean * n1, u)
        n3 = self.rate(t + dt, half * a + mean * (2 * n2 - n0), u)
        change = (p1 - 3 * p2 + 4 * p3) * n0 + 2 * (p2 - 2 * p3) * (n1 + n2) + (4 * p3 - p2) * n3
        return self.values(e * v + dt * change, u)


@dataclass(frozen=True, eq=False)
class ETDRK32(Fourier):
    """Embedded pair of orders 3 and 2, three evaluations of N; parameters of `Fourier`.

    ETDRK3 and, from its first two stages, the exponential midpoint rule e^z v + h(φ₁ − 2φ₂) N₀ + 2hφ₂ N₁.
    """

    order, error_order = 3, 2

    __repr__ = represent

    def __call__(self, t: float, u: Array, dt: float) -> Array:
        """u(t + dt) of u(t), values at this rank's points; collective."""
        return self.pair(t, u, dt)[0]

    @check.takes(dt=check.real())
    def pair(self, t: float, u: Array, dt: float) -> tuple[Array, Array]:
        """u(t + dt) of order 3, and its difference to the solution of order 2; collective."""
        v = self.modes(u)
        z = dt * self.symbol()
        half, mean = phi(z / 2, 1)
        e, p1, p2, p3 = phi(z, 3)
        n0 = self.rate(t, v, u)
        n1 = self.rate(t + dt / 2, half * v + dt / 2 * mean * n0, u)
        n2 = self.rate(t + dt, e * v + dt * p1 * (2 * n1 - n0), u)
        change = (p1 - 3 * p2 + 4 * p3) * n0 + 4 * (p2 - 2 * p3) * n1 + (4 * p3 - p2) * n2
        low = (p1 - 2 * p2) * n0 + 2 * p2 * n1
        both = self.values(np.stack([e * v + dt * change, dt * (change - low)]), u)
        return both[0], both[1]
