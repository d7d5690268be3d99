"""A measure that follows the solution in a finite-element mesh: all points of the cells where it lives.

    ∫ g dx ≈ Σ_(c marked) ∫_c g dx + (1/π) Σ_(c of the rest, drawn) ∫_c g dx

Cells are marked by |u|; each of the others is drawn with probability π: the sum over cells is unbiased, and exact where
all are marked.  The coarse rest is what keeps the norm honest where u was not when cells were marked.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from .. import validation as check
from ..ansatz.base import Ansatz
from ..ansatz.mixtures.gaussian import GaussianMixture
from ..ansatz.mixtures.moments import squared_norm
from ..domain.draws import independent
from ..domain.mesh import Mesh
from ..domain.places import CellPoints
from ..domain.quadrature import Quadrature
from ..errors import ParameterError, QuadratureError
from ..evolution.state import State
from ..model import Model
from ..parallel.collective import collective_errors
from ..parallel.replicated import same_on_all_ranks
from ..problem import Problem, Rhs
from ..representation import represent
from .moving import MATTERS, SamplingWarning, due

Array = NDArray[Any]

#: Cells at whose centres u is evaluated at a time: temporaries of a few MB whatever the mesh.
CHUNK = 1 << 14


@dataclass(frozen=True, eq=False)
@check.takes(
    mesh=check.having("a Mesh: read_mesh(path), Mesh.from_skfem(mesh)", "comm", "local", "first_cell"),
    order=check.integer(0),
    equation=check.optional(check.function),
    tolerance=check.real(above=0),
    rest=check.integer(0),
    seed=check.integer(0),
    every=check.integer(1),
)
class MarkedCells:
    """Cells that follow the solution, as the `adapt` of `evolve`: marked anew after every accepted step.

        cells = df.measures.MarkedCells(mesh, order=2, equation=equation)
        problem, start = cells.start(ansatz, start)
        for state in df.evolve(problem, start, until=1.0, adapt=cells):
            now = cells.problem(problem, state)      # the equation at the points of this state

    Marked are the cells in whose centre |u| > `tolerance` · max |u|, now or, by its velocity, at the end of the next
    step.  The same points on any number of ranks where cells have the same numbers (`Mesh.from_skfem`, `read_mesh`);
    bitwise restarts.  The norm is that of L²(dx) over the mesh.

    Parameters
    ----------
    mesh : Mesh
    order : int
        Degree to which the rule on a cell is exact, as of `Quadrature.from_mesh`.
    equation : callable or None
        points -> f(t, x, u): makes the right-hand side for new points, a `CellPoints`, at which it evaluates
        coefficients once (`dfpde.fem.Function.at`); None keeps the right-hand side of the problem.
    tolerance : float
        Of |u| in a cell that is not marked, relative to the largest |u|.
    rest : int
        Other cells that are drawn in the mean, on all ranks; with 0 integrals are those over marked cells.
    seed : int
        Key of the random numbers, with the number of the step and that of the cell.
    every : int
        Steps between two markings.

    Raises
    ------
    ParameterError, ArgumentTypeError
        No mesh, a tolerance that is not positive, a negative number.

    Warns
    -----
    SamplingWarning
        Once in a run: ‖u‖ at the new points, at those before and, for Gaussian mixtures, in closed form over all of
        space differ by more than 5 %: u has left the marked cells or the mesh, or its cells are too coarse for it.

    References
    ----------
    D. G. Horvitz, D. J. Thompson, A generalization of sampling without replacement from a finite universe, J. Amer.
    Statist. Assoc. 47 (1952) 663.
    """

    mesh: Mesh
    order: int
    equation: Callable[[CellPoints], Rhs] | None = None
    tolerance: float = 1e-4
    rest: int = 1000
    seed: int = 0
    every: int = 1

    __repr__ = represent
    described = ("n_cells", "order", "equation", "tolerance", "rest", "seed", "every")

    @property
    def n_cells(self) -> int:
        """Cells of the mesh: what a checkpoint knows it by."""
        return self.mesh.n_cells

    def start(self, problem: Problem | Ansatz, state: State) -> tuple[Problem, State]:
        """The problem with points in cells marked by the state; collective.

        Parameters
        ----------
        problem : Problem or Ansatz
            With an ansatz alone the problem is that of `equation`.
        state : State

        Raises
        ------
        ParameterError, ArgumentTypeError
            Neither a `Problem`, nor an ansatz and an `equation`.
        QuadratureError
            u vanishes in the centre of every cell, or is not finite in one.
        ReplicationError
            Ranks that bring different rules or states.
        """
        check.state("state", state)
        check.instance((Problem, Ansatz), "a Problem, or an Ansatz")("problem", problem)
        if isinstance(problem, Ansatz) and self.equation is None:
            raise ParameterError("an ansatz, and no equation", "a Problem, or MarkedCells(..., equation=...)")
        same_on_all_ranks(self.mesh.comm, marked=self, theta=state.theta, step=state.step)
        said = bool(state.measure_carry) and bool(state.measure_carry[0][1])
        ahead = state.theta
        if state.velocity is not None and state.dt is not None:
            ahead = state.theta + self.every * state.dt * state.velocity
        carry = (np.array([state.step, said], dtype=float), state.theta, ahead)
        before = problem.norm(state) if isinstance(problem, Problem) and state.measure_carry else None
        moved, points, share = self._moved(problem, carry)
        found, effective, error = _norm(moved, state, points.each, share)
        unseen = _apart(moved.ansatz, state, found, before)
        if unseen and not said:
            text = f"cells that do not see the solution: at t = {state.t:.4g}, step {state.step} {unseen}"
            help_ = "a smaller tolerance, smaller `every`, more cells of the rest, a finer or larger mesh"
            warnings.warn(f"{text}\n  Try: {help_}", SamplingWarning, stacklevel=2)
            carry[0][1] = 1.0
        state = state.counted(effective_samples=effective, sampling_error=error)
        return moved, state.with_(measure_carry=carry, at_end=False, solver_carry=())

    def __call__(self, problem: Model, state: State) -> tuple[Model, State] | None:
        """What `evolve` calls after every accepted step; collective."""
        return self.start(problem, state) if due(state, self.every) else None  # type: ignore[arg-type]

    def problem(self, problem: Problem, state: State) -> Problem:
        """The problem at the points that a state was left with; collective.

        Raises
        ------
        ParameterError
            The state is not one of a run with marked cells, or of another ansatz.
        """
        check.require({"problem": check.model, "state": check.state}, {"problem": problem, "state": state})
        if len(state.measure_carry) != 3 or state.measure_carry[1].size != problem.ansatz.size:
            raise ParameterError("the state has no marked cells", "MarkedCells.start(problem, state)")
        return self._moved(problem, state.measure_carry)[0]

    @cached_property
    def _centres(self) -> Array:
        """Of this rank's cells, (dim, cells)."""
        local = self.mesh.local
        if local is None:
            return np.zeros((self.mesh.dim, 0))
        centres: Array = np.mean([local.p[:, corner] for corner in local.t], axis=0)
        return centres

    def _moved(self, problem: Problem | Ansatz, carry: tuple[Array, ...]) -> tuple[Problem, CellPoints, Array]:
        """The problem at the points of a carry, these points, and the probability of each, (N,)."""
        comm, ansatz = self.mesh.comm, problem if isinstance(problem, Ansatz) else problem.ansatz
        marked = self._marked(ansatz, carry[1:], comm)
        others = comm.allreduce(int(np.count_nonzero(~marked)))
        share = min(1.0, self.rest / others) if others else 1.0
        with collective_errors(comm):
            drawn = independent(1, self.mesh.first_cell, marked.size, self.seed, int(carry[0][0]))[0] < share
            chosen = np.flatnonzero(marked | drawn)
            points = CellPoints.of(self.mesh, self.order, chosen)
            probability = np.where(marked, 1.0, share)[points.cells]
            rhs = None if self.equation is None else self.equation(points)
            check.optional(check.function)("what equation returns", rhs)
        quadrature = Quadrature(points.x, points.w / probability, comm, rule=self)
        if isinstance(problem, Ansatz):
            moved = Problem(problem, quadrature, rhs)  # type: ignore[arg-type]  # `start` has looked
        else:
            moved = replace(problem, quadrature=quadrature, rhs=problem.rhs if rhs is None else rhs)
        return moved, points, probability

    def _marked(self, ansatz: Ansatz, thetas: tuple[Array, ...], comm: MPI.Comm) -> Array:
        """Whether |u| is large in the centre of each of this rank's cells, for one of the θ."""
        x, size = self._centres, np.zeros(self._centres.shape[1])
        with collective_errors(comm):
            for theta in thetas[: 1 if np.array_equal(thetas[0], thetas[1]) else 2]:
                for low in range(0, size.size, CHUNK):
                    part = slice(low, low + CHUNK)
                    u = ansatz.value(theta, np.ascontiguousarray(x[:, part])).reshape(math.prod(ansatz.shape), -1)
                    size[part] = np.maximum(size[part], np.linalg.norm(u, axis=0))
            if not np.all(np.isfinite(size)):
                raise QuadratureError("u is not finite in the centre of a cell", "look at the parameters")
        largest = comm.allreduce(float(size.max(initial=0.0)), op=MPI.MAX)
        if largest == 0:
            raise QuadratureError(f"u vanishes in the centre of all {self.n_cells} cells", "a mesh around the solution")
        marked: Array = size > self.tolerance * largest
        return marked


def _norm(problem: Problem, state: State, each: int, probability: Array) -> tuple[float, float, float]:
    """‖u‖, the points that carry it, and its relative standard error, of `each` points in a cell."""
    comm, q = problem.comm, problem.quadrature
    with collective_errors(comm):
        u = problem.field(state).value.reshape(math.prod(problem.ansatz.shape), q.n)
        parts = q.w * np.sum(np.abs(u) ** 2, axis=0)
        of_cells = parts.reshape(-1, each).sum(axis=1)
        sums = np.array([parts.sum(), parts @ parts, (1 - probability[::each]) @ of_cells**2])
    total, squares, variance = comm.allreduce(sums) if comm.size > 1 else sums
    return math.sqrt(total), total**2 / squares, math.sqrt(variance) / total / 2


def _apart(ansatz: Ansatz, state: State, found: float, before: float | None) -> str:
    """Which norms differ, in words; empty where all agree."""
    known = [] if before is None else [(before, "at the points before")]
    if isinstance(ansatz, GaussianMixture):
        known.insert(0, (math.sqrt(squared_norm(ansatz, state.theta)), "over all of space, in closed form"))
    for norm, where in known:
        if abs(norm - found) > MATTERS * max(norm, found):
            return f"‖u‖ is {found:.4g} in the cells and {norm:.4g} {where}"
    return ""
