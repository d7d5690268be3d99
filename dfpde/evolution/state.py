"""The state of a run: immutable, complete, replicated on all ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..errors import NonFiniteError, ShapeError

Array = NDArray[Any]


@dataclass(frozen=True)
class Statistics:
    """What a run measures on its way; nothing depends on it.

    Attributes
    ----------
    defect : float
        ‖J θ̇ − f‖ over the last step (mean over stages weighted by the scheme), units of u per time; NaN at the start.
    rhs_norm : float
        ‖f‖ in the same mean: defect / rhs_norm is the share of u_t that the ansatz does not follow.
    eps, rho : float
        ε and ρ of the last solve; NaN where the rule has none.
    error : float
        Estimated field error of the last step; after `fit` the misfit ‖Φ(θ) − u₀‖; NaN where unknown.
    dt : float
        Size of the last step; 0 at the start.
    rejected : int
        Rejected steps so far.
    iterations : int
        Iterations of the linear solver so far.
    resolution : float
        Largest statistical leverage of a point, 0 to 1: near 1 a single point decides a direction; NaN where unknown.
    effective_dimension : float
        Σ σ²/(σ² + ε²), the sum of the leverages; NaN where unknown.
    effective_samples : float
        (Σ w u²)²/Σ (w u²)², points that carry ‖u‖, where points follow the solution (`dfpde.measures`); else NaN.
    sampling_error : float
        Relative standard error of ‖u‖ as these points measure it; NaN where they do not move.
    """

    defect: float = math.nan
    rhs_norm: float = math.nan
    eps: float = math.nan
    rho: float = math.nan
    error: float = math.nan
    dt: float = 0.0
    rejected: int = 0
    iterations: int = 0
    resolution: float = math.nan
    effective_dimension: float = math.nan
    effective_samples: float = math.nan
    sampling_error: float = math.nan

    @property
    def relative_defect(self) -> float:
        """‖J θ̇ − f‖/‖f‖; NaN where f = 0."""
        return self.defect / self.rhs_norm if self.rhs_norm > 0 else math.nan


@dataclass(frozen=True, eq=False)
@check.takes(
    t=check.real(),
    step=check.integer(0),
    at_end=check.truth,
    dt=check.optional(check.real(above=0)),
    statistics=check.instance(Statistics, "Statistics"),
)
class State:
    """Everything a run needs to go on: t, θ, the last velocity, and what its parts carry from step to step.

    Attributes
    ----------
    t : float
        Time.
    theta : (p,) array
        Parameters θ; read-only.
    step : int
        Accepted steps so far.
    velocity : (p,) array or None
        θ̇ of the last stage; None before the first step.
    anchor : (p,) array or None
        Anchor of the next stage (for inertia the velocity itself); None before the first step.
    at_end : bool
        True when `velocity` was solved at exactly (t, θ), so that a first-same-as-last scheme may use it.
    dt : float or None
        Step size the controller proposes next.
    scale : (p,) array or None
        D, the metric of the parameters that the run has chosen; None where it has not.
    end_norms : (float, float)
        ‖J θ̇ − f‖ and ‖f‖ of `velocity` itself, the last stage.
    controller_carry, rule_carry, solver_carry, integrator_carry : tuple of float
        What the step controller (earlier error ratios), the regularization rule, the solver (`LSQR.carry`) and the
        integrator carry to the next step.
    event_carry : tuple of float
        The signs from which the events of the run are waited for; () without events.
    guard_carry : tuple of float
        When the resolution was looked at last, what was seen, and when it is looked at next; () before the first look.
    measure_carry : tuple of arrays
        What the points of a moving measure were drawn from, or they themselves (`dfpde.measures`); empty where none
        moves.
    statistics : Statistics
    """

    t: float
    theta: Array
    step: int = 0
    velocity: Array | None = None
    anchor: Array | None = None
    at_end: bool = False
    dt: float | None = None
    scale: Array | None = None
    end_norms: tuple[float, float] = (math.nan, math.nan)
    controller_carry: tuple[float, ...] = ()
    rule_carry: tuple[float, ...] = ()
    solver_carry: tuple[float, ...] = ()
    integrator_carry: tuple[float, ...] = ()
    event_carry: tuple[float, ...] = ()
    guard_carry: tuple[float, ...] = ()
    measure_carry: tuple[Array, ...] = ()
    statistics: Statistics = Statistics()

    def __post_init__(self) -> None:
        for name in ("theta", "velocity", "anchor", "scale"):
            value = getattr(self, name)
            if value is None and name != "theta":
                continue
            check.numbers(finite=False, above=0 if name == "scale" else -math.inf)(name, value)
            array = np.array(value, dtype=float)  # own copy: a state never changes
            if array.ndim != 1 or (name != "theta" and array.shape != np.shape(self.theta)):
                raise ShapeError(f"{name} of a state has shape {array.shape}", "one number for each parameter")
            if not np.all(np.isfinite(array)):
                bad = np.flatnonzero(~np.isfinite(array))
                raise NonFiniteError(
                    f"{name} of the state at t = {self.t:g} is not finite in {bad.size} parameters, first "
                    f"{bad[:5].tolist()}",
                    "look at the step before: a smaller step, a larger ε, or a field that blows up",
                )
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def with_(self, **changes: Any) -> State:
        """A copy with some attributes changed."""
        return replace(self, **changes)

    def counted(self, **changes: Any) -> State:
        """A copy with some of its statistics changed."""
        return self.with_(statistics=replace(self.statistics, **changes))

    def __repr__(self) -> str:
        size = float(np.linalg.norm(self.theta))
        return f"State(t={self.t:g}, step={self.step}, theta: {self.theta.size} numbers, |theta| = {size:.3g})"


def hermite(start: State, end: State, s: float, dt: float) -> Array:
    """θ at t + s dt on the cubic through both states; quadratic where the first velocity is unknown."""
    change = end.theta - start.theta
    after = np.asarray(end.velocity) * dt if end.velocity is not None else change
    before = np.asarray(start.velocity) * dt if start.velocity is not None else 2 * change - after
    a, b = before + after - 2 * change, 3 * change - 2 * before - after
    theta: Array = start.theta + s * (before + s * (b + s * a))
    return theta
