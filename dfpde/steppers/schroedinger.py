"""Split steps of Schrödinger equations on a periodic grid.

    i ψ_t = −½ Δψ + V(t, x, |ψ|²) ψ,      ψ(t + h) = e^{−ihV/2} e^{ihΔ/2} e^{−ihV/2} ψ(t)

Both factors are unitary, so ‖ψ‖ is kept.  Strang (SIAM J. Numer. Anal. 5, 1968) has order 2; the triple jump of
Yoshida (Phys. Lett. A 150, 1990) makes order 4 of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..errors import ParameterError, ShapeError
from ..representation import represent
from .grid import PeriodicGrid

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
@check.takes(grid=check.having("a PeriodicGrid", "gather", "waves"), potential=check.function, order=check.integer())
class SplitStep:
    """Split step of a Schrödinger equation with potential, linear or nonlinear.

    Parameters
    ----------
    grid : PeriodicGrid
    potential : callable
        V: (t, x, |ψ|²) -> (N,), real, at all points x (dim, N) of the grid.
    order : int
        2 or 4.

    Raises
    ------
    ParameterError
        Another order.
    ShapeError
        By a step: a field that is not one complex component.
    """

    grid: PeriodicGrid
    potential: Callable[[float, Array, Array], Array]
    order: int = 4

    __repr__ = represent

    def __post_init__(self) -> None:
        if self.order not in (2, 4):
            raise ParameterError(f"order = {self.order}", "2 (Strang) or 4 (Yoshida)")

    def __call__(self, t: float, u: Array, dt: float) -> Array:
        """ψ(t + dt) of ψ(t), values (n,) at this rank's points; collective."""
        if u.ndim != 1 or not np.iscomplexobj(u):
            raise ShapeError(f"a field of shape {u.shape} and dtype {u.dtype}", "one complex component")
        psi = self.grid.gather(u).ravel()
        kinetic = 0.5 * np.sum(self.grid.waves**2, axis=0)
        last = 1 / (2 - 2 ** (1 / 3))
        for part in (1.0,) if self.order == 2 else (last, 1 - 2 * last, last):
            h = part * dt
            psi = psi * self._phase(t, psi, h / 2)
            modes = self.grid.forward(psi.reshape(self.grid.shape)) * np.exp(-1j * h * kinetic)
            psi = self.grid.backward(modes, False).ravel()
            psi = psi * self._phase(t + h, psi, h / 2)
            t += h
        return self.grid.local(psi.reshape(self.grid.shape))

    def _phase(self, t: float, psi: Array, h: float) -> Array:
        phase: Array = np.exp(-1j * h * np.asarray(self.potential(t, self.grid.x, np.abs(psi) ** 2)))
        return phase
