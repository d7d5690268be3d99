"""Losses, and training as an evolution problem.

    L(θ) = ½ ‖Φ(θ) − u*‖²_W,   ∇L = Jᵀ(Φ(θ) − u*);        u_t = −∇ℓ(u), the flow whose Dirac–Frenkel velocity is the
    Gauss–Newton (natural-gradient) direction
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..ansatz.base import Ansatz
from ..calculus import Field
from ..domain.quadrature import Quadrature
from ..errors import ShapeError
from ..parallel.collective import collective_errors
from ..problem import Problem
from ..representation import represent

Array = NDArray[Any]


class Loss(Protocol):
    """A function of θ with its gradient, the same on all ranks."""

    def value(self, theta: Array) -> float:
        """L(θ)."""
        ...

    def gradient(self, theta: Array) -> Array:
        """∇L(θ), shape (p,)."""
        ...


@dataclass(frozen=True)
@check.takes(value=check.function, gradient=check.function)
class Given:
    """A loss from two callables, θ -> L and θ -> ∇L."""

    value: Callable[[Array], float]
    gradient: Callable[[Array], Array]

    __repr__ = represent


@dataclass(frozen=True, eq=False)
@check.takes(ansatz=check.ansatz, quadrature=check.quadrature, target=check.numbers(kinds="fiuc"))
class Misfit:
    """`L(θ) = ½ ‖Φ(θ) − u*‖²_W` over any ansatz and quadrature; `∇L = Jᵀ(Φ − u*)`, by `vjp`, collective.

    Parameters
    ----------
    ansatz : Ansatz
    quadrature : Quadrature
    target : (*shape, N) array
        `u*` at this rank's points.

    Raises
    ------
    ShapeError
        The target is not a field at the points, on all ranks.
    """

    ansatz: Ansatz
    quadrature: Quadrature
    target: Array

    __repr__ = represent

    def __post_init__(self) -> None:
        with collective_errors(self.quadrature.comm):
            _check_target(self.ansatz, self.quadrature, self.target)

    def value(self, theta: Array) -> float:
        """L(θ)."""
        return 0.5 * self.quadrature.norm(self._residual(theta)) ** 2

    def gradient(self, theta: Array) -> Array:
        """∇L(θ)."""
        x, comm = self.quadrature.x, self.quadrature.comm
        residual = self._residual(theta) * self.quadrature.w
        with collective_errors(comm):
            local = self.ansatz.vjp(theta, x, residual)
        return np.asarray(comm.allreduce(local)) if comm.size > 1 else local

    def _residual(self, theta: Array) -> Array:
        with collective_errors(self.quadrature.comm):
            return np.asarray(self.ansatz.value(theta, self.quadrature.x) - self.target)


@check.takes(ansatz=check.ansatz, quadrature=check.quadrature, slope=check.function)
def gradient_flow(ansatz: Ansatz, quadrature: Quadrature, slope: Callable[[Array, Field], Array]) -> Problem:
    """Training as an evolution problem u_t = −∇ℓ(u): natural-gradient flow, with inertia if wanted, by `evolve`.

    Parameters
    ----------
    ansatz : Ansatz
    quadrature : Quadrature
    slope : callable
        ∇ℓ(x, u), the L² gradient of the loss in function space, -> (*shape, N).
    """
    return Problem(ansatz, quadrature, lambda t, x, u: -slope(x, u))


@check.takes(ansatz=check.ansatz, quadrature=check.quadrature, target=check.numbers(kinds="fiuc"))
def gauss_newton_flow(ansatz: Ansatz, quadrature: Quadrature, target: Array) -> Problem:
    """`u_t = −(u − u*)`: the Dirac–Frenkel velocity is the Gauss–Newton direction of `½‖Φ(θ) − u*‖²`.

    The field decays to `u*` as e^{−t} where the tangent allows it; a step of `Euler` with dt = 1 and `Tikhonov(ε)` is
    one Levenberg–Marquardt step with damping ε², and `Inertia` adds momentum.

    Parameters
    ----------
    ansatz : Ansatz
    quadrature : Quadrature
    target : (*shape, N) array
        `u*` at this rank's points.

    Raises
    ------
    ShapeError
        The target is not a field at the points, on all ranks.
    """
    with collective_errors(quadrature.comm):
        _check_target(ansatz, quadrature, target)
    return gradient_flow(ansatz, quadrature, lambda x, u: u.value - target)


def _check_target(ansatz: Ansatz, quadrature: Quadrature, target: Array) -> None:
    shape = (*ansatz.shape, quadrature.x.shape[1])
    if np.shape(target) != shape:
        raise ShapeError(f"the target has shape {np.shape(target)}, the field {shape}", "one value for each point")
