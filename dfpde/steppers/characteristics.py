"""Steps of transport equations along characteristics, at any points and in any dimension: no grid is needed.

    u_t + b·∇u = g(t, x, u),       dX/ds = b(s, X),  X(t + h) = x:       u(t + h, x) = S(u(t, X(t)))

u(t, X(t)) is the ansatz itself at the feet, not an interpolant: nothing is lost on the way (semi-Lagrangian schemes
without their interpolation; Staniforth, Côté, Mon. Weather Rev. 119, 1991).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..calculus import Field
from ..errors import ShapeError
from ..representation import represent

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
@check.takes(feet=check.function, source=check.optional(check.function), order=check.optional(check.integer(1)))
class Characteristics:
    """u at the feet of the characteristics, and what a source makes of it on the way.

    Parameters
    ----------
    feet : callable
        (t, x (dim, N), dt) -> X (dim, N): where the characteristic that is at x at t + dt was at t.
    source : callable or None
        (t, x (dim, N), v (*shape, N), dt) -> u(t + dt, x) of v = u(t, X); None where u is constant along
        characteristics.
    order : int or None
        Order in dt of feet and source; None where both are exact.

    Raises
    ------
    ParameterError
        An order below 1.
    ShapeError
        By a step: feet of another shape than the points.
    """

    feet: Callable[[float, Array, float], Array]
    source: Callable[[float, Array, Array, float], Array] | None = None
    order: int | None = None

    __repr__ = represent

    def of_field(self, t: float, field: Field, dt: float, steps: int) -> Array:
        """u(t + dt) at the points of the field by this many steps, (*shape, N); no communication."""
        h, path = dt / steps, [field.x]
        for i in reversed(range(steps)):
            path.append(np.asarray(self.feet(t + i * h, path[-1], h)))
            if path[-1].shape != field.x.shape:
                raise ShapeError(f"feet {path[-1].shape} for points {field.x.shape}", "one foot for each point")
        u = np.asarray(field.ansatz.value(field.theta, path.pop()))
        for i in range(steps):
            x = path.pop()
            u = u if self.source is None else np.asarray(self.source(t + i * h, x, u, h))
        return u
