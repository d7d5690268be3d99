"""Inertia whose ε is chosen before every solve: from defect, step and curvature of the ansatz, and from its cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..errors import NonFiniteError, ParameterError
from ..leastsquares import LeastSquares, Solver
from ..model import StageSystem
from .rule import Regularization, StageContext, Velocity, anchored

Array = NDArray[Any]

#: Default ρ: friction with a memory of about 1/(1 − ρ) = 33 solves; measured in docs/inertia.md.
RHO = 0.97

#: Default γ: an anchor that averages over about 1/(1 − γ) = 20 solves; measured in docs/inertia.md.
MEMORY = 0.95

#: Default s of `AutoInertia`: ½ h κ (r/2ε)² ≤ r.
SAFETY = 1 / 8

#: Default share of the defect that ε may cost: it grows by half a percent; measured in docs/inertia.md.
FREE = 0.1

#: How much ε_b² may fall from one solve to the next, and grow over τ_max: a decade of ε takes four solves.
CHANGE = 4.0

#: What is carried from solve to solve, at the start: d, κ, ε_b², first ‖√W J D⁻¹‖, its largest column, the largest |τ|.
UNKNOWN = (math.nan, math.nan, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
@check.takes(
    tolerance=check.real(above=0, below=1), rho=check.real(0, 1), safety=check.real(above=0),
    memory=check.real(0, below=1), free=check.real(0), iterated=check.truth,
)  # fmt: skip
class AutoInertia(Regularization):
    """Inertia with one iteration, v ← v + argmin ‖J δ − (f − J v)‖² + ε²‖δ‖²_D, and ε² = min(max(s h κ d, ε_b²), η c²).

    The iteration (iterated Tikhonov, with the factor that is there) leaves a bias of β² in the place of
    β = ε²/(σ² + ε²) in every direction.  It is also a measure of that bias, b = ‖J δ‖.

    s h κ d balances what a velocity in weakly informed directions does to a step, ½ h κ |w|² with |w| ≤ ‖r‖/2ε,
    against the residual that is there anyway: d, the defect of the solve before.  κ = ‖Φ''[v, v]‖/|Dv|² is the
    curvature of the ansatz along the velocity before, by a central difference of the field.

    ε_b is the largest ε that costs next to nothing, whatever the step: b is at most q d, q = 1/10.  ε_b² of the next
    solve is ε² q d/b; it falls by 4 at most, and grows by 4^(τ/τ_max) at most.

    Nor is ε² larger than η c², c the largest column of √W J D⁻¹ at the start: a direction that does as much as one
    parameter does has β ≤ η.  Friction is ρ^(τ/τ_max): where steps shrink (τ below the longest so far, τ_max), a
    velocity in a null direction is not worn down.

    The anchor is a ← minmod(v, γ' a + (1 − γ') v), γ' = γ^(τ/τ_max): component by component the smaller one of the
    velocity and its running mean, or zero where their signs differ.  A velocity that stays is kept, one that falls is
    followed at once, and one that turns has none, as an anchor that lags behind what turns makes it grow; see
    docs/inertia.md.

    Parameters
    ----------
    tolerance : float
        η, the largest β of a direction that does as much as one parameter.
    rho : float
        0 ≤ ρ ≤ 1, for solves τ_max apart.
    safety : float
        s > 0; 1/8 is the worst case of the balance for one solve.
    memory : float
        0 ≤ γ < 1, for solves τ_max apart; 0 makes the velocity before the anchor.
    free : float
        q ≥ 0, the share of the defect that the bias of ε_b may have; 0 leaves ε_b out.
    iterated : bool
        Whether δ is added to v; False leaves v as one solve of inertia gives it.

    Raises
    ------
    ParameterError
        Numbers outside their ranges; from `velocity`, a state that another rule has left.
    """

    tolerance: float = 1e-4
    rho: float = RHO
    safety: float = SAFETY
    memory: float = MEMORY
    free: float = FREE
    iterated: bool = True
    chooses_metric: ClassVar[bool] = True  # type: ignore[misc]  # of the class, while the protocol also allows instances

    def velocity(self, system: StageSystem, anchor: Array | None, solver: Solver, context: StageContext) -> Velocity:
        """See `Regularization`; carry = (d and κ of this solve, ε_b², first ‖√W J D⁻¹‖ and c, largest |τ| so far)."""
        if len(context.carry) not in (0, len(UNKNOWN)):
            what = f"the state was left by another rule or version: it carries {len(context.carry)} numbers"
            raise ParameterError(what, f"state.with_(rule_carry=()), which starts {type(self).__name__} anew")
        defect, kappa, costless, first_size, column, longest = context.carry or UNKNOWN
        tau = abs(context.dt) / context.stages
        present, longest = stiffness_norm(system), max(longest, tau)
        first_size, column = first_size or present, column or largest_column(system)
        size = max(first_size, present)  # not the present one alone: where all of J vanishes, inertia takes over
        rho = self.rho ** (tau / longest)
        if math.isnan(kappa):  # a first velocity, to measure the curvature along
            first = anchored(system, anchor, max(system.smallest_eps, self.tolerance) * size, rho, solver)
            defect, kappa = first.defect, curvature(system, first.value, context.dt)
        eps2 = self.safety * abs(context.dt) * kappa * defect
        if not math.isfinite(eps2 + size):  # of a stage far off: the step is tried again, smaller
            what = f"the automatic ε is not finite: ‖J‖ = {present:.1e}, κ = {kappa:.1e}, defect {defect:.1e}"
            raise NonFiniteError(what, "a smaller step, a larger tolerance, or a rule with a given ε")
        eps2 = min(max(eps2, costless), self.tolerance * column**2 or math.inf)
        found = anchored(system, anchor, max(system.smallest_eps * size, math.sqrt(eps2)), rho, solver)
        better, bias = iterate(system, found, solver)
        found = better if self.iterated else found
        if self.free > 0:
            costless = found.eps**2 * change(self.free * found.defect, bias, CHANGE ** (tau / longest))
        kept = found.value if anchor is None else limited(anchor, found.value, self.memory ** (tau / longest))
        kappa = curvature(system, found.value, context.dt)
        return replace(found, anchor=kept, carry=(found.defect, kappa, costless, first_size, column, longest))


def limited(anchor: Array, v: Array, memory: float) -> Array:
    """minmod(v, γ a + (1 − γ) v), component by component: the smaller one where the signs agree, zero elsewhere.

    The limiter of total-variation diminishing schemes, here in time: what it keeps never exceeds the velocity itself.
    """
    mean = memory * anchor + (1 - memory) * v
    return np.where(mean * v > 0, np.where(np.abs(mean) < np.abs(v), mean, v), 0.0)


def curvature(system: StageSystem, v: Array, dt: float) -> float:
    """κ = ‖Φ(θ + hv) − 2Φ(θ) + Φ(θ − hv)‖/(h²|Dv|²), the second derivative of the field along v; collective."""
    size = float(np.linalg.norm(v if system.scale is None else system.scale * v))
    if size == 0.0:
        return 0.0
    kappa = system.bend(dt * v) / (dt * size) ** 2
    return kappa if math.isfinite(kappa) else 0.0


def iterate(system: StageSystem, found: Velocity, solver: Solver) -> tuple[Velocity, float]:
    """v + δ and b = ‖J δ‖, δ = argmin ‖J δ − (f − J v)‖² + ε²‖D δ‖²: β² c in the place of the bias β c; collective."""
    rest = system.rhs - system.tangent.apply(found.value)
    solution = solver.solve(LeastSquares(system.tangent, rest, found.eps, system.scale))
    bias = system.tangent.norm(system.tangent.apply(solution.value))
    iterations = found.iterations + solution.iterations
    return replace(found, value=found.value + solution.value, defect=solution.defect, iterations=iterations), bias


def change(allowed: float, bias: float, most: float) -> float:
    """Factor of ε²: allowed/b, as b grows like ε² where ε is small, between 1/CHANGE and most."""
    return most if bias == 0 else min(most, max(1 / CHANGE, allowed / bias))


def largest_column(system: StageSystem) -> float:
    """Largest column norm of √W J D⁻¹; collective."""
    norms = system.tangent.column_norms()
    return float(np.max(norms if system.scale is None else norms / system.scale, initial=0.0))


def stiffness_norm(system: StageSystem) -> float:
    """Lower bound of ‖√W J D⁻¹‖ by one step of the power method from the gradient JᵀWf; collective."""
    scale = 1.0 if system.scale is None else system.scale
    g = system.tangent.adjoint(system.rhs) / scale
    size = float(np.linalg.norm(g))
    return system.tangent.norm(system.tangent.apply(g / scale)) / size if size > 0 else 0.0
