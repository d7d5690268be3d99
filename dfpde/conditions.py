"""Conditions: rows beside those of the equation, for example boundary values.

    rows √w (B J v − g) of the least-squares system for the velocity θ̇ = v
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import validation as check
from .ansatz.base import Ansatz
from .domain.quadrature import Quadrature
from .errors import ParameterError, ShapeError
from .leastsquares import DenseRows, Rows, real_rows, root_weights
from .representation import represent

Array = NDArray[Any]

# Steps of the difference quotients of g: from 1000 units of time down to 1000 · 4^−31 = 2e-16 of them.
LONGEST, RATIO, LEVELS, ORDER = 1000.0 / 1.37, 0.25, 32, 6
ACCURACY = 1e-5
EPS, TINY = float(np.finfo(float).eps), float(np.finfo(float).tiny)


class Condition(Protocol):
    """Further rows √w (B J v − g) of the least-squares system, for example a boundary condition."""

    def rows(self, t: float, theta: Array, ansatz: Ansatz) -> tuple[Rows, Array]:
        """Local block √w B J and local right-hand side √w g; no communication."""
        ...


def rate(
    g: Callable[[float, Array], Array], g_t: Callable[[float, Array], Array] | None, t: float, x: Array,
    shape: tuple[int, ...],
) -> Array:  # fmt: skip
    """∂g/∂t at the points of a boundary: g_t, or extrapolated difference quotients of g.

    From the right, as a run goes on there (g need not be defined before its start, and may have a kink at t); from the
    left where g is not defined later.

    Raises
    ------
    ParameterError
        The quotients have no limit to a relative accuracy of `ACCURACY`: a jump, a square root, or noise.
    """
    if g_t is not None:
        return boundary_values(g_t, t, x, shape, "g_t")
    here = boundary_values(g, t, x, shape)
    errors = []
    for side in (1.0, -1.0):
        derivative, error = _one_sided(g, t, x, here, side)
        if error <= ACCURACY:
            return derivative
        errors.append(error)
    raise ParameterError(
        f"no ∂g/∂t of a boundary value at t = {t!r}: its difference quotients converge to a relative error of "
        f"{errors[0]:.1g} from the right and {errors[1]:.1g} from the left (inf: g is not defined there)",
        "give g_t",
    )


def boundary_values(
    g: Callable[[float, Array], Array], t: float, x: Array, shape: tuple[int, ...], name: str = "g"
) -> Array:
    """g(t, x) as an array of this shape.

    Raises
    ------
    ShapeError
    """
    values = np.asarray(g(t, x))
    try:
        return np.broadcast_to(values, shape)
    except ValueError as error:
        raise ShapeError(
            f"{name} has shape {values.shape} at {shape[-1]} points of the boundary, the field {shape}",
            "give it as (*shape, N), points last",
        ) from error


def _one_sided(
    g: Callable[[float, Array], Array], t: float, x: Array, here: Array, side: float
) -> tuple[Array, float]:
    """Limit of the quotients q(h) = (g(t + h) − g(t))/h for h to ± 0, and its relative error (infinite: none).

    Richardson's extrapolation over steps from far above to far below any time scale; of all entries of the tableau that
    with the smallest estimated error, relative to the largest quotient of a step not smaller: far beyond the time
    scale of an oscillation quotients are small and arbitrary, and must not count as converged.
    """
    wanted = [float((t + side * h) - t) for h in (LONGEST + abs(t) / 8) * RATIO ** np.arange(LEVELS)]
    found = [(h, there) for h in wanted if h and (there := _probe(g, t + h, x, here.shape)) is not None]
    if len(found) < 2:
        return here, np.inf
    steps = np.array([h for h, _ in found])
    values = np.array([there.ravel() for _, there in found])
    column = (values - here.ravel()) / steps[:, None]
    largest = np.maximum.accumulate(_size(column))
    if largest[-1] == 0:  # g does not change
        return np.zeros_like(here), 0.0
    # what rounding of g, and of t inside g, does to a quotient
    rounding = 8 * EPS * (np.maximum(_size(values), _size(here.ravel())) + abs(t) * _size(column)) / np.abs(steps)
    best, least = column[-1], np.inf
    for k in range(1, min(ORDER + 1, len(steps))):
        better = column[1:] + (column[1:] - column[:-1]) / (steps[:-k] / steps[k:] - 1.0)[:, None]
        apart = np.maximum(_size(better - column[1:]), _size(better - column[:-1]))
        errors = (apart + rounding[k:]) / np.maximum(largest[k:], TINY)
        chosen = int(np.argmin(errors))
        if errors[chosen] < least:
            best, least = better[chosen], float(errors[chosen])
        column = better
    return best.reshape(here.shape), least


def _size(rows: Array) -> Array:
    """Largest entry of each row."""
    largest: Array = np.max(np.abs(rows), axis=-1, initial=0.0)
    return largest


def _probe(g: Callable[[float, Array], Array], t: float, x: Array, shape: tuple[int, ...]) -> Array | None:
    """g where it is defined: None where it raises, or is not finite."""
    try:
        with np.errstate(all="ignore"):
            values = np.broadcast_to(np.asarray(g(t, x)), shape)
    except Exception:
        return None
    return values if np.all(np.isfinite(values)) else None


def scalars(conditions: Sequence[Any]) -> tuple[dict[str, Any], ...]:
    """Kinds and numbers of conditions, which ranks must hold alike; what else they hold may be of one rank."""
    names = ("weight", "decay", "beta")
    return tuple({"kind": type(c).__name__} | {name: getattr(c, name, None) for name in names} for c in conditions)


@dataclass(frozen=True, eq=False)
@check.takes(
    quadrature=check.quadrature,
    g=check.function,
    weight=check.real(above=0),
    decay=check.real(0),
    g_t=check.optional(check.function),
)
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
        (t, x) -> ∂g/∂t; None extrapolates difference quotients of g from the right, whatever its time scale (`rate`;
        relative error about 1e-10 of a smooth g, at some 30 evaluations of g).
    """

    quadrature: Quadrature
    g: Callable[[float, Array], Array]
    weight: float = 1.0
    decay: float = 0.0
    g_t: Callable[[float, Array], Array] | None = None

    __repr__ = represent

    @check.takes(ansatz=check.ansatz)
    def rows(self, t: float, theta: Array, ansatz: Ansatz) -> tuple[Rows, Array]:
        """See `Condition`."""
        x, shape = self.quadrature.x, (*ansatz.shape, self.quadrature.x.shape[1])
        target = rate(self.g, self.g_t, t, x, shape)
        if self.decay:
            target = target - self.decay * (ansatz.value(theta, x) - boundary_values(self.g, t, x, shape))
        root = root_weights(self.weight * self.quadrature.w, ansatz.shape, ansatz.dtype)
        rhs = real_rows(np.asarray(target, dtype=ansatz.dtype))
        return DenseRows(real_rows(ansatz.tangent(theta, x), 1), root), root * rhs
