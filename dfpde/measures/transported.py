"""Points that are carried by a flow, with their density: no proposal, no Markov chain.

    ẋ = b(t, x, u),     d log q(x(t))/dt = −∇·b(t, x, u)

Points of density q stay points of density q.  For u_t = −∇·(u b) q stays u, if it was: with b = h − D ∇log u (the
probability flow) that is the Fokker–Planck equation of drift h and diffusion D.  Between two states u is the cubic
Hermite interpolant of θ, x and log q are taken from one to the other by the classical Runge–Kutta scheme.

N. M. Boffi, E. Vanden-Eijnden, Probability flow solution of the Fokker–Planck equation, arXiv 2206.04642.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..ansatz.base import Ansatz
from ..calculus import Field
from ..domain.quadrature import Quadrature
from ..domain.splitting import blocks
from ..errors import NonFiniteError, ParameterError, ShapeError
from ..evolution.state import State, hermite
from ..model import Model
from ..parallel.collective import collective_errors
from ..parallel.replicated import same_on_all_ranks
from ..problem import Problem
from ..representation import represent
from .moving import POOR, SamplingWarning, Weight, lebesgue
from .quality import sampling

Array = NDArray[Any]
Flow = Callable[[float, Array, Field], tuple[Array, Array]]


@dataclass(frozen=True)
@check.takes(flow=check.function, weight=check.optional(check.function), substeps=check.integer(1))
class Transported:
    """⟨v, w⟩ = ∫ v w ω dx ≈ Σ_k w_k v(x_k) w(x_k), w_k = ω(x_k)/(N q_k), with points and densities that a flow carries.

    The `adapt` of `evolve`, as `Moving` is: after every accepted step the points move to where the flow takes them.
    The same points on any number of ranks but for rounding; bitwise restarts.

    Parameters
    ----------
    flow : callable
        (t, x (dim, N), u) -> (b (dim, N), ∇·b (N,)), u a `Field` at x.
    weight : callable or None
        ω = weight(u, q), as of `Moving`.
    substeps : int
        Runge–Kutta steps for each step of the run.

    Raises
    ------
    ParameterError, ArgumentTypeError
        No functions, no positive number of steps.

    Warns
    -----
    SamplingWarning
        Once in a run: fewer than one point in a hundred carries ‖u‖.

    Examples
    --------
    >>> def probability_flow(t, x, u):          # of u_t = ∇·(x u) + D Δu                        # doctest: +SKIP
    ...     slope = df.grad(u) / u.value        # ∇log u
    ...     return -x - D * slope, -dim - D * (df.laplacian(u) / u.value - df.dot(slope, slope))
    >>> carried = df.measures.Transported(probability_flow, df.measures.fisher)                  # doctest: +SKIP
    >>> problem, state = carried.start(problem, state, x, density)                               # doctest: +SKIP

    Notes
    -----
    Nothing draws points anew: where the flow leaves a region empty that u comes to, its density there is told by few
    points, or by none.  `Moving` with a proposal is the safer choice where there is one.
    """

    flow: Flow
    weight: Weight | None = None
    substeps: int = 1

    __repr__ = represent

    def start(self, problem: Problem, state: State, points: Any, density: Any) -> tuple[Problem, State]:
        """The problem at given points; collective.

        Parameters
        ----------
        problem : Problem
        state : State
        points : (dim, N) array
            All points, the same on all ranks.
        density : (N,) array
            q > 0 at the points, normalized: ∫ q dx = 1.

        Raises
        ------
        ShapeError, NonFiniteError, ParameterError
            No such points, a density that is not positive; not a `Problem`.
        ReplicationError
            The ranks bring different points.
        """
        check.require({"problem": check.model, "state": check.state}, {"problem": problem, "state": state})
        check.numbers(2)("points", points)
        check.numbers(1)("density", density)
        x, q = np.asarray(points, dtype=float), np.asarray(density, dtype=float)
        if x.shape != (problem.ansatz.dim, q.size) or q.size < 2:
            what = f"points of shape {x.shape} and densities of shape {q.shape}"
            raise ShapeError(what, f"({problem.ansatz.dim}, N) and (N,), N at least 2")
        if not np.all(q > 0):
            raise ParameterError(f"density {q.min():.1e} at a point", "positive densities")
        same_on_all_ranks(problem.comm, transported=self, theta=state.theta, points=x, density=q)
        return self._left(problem, state, x, np.log(q), said=False)

    def __call__(self, problem: Model, state: State) -> tuple[Model, State]:
        """What `evolve` calls after every accepted step; collective."""
        (t, said), theta, velocity, x, log_q = self._carried(problem.ansatz, state)
        before = State(float(t), theta, velocity=velocity if velocity.size else None)
        comm, cuts = problem.comm, blocks(x.shape[1], problem.comm.size)
        mine = slice(int(cuts[comm.rank]), int(cuts[comm.rank + 1]))
        with collective_errors(comm):
            block = self._flown(problem.ansatz, before, state, np.vstack([x[:, mine], log_q[mine]]))
        parts = comm.allgather(block) if comm.size > 1 else [block]
        y = np.hstack(parts)
        return self._left(problem, state, y[:-1], y[-1], bool(said))

    def problem(self, problem: Problem, state: State) -> Problem:
        """The problem at the points that a state was left with; collective.

        Raises
        ------
        ParameterError
            The state is not one of a run with points that are carried.
        """
        check.require({"problem": check.model, "state": check.state}, {"problem": problem, "state": state})
        *_, x, log_q = self._carried(problem.ansatz, state)
        return self._at(problem, state.measure_carry[1], x, log_q)

    def _carried(self, ansatz: Ansatz, state: State) -> tuple[Array, ...]:
        carry = state.measure_carry
        if len(carry) != 5 or carry[0].size != 2 or carry[1].size != ansatz.size or carry[3].shape[0] != ansatz.dim:
            what = "the state has no points that a flow carries, or another ansatz has"
            raise ParameterError(what, "Transported.start(problem, state, points, density)")
        return carry

    def _flown(self, ansatz: Ansatz, before: State, after: State, y: Array) -> Array:
        """(x, log q) of this rank's points at the later state; no communication."""
        whole = after.t - before.t
        h = whole / self.substeps

        def rates(s: float, y: Array) -> Array:
            x = np.ascontiguousarray(y[:-1])
            u = Field(ansatz, hermite(before, after, s, whole), x)
            b, divergence = (np.asarray(part, dtype=float) for part in self.flow(before.t + s * whole, x, u))
            if b.shape != x.shape or divergence.shape != x.shape[1:]:
                what = f"a flow of shape {b.shape} and its divergence of shape {divergence.shape}"
                raise ShapeError(what, f"{x.shape} and {x.shape[1:]}, points last")
            return np.vstack([b, -divergence])

        for k in range(self.substeps):
            s, ds = k / self.substeps, 1 / self.substeps
            k1 = rates(s, y)
            k2 = rates(s + ds / 2, y + h / 2 * k1)
            k3 = rates(s + ds / 2, y + h / 2 * k2)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + rates(s + ds, y + h * k3))
        if not np.all(np.isfinite(y)):
            what = f"points or densities are not finite after the step to t = {after.t:.4g}"
            raise NonFiniteError(what, "a flow that is finite where points are, more substeps")
        return y

    def _left(self, problem: Any, state: State, x: Array, log_q: Array, said: bool) -> tuple[Problem, State]:
        """The problem at the points, and the state that remembers them."""
        if not isinstance(problem, Problem):
            raise ParameterError(f"a {type(problem).__name__} has nodes that do not move", "a Problem")
        moved = self._at(problem, state.theta, x, log_q)
        found = sampling(lebesgue(moved.quadrature), moved.field(state).value)
        poor = found.effective < POOR * x.shape[1]
        if poor and not said:
            of = f"{found.effective:.1f} of {x.shape[1]} points"
            text = f"points that do not see the solution: at t = {state.t:.4g} {of} carry ‖u‖\n  Try: another flow"
            warnings.warn(text, SamplingWarning, stacklevel=3)
        velocity = np.zeros(0) if state.velocity is None else np.asarray(state.velocity)
        carry = (np.array([state.t, said or poor]), state.theta, velocity, x, log_q)
        state = state.counted(effective_samples=found.effective, sampling_error=found.error)
        return moved, state.with_(measure_carry=carry, at_end=False, solver_carry=())

    def _at(self, problem: Problem, theta: Array, x: Array, log_q: Array) -> Problem:
        comm = problem.comm
        with collective_errors(comm):
            q = np.exp(log_q)
            omega = None if self.weight is None else self.weight(Field(problem.ansatz, theta, x), q)
        points = Quadrature.samples(x, q, comm, weight=omega, replicated=True)
        return problem.with_quadrature(replace(points, rule=self, replicated=False))
