"""Which velocity to take where the equation says little: inertia, friction, Tikhonov.

Continuous form     μ θ̈ + κ θ̇ + Jᵀ(J θ̇ − f) = 0
one solve           v = argmin ‖J v − f‖²_W + ε² ‖v − ρ a‖²,   ε² = μ/τ + κ,   ρ = (μ/τ)/(μ/τ + κ)
as an increment     v = ρ a + argmin_δ ‖J δ − (f − ρ J a)‖²_W + ε² ‖δ‖²

with the anchor a, the velocity of the stage before, and τ the time between two solves: an implicit Euler step of the
velocity equation over τ (derived here; the method is "Dirac–Frenkel dynamics with inertia", arXiv 2606.24769).
Singular direction by direction, v ← β ρ a + (1 − β) v_DF with β = ε²/(σ² + ε²).
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

from .. import validation as check
from ..errors import ParameterError
from .rule import Anchored


@dataclass(frozen=True)
@check.takes(eps=check.real(above=0), rho=check.real(0, 1))
class Inertia(Anchored):
    """v = argmin ‖J v − f‖² + ε²‖v − ρ a‖² with constant ε > 0 and 0 ≤ ρ ≤ 1.

    Raises
    ------
    ParameterError
        ε not positive, or ρ outside [0, 1].
    """

    eps: float
    rho: float = 1.0

    def coefficients(self, tau: float) -> tuple[float, float]:
        """(ε, ρ), whatever τ."""
        return self.eps, self.rho


@dataclass(frozen=True)
@check.takes(mass=check.real(0), friction=check.real(0))
class InertiaFromMass(Anchored):
    """Inertia with friction: ε² = μ/τ + κ, ρ = (μ/τ)/(μ/τ + κ), τ = h/stages.

    Parameters
    ----------
    mass : float
        μ ≥ 0, in units of ‖J‖² · time (‖J‖² is a squared field norm for each squared parameter).
    friction : float
        κ ≥ 0, in units of ‖J‖².

    See Also
    --------
    Inertia : the same with ε and ρ given directly.

    Raises
    ------
    ParameterError
        Negative or non-finite numbers, or both zero.
    """

    mass: float
    friction: float = 0.0

    def __post_init__(self) -> None:
        if self.mass == 0 and self.friction == 0:
            raise ParameterError(
                "mass = friction = 0 leaves the least-squares problem without regularization",
                "a small mass, for example 1e-8 ‖J‖² h, or dfpde.Dense with its rcond",
            )

    def coefficients(self, tau: float) -> tuple[float, float]:
        """(ε, ρ) for solves that are τ apart."""
        if not (check.is_real(tau) and 0 < abs(tau) <= sys.float_info.max):
            raise ParameterError(f"tau = {tau!r}", "a time between two solves, finite and not 0")
        stiffness = self.mass / abs(tau)
        eps2 = stiffness + self.friction
        return math.sqrt(eps2), stiffness / eps2


@dataclass(frozen=True)
@check.takes(eps=check.real(above=0))
class Tikhonov(Anchored):
    """v = argmin ‖J v − f‖² + ε²‖v‖²: Tikhonov-regularized Dirac–Frenkel (Feischl, Lasser, Lubich, Nick 2024).

    Raises
    ------
    ParameterError
        ε not positive.
    """

    eps: float

    def coefficients(self, tau: float) -> tuple[float, float]:
        """(ε, 0), whatever τ."""
        return self.eps, 0.0
