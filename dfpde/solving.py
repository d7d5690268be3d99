"""solve: from initial data to a solution that can be evaluated anywhere.

    u(t, x) = Hermite interpolation in t of u_n = Φ(θ_n)(x) and ∂_t u_n = J(θ_n) θ̇_n (x) between accepted steps

Cubic in each step.  The velocities are those of the last stage, at the end of the step up to the accuracy of that
stage, so the interpolant is of order min(4, order of the scheme): what a step of Dormand–Prince gains beyond it is only
seen at the ends of steps, and output times are such ends.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from . import validation as check
from .diagnostics.history import History, Quantity
from .diagnostics.plot_runs import plot_errors
from .diagnostics.plots import Canvas, plot_states
from .errors import ParameterError
from .evolution.advance import close
from .evolution.control import PI
from .evolution.explicit import DormandPrince, Integrator
from .evolution.run import evolve
from .evolution.setting import Run
from .evolution.state import State
from .fitting import fit
from .leastsquares import Solver, default_solver
from .model import Model
from .parallel.collective import collective_errors, norm
from .parallel.replicated import same_on_all_ranks
from .regularization import AutoInertia, Regularization
from .representation import represent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]
Initial = Callable[[Array], Array] | Array
Reference = Callable[[float, Array], Array]


@dataclass(frozen=True, eq=False)
class Solution:
    """The states of a run, and its field at any time and point.

    Attributes
    ----------
    problem : Problem or fem.SemiDiscrete
    states : tuple of State
        At the output times.
    history : History
        Of every accepted step, the start first.
    steps : tuple of (t, θ, θ̇)
        Every accepted step, the start first.
    """

    problem: Model
    states: tuple[State, ...]
    history: History
    steps: tuple[tuple[float, Array, Array], ...]

    __repr__ = represent

    @property
    def t(self) -> Array:
        """Output times (n,)."""
        return np.array([state.t for state in self.states])

    def __call__(self, t: float | Array, x: Array) -> Array:
        """u(t, x), shape (*shape, N); for several times (k, *shape, N).  No communication.

        Parameters
        ----------
        t : float or (k,) array
            Between the first and the last time.
        x : (dim, N) array
            In one dimension also (N,).

        Raises
        ------
        ParameterError
            A time outside.
        ShapeError
            Points of another dimension.
        """
        check.numbers(finite=False)("x", x)
        check.numbers()("t", t)
        x = np.asarray(x, dtype=float)
        points = self.problem.ansatz.check_points(x[None] if x.ndim == 1 and self.problem.ansatz.dim == 1 else x)
        times = np.asarray(t, dtype=float)
        if times.ndim == 0:
            return self._at(float(times), points)
        return np.stack([self._at(float(time), points) for time in times.reshape(-1)])

    def _at(self, t: float, x: Array) -> Array:
        ends = [step[0] for step in self.steps]
        if not ends[0] <= t <= ends[-1]:
            raise ParameterError(f"t = {t}", f"a time between {ends[0]} and {ends[-1]}")
        ansatz, right = self.problem.ansatz, bisect_left(ends, t)
        if ends[right] == t:
            return ansatz.value(self.steps[right][1], x)
        (t0, theta0, v0), (t1, theta1, v1) = self.steps[right - 1], self.steps[right]
        h, s = t1 - t0, (t - t0) / (t1 - t0)
        u0, u1 = ansatz.value(theta0, x), ansatz.value(theta1, x)
        rate0, rate1 = h * ansatz.jvp(theta0, x, v0), h * ansatz.jvp(theta1, x, v1)
        a, b = rate0 + rate1 - 2 * (u1 - u0), 3 * (u1 - u0) - 2 * rate0 - rate1
        return np.asarray(u0 + s * (rate0 + s * (b + s * a)))

    @check.takes(reference=check.function)
    def errors(self, reference: Reference) -> Array:
        """‖u − reference‖/‖reference‖ at the output times, (n,), in the norm of the problem; collective.

        Parameters
        ----------
        reference : callable
            (t, x (dim, N)) -> (*shape, N).
        """
        problem, found = self.problem, []
        for state in self.states:
            with collective_errors(problem.comm):
                known = np.asarray(reference(state.t, problem.points))
                check.numbers(kinds="fiuc")("reference(t, x)", known)
                check.values("reference(t, x)", known, *problem.ansatz.shape, problem.points.shape[1])
                error, size = problem.weigh(problem.field(state).value - known), problem.weigh(known)
            found.append(norm(error, problem.comm) / norm(size, problem.comm))
        return np.array(found)

    def plot(self, reference: Reference | None = None) -> Figure:
        """The field at the output times as a matplotlib Figure; with a reference (1-D) profiles and errors; collective.

        Raises
        ------
        MissingDependency
            matplotlib is not installed.
        ParameterError
            A reference in more than one dimension.
        """
        bounds = self._bounds()
        if reference is None:
            return plot_states(self.problem.ansatz, self.states, Canvas(bounds))
        if len(bounds) > 1:
            raise ParameterError("profiles with a reference in more than one dimension", "errors(reference), plot()")
        x = np.linspace(*bounds[0], 400)
        fields = [self.problem.ansatz.value(state.theta, x[None]) for state in self.states]
        references = [np.asarray(reference(state.t, x[None])) for state in self.states]
        return plot_errors(self.t, x, fields, references, self.errors(reference))

    def _bounds(self) -> list[tuple[float, float]]:
        """The box of all points."""
        x, comm = self.problem.points, self.problem.comm
        low, high = x.min(axis=1, initial=np.inf), x.max(axis=1, initial=-np.inf)
        comm.Allreduce(MPI.IN_PLACE, low, op=MPI.MIN)
        comm.Allreduce(MPI.IN_PLACE, high, op=MPI.MAX)
        return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


@check.takes(
    problem=check.model,
    times=check.each(check.real(), "a sequence of times"),
    rtol=check.real(above=0),
    regularization=check.optional(check.rule),
    integrator=check.integrator,
    solver=check.optional(check.solver),
    quantities=check.optional(check.quantities),
)
def solve(
    problem: Model,
    initial: State | Initial,
    *,
    times: Sequence[float],
    rtol: float = 1e-4,
    guess: Array | None = None,
    regularization: Regularization | None = None,
    integrator: Integrator = DormandPrince,
    solver: Solver | None = None,
    quantities: Mapping[str, Quantity] | None = None,
    max_steps: int | None = None,
    max_seconds: float | None = None,
) -> Solution:
    """Fit the initial data and solve u_t = f(t, u) up to the last of `times`; collective.

    `fit` and `evolve` with their defaults; events, output on the way, restarts and other controllers are for `evolve`.

    Parameters
    ----------
    problem : Problem or fem.SemiDiscrete
    initial : State, callable or array
        u₀ at times[0], as `fit` takes it, or a state that has been fitted.
    times : sequence of float
        Output times, increasing; the first one is the start (of a state: at or after its time).
    rtol : float
        Tolerance of a step relative to ‖u‖.
    guess : array, optional
        Start of the fit; None: the ansatz makes one.
    regularization, integrator, solver, max_steps, max_seconds
        As `evolve` takes them.
    quantities : mapping, optional
        Further columns of the history, as `History` takes them.

    Raises
    ------
    ParameterError
        Fewer than two times (one after a state), not increasing, or before the state.
    StepError
        As `evolve`.

    Notes
    -----
    θ and θ̇ of every step are kept: 16 p bytes for each.
    """
    same_on_all_ranks(problem.comm, times=times, rtol=rtol, quantities=quantities)
    stops = [float(t) for t in times]
    if not stops or not np.all(np.isfinite(stops)):
        raise ParameterError(f"times = {stops}", "finite, increasing times")
    start = initial if isinstance(initial, State) else fit(problem, initial, guess, t=stops[0])
    ahead = stops[1:] if stops[0] == start.t else stops
    if not ahead or ahead[0] <= start.t or any(b <= a for a, b in pairwise(ahead)):
        raise ParameterError(f"times = {stops} from t = {start.t}", "increasing times from the start on")
    rule = AutoInertia(min(rtol, 0.1)) if regularization is None else regularization
    chosen, controller = default_solver() if solver is None else solver, PI(rtol=rtol)
    first = Run(problem.for_run(), rule, controller, integrator, chosen, start.t).velocity(start, ahead[0] - start.t)
    steps, states = [(start.t, start.theta, first.value)], [start] if len(ahead) < len(stops) else []
    history = History(quantities=quantities, problem=problem)
    history.record(start)
    for state in evolve(
        problem, start, until=ahead[-1], times=ahead, every_step=True, regularization=rule, controller=controller,
        integrator=integrator, solver=chosen, max_steps=max_steps, max_seconds=max_seconds,
    ):  # fmt: skip
        history.record(state)
        steps.append((state.t, state.theta, np.asarray(state.velocity)))
        while len(states) < len(stops) and close(state.t, stops[len(states)]):
            states.append(state)
    return Solution(problem, tuple(states), history, tuple(steps))
