"""Implicit–explicit Runge–Kutta steps of M u' = L u + N(t, u): L implicit, N explicit.

    M U_i = M u + h Σ_{j<=i} a_ij L U_j + h Σ_{j<i} â_ij N_j,      (M − hγL) U_i known,      γ = a_ii for i > 1

U. M. Ascher, S. J. Ruuth, R. J. Spiteri, Appl. Numer. Math. 25 (1997), Sections 2.6 and 2.8.  The implicit parts are
L-stable and stiffly accurate: the last stage is u(t + h).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..representation import represent
from .fourier import Fourier

Array = NDArray[Any]
Row = tuple[float, ...]


@dataclass(frozen=True)
class ImexTableau:
    """Coefficients of a pair: `a` of the implicit part, with a first stage that is u itself, `explicit` of the other.

    Attributes
    ----------
    a, explicit : tuple of tuples
        Square, lower triangular; their last rows are the weights (stiffly accurate).
    c : tuple
        Nodes of both.
    order : int
    """

    a: tuple[Row, ...]
    explicit: tuple[Row, ...]
    c: Row
    order: int

    __repr__ = represent

    @property
    def gamma(self) -> float:
        """The diagonal of `a` after the first stage."""
        return self.a[-1][-1]


_G = 1 - math.sqrt(0.5)
_D = 1 - 1 / (2 * _G)
ARS222 = ImexTableau(
    a=((0, 0, 0), (0, _G, 0), (0, 1 - _G, _G)),
    explicit=((0, 0, 0), (_G, 0, 0), (_D, 1 - _D, 0)),
    c=(0, _G, 1), order=2,
)  # fmt: skip
"""ARS(2,2,2), order 2, two implicit stages, L-stable (Ascher, Ruuth, Spiteri, Appl. Numer. Math. 25, 1997)."""
ARS443 = ImexTableau(
    a=((0, 0, 0, 0, 0), (0, 1/2, 0, 0, 0), (0, 1/6, 1/2, 0, 0), (0, -1/2, 1/2, 1/2, 0), (0, 3/2, -3/2, 1/2, 1/2)),
    explicit=((0, 0, 0, 0, 0), (1/2, 0, 0, 0, 0), (11/18, 1/18, 0, 0, 0), (5/6, -5/6, 1/2, 0, 0),
              (1/4, 7/4, 3/4, -7/4, 0)),
    c=(0, 1/2, 2/3, 1/2, 1), order=3,
)  # fmt: skip
"""ARS(4,4,3), order 3, four implicit stages, L-stable (the same source)."""


def imex_step(
    tableau: ImexTableau,
    t: float,
    u: Array,
    dt: float,
    mass: Callable[[Array], Array],
    linear: Callable[[Array], Array],
    explicit: Callable[[float, Array], Array],
    solve: Callable[[Array, float], Array],
) -> Array:
    """u(t + dt).

    Parameters
    ----------
    tableau : ImexTableau
    t, u, dt
    mass, linear : callable
        M u and L u.
    explicit : callable
        N(t, u), tested as M u is.
    solve : callable
        (right-hand side, t) -> U of (M − hγL) U = right-hand side, with the boundary values of time t.
    """
    before, n = mass(u), [explicit(t, u)]
    linear_parts = [np.zeros_like(before)]  # a_i0 = 0: L u of the first stage does not enter
    for i in range(1, len(tableau.c)):
        rhs = before + dt * sum(tableau.explicit[i][j] * n[j] + tableau.a[i][j] * linear_parts[j] for j in range(i))
        time = t + tableau.c[i] * dt
        stage = solve(rhs, time)
        if i + 1 < len(tableau.c):
            linear_parts.append(linear(stage))
            n.append(explicit(time, stage))
    return stage


@dataclass(frozen=True, eq=False)
@check.takes(tableau=check.instance(ImexTableau, "an ImexTableau: ARS443, ARS222"))
class IMEX(Fourier):
    """Implicit–explicit steps on a periodic grid; parameters of `Fourier`.

    Parameters
    ----------
    tableau : ImexTableau
        `ARS443` (order 3, default) or `ARS222` (order 2).
    """

    tableau: ImexTableau = ARS443

    __repr__ = represent

    @property
    def order(self) -> int:
        """Order of the tableau."""
        return self.tableau.order

    @check.takes(dt=check.real())
    def __call__(self, t: float, u: Array, dt: float) -> Array:
        """u(t + dt) of u(t), values at this rank's points; collective."""
        symbol = self.symbol()
        shifted = 1 - dt * self.tableau.gamma * symbol
        new = imex_step(
            self.tableau, t, self.modes(u), dt,
            mass=lambda v: v,
            linear=lambda v: symbol * v,
            explicit=lambda t, v: self.rate(t, v, u),
            solve=lambda rhs, t: rhs / shifted,
        )  # fmt: skip
        return self.values(new, u)
