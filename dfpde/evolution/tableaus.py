"""Runge–Kutta schemes: a scheme is its coefficients.

Sources: Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I (1993), Section II; Bogacki & Shampine
(1989); Dormand & Prince (1980); Hairer & Wanner, Solving Ordinary Differential Equations II (1996), Sections IV.5, IV.6
and IV.8 (SDIRK and Radau IIA schemes); Alexander (1977).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Tableau:
    """Butcher tableau (a, b, c) of an explicit scheme, with an embedded solution b̂ where there is one.

    Attributes
    ----------
    name : str
    a : tuple of tuples
        Row i has the i coefficients of stage i.
    b, b_hat : tuple of float
        Weights of the step and of the embedded one (None without).
    order, embedded_order : int
    fsal : bool
        The last stage is the first one of the next step.
    """

    name: str
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    order: int
    b_hat: tuple[float, ...] | None = None
    embedded_order: int = 0
    fsal: bool = False

    def __repr__(self) -> str:
        return f"Tableau({self.name!r})"

    @property
    def stages(self) -> int:
        """Number of stages s."""
        return len(self.b)

    @property
    def solves(self) -> int:
        """New velocities for each step."""
        return self.stages - self.fsal

    @cached_property
    def c(self) -> Array:
        """Nodes c_i = Σ_j a_ij."""
        return np.array([sum(row) for row in self.a])

    @cached_property
    def error_weights(self) -> Array | None:
        """b − b̂, or None."""
        return None if self.b_hat is None else np.subtract(self.b, self.b_hat)


EULER = Tableau("Euler", ((),), (1.0,), 1)

HEUN = Tableau("Heun 2(1)", ((), (1.0,)), (1 / 2, 1 / 2), 2, (1.0, 0.0), 1)

BOGACKI_SHAMPINE = Tableau(
    "Bogacki–Shampine 3(2)",
    ((), (1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    (2 / 9, 1 / 3, 4 / 9, 0.0),
    3,
    (7 / 24, 1 / 4, 1 / 3, 1 / 8),
    2,
    fsal=True,
)

RUNGE_KUTTA_4 = Tableau(
    "Runge–Kutta 4", ((), (1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6), 4
)

DORMAND_PRINCE = Tableau(
    "Dormand–Prince 5(4)",
    (
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0.0),
    5,
    (5179 / 57600, 0.0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40),
    4,
    fsal=True,
)


@dataclass(frozen=True)
class ImplicitTableau:
    """Butcher tableau of an implicit scheme; rows of `a` hold the coefficients up to the diagonal, or all of them.

    Attributes
    ----------
    name : str
    a : tuple of tuples
        Row i: i + 1 coefficients (diagonally implicit) or as many as stages (coupled).
    b, b_hat : tuple of float
    order, embedded_order : int
        embedded_order 0: no error estimate.
    error_weights : tuple of float or None
        Weights of θ_i − θ in a filtered error estimate.
    """

    name: str
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    order: int
    b_hat: tuple[float, ...] | None = None
    embedded_order: int = 0
    error_weights: tuple[float, ...] | None = None

    def __repr__(self) -> str:
        return f"ImplicitTableau({self.name!r})"

    @property
    def stages(self) -> int:
        """Number of stages s."""
        return len(self.b)

    @cached_property
    def matrix(self) -> Array:
        """a as an (s, s) array."""
        return np.array([[*row, *(0.0,) * (self.stages - len(row))] for row in self.a])

    @property
    def diagonal(self) -> bool:
        """Whether each stage depends on earlier ones and itself only."""
        return self.stages == 1 or len(self.a[0]) == 1

    @cached_property
    def c(self) -> Array:
        """Nodes c_i = Σ_j a_ij."""
        return np.array([sum(row) for row in self.a])


IMPLICIT_EULER = ImplicitTableau("implicit Euler", ((1.0,),), (1.0,), 1)

IMPLICIT_MIDPOINT = ImplicitTableau("implicit midpoint", ((0.5,),), (1.0,), 2)

_G = 1 - math.sqrt(0.5)
SDIRK_2 = ImplicitTableau("SDIRK 2(1)", ((_G,), (1 - _G, _G)), (1 - _G, _G), 2, (1.0, 0.0), 1)

SDIRK_4 = ImplicitTableau(
    "SDIRK 4(3)",
    (
        (1 / 4,),
        (1 / 2, 1 / 4),
        (17 / 50, -1 / 25, 1 / 4),
        (371 / 1360, -137 / 2720, 15 / 544, 1 / 4),
        (25 / 24, -49 / 48, 125 / 16, -85 / 12, 1 / 4),
    ),
    (25 / 24, -49 / 48, 125 / 16, -85 / 12, 1 / 4),
    4,
    (59 / 48, -17 / 96, 225 / 32, -85 / 12, 0.0),
    3,
)

#: 1/γ₀ is the real eigenvalue of Radau's A⁻¹; the error is filtered by I − hγ₀F (Hairer & Wanner II, (8.19)).
RADAU_GAMMA = 1 / (3 + 3 ** (2 / 3) - 3 ** (1 / 3))

_R = math.sqrt(6)
RADAU_IIA = ImplicitTableau(
    "Radau IIA 5",
    (
        ((88 - 7 * _R) / 360, (296 - 169 * _R) / 1800, (-2 + 3 * _R) / 225),
        ((296 + 169 * _R) / 1800, (88 + 7 * _R) / 360, (-2 - 3 * _R) / 225),
        ((16 - _R) / 36, (16 + _R) / 36, 1 / 9),
    ),
    ((16 - _R) / 36, (16 + _R) / 36, 1 / 9),
    5,
    embedded_order=3,
    error_weights=tuple(RADAU_GAMMA / 3 * e for e in (-13 - 7 * _R, -13 + 7 * _R, -1.0)),
)
