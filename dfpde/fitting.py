"""Initial data: the parameters whose field is nearest to a given function.

    minimize ½ ‖Φ(θ) − u₀‖²_W      by Levenberg–Marquardt,   δ = argmin ‖J δ − (u₀ − Φ(θ))‖²_W + λ² ‖D δ‖²

on the same least-squares engine as the time steps.  D are the column norms of √W J (Moré 1978, largest so far), λ
follows Nielsen's gain-ratio rule (Madsen, Nielsen, Tingleff, Methods for Non-Linear Least Squares Problems, 2004).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ansatz.base import Ansatz
from .errors import ParameterError, ShapeError
from .evolution.state import State, Statistics
from .leastsquares import KSP, LeastSquares, Solver
from .model import Model
from .parallel.collective import collective_errors, require_finite
from .parallel.replicated import same_on_all_ranks
from .parallel.threads import one_thread

Array = NDArray[Any]


@one_thread()
def fit(
    problem: Model,
    initial: Callable[[Array], Array] | Array,
    guess: Array,
    *,
    t: float = 0.0,
    rtol: float = 1e-10,
    max_iterations: int = 200,
    solver: Solver | None = None,
) -> State:
    """State at time t whose field is a local best approximation of u₀ in the quadrature norm.

    Parameters
    ----------
    problem : Problem
    initial : callable or array
        u₀: x (dim, N) -> (*shape, N), or its values at this rank's quadrature points.
    guess : (p,) array
        Start; a local minimum near it is found (several starts are the caller's choice).
    t : float
        Time of the state.
    rtol : float
        Stop when the misfit, or its predicted relative decrease, is below rtol.
    max_iterations : int
        Most Levenberg–Marquardt iterations.
    solver : Solver or None
        None is a `KSP()` of its own.

    Returns
    -------
    State
        ``state.statistics.error`` is the misfit ‖Φ(θ) − u₀‖_W.

    Raises
    ------
    ShapeError
        u₀ has another shape than the field.
    NonFiniteError
        u₀ or the field at the guess is not finite.
    """
    same_on_all_ranks(
        problem.comm, into=(Ansatz,), ansatz=problem.ansatz, guess=guess, t=t, rtol=rtol,
        max_iterations=max_iterations, solver=solver,
    )  # fmt: skip
    if not 0 < rtol < 1 or max_iterations < 0:
        raise ParameterError(f"rtol = {rtol}, max_iterations = {max_iterations}", "0 < rtol < 1, max_iterations >= 0")
    theta = problem.ansatz.check_theta(guess)
    target = _target(problem, initial)
    require_finite(problem.comm, "a guess inside the domain of the ansatz", guess=theta)
    solver = KSP() if solver is None else solver

    def residual(theta: Array) -> Array:
        with collective_errors(problem.comm):
            return problem.weigh(target - problem.ansatz.value(theta, problem.points))

    theta, misfit = _levenberg_marquardt(problem, residual, theta, rtol, max_iterations, solver)
    return State(t=t, theta=theta, statistics=Statistics(error=misfit))


def _target(problem: Model, initial: Callable[[Array], Array] | Array) -> Array:
    ansatz, x = problem.ansatz, problem.points
    with collective_errors(problem.comm):
        values = np.asarray(initial(x) if callable(initial) else initial)
        shape = (*ansatz.shape, x.shape[1])
        if values.shape != shape or (np.iscomplexobj(values) and np.dtype(ansatz.dtype).kind != "c"):
            raise ShapeError(
                f"initial data of shape {values.shape} and dtype {values.dtype} for a field of shape {shape} and dtype "
                f"{np.dtype(ansatz.dtype)}",
                "one value for each component and point, points last",
            )
    require_finite(problem.comm, "initial data must be finite at every quadrature point", initial=values)
    return values.astype(ansatz.dtype)


def _levenberg_marquardt(
    problem: Model,
    residual: Callable[[Array], Array],
    theta: Array,
    rtol: float,
    max_iterations: int,
    solver: Solver,
) -> tuple[Array, float]:
    tangent = problem.tangent(theta)
    r = residual(theta)
    misfit, size = tangent.norm(r), max(problem.norm(theta), tangent.norm(r))
    scale = np.zeros(theta.size)
    damping, raise_by = 1e-3, 2.0
    for _ in range(max_iterations):
        if misfit <= 1e-15 * size:
            break
        norms = tangent.column_norms()
        scale = np.maximum(scale, norms)
        d = np.where(scale > 0, scale, max(1.0, float(scale.max(initial=0.0))))
        solution = solver.solve(LeastSquares(tangent, r, damping, d))
        predicted = misfit**2 - solution.defect**2
        trial = theta + solution.value
        r_new = residual(trial)
        found = tangent.norm(r_new)
        gain = (misfit**2 - found**2) / predicted if predicted > 0 and math.isfinite(found) else -1.0
        if gain > 0:
            done = predicted <= (rtol * misfit) ** 2 or misfit - found <= rtol * misfit
            theta, r, misfit = trial, r_new, found
            if done:
                break
            tangent = problem.tangent(theta)
            damping *= math.sqrt(max(1 / 3, 1 - (2 * gain - 1) ** 3))
            damping, raise_by = max(damping, 1e-12), 2.0
        else:
            if predicted <= (rtol * misfit) ** 2 or damping > 1e12:
                break
            damping, raise_by = damping * math.sqrt(raise_by), 2 * raise_by
    return theta, misfit
