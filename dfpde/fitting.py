"""Initial data: the parameters whose field is nearest to a given function.

    minimize ½ ‖Φ(θ) − u₀‖²_W      by Levenberg–Marquardt,   δ = argmin ‖J δ − (u₀ − Φ(θ))‖²_W + λ² ‖D δ‖²

on the same least-squares engine as the time steps.  D is the floored metric, with the columns J_j of √W J

    D_j² = ‖J_j‖² + (φ max_i ‖J_i‖)²,

so that a parameter of little influence does not run away (`dfpde.leastsquares.nonlinear`).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import validation as check
from .ansatz.base import Ansatz
from .domain.subset import representative_points
from .errors import DfpdeWarning, ParameterError, ShapeError
from .evolution.resolution import ResolutionWarning, describe, looked_at, of_equation, unresolved
from .evolution.state import State, Statistics
from .leastsquares import Dense, DenseRows, LeastSquares, Solver, Tangent, default_solver
from .leastsquares.nonlinear import LevenbergMarquardt, Minimum, floored_metric
from .model import Model
from .parallel.collective import collective_errors, norm, require_finite
from .parallel.replicated import same_on_all_ranks
from .parallel.threads import one_thread

Array = NDArray[Any]
Initial = Callable[[Array], Array] | Array

#: λ of the first step, with the misfit as its unit: as large as D, so that the first step keeps widths and centers.
FIRST_DAMPING = 1.0
#: φ, the floor of the metric in units of the largest column.
FLOOR = 0.3
#: λ of the linear start: amplitudes of components that overlap stay small.
RIDGE = 1e-2
#: Points of the quadrature that an ansatz sees for a guess.
SAMPLE = 4096
#: Relative misfit from which on a fit is called bad.
BAD = 0.1
#: ε, in the metric D, of the directions that the points are asked to resolve.
INFORMED = 1e-3
#: Relative misfit below which there is rounding only.
ROUNDING = 1e-15

#: What `fit` takes.
_ARGUMENTS = {
    "guess": check.optional(check.numbers(1, 2, finite=False)),
    "linear": check.optional(check.words),
    "starts": check.integer(1),
    "seed": check.integer(0),
    "t": check.real(),
    "rtol": check.real(above=0, below=1),
    "max_iterations": check.integer(0),
    "solver": check.optional(check.solver),
}


@dataclass(frozen=True, eq=False)
class Fitted(State):
    """The state that `fit` found, with what there is to know of the fit; a `State` for all who evolve it.

    Attributes
    ----------
    misfit : float
        ‖Φ(θ) − u₀‖_W.
    relative_misfit : float
        The same over ‖u₀‖_W.
    iterations : int
        Levenberg–Marquardt iterations from the best guess.
    reason : str
        Why they ended.
    """

    misfit: float = float("nan")
    relative_misfit: float = float("nan")
    iterations: int = 0
    reason: str = ""

    def with_(self, **changes: Any) -> State:
        """A `State` with some attributes changed: what comes after the fit is not the fit."""
        return State(**({field.name: getattr(self, field.name) for field in fields(State)} | changes))

    def __repr__(self) -> str:
        found = f"relative_misfit={self.relative_misfit:.2e}, iterations={self.iterations}, reason={self.reason!r}"
        return f"Fitted({found}, {super().__repr__()})"


@one_thread()
def fit(
    problem: Model,
    initial: Initial,
    guess: Array | None = None,
    *,
    linear: str | Sequence[str] | None = None,
    starts: int = 1,
    seed: int = 0,
    t: float = 0.0,
    rtol: float = 1e-10,
    max_iterations: int = 200,
    solver: Solver | None = None,
) -> Fitted:
    """State at time t whose field is a local best approximation of u₀ in the quadrature norm; collective.

    Parameters
    ----------
    problem : Model
    initial : callable or array
        u₀: x (dim, N) -> (*shape, N), or its values at this rank's quadrature points.
    guess : (p,) or (k, p) array, optional
        One start or several; a local minimum near each is sought, and the best one returned.  None asks the ansatz
        for `starts` guesses (`Ansatz.guess`).
    linear : str or sequence of str, optional
        Parameter blocks in which u is linear (``"amplitudes"``): they start from their regularized least-squares
        values at the guess of all others.  None: those the ansatz declares (`Ansatz.linear_parameters`) where it
        makes the guess itself, and no block of a given guess.
    starts : int
        Guesses the ansatz makes when none is given, of seeds seed, seed + 1, …
    seed : int
        Of the guesses.
    t : float
        Time of the state.
    rtol : float
        Stop when the misfit falls, or is predicted to fall, by less than rtol of itself in a step.
    max_iterations : int
        Most Levenberg–Marquardt iterations from each guess.
    solver : Solver or None
        None is one for each guess, as in `evolve`.

    Returns
    -------
    Fitted
        A State with ``misfit``, ``relative_misfit``, ``iterations`` and ``reason``.

    Warns
    -----
    DfpdeWarning
        The best misfit is above a tenth of ‖u₀‖.
    ResolutionWarning
        The points do not resolve the ansatz that was found (`dfpde.evolution.resolution`): it may be anything between
        them, whatever the misfit.

    Raises
    ------
    ShapeError
        u₀ has another shape than the field.
    ParameterError
        Numbers outside their ranges, a block that does not exist or in which u is not linear; no guess is given, and
        the ansatz makes none.
    NonFiniteError
        u₀ or the field at the guess is not finite.
    """
    check.require({"problem": check.model}, {"problem": problem})
    given = dict(
        guess=guess, linear=linear, starts=starts, seed=seed, t=t, rtol=rtol, max_iterations=max_iterations,
        solver=solver,
    )  # fmt: skip
    same_on_all_ranks(problem.comm, into=(Ansatz,), ansatz=problem.ansatz, scale=problem.scale, **given)
    check.require(_ARGUMENTS, given)
    target = _Target(problem, _values(problem, initial))
    guesses = _guesses(problem, target, guess, starts, seed)
    blocks = _linear_blocks(problem, linear, guess is None)
    found = []
    for theta in guesses:
        begin = _linear_start(target, theta, blocks) if blocks else theta
        found.append(_minimum(target, begin, rtol, max_iterations, solver or default_solver()))
        if found[-1].misfit <= ROUNDING * target.size:
            break
    best = min(found, key=lambda end: end.misfit)
    relative = best.misfit / target.size if target.size > 0 else math.inf if best.misfit > 0 else 0.0
    if relative > BAD:
        _warn(problem, relative, best, len(guesses))
    return Fitted(
        t=t, theta=best.theta, statistics=_looked_at(problem, best), misfit=best.misfit, relative_misfit=relative,
        iterations=best.solves, reason=best.reason,
    )  # fmt: skip


# -- what is fitted ------------------------------------------------------------------------------------------
class _Target:
    """u₀ at the points of a problem: residual rows and norms."""

    def __init__(self, problem: Model, values: Array) -> None:
        self.problem, self.values = problem, values
        self.size = norm(problem.weigh(values), problem.comm)

    def residual(self, theta: Array) -> Array:
        """Local rows of √W (u₀ − Φ(θ)); collective in its errors."""
        problem = self.problem
        with collective_errors(problem.comm):
            return problem.weigh(self.values - problem.ansatz.value(theta, problem.points))


def _values(problem: Model, initial: Initial) -> Array:
    ansatz, x = problem.ansatz, problem.points
    with collective_errors(problem.comm):
        values = np.asarray(initial(x) if callable(initial) else initial)
        check.numbers(kinds="fiuc", finite=False)("initial", values)
        shape = (*ansatz.shape, x.shape[1])
        if values.shape != shape or (np.iscomplexobj(values) and np.dtype(ansatz.dtype).kind != "c"):
            raise ShapeError(
                f"initial data of shape {values.shape} and dtype {values.dtype} for a field of shape {shape} and dtype "
                f"{np.dtype(ansatz.dtype)}",
                "one value for each component and point, points last",
            )
    require_finite(problem.comm, "initial data must be finite at every quadrature point", initial=values)
    return values.astype(ansatz.dtype)


def _guesses(problem: Model, target: _Target, guess: Array | None, starts: int, seed: int) -> list[Array]:
    if guess is None:
        x = representative_points(problem.points, problem.weights, target.values, SAMPLE, problem.comm)
        with collective_errors(problem.comm):
            return [problem.ansatz.check_theta(problem.ansatz.guess(x, seed + k)) for k in range(starts)]
    if starts > 1:
        raise ParameterError(f"starts = {starts} with a given guess", "give several guesses as an array (k, p)")
    given = np.asarray(guess)
    thetas = [problem.ansatz.check_theta(theta) for theta in (given if given.ndim == 2 else [given])]
    if not thetas:
        raise ParameterError("an array of no guesses", "give at least one, shape (k, p)")
    require_finite(problem.comm, "a guess inside the domain of the ansatz", guess=given)
    return thetas


def _warn(problem: Model, relative: float, best: Minimum, count: int) -> None:
    warnings.warn(
        f"the fit is bad: misfit {relative:.2g} of ‖u₀‖ after {best.solves} iterations from the best of {count} "
        f"guess(es) ({best.reason})\n  Try: a guess whose centers and widths resolve u₀, linear=... for amplitudes, "
        f"several guesses (starts=8, or an array (k, p)), or more than {problem.ansatz.size} parameters",
        DfpdeWarning,
        stacklevel=4,
    )


def _looked_at(problem: Model, best: Minimum) -> Statistics:
    """Misfit and leverages of the field that was found; warns where the points do not resolve it; collective."""
    found = Statistics(error=best.misfit)
    if not looked_at(problem):
        return found
    tangent = problem.tangent(best.theta)
    leverages = of_equation(tangent, INFORMED, floored_metric(tangent.column_norms(), FLOOR))
    if unresolved(leverages, tangent):
        what, remedy = describe(problem.ansatz, tangent, leverages, "after the fit")
        warnings.warn(f"{what}\n  Try: {remedy}", ResolutionWarning, stacklevel=4)
    return replace(found, resolution=leverages.largest, effective_dimension=leverages.total)


# -- linear start --------------------------------------------------------------------------------------------
def _linear_blocks(problem: Model, linear: str | Sequence[str] | None, own_guess: bool) -> list[str]:
    if linear is None:
        return list(problem.ansatz.linear_parameters) if own_guess else []
    names = [linear] if isinstance(linear, str) else list(linear)
    known = problem.ansatz.slices()
    if not set(names) <= set(known):
        raise ParameterError(f"linear = {names} for {type(problem.ansatz).__name__}", f"choose from {sorted(known)}")
    return names


def _linear_start(target: _Target, theta: Array, names: Sequence[str]) -> Array:
    """θ with the named blocks at their regularized least-squares values; the rows of their columns only are stored."""
    problem, theta = target.problem, theta.copy()
    slices = problem.ansatz.slices()
    index = np.concatenate([np.arange(problem.ansatz.size)[slices[name][0]] for name in names])
    theta[index] = 0.0
    r = target.residual(theta)
    whole = problem.tangent(theta)
    with collective_errors(problem.comm):
        units = np.eye(problem.ansatz.size)[index]
        columns = np.array([whole.apply(unit) for unit in units])
        tangent = Tangent((DenseRows(columns, np.ones(len(r))),), problem.comm)
    metric = floored_metric(tangent.column_norms(), FLOOR)
    solution = Dense().solve(LeastSquares(tangent, r, RIDGE, metric))
    theta[index] = solution.value
    missed = tangent.norm(target.residual(theta) - r + tangent.apply(solution.value))
    if missed > 1e-8 * (target.size + tangent.norm(r)) or not tangent.column_norms().any():
        raise ParameterError(
            f"u is not linear in {', '.join(names)}: at their least-squares values the field is {missed:.1e} from J c",
            "name blocks that are amplitudes, of one factor of a product at most",
        )
    return theta


# -- Levenberg–Marquardt -------------------------------------------------------------------------------------
def _minimum(target: _Target, theta: Array, rtol: float, most: int, solver: Solver) -> Minimum:
    problem = target.problem
    misfit = norm(target.residual(theta), problem.comm)
    descent = LevenbergMarquardt(
        problem.comm, FLOOR, ROUNDING**0.5, unit=misfit, goal=ROUNDING * target.size, least=rtol, memory=1,
        negligible=rtol, most=most,
    )  # fmt: skip
    return descent(target.residual, problem.tangent, theta, FIRST_DAMPING, solver)
