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
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import ParameterError
from .leastsquares import LeastSquares, Solution, Solver
from .problem import StageSystem

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Velocity:
    """A stage velocity and what the next stage needs.

    Attributes
    ----------
    value : (p,) array
        θ̇.
    anchor : (p,) array
        What the next stage passes on as its anchor: for inertia the velocity itself.
    defect : float
        ‖J θ̇ − f‖_W.
    solution : Solution
        The least-squares solution behind it.
    """

    value: Array
    anchor: Array
    defect: float
    solution: Solution


@dataclass(frozen=True)
class StageContext:
    """Where in a run a stage velocity is asked for.

    Attributes
    ----------
    t : float
        Time of the stage.
    dt : float
        Step size h.
    stages : int
        New velocities for each step: solves are τ = h/stages apart.
    step, stage : int
        Index of the step and of the stage: keys of random choices, identical on all ranks and after a restart.
    """

    t: float
    dt: float
    stages: int
    step: int = 0
    stage: int = 0


class Regularization(Protocol):
    """Rule that turns a stage's least-squares system and an anchor into a velocity."""

    def velocity(self, system: StageSystem, anchor: Array | None, solver: Solver, context: StageContext) -> Velocity:
        """The stage velocity; collective, identical on all ranks. ``anchor=None`` at the start of a run."""
        ...


@dataclass(frozen=True)
class Inertia:
    """Inertia with friction: ε² = μ/τ + κ, ρ = (μ/τ)/(μ/τ + κ), τ = h/stages.

    Parameters
    ----------
    mass : float
        μ ≥ 0, in units of ‖J‖² · time (‖J‖² is a squared field norm for each squared parameter).
    friction : float
        κ ≥ 0, in units of ‖J‖².

    See Also
    --------
    per_step : the same with ε and ρ given directly.

    Raises
    ------
    ParameterError
        Negative or non-finite numbers, or both zero.
    """

    mass: float
    friction: float = 0.0

    def __post_init__(self) -> None:
        _require_nonnegative(mass=self.mass, friction=self.friction)
        if self.mass == 0 and self.friction == 0:
            raise ParameterError(
                "mass = friction = 0 leaves the least-squares problem without regularization",
                "a small mass, for example 1e-8 ‖J‖² h, or dfpde.Dense with its rcond",
            )

    def coefficients(self, tau: float) -> tuple[float, float]:
        """(ε, ρ) for solves that are τ apart."""
        stiffness = self.mass / abs(tau)
        eps2 = stiffness + self.friction
        return math.sqrt(eps2), stiffness / eps2

    def velocity(self, system: StageSystem, anchor: Array | None, solver: Solver, context: StageContext) -> Velocity:
        """See `Regularization`."""
        eps, rho = self.coefficients(context.dt / context.stages)
        return anchored(system, anchor, eps, rho, solver)

    @staticmethod
    def per_step(eps: float, rho: float = 1.0) -> PerStep:
        """The per-step form: ε and ρ the same in every solve, whatever the step size."""
        return PerStep(eps, rho)


@dataclass(frozen=True)
class PerStep:
    """v = argmin ‖J v − f‖² + ε²‖v − ρ a‖² with constant ε > 0 and 0 ≤ ρ ≤ 1.

    Raises
    ------
    ParameterError
        ε not positive, or ρ outside [0, 1].
    """

    eps: float
    rho: float = 1.0

    def __post_init__(self) -> None:
        _require_nonnegative(eps=self.eps, rho=self.rho)
        if self.eps == 0 or self.rho > 1:
            raise ParameterError(f"eps = {self.eps}, rho = {self.rho}", "eps > 0 and 0 <= rho <= 1")

    def velocity(self, system: StageSystem, anchor: Array | None, solver: Solver, context: StageContext) -> Velocity:
        """See `Regularization`."""
        return anchored(system, anchor, self.eps, self.rho, solver)


def Tikhonov(eps: float) -> PerStep:  # noqa: N802  (reads as the name of a method beside Inertia)
    """Tikhonov-regularized Dirac–Frenkel: v = argmin ‖J v − f‖² + ε²‖v‖² (Feischl, Lasser, Lubich, Nick 2024)."""
    return PerStep(eps, 0.0)


#: Solves of the first velocity, which has no anchor: iterated Tikhonov, bias β^k instead of β in every direction.
#: The factor is the same for all, so one costs a few products.
FIRST_SOLVES = 4


def anchored(
    system: StageSystem, anchor: Array | None, eps: float, rho: float, solver: Solver
) -> Velocity:
    """One inertial solve in increment form; without an anchor, iterated Tikhonov from rest.

    A first velocity by a single Tikhonov solve would carry its bias β = ε²/(σ² + ε²) into every later stage of pure
    inertia; `FIRST_SOLVES` iterations with ρ = 1 leave β^k, at full regularization of directions with σ ≪ ε.
    For ρ = 0 the anchor is of no effect, and one solve is made.
    """
    rounds = 1 if anchor is not None or rho == 0 else FIRST_SOLVES
    if anchor is None:
        anchor, rho = np.zeros(system.tangent.columns), 1.0
    for _ in range(rounds):
        start = rho * anchor
        rhs = system.rhs - system.tangent.apply(start)  # also carries NaN of the tangent into the check: 0 · NaN
        solution = solver.solve(LeastSquares(system.tangent, rhs, eps, system.scale))
        anchor = start + solution.value
    return Velocity(anchor, anchor, solution.defect, solution)


def _require_nonnegative(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise ParameterError(f"{name} = {value}", f"a finite {name} >= 0")
