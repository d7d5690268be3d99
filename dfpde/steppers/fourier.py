"""What the steppers on periodic grids share: u_t = L u + N(t, u), L diagonal in Fourier space.

    v = û,   v' = ℓ(k) v + N̂(t, v)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..calculus import Field
from ..errors import ShapeError
from .grid import PeriodicGrid

Array = NDArray[Any]

#: Terms of the Taylor series of φ_k where |z| < 1: 1/20! < 2⁻⁵³.
TERMS = 20


@dataclass(frozen=True, eq=False)
@check.takes(
    grid=check.having("a PeriodicGrid", "gather", "waves"),
    linear=check.function,
    nonlinear=check.function,
    dealias=check.truth,
)
class Fourier:
    """u_t = L u + N(t, u) on a periodic grid, real or complex, scalar or a system; base of the steppers there.

    Parameters
    ----------
    grid : PeriodicGrid
    linear : callable
        k `(dim, *n)` -> symbol ℓ(k) of L, shape `(*n)` or `(*m, *n)`: ``lambda k: -NU * np.sum(k**2, axis=0)``.
    nonlinear : callable
        N: (t, x, u) -> `(*m, N)` at all points x (dim, N) of the grid, u a `Field` there with all its derivatives; as
        the right-hand side of a `Problem`.
    dealias : bool
        Drop the modes of N above two thirds of the largest, so that products of two fields are not aliased.

    Raises
    ------
    ShapeError
        By a step: values that do not belong to the grid, or a nonlinearity of another shape than the field's.
    """

    grid: PeriodicGrid
    linear: Callable[[Array], Array]
    nonlinear: Callable[[float, Array, Field], Array]
    dealias: bool = True

    def modes(self, u: Array) -> Array:
        """û of the values `(*m, n)` at this rank's points; collective."""
        return self.grid.forward(self.grid.gather(u))

    def values(self, modes: Array, like: Array) -> Array:
        """Values at this rank's points, real where `like` is."""
        return self.grid.local(self.grid.backward(modes, not np.iscomplexobj(like)))

    def rate(self, t: float, modes: Array, like: Array) -> Array:
        """N̂(t, v)."""
        field = self.grid.field(modes, not np.iscomplexobj(like))
        values = np.asarray(self.nonlinear(t, self.grid.x, field))
        if values.shape != field.value.shape:
            raise ShapeError(
                f"the nonlinearity returned shape {values.shape}, the field has shape {field.value.shape}",
                "one value for each component and point of the whole grid",
            )
        found = self.grid.forward(values.reshape(modes.shape))
        return np.where(self.grid.kept, found, 0.0) if self.dealias else found

    def symbol(self) -> Array:
        """ℓ(k), complex."""
        return np.asarray(self.linear(self.grid.waves)).astype(complex)


def phi(z: Array, order: int) -> list[Array]:
    """φ_0 … φ_order at complex z: φ_0 = e^z, φ_k = (φ_{k−1} − 1/(k−1)!)/z, φ_k(0) = 1/k!.

    The recursion loses digits where z is small, so there the Taylor series is summed.
    """
    small = np.abs(z) < 1
    near, far = np.where(small, z, 0.0), np.where(small, 1.0, z)
    found = [np.exp(z)]
    for k in range(1, order + 1):
        series = np.full(np.shape(z), 1 / math.factorial(TERMS + k), dtype=complex)
        for m in range(TERMS + k - 1, k - 1, -1):
            series = series * near + 1 / math.factorial(m)
        found.append(np.where(small, series, (found[-1] - 1 / math.factorial(k - 1)) / far))
    return found
