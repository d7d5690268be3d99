"""The parameters whose field is nearest to a given one, near a prediction.

    minimize ‖Φ(θ) − u*‖_W      by Levenberg–Marquardt,   δ = argmin ‖J δ − (u* − Φ(θ))‖²_W + ε² ‖D δ‖²

Metric D_j = (‖J e_j‖² + (δ max_i ‖J e_i‖)²)^½: a parameter that hardly moves the field (a saturated neuron, a component
of small amplitude) is held by the floor δ, where column norms alone (Moré 1978) would let it run.  A direction in which
J vanishes keeps the value of the prediction: there inertia decides, and nothing else can.  Where ε goes by the gain
ratio: Fletcher's rule (Nocedal & Wright, Numerical Optimization, Algorithm 4.1, for the damping instead of the radius).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..errors import NonFiniteError
from ..leastsquares import LeastSquares, Solver
from ..model import Model
from ..parallel.collective import collective_errors, norm

Array = NDArray[Any]

#: Damping of the first iteration of a run, in units of D, which has the units of J.
FIRST_DAMPING = 1e-3

#: The iteration ends when STALLED iterations with a gain have lowered the misfit by less than this factor.
STALLED, LEAST_GAIN = 4, 0.9


@dataclass(frozen=True)
@check.takes(floor=check.real(above=0, high=1), eps=check.real(above=0, below=1), iterations=check.integer(1))
class FieldProjection:
    """How far a projection is carried, and in which metric.

    Parameters
    ----------
    floor : float
        δ of the metric, 0 < δ <= 1.
    eps : float
        Lower end of the damping ε: directions with ‖J e‖ < ε ‖D e‖ stay where the prediction has them.
    iterations : int
        Most linear solves of one projection.

    Raises
    ------
    ParameterError
    """

    floor: float = 0.03
    eps: float = 1e-8
    iterations: int = 25

    def __call__(
        self, model: Model, target: Array, starts: Sequence[Array], misfit: float, solver: Solver, damping: float
    ) -> Projected:
        """θ with ‖Φ(θ) − u*‖_W <= misfit, or the least that is found; collective.

        Parameters
        ----------
        model : Model
        target : (*shape, N) array
            u* at this rank's points.
        starts : sequence of (p,) arrays
            The best of them is where the iteration starts.
        misfit : float
            Where it may end, in units of ‖u‖.
        solver : Solver
        damping : float
            First ε.

        Raises
        ------
        NonFiniteError
            The field is not finite at any start.
        """
        theta, r, found = min((Candidate.at(model, target, theta) for theta in starts), key=lambda tried: tried.misfit)
        if not math.isfinite(found):
            error = NonFiniteError(f"the field is not finite at any of {len(starts)} predictions", "a smaller step")
            error.collective = True
            raise error
        path, solves, iterations, tangent, lucky = [found], 0, 0, None, damping
        while solves < self.iterations and found > misfit and damping < 1.0:
            if tangent is None:
                tangent = model.tangent(theta)
                metric = self.metric(tangent.column_norms())
            solution = solver.solve(LeastSquares(tangent, r, damping, metric))
            solves, iterations = solves + 1, iterations + solution.iterations
            tried = Candidate.at(model, target, theta + solution.value)
            predicted = found**2 - solution.defect**2
            if not predicted > (1e-8 * found) ** 2:
                break  # J holds nothing of what is missing
            gain = (found**2 - tried.misfit**2) / predicted
            damping = max(self.eps, damping * factor(gain))
            if gain > 0:
                (theta, r, found), tangent, lucky = tried, None, damping
                path.append(found)
                if len(path) > STALLED and found > LEAST_GAIN * path[-1 - STALLED]:
                    break
        return Projected(theta, found, min(lucky, FIRST_DAMPING), solves, iterations)

    def metric(self, norms: Array) -> Array:
        """D of column norms (p,)."""
        largest = float(norms.max(initial=0.0))
        return np.hypot(norms, self.floor * largest) if largest > 0 else np.ones_like(norms)


def factor(gain: float) -> float:
    """Change of the damping after a step whose decrease of ‖·‖² was `gain` times the predicted one."""
    if gain > 0.75:
        return 1 / 3
    if gain > 0.25:
        return 1.0
    return 2.0 if gain > 0 else 3.0


@dataclass(frozen=True, eq=False)
class Projected:
    """Result of a projection.

    Attributes
    ----------
    theta : (p,) array
    misfit : float
        ‖Φ(θ) − u*‖_W.
    damping : float
        The ε to start the next projection with: after the last iteration with a gain, at most `FIRST_DAMPING`.
    solves, iterations : int
        Linear solves, and iterations of the linear solver in all of them.
    """

    theta: Array
    misfit: float
    damping: float
    solves: int
    iterations: int


@dataclass(frozen=True, eq=False)
class Candidate:
    """θ, √W (u* − Φ(θ)) and its norm; infinite where the field is not finite."""

    theta: Array
    residual: Array
    misfit: float

    def __iter__(self) -> Any:
        return iter((self.theta, self.residual, self.misfit))

    @classmethod
    def at(cls, model: Model, target: Array, theta: Array) -> Candidate:
        """The candidate θ; collective."""
        with np.errstate(all="ignore"):
            with collective_errors(model.comm):
                rows = model.weigh(target - model.ansatz.value(theta, model.points))
            total = norm(rows, model.comm)
        return cls(theta, rows, total if math.isfinite(total) else math.inf)
