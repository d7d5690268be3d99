"""Conditions: rows beside those of the equation, for example boundary values.

    rows √w (B J v − g) of the least-squares system for the velocity θ̇ = v
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .ansatz.base import Ansatz
from .domain.quadrature import Quadrature
from .errors import ParameterError
from .leastsquares import DenseRows, Rows, real_rows, root_weights
from .representation import represent

Array = NDArray[Any]


class Condition(Protocol):
    """Further rows √w (B J v − g) of the least-squares system, for example a boundary condition."""

    def rows(self, t: float, theta: Array, ansatz: Ansatz) -> tuple[Rows, Array]:
        """Local block √w B J and local right-hand side √w g; no communication."""
        ...


def rate(
    g: Callable[[float, Array], Array], g_t: Callable[[float, Array], Array] | None, t: float, x: Array,
    shape: tuple[int, ...],
) -> Array:  # fmt: skip
    """∂g/∂t at the points of a boundary: g_t, or a central difference of g."""
    if g_t is not None:
        return np.broadcast_to(g_t(t, x), shape)
    h = 1e-5 * max(1.0, abs(t))
    return np.asarray((np.broadcast_to(g(t + h, x), shape) - g(t - h, x)) / (2 * h))


@dataclass(frozen=True, eq=False)
class Dirichlet:
    """u = g(t, x) at the points of a (boundary) quadrature, imposed weakly.

    Rows √(γ w) (J v − g_t + α (Φ(θ) − g)): the boundary value follows ġ, and an error in it decays at the rate α
    (Baumgarte 1972).

    Parameters
    ----------
    quadrature : Quadrature
        Points on the boundary, `Quadrature.boundary(mesh, name, order)`.
    g : callable
        (t, x) -> (*shape, N).
    weight : float
        γ, relative weight against the interior rows, in units of length (boundary measure against volume).
    decay : float
        α ≥ 0, a rate.
    g_t : callable or None
        (t, x) -> ∂g/∂t; None takes a central difference of g with a step of 1e-5 · max(1, |t|) (error about 1e-10).
    """

    quadrature: Quadrature
    g: Callable[[float, Array], Array]
    weight: float = 1.0
    decay: float = 0.0
    g_t: Callable[[float, Array], Array] | None = None

    __repr__ = represent

    def __post_init__(self) -> None:
        if not (self.weight > 0 and self.decay >= 0):
            raise ParameterError(f"weight = {self.weight}, decay = {self.decay}", "weight > 0 and decay >= 0")

    def rows(self, t: float, theta: Array, ansatz: Ansatz) -> tuple[Rows, Array]:
        """See `Condition`."""
        x, shape = self.quadrature.x, (*ansatz.shape, self.quadrature.x.shape[1])
        target = rate(self.g, self.g_t, t, x, shape)
        if self.decay:
            target = target - self.decay * (ansatz.value(theta, x) - self.g(t, x))
        root = root_weights(self.weight * self.quadrature.w, ansatz.shape, ansatz.dtype)
        rhs = real_rows(np.asarray(target, dtype=ansatz.dtype))
        return DenseRows(real_rows(ansatz.tangent(theta, x), 1), root), root * rhs
