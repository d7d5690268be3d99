"""A measure that follows the solution: points drawn anew from it after accepted steps.

    ⟨v, w⟩ = ∫ v w ω dx ≈ Σ_k w_k v(x_k) w(x_k),   w_k = ω(x_k)/(N q(x_k)),   x_k ~ q

The points are fixed within a step: its order, error estimate and defect mean what they always do, in the norm of that
step's points.  Norms of different steps differ by the sampling error.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..ansatz.base import Ansatz
from ..ansatz.mixtures.gaussian import GaussianMixture
from ..ansatz.mixtures.moments import squared_norm
from ..calculus import Field
from ..domain.draws import Draws, Source, sobol
from ..domain.quadrature import Quadrature
from ..errors import DfpdeWarning, ParameterError
from ..evolution.state import State
from ..model import Model
from ..parallel.collective import collective_errors
from ..parallel.replicated import same_on_all_ranks
from ..problem import Problem
from ..representation import represent
from .leveraged import chosen
from .proposals import Cloud, Proposal
from .quality import Sampling, sampling

Array = NDArray[Any]
Weight = Callable[[Field, Array], Array]

#: Effective samples for each point below which a warning is given: one point in a hundred carries ‖u‖.
POOR = 0.01

#: Standard errors by which two measurements of the same ‖u‖ may differ, and the least relative difference that counts.
APART, MATTERS = 6.0, 0.05


#: What helps.
REMEDY = "more points, a wider proposal, or a Blend with a part that has heavy tails or covers the domain"


class SamplingWarning(DfpdeWarning):
    """Random points that do not see the solution."""


def fisher(u: Field, q: Array) -> Array:
    """ω = 1/|u|: the Fisher metric of densities, for `Moving`; moments that log u contains are kept exactly."""
    weight: Array = 1.0 / np.maximum(np.abs(u.value), 1e-200)
    return weight


def relative(u: Field, q: Array) -> Array:
    """ω = 1/q: the Fisher metric of the density that points are drawn from, for `Moving`; u may change its sign."""
    return 1.0 / q


@dataclass(frozen=True)
@check.takes(
    proposal=check.having("a proposal: Components(), FittedGaussian(), ...", "points", "density"),
    n=check.integer(2),
    seed=check.integer(0),
    weight=check.optional(check.function),
    every=check.integer(1),
    source=check.function,
    per_direction=check.real(0),
    candidates=check.integer(1),
)
class Moving:
    """Points that follow the solution, as the `adapt` of `evolve`: drawn anew after every accepted step.

        moving = df.measures.Moving(df.measures.Components(), n=4000, seed=0)
        problem, start = moving.start(problem, start)
        for state in df.evolve(problem, start, until=1.0, adapt=moving):
            now = moving.problem(problem, state)     # the equation at the points of this state

    The same points on any number of ranks.  A run that goes on from a checkpoint takes the same steps, bit for bit, as
    `evolve` begins with the points that a state was left with.

    Parameters
    ----------
    proposal : Proposal
        Density q.
    n : int
        Points on all ranks; powers of two are best for `sobol`.
    seed : int
        Key of the random numbers, with the number of the step.
    weight : callable or None
        ω = weight(u, q) at the points; None is ω = 1, the norm of L²(dx).  `fisher`: L²(dx/u); `relative`: L²(dx/q);
        ``lambda u, q: mu(u.x)``: L²(μ).  u is the solution when the points are drawn.
    every : int
        Steps between two draws.
    source : callable
        `sobol` or `independent`.
    per_direction : float
        Points for each informed direction n_ε, where the run has looked (`Statistics.effective_dimension`) and that is
        more than n; rounded up to n times a power of two.  0 for n points throughout.
    candidates : int
        More than 1: so many times the points are drawn, and chosen from by their leverages (`dfpde.measures.leveraged`)
        with the ε and D of the last step, so that no point decides a direction alone.  Costs a tangent and a Gram
        matrix of the candidates for each draw.  Leverages are summed over ranks: on other numbers of them a point in a
        great many may be another one.

    Raises
    ------
    ParameterError, ArgumentTypeError
        Fewer than two points, a negative seed, no positive number of steps, a negative number of points.

    Warns
    -----
    SamplingWarning
        Once in a run: fewer than one point in a hundred carries ‖u‖; or ‖u‖ at the new points, at those before and, for
        Gaussian mixtures, in closed form differ by more than their sampling errors explain: a part is out of reach.
    """

    proposal: Proposal
    n: int
    seed: int = 0
    weight: Weight | None = None
    every: int = 1
    source: Source = sobol
    per_direction: float = 0.0
    candidates: int = 1

    __repr__ = represent

    def start(self, problem: Problem, state: State) -> tuple[Problem, State]:
        """The problem with points drawn from the state; collective.

        Raises
        ------
        ParameterError
            Not a `Problem`: nodes of finite elements do not move.
        QuadratureError
            Points where their density vanishes, or a proposal that cannot be fitted.
        ReplicationError
            Ranks that bring different rules or states.
        """
        check.require({"problem": check.model, "state": check.state}, {"problem": problem, "state": state})
        if not isinstance(problem, Problem):
            raise ParameterError(f"a {type(problem).__name__} has nodes that do not move", "a Problem")
        same_on_all_ranks(problem.comm, moving=self, theta=state.theta, step=state.step)
        eps, scale = state.statistics.eps, problem.scale if state.scale is None else state.scale
        if scale is None or not math.isfinite(eps):
            eps, scale = 0.0, np.ones_like(state.theta)
        known = (state.theta, *self._moments(problem, state), scale)
        said = bool(state.measure_carry) and bool(state.measure_carry[0][2])
        numbers = np.array([state.step, self._count(state), said, eps], dtype=float)
        moved = self._moved(problem, (numbers, *known))
        found = sampling(lebesgue(moved.quadrature), moved.field(state).value)
        before = sampling(lebesgue(problem.quadrature), problem.field(state).value)
        if problem.quadrature.density is None:
            before = replace(before, error=0.0)  # its points are no random ones
        unseen = self._unseen(problem.ansatz, state, before, found)
        if unseen and not said:
            text = f"points that do not see the solution: {unseen}\n  Try: {REMEDY}"
            warnings.warn(text, SamplingWarning, stacklevel=2)
            numbers[2] = 1.0
        state = state.counted(effective_samples=found.effective, sampling_error=found.error)
        return moved, state.with_(measure_carry=(numbers, *known), at_end=False, solver_carry=())

    def __call__(self, problem: Model, state: State) -> tuple[Model, State] | None:
        """What `evolve` calls after every accepted step; collective."""
        return self.start(problem, state) if due(state, self.every) else None  # type: ignore[arg-type]

    def problem(self, problem: Problem, state: State) -> Problem:
        """The problem at the points that a state was left with; collective.

        Raises
        ------
        ParameterError
            The state is not one of a run with moving points, or of another ansatz.
        """
        check.require({"problem": check.model, "state": check.state}, {"problem": problem, "state": state})
        if len(state.measure_carry) != 5 or state.measure_carry[1].size != problem.ansatz.size:
            raise ParameterError("the state has no points of this measure", "Moving.start(problem, state)")
        return self._moved(problem, state.measure_carry)

    def _moved(self, problem: Problem, carry: tuple[Array, ...]) -> Problem:
        """The problem at the points that such a state has."""
        (step, n, _, eps), theta, mean, covariance, scale = carry
        cloud, comm = Cloud(problem.ansatz, theta, mean, covariance), problem.comm
        draws = Draws(int(n) * self.candidates, self.seed, int(step), comm, self.source)
        with collective_errors(comm):
            x = self.proposal.points(cloud, draws.uniform(problem.ansatz.dim + 1))
            q = self.proposal.density(cloud, x)
        drawn = self._sample(problem, theta, x, q)
        if self.candidates > 1:
            u = np.random.default_rng([self.seed, int(step), 1]).random()  # independent of the points
            shape = math.prod(problem.ansatz.shape), x.shape[1]
            kept, ratio = chosen(drawn.tangent(theta), shape, int(n), u, eps, scale)
            drawn = self._sample(problem, theta, x[:, kept], q[kept] * ratio, q[kept])
        return drawn

    def _sample(self, problem: Problem, theta: Array, x: Array, rate: Array, q: Array | None = None) -> Problem:
        """The problem at points that come at this rate, which is q but for a choice among them."""
        with collective_errors(problem.comm):
            known = rate if q is None else q
            omega = None if self.weight is None else self.weight(Field(problem.ansatz, theta, x), known)
        points = Quadrature.samples(x, rate, problem.comm, weight=omega)
        return problem.with_quadrature(replace(points, rule=self, replicated=False))

    def _count(self, state: State) -> int:
        """Points on all ranks, from n_ε where that is known and asked for."""
        wanted = self.per_direction * state.statistics.effective_dimension
        return self.n << math.ceil(math.log2(wanted / self.n)) if wanted > self.n else self.n

    def _moments(self, problem: Problem, state: State) -> tuple[Array, Array]:
        """Mean (dim,) and covariance (dim, dim) of |u|, or |u|², at the present points; NaN where u vanishes."""
        plain = lebesgue(problem.quadrature)
        with collective_errors(problem.comm):
            u = np.abs(problem.field(state).value).reshape(math.prod(problem.ansatz.shape), plain.n).sum(axis=0)
            u = u**2 if np.dtype(problem.ansatz.dtype).kind == "c" else u
        return weighted_moments(plain, u)

    def _unseen(self, ansatz: Ansatz, state: State, before: Sampling, found: Sampling) -> str:
        """What the points do not see, in words; empty where they see all."""
        where = f"at t = {state.t:.4g}, step {state.step}"
        if found.effective < POOR * self._count(state):
            of = f"{found.effective:.1f} of {self._count(state)} points"
            return f"{where} {of} carry ‖u‖: its relative error is {found.error:.1e}"
        known = [(before.norm, before.error, "at the points before")]
        if isinstance(ansatz, GaussianMixture):
            known.insert(0, (math.sqrt(squared_norm(ansatz, state.theta)), 0.0, "in closed form"))
        for norm, error, where_else in known:
            allowed = max(APART * math.hypot(found.error, error), MATTERS)  # NaN, too few points: nothing is said
            if abs(norm - found.norm) > allowed * max(norm, found.norm):
                new = f"{found.norm:.4g} ± {100 * found.error:.1f} % at the new points"
                return f"{where} ‖u‖ is {new} and {norm:.4g} {where_else}"
        return ""


def lebesgue(quadrature: Quadrature) -> Quadrature:
    """The same points with the weights of ∫ dx."""
    if quadrature.density is None:
        return quadrature
    return Quadrature.samples(quadrature.x, quadrature.density, quadrature.comm)


def due(state: State, every: int) -> bool:
    """Whether points are to be chosen after this step: every so many, at once where there are none, or θ has grown."""
    return state.step % every == 0 or not state.measure_carry or state.measure_carry[1].size != state.theta.size


def weighted_moments(quadrature: Quadrature, density: Array) -> tuple[Array, Array]:
    """Mean (dim,) and covariance (dim, dim) of a density (N,) ≥ 0 at the points; NaN where it vanishes; collective.

    Parameters
    ----------
    quadrature : Quadrature
    density : (N,) array
        Not normalized.
    """
    x, dim = quadrature.x, quadrature.dim
    shift = quadrature.integrate(np.vstack([np.ones(quadrature.n), x]) * density)
    if not shift[0] > 0:
        return np.full(dim, np.nan), np.full((dim, dim), np.nan)
    mean = shift[1:] / shift[0]
    y = x - mean[:, None]
    second = quadrature.integrate((y[:, None] * y[None]).reshape(dim * dim, quadrature.n) * density)
    return mean, (second / shift[0]).reshape(dim, dim)
