"""Explicit Runge–Kutta schemes: a scheme is its coefficients.

Sources: Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I (1993), Section II; Bogacki & Shampine
(1989); Dormand & Prince (1980).
"""

from __future__ import annotations

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
