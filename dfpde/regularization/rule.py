"""What every regularization rule is: a stage's least-squares system and an anchor in, a velocity out.

    v = ρ a + argmin_δ ‖J δ − (f − ρ J a)‖²_W + ε² ‖D δ‖²
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..leastsquares import LeastSquares, Solver
from ..model import StageSystem
from ..representation import represent

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
    rhs_norm : float
        ‖f‖_W.
    eps, rho : float
        ε and ρ of the solve; ρ is NaN for a rule that has none.
    iterations : int
        Iterations of the linear solver.
    carry : tuple of float
        What the rule carries to its next solve, the same on all ranks.
    """

    value: Array
    anchor: Array
    defect: float
    rhs_norm: float
    eps: float
    rho: float = math.nan
    iterations: int = 0
    carry: tuple[float, ...] = ()

    __repr__ = represent


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
    carry : tuple of float
        What the rule carries from its last solve; empty at the start of a run.
    """

    t: float
    dt: float
    stages: int
    step: int = 0
    stage: int = 0
    carry: tuple[float, ...] = ()


class Regularization(Protocol):
    """Rule that turns a stage's least-squares system and an anchor into a velocity.

    Attributes
    ----------
    chooses_metric : bool
        Whether a run gives a problem without `scale` the metric D of `leastsquares.block_metric`, for rules that choose
        ε themselves; False leaves D = 1, in which the user's ε is meant.
    """

    chooses_metric: bool = False

    def velocity(self, system: StageSystem, anchor: Array | None, solver: Solver, context: StageContext) -> Velocity:
        """The stage velocity; collective, identical on all ranks. ``anchor=None`` at the start of a run."""
        ...


class Anchored(Regularization):
    """Rules with ε and ρ that are known before the solve: `velocity` from `coefficients`."""

    @abstractmethod
    def coefficients(self, tau: float) -> tuple[float, float]:
        """(ε, ρ) for solves that are τ apart; mass and friction are μ = ε² ρ τ and κ = ε² (1 − ρ)."""

    def velocity(self, system: StageSystem, anchor: Array | None, solver: Solver, context: StageContext) -> Velocity:
        """See `Regularization`."""
        return anchored(system, anchor, *self.coefficients(context.dt / context.stages), solver)


#: Solves of the first velocity, which has no anchor: iterated Tikhonov, bias β^k instead of β in every direction.
#: All use the same factor, so a further one costs a few products only.
FIRST_SOLVES = 4


def anchored(
    system: StageSystem, anchor: Array | None, eps: float, rho: float, solver: Solver
) -> Velocity:
    """One inertial solve in increment form; without an anchor, iterated Tikhonov from rest.

    A first velocity by a single Tikhonov solve would carry its bias β = ε²/(σ² + ε²) into every later stage of pure
    inertia; `FIRST_SOLVES` iterations with ρ = 1 leave β^k, at full regularization of directions with σ ≪ ε.
    For ρ = 0 the anchor is of no effect, and one solve is made.
    """
    rounds, given = 1 if anchor is not None or rho == 0 else FIRST_SOLVES, rho
    if anchor is None:
        anchor, rho = np.zeros(system.tangent.columns), 1.0
    iterations = 0
    for _ in range(rounds):
        start = rho * anchor
        rhs = system.rhs - system.tangent.apply(start)  # also carries NaN of the tangent into the check: 0 · NaN
        solution = solver.solve(LeastSquares(system.tangent, rhs, eps, system.scale))
        anchor = start + solution.value
        iterations += solution.iterations
    size = system.tangent.norm(system.rhs)
    return Velocity(anchor, anchor, solution.defect, size, eps, given, iterations)
