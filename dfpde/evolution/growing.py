"""A run whose ansatz grows: a new component where the equation is met worst, as soon as it is not met well enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from .. import validation as check
from ..ansatz.base import Ansatz
from ..ansatz.grow import insert
from ..leastsquares import Solver, default_solver
from ..model import Model
from ..parallel.collective import collective_errors
from ..parallel.threads import one_thread
from ..regularization import Regularization, StageContext, Velocity
from ..representation import represent
from .march import Adapt
from .run import evolve
from .state import State

Array = NDArray[Any]


@dataclass(frozen=True)
@check.takes(
    larger=check.function,
    candidates=check.function,
    limit=check.real(above=0),
    most=check.integer(1),
    gain=check.real(above=0, below=1),
)
class Growing:
    """When and how an ansatz grows: while ‖J θ̇ − f‖ > limit, insert the component that lowers it most.

    The defect is the rate at which the error can grow (docs/theory: ‖error‖ ≤ ∫ e^{ℓ(t−s)} defect ds), so
    ``limit = tolerance / duration`` is a budget.  Inserted components do not change the field (`dfpde.ansatz.grow`).

    Parameters
    ----------
    larger : callable
        Ansatz ↦ the same with one component more: ``lambda a: GaussianMixture.isotropic(a.dim, a.n + 1)``.
    candidates : callable
        Point (dim,) where the residual is largest ↦ components to try, each the `new` of `insert`: of amplitude zero,
        centered at the point, of several widths.
    limit : float
        Defect above which the ansatz grows, in units of u per time.
    most : int
        Parameters at most.
    gain : float
        Least relative decrease of the defect that a component must bring; where none does, the ansatz does not grow.

    Raises
    ------
    ParameterError
        A limit that is not positive, or a gain outside (0, 1).
    """

    larger: Callable[[Any], Ansatz]
    candidates: Callable[[Array], Sequence[Mapping[str, Any]]]
    limit: float
    most: int
    gain: float = 0.02

    __repr__ = represent

    @one_thread()
    def grow(
        self, problem: Model, state: State, regularization: Regularization, solver: Solver | None = None
    ) -> tuple[Model, State]:
        """Problem and state of a larger ansatz, or the same where nothing is to be done; collective."""
        solver = default_solver() if solver is None else solver
        now = _velocity(problem, state, regularization, solver)
        while now.defect > self.limit:
            larger = self.larger(problem.ansatz)
            if larger.size > self.most:
                break
            tried = [_inserted(problem, state, larger, new) for new in self.candidates(_worst(problem, state, now))]
            found = [_velocity(*pair, regularization, solver) for pair in tried]
            best = min(range(len(found)), key=lambda i: found[i].defect)
            if found[best].defect > (1.0 - self.gain) * now.defect:
                break
            (problem, state), now = tried[best], found[best]
        return problem, state


@check.takes(
    problem=check.model, state=check.state, growing=check.instance(Growing, "Growing"), regularization=check.rule
)
def evolve_growing(
    problem: Model, state: State, *, growing: Growing, regularization: Regularization, **choices: Any
) -> Iterator[tuple[Model, State]]:
    """`evolve` with an ansatz that grows; yields the problem with each state, as its ansatz is another one later.

    The ansatz grows, if it can, at the start and after every step whose defect exceeds ``growing.limit``.

    Parameters
    ----------
    growing : Growing
    problem, state, regularization, **choices
        As for `evolve`; ``adapt`` is applied after the ansatz has grown.
    """
    then: Adapt | None = choices.pop("adapt", None)
    solver, futile = choices.pop("solver", None) or default_solver(), 0.0
    problem, state = growing.grow(problem, state, regularization, solver)

    def adapt(now: Model, state: State) -> tuple[Model, State]:
        nonlocal problem, futile
        if state.statistics.defect > max(growing.limit, 2.0 * futile):
            problem, state = growing.grow(now, state, regularization, solver)
            futile = 0.0 if problem is not now else state.statistics.defect  # then not before twice as much is lost
        changed = None if then is None else then(problem, state)
        if changed is not None:
            problem, state = changed
        return problem, state

    for now in evolve(problem, state, regularization=regularization, solver=solver, adapt=adapt, **choices):
        yield problem, now


def _velocity(problem: Model, state: State, regularization: Regularization, solver: Solver) -> Velocity:
    """θ̇ at the state, as the first stage of a step would find it."""
    context = StageContext(state.t, state.dt or 1.0, 1, state.step, 0, state.rule_carry)
    return regularization.velocity(problem.system(state.t, state.theta), state.anchor, solver, context)


def _worst(problem: Model, state: State, velocity: Velocity) -> Array:
    """Point (dim,) of the largest |f − J θ̇|, on all ranks; collective."""
    field, comm = problem.field(state), problem.comm
    f = problem.time_derivative(state.t, field)
    with collective_errors(comm):
        x = field.x
        residual = f - problem.ansatz.jvp(state.theta, x, velocity.value)
        size = np.abs(residual).reshape(-1, x.shape[1]).max(axis=0)
        mine = float(size.max()) if size.size else -1.0
    _, rank = comm.allreduce((mine, comm.rank), op=MPI.MAXLOC)
    point: Array = comm.bcast(x[:, int(np.argmax(size))] if comm.rank == rank else None, root=rank)
    return point


def _inserted(problem: Model, state: State, larger: Ansatz, new: Mapping[str, Any]) -> tuple[Model, State]:
    """Problem and state with the new component at rest."""
    ansatz = problem.ansatz
    theta, velocity = insert(ansatz, larger, state.theta, state.velocity, new)
    nothing = dict.fromkeys(new, 0.0)
    anchor = None if state.anchor is None else insert(ansatz, larger, state.anchor, None, nothing)[0]
    scale = problem.scale
    if scale is not None:  # new parameters weigh as the others of their block do in the mean
        means = {name: np.mean(scale[ansatz.slices()[name][0]]) for name in new}
        scale = insert(ansatz, larger, scale, None, means)[0]
    moved = state.with_(theta=theta, velocity=velocity, anchor=anchor, at_end=False, solver_carry=(), scale=None)
    return problem.with_ansatz(larger, scale), moved
