"""Inertia whose ε is chosen before every solve: from step size, residual and curvature of the ansatz."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..leastsquares import Solver
from ..model import StageSystem
from .rule import Regularization, StageContext, Velocity, anchored

Array = NDArray[Any]

#: Default ρ: friction with a memory of about 1/(1 − ρ) = 33 solves; measured in docs/inertia.md.
RHO = 0.97

#: Default s of `AutoInertia`: ½ h κ (r/2ε)² ≤ r, and h times the rate ω/ε² of the velocity at most 8.
SAFETY = 1 / 8


@dataclass(frozen=True)
@check.takes(tolerance=check.real(above=0, below=1), rho=check.real(0, 1), safety=check.real(above=0))
class AutoInertia(Regularization):
    """Inertia with ε² = s h (ω + η κ ‖f‖) and friction ρ^(τ/τ_max) before every solve.

    With the bend q = Φ''[a, a]/|Da|² of the ansatz along the anchor, κ = ‖q‖, and the residual r = f − J v of the solve
    before: the regularized velocity changes at rates up to ω/ε², which an explicit step follows only up to a few 1/h;
    ω lies between |⟨q, r⟩|, the rate along the motion, and κ‖r‖, and is taken as their geometric mean.  η κ ‖f‖
    balances what a velocity in weakly informed directions does to a step against a residual η‖f‖ that does not
    matter.  Friction acts over time: where steps shrink (τ below the longest so far, τ_max), a velocity in a null
    direction is not worn down; see docs/inertia.md.

    Parameters
    ----------
    tolerance : float
        η, the relative error of u_t that does not matter.
    rho : float
        0 ≤ ρ ≤ 1, for solves τ_max apart.
    safety : float
        s > 0; 1/8 is the worst case of the balance.

    Raises
    ------
    ParameterError
        Numbers outside their ranges.
    """

    tolerance: float = 1e-4
    rho: float = RHO
    safety: float = SAFETY
    chooses_metric: ClassVar[bool] = True  # type: ignore[misc]  # of the class, while the protocol also allows instances

    def velocity(self, system: StageSystem, anchor: Array | None, solver: Solver, context: StageContext) -> Velocity:
        """See `Regularization`; carry = (ω of this solve, largest ‖√W J D⁻¹‖ and |τ| so far)."""
        rate, size, longest = context.carry or (math.nan, 0.0, 0.0)
        f, tau = system.tangent.norm(system.rhs), abs(context.dt) / context.stages
        size, longest = max(size, stiffness_norm(system)), max(longest, tau)
        rho = self.rho ** (tau / longest)
        along = anchor
        if along is None:  # a first velocity, to measure the bend along
            along = anchored(system, None, max(FLOOR, self.tolerance) * size, rho, solver).value
        kappa, bent = _bend(system, along, context.dt)
        if math.isnan(rate):
            rate = _rate(system, kappa, bent, along)
        eps2 = self.safety * abs(context.dt) * (rate + self.tolerance * kappa * f)
        found = anchored(system, anchor, max(FLOOR * size, math.sqrt(eps2)), rho, solver)
        return replace(found, carry=(_rate(system, kappa, bent, found.value), size, longest))


#: Smallest ε relative to the largest ‖J‖ so far: where the normal equations of the preconditioner lose all digits, √u.
#: Not to the present ‖J‖: where the whole tangent vanishes, inertia has to take over.
FLOOR = 2.0**-26


def _bend(system: StageSystem, v: Array, dt: float) -> tuple[float, Array | None]:
    """κ = ‖q‖ and the local rows of q = Φ''[v, v]/|Dv|², None without points; zero where v is; collective."""
    square = float(np.linalg.norm(v if system.scale is None else system.scale * v) * dt) ** 2
    size, rows = system.bend(dt * v) if square > 0 else (0.0, None)
    if square == 0.0 or not math.isfinite(size / square):
        return 0.0, None
    return size / square, None if rows is None else rows / square


def _rate(system: StageSystem, kappa: float, bent: Array | None, v: Array) -> float:
    """ω of the residual r = f − J v: (|⟨q, r⟩| κ‖r‖)^½, where q has no rows κ‖r‖; collective."""
    rest = system.rhs - system.tangent.apply(v)
    comm, bound = system.tangent.comm, kappa * system.tangent.norm(rest)
    if bent is None:
        return bound
    local = float(bent @ rest[: len(bent)])
    return math.sqrt(bound * abs(float(comm.allreduce(local)) if comm.size > 1 else local))


def stiffness_norm(system: StageSystem) -> float:
    """Lower bound of ‖√W J D⁻¹‖ by one step of the power method from the gradient JᵀWf; collective."""
    scale = 1.0 if system.scale is None else system.scale
    g = system.tangent.adjoint(system.rhs) / scale
    size = float(np.linalg.norm(g))
    return system.tangent.norm(system.tangent.apply(g / scale)) / size if size > 0 else 0.0
