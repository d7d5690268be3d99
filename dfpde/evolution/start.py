"""What is wrong before the first step: derivatives that an ansatz does not have, points that miss its period."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..calculus import Field
from ..errors import DfpdeWarning, MissingDerivative
from ..model import Model
from ..parallel.collective import collective_errors
from ..parallel.threads import one_thread
from .state import State

Array = NDArray[Any]

#: Points must cover this part of a period, and at most this many: four points of a periodic grid cover three quarters.
COVERED = (0.75, 1.0001)

#: Difference of a derivative's order, relative to u, that a derivative of exact zeros contradicts.
CONTRADICTION = 1e-6


@one_thread()
def look(problem: Model, state: State) -> None:
    """Evaluate f once and look at what it asked for; collective.

    Raises
    ------
    MissingDerivative
        A derivative that f uses is zero everywhere though u is not a polynomial of lower order (ReLU under u_xx).

    Warns
    -----
    DfpdeWarning
        The points cover another length than the period of the ansatz.
    """
    u = problem.field(state)
    problem.time_derivative(state.t, u)
    low, high = _box(problem)
    _periods(problem, high - low)
    for alpha in u.evaluated_derivatives:
        if sum(alpha) > 1 and max(alpha) == sum(alpha):  # ∂^k u/∂x_i^k
            _contradiction(problem, u, alpha, 0.1 * float(np.max(high - low)))


def _box(problem: Model) -> tuple[Array, Array]:
    x = problem.points
    low, high = x.min(axis=1, initial=np.inf), x.max(axis=1, initial=-np.inf)
    if problem.comm.size > 1:
        problem.comm.Allreduce(MPI.IN_PLACE, low, op=MPI.MIN)
        problem.comm.Allreduce(MPI.IN_PLACE, high, op=MPI.MAX)
    return low, high


def _periods(problem: Model, extent: Array) -> None:
    for axis, length in enumerate(extent):
        period = problem.ansatz.period(axis)
        if period is not None and not COVERED[0] * period <= length <= COVERED[1] * period:
            warnings.warn(
                f"the ansatz has the period {period:g} along axis {axis}, the points cover {length:g}\n"
                "  Try: the period of the domain, or a quadrature of one period",
                DfpdeWarning,
                stacklevel=4,
            )


def _contradiction(problem: Model, u: Field, alpha: tuple[int, ...], h: float) -> None:
    order, axis = sum(alpha), int(np.argmax(alpha))
    try:
        derivative = u.derivative(*alpha)
    except MissingDerivative:  # on all ranks alike: the ansatz has the Laplacian that f asked for, and no more
        return
    with collective_errors(problem.comm):
        size = [np.max(np.abs(derivative), initial=0.0), np.max(np.abs(u.value), initial=0.0), 0.0]
        if size[0] == 0.0 and h > 0:
            shift = np.eye(len(u.x))[axis][:, None]
            steps = [(order / 2 - j) * h * shift for j in range(order + 1)]
            terms = [(-1) ** j * math.comb(order, j) * u(u.x + step) for j, step in enumerate(steps)]
            size[2] = np.max(np.abs(np.sum(terms, axis=0)), initial=0.0)
    largest = np.array(size)
    if problem.comm.size > 1:
        problem.comm.Allreduce(MPI.IN_PLACE, largest, op=MPI.MAX)
    zero, values, difference = largest.tolist()
    if zero == 0.0 and difference > CONTRADICTION * values:
        error = MissingDerivative(
            f"∂^{alpha} of {type(problem.ansatz).__name__} is zero at every point, and u is no polynomial there: its "
            f"differences of order {order} reach {difference:.1e}",
            "a smooth activation (tanh, sin, softplus), or a weak form that needs fewer derivatives",
        )
        error.collective = True
        raise error
