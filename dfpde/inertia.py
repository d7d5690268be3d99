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
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .collective import together
from .errors import ParameterError
from .leastsquares import LeastSquares, Solver
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
    iterations : int
        Iterations of the linear solver.
    memory : tuple of float
        Numbers the rule keeps for its next solve, the same on all ranks.
    """

    value: Array
    anchor: Array
    defect: float
    iterations: int = 0
    memory: tuple[float, ...] = ()


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
    memory : tuple of float
        What the rule kept from its last solve; empty at the start of a run.
    """

    t: float
    dt: float
    stages: int
    step: int = 0
    stage: int = 0
    memory: tuple[float, ...] = ()


class Regularization(Protocol):
    """Rule that turns a stage's least-squares system and an anchor into a velocity."""

    def velocity(self, system: StageSystem, anchor: Array | None, solver: Solver, context: StageContext) -> Velocity:
        """The stage velocity; collective, identical on all ranks. ``anchor=None`` at the start of a run."""
        ...


#: Default ρ: friction with a memory of about 1/(1 − ρ) = 33 solves; measured in docs/inertia.md.
RHO = 0.97

#: Default s of `Inertia.auto`: ½ h κ (r/2ε)² ≤ r.
SAFETY = 1 / 8


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

    @staticmethod
    def auto(tolerance: float = 1e-4, rho: float = RHO, safety: float = SAFETY) -> Auto:
        """ε chosen before every solve from the defect, the step size and the curvature of the ansatz: see `Auto`."""
        return Auto(tolerance, rho, safety)


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


def Tikhonov(eps: float) -> PerStep:
    """Tikhonov-regularized Dirac–Frenkel: v = argmin ‖J v − f‖² + ε²‖v‖² (Feischl, Lasser, Lubich, Nick 2024)."""
    return PerStep(eps, 0.0)


@dataclass(frozen=True)
class Auto:
    """Inertia with ε² = s h κ (d + η‖f‖) and friction ρ^(τ/τ_max) before every solve.

    Balances what a velocity in weakly informed directions does to a step, ½ h κ |w|² with |w| ≤ ‖r‖/2ε, against the
    residual that is tolerated anyway: d, the defect of the solve before, and η‖f‖.  κ = ‖Φ''[v, v]‖/|v|² is the
    curvature of the ansatz along the anchor, by a central difference of the field.  Friction acts over time: where
    steps shrink (τ below the longest so far, τ_max), a velocity in a null direction is not worn down; see
    docs/inertia.md.

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

    def __post_init__(self) -> None:
        _require_nonnegative(tolerance=self.tolerance, rho=self.rho, safety=self.safety)
        if not (0 < self.tolerance < 1 and self.rho <= 1 and self.safety > 0):
            raise ParameterError(f"{self}", "0 < tolerance < 1, 0 <= rho <= 1, safety > 0")

    def velocity(self, system: StageSystem, anchor: Array | None, solver: Solver, context: StageContext) -> Velocity:
        """See `Regularization`; memory = (defect of this solve, largest ‖√W J D⁻¹‖ and |τ| so far)."""
        defect, size, longest = context.memory or (math.nan, 0.0, 0.0)
        f, tau = system.tangent.norm(system.rhs), abs(context.dt) / context.stages
        size, longest = max(size, stiffness_norm(system)), max(longest, tau)
        rho = self.rho ** (tau / longest)
        along = anchor
        if along is None:  # a first velocity, to measure the curvature along
            first = anchored(system, None, max(FLOOR, self.tolerance) * size, rho, solver)
            defect, along = first.defect, first.value
        defect = self.tolerance * f if math.isnan(defect) else defect
        eps2 = self.safety * abs(context.dt) * curvature(system, along, context.dt) * (defect + self.tolerance * f)
        found = anchored(system, anchor, max(FLOOR * size, math.sqrt(eps2)), rho, solver)
        return replace(found, memory=(found.defect, size, longest))


#: Smallest ε relative to the largest ‖J‖ so far: where the normal equations of the preconditioner lose all digits, √u.
#: Not to the present ‖J‖: where the whole tangent vanishes, inertia has to take over.
FLOOR = 2.0**-26


def curvature(system: StageSystem, v: Array, dt: float) -> float:
    """κ = ‖Φ(θ + hv) − 2Φ(θ) + Φ(θ − hv)‖/(h²|Dv|²), the second derivative of the field along v; collective."""
    size = float(np.linalg.norm(v if system.scale is None else system.scale * v))
    if size == 0.0 or system.values is None or system.theta is None:
        return 0.0
    step = dt * v
    with together(system.tangent.comm), np.errstate(over="ignore", invalid="ignore"):
        bend = system.values(system.theta + step) - 2 * system.values(system.theta) + system.values(system.theta - step)
    kappa = system.tangent.norm(bend) / (dt * size) ** 2
    return kappa if math.isfinite(kappa) else 0.0


def stiffness_norm(system: StageSystem) -> float:
    """Lower bound of ‖√W J D⁻¹‖ by one step of the power method from the gradient JᵀWf; collective."""
    scale = 1.0 if system.scale is None else system.scale
    g = system.tangent.adjoint(system.rhs) / scale
    size = float(np.linalg.norm(g))
    return system.tangent.norm(system.tangent.apply(g / scale)) / size if size > 0 else 0.0


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
    iterations = 0
    for _ in range(rounds):
        start = rho * anchor
        rhs = system.rhs - system.tangent.apply(start)  # also carries NaN of the tangent into the check: 0 · NaN
        solution = solver.solve(LeastSquares(system.tangent, rhs, eps, system.scale))
        anchor = start + solution.value
        iterations += solution.iterations
    return Velocity(anchor, anchor, solution.defect, iterations)


def _require_nonnegative(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise ParameterError(f"{name} = {value}", f"a finite {name} >= 0")
