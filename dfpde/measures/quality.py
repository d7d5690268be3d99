"""How well random points measure a norm: effective samples and standard error.

    s_k = w_k |u(x_k)|²,   ‖u‖² ≈ Σ s_k,   effective samples (Σ s_k)²/Σ s_k²   (L. Kish, Survey Sampling, 1965)

The error is that of the sums over groups of consecutive points, which are samples of the same kind each: unbiased for
independent points, and too large, not too small, for quasi-random ones, whose groups do not know of each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..domain.quadrature import Quadrature
from ..errors import ParameterError, ShapeError
from ..evolution.state import State
from ..parallel.collective import collective_errors
from ..problem import Problem
from ..representation import represent

Array = NDArray[Any]

#: Groups of points whose sums are compared.
GROUPS = 16


@dataclass(frozen=True)
class Sampling:
    """A norm measured by random points.

    Attributes
    ----------
    norm : float
        ‖u‖.
    error : float
        Its relative standard error; NaN where fewer than two groups have points or ‖u‖ = 0.
    effective : float
        Points that carry ‖u‖, 1 to N: N where all contribute alike; 0 where ‖u‖ = 0.
    """

    norm: float
    error: float
    effective: float

    __repr__ = represent


@check.takes(quadrature=check.quadrature, values=check.numbers(kinds="fiubc", finite=False))
def sampling(quadrature: Quadrature, values: Any) -> Sampling:
    """‖u‖, its relative standard error and the effective samples; collective, one reduction of 17 numbers.

    Parameters
    ----------
    quadrature : Quadrature
        Random points in the order in which they were drawn.
    values : (*shape, N) array
        u at this rank's points.

    Raises
    ------
    ShapeError
        On all ranks: the last axis is not N on some rank.
    """
    comm, values = quadrature.comm, np.asarray(values)
    with collective_errors(comm):
        if values.ndim == 0 or values.shape[-1] != quadrature.n:
            raise ShapeError(f"values of shape {values.shape} for {quadrature.n} points", "one for each point, last")
        components = values.reshape(math.prod(values.shape[:-1]), quadrature.n)
        shares = quadrature.w * np.sum(np.abs(components) ** 2, axis=0)
        group = (quadrature.offset + np.arange(quadrature.n)) * GROUPS // quadrature.size
        sums = np.append(np.bincount(group, shares, GROUPS), shares @ shares)
    if comm.size > 1:
        sums = comm.allreduce(sums)
    parts, squares = sums[:-1], float(sums[-1])
    total = float(parts.sum())
    if not total > 0:
        return Sampling(0.0, math.nan, 0.0)
    few = quadrature.size < 2 * GROUPS
    spread = math.nan if few else math.sqrt(GROUPS * float(np.var(parts, ddof=1))) / total
    return Sampling(math.sqrt(total), spread / 2, total**2 / squares)


@check.takes(problem=check.model, state=check.state)
def unseen_defect(problem: Problem, state: State) -> Sampling:
    """‖J θ̇ − f‖ at points that θ̇ was not fitted to, with its sampling error; collective.

    `Statistics.defect` is what is left at the points of the step, which is too little where they are few: about
    1 − n_ε/N of the whole.  After a step with `Moving` the state's velocity has not seen the points of
    ``moving.problem(problem, state)``.

    Parameters
    ----------
    problem : Problem
        At new points.
    state : State
        Of a scheme whose last stage is at its end (`DormandPrince`), after a step.

    Raises
    ------
    ParameterError
        A problem without a quadrature, or a state without a velocity.
    """
    if not isinstance(problem, Problem) or state.velocity is None:
        raise ParameterError("no quadrature, or a state before its first step", "a Problem and a state of a run")
    u = problem.field(state)
    f = problem.time_derivative(state.t, u)
    with collective_errors(problem.comm):
        residual = problem.ansatz.jvp(state.theta, u.x, np.asarray(state.velocity)) - f
    return sampling(problem.quadrature, residual)
