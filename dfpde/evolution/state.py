"""The state of a run: immutable, complete, replicated on all ranks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NonFiniteError, ShapeError
from ..leastsquares import KeptFactor

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class State:
    """Everything a run needs to go on: t, θ, the anchor, the controller's memory.

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
    control : tuple of float
        Memory of the controller (earlier error ratios).
    defect : float
        ‖J θ̇ − f‖ over the last step (mean over stages weighted by the scheme), units of u per time; NaN at the start.
    defect_end : float
        ‖J θ̇ − f‖ of `velocity` itself, the last stage.
    error : float
        Estimated field error of the last step; after `fit` the misfit ‖Φ(θ) − u₀‖; NaN where unknown.
    last_dt : float
        Size of the last step; 0 at the start.
    rejected : int
        Rejected steps so far.
    memory : tuple of float
        Numbers the regularization keeps between solves (`AutoInertia`: the last defect).
    kept : KeptFactor or None
        Where the solver's preconditioner was built, so that a restart is bitwise the same as going on.
    """

    t: float
    theta: Array
    step: int = 0
    velocity: Array | None = None
    anchor: Array | None = None
    at_end: bool = False
    dt: float | None = None
    control: tuple[float, ...] = ()
    defect: float = float("nan")
    defect_end: float = float("nan")
    error: float = float("nan")
    last_dt: float = 0.0
    rejected: int = 0
    memory: tuple[float, ...] = ()
    kept: KeptFactor | None = None

    def __post_init__(self) -> None:
        for name in ("theta", "velocity", "anchor"):
            value = getattr(self, name)
            if value is None:
                continue
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
