"""Nonlinear least squares by Levenberg and Marquardt, on the linear engine.

    minimize ‖r(θ)‖,  r = √W (u − Φ(θ)):      δ = argmin ‖J δ − r‖² + ε² ‖D δ‖²,      θ ← θ + δ where ‖r‖ falls

D_j = (‖J e_j‖² + (φ max_i ‖J e_i‖)²)^½, the column norms of Moré (1978) with a floor φ: without it what hardly moves
the field (a saturated neuron, a component of small amplitude) runs away.  ε is the misfit times a factor λ that follows
Nielsen's gain-ratio rule (Madsen, Nielsen, Tingleff, Methods for Non-Linear Least Squares Problems, 2004): a damping
that falls with the misfit keeps the convergence quadratic where parameters are redundant (Yamashita, Fukushima,
Computing Suppl. 15 (2001) 239; Fan, Pan, Numer. Algorithms 46 (2007) 71).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..parallel.collective import norm
from .system import LeastSquares, Solver, Tangent

Array = NDArray[Any]

#: The reason of an end at the goal.
REACHED = "the misfit is small enough"
#: Where along δ the curvature is probed, and the largest correction, twice its length over that of δ.
PROBE, TURN = 0.1, 0.75
#: λ beyond which no step is left to be tried.
LARGEST = 1e12


def floored_metric(norms: Array, floor: float) -> Array:
    """D of the column norms (p,), positive; ones where the tangent vanishes."""
    largest = float(norms.max(initial=0.0))
    return np.hypot(norms, floor * largest) if largest > 0 else np.ones(norms.size)


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where the iteration ended.

    Attributes
    ----------
    theta : (p,) array
    misfit : float
        ‖r(θ)‖.
    damping : float
        λ after the last step that was taken.
    solves, iterations : int
        Linear solves, and iterations of the linear solver in all of them.
    reason : str
        Why it ended.
    """

    theta: Array
    misfit: float
    damping: float
    solves: int
    iterations: int
    reason: str


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Settings of the iteration.

    Attributes
    ----------
    comm : MPI.Comm
        Of the rows.
    floor : float
        φ of the metric.
    eps : float
        Lower end of ε.
    unit : float
        Misfit at which ε = λ.
    goal : float
        It ends at a misfit up to this.
    least, memory : float, int
        It ends where `memory` steps together have lowered the misfit by less than this share of it.
    negligible : float
        It ends where the predicted decrease of ‖r‖² is below (negligible ‖r‖)².
    most : int
        Most linear problems.
    curved : bool
        Follow the curvature of Φ: δ is corrected to second order (Transtrum, Sethna, arXiv 1201.5885).
    """

    comm: MPI.Comm
    floor: float
    eps: float
    unit: float
    goal: float
    least: float
    memory: int
    negligible: float
    most: int
    curved: bool = False

    def __call__(
        self, residual: Callable[[Array], Array], tangent: Callable[[Array], Tangent], theta: Array, damping: float,
        solver: Solver,
    ) -> Minimum:  # fmt: skip
        """The minimum near θ; collective.

        Parameters
        ----------
        residual : callable
            θ -> this rank's rows of √W (u − Φ(θ)); not finite: the step is not taken.
        tangent : callable
            θ -> √W J.
        theta : (p,) array
        damping : float
            First λ.
        solver : Solver
        """
        r = residual(theta)
        misfit, J, raise_by, taken, iterations = norm(r, self.comm), None, 2.0, damping, 0
        path = [misfit]
        for solves in range(self.most):
            if misfit <= self.goal:
                return Minimum(theta, misfit, taken, solves, iterations, REACHED)
            if J is None:
                J = tangent(theta)
                metric = floored_metric(J.column_norms(), self.floor)
            system = LeastSquares(J, r, max(damping * misfit / self.unit, self.eps), metric)
            solution = solver.solve(system)
            iterations += solution.iterations
            predicted = misfit**2 - solution.defect**2
            trial = theta + solution.value
            if self.curved:
                trial = trial + self._turn(system, solution.value, residual(theta + PROBE * solution.value), solver)
            rows = residual(trial)
            found = norm(rows, self.comm)
            gain = (misfit**2 - found**2) / predicted if predicted > 0 and math.isfinite(found) else -1.0
            ends = predicted <= (self.negligible * misfit) ** 2
            if gain > 0:
                damping, raise_by = max(damping * faster(gain), 1 / LARGEST), 2.0
                theta, r, misfit, J, taken = trial, rows, found, None, damping
                path.append(misfit)
                ends = ends or (len(path) > self.memory and misfit >= (1 - self.least) * path[-1 - self.memory])
            else:
                damping, raise_by = damping * math.sqrt(raise_by), 2 * raise_by
            if ends or damping > LARGEST:
                reason = "the misfit does not fall any more" if ends else "no step makes the misfit smaller"
                return Minimum(theta, misfit, taken, solves + 1, iterations, reason)
        reason = REACHED if misfit <= self.goal else "max_iterations"
        return Minimum(theta, misfit, taken, self.most, iterations, reason)

    def _turn(self, system: LeastSquares, step: Array, ahead: Array, solver: Solver) -> Array:
        """argmin ‖J w + ½ Φ''[δ, δ]‖² + ε² ‖D w‖², half the acceleration along δ; zero where it is no correction.

        `ahead` is r(θ + hδ): ½ Φ''[δ, δ] = (r − r(θ + hδ) − h J δ)/h² up to O(h).
        """
        bend = (system.rhs - ahead - PROBE * system.tangent.apply(step)) / PROBE**2
        if not math.isfinite(norm(bend, self.comm)):
            return np.zeros_like(step)
        turn = solver.solve(replace(system, rhs=-bend)).value
        size = np.linalg.norm(system.scale * step)
        return turn if 2 * np.linalg.norm(system.scale * turn) <= TURN * size else np.zeros_like(step)


def faster(gain: float) -> float:
    """Change of λ after a step whose decrease of ‖r‖² was `gain` times the predicted one."""
    return math.sqrt(max(1 / 3, 1 - (2 * gain - 1) ** 3))
