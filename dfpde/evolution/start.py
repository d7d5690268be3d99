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

#: Points must not reach beyond one period by more than rounding.
COVERED = 1.0001

#: What is left of a period beyond the points, at most, in units of the largest gap between neighbours.
LEFT = 2.0

#: Equal points leave their spacing (or nothing, where both ends are points) to this part of it.
EQUAL = 1e-3

#: Intervals in which points are counted to find that gap.
BINS = 4096

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
    _periods(problem, low, high)
    found = set(u.evaluated_derivatives)
    if problem.comm.size > 1:  # f may ask for one where its points need it
        found = found.union(*problem.comm.allgather(found))
    for alpha in sorted(found):
        if sum(alpha) > 1 and max(alpha) == sum(alpha):  # ∂^k u/∂x_i^k
            _contradiction(problem, u, alpha, 0.1 * float(np.max(high - low)))


def _box(problem: Model) -> tuple[Array, Array]:
    x = problem.points
    low, high = x.min(axis=1, initial=np.inf), x.max(axis=1, initial=-np.inf)
    if problem.comm.size > 1:
        problem.comm.Allreduce(MPI.IN_PLACE, low, op=MPI.MIN)
        problem.comm.Allreduce(MPI.IN_PLACE, high, op=MPI.MAX)
    return low, high


def _periods(problem: Model, low: Array, high: Array) -> None:
    for axis, length in enumerate(high - low):
        period = problem.ansatz.period(axis)
        if period is None:
            continue
        gap, equal = _gap(problem, axis, float(low[axis]), float(length))
        left = period - length
        fits = length <= COVERED * period and left <= LEFT * gap
        if equal and fits:
            fits = min(abs(left - gap), abs(left)) <= EQUAL * gap
        if not fits:
            covered = f"{length + gap:g}" if equal else f"{length:g} with gaps of up to {gap:.2g}"
            warnings.warn(
                f"the ansatz has the period {period:g} along axis {axis}, the points cover {covered}\n"
                "  Try: the period of the domain, or a quadrature of one period",
                DfpdeWarning,
                stacklevel=4,
            )


def _gap(problem: Model, axis: int, low: float, length: float) -> tuple[float, bool]:
    """Largest gap between neighbours along an axis (rounded up), and whether all are equal (in 1-D); collective."""
    if not length > 0:
        return 0.0, False
    place, comm = (problem.points[axis] - low) / length, problem.comm
    count = comm.allreduce(place.size) if comm.size > 1 else place.size
    steps = place * (count - 1)
    off = np.max(np.abs(steps - np.rint(steps)), initial=0.0)
    found = np.zeros(BINS + 1)
    found[np.minimum((place * BINS).astype(int), BINS - 1)] = 1.0
    found[-1] = off if len(problem.points) == 1 else 1.0
    if comm.size > 1:
        comm.Allreduce(MPI.IN_PLACE, found, op=MPI.MAX)
    if found[-1] < EQUAL:
        return length / (count - 1), True
    return float(np.max(np.diff(np.flatnonzero(found[:-1])), initial=0) + 1) * length / BINS, False


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
