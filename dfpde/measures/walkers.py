"""Points that walk with an unnormalized density: an ensemble of Markov chains with |u|/∫|u| as their equilibrium.

    x' = x + τ C ∇log|u| + √(2τ) C^½ ξ,   accepted with probability min(1, |u(x')| p(x | x')/(|u(x)| p(x' | x)))

(Metropolis-adjusted Langevin steps, preconditioned with the covariance C of the ensemble.)  No density needs to be
normalized, so any positive ansatz will do, for example exp(−network).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from .. import validation as check
from ..calculus import Field
from ..domain.draws import independent
from ..domain.quadrature import Quadrature
from ..domain.splitting import blocks
from ..errors import ParameterError, QuadratureError, ShapeError
from ..evolution.state import State
from ..model import Model
from ..parallel.collective import collective_errors
from ..parallel.replicated import same_on_all_ranks
from ..problem import Problem
from ..representation import represent
from .moving import SamplingWarning

Array = NDArray[Any]

#: Accepted share of the proposals below which a warning is given; 0.57 is optimal in many dimensions.
LEAST = 0.2


@dataclass(frozen=True)
@check.takes(steps=check.integer(1), tau=check.real(above=0), seed=check.integer(0))
class Walkers:
    """⟨v, w⟩ = (1/N) Σ_k v(x_k) w(x_k)/u(x_k)², x_k ~ |u|/∫|u|: the Fisher metric L²(dx/u), over ∫|u|.

    The `adapt` of `evolve`, as `Moving` is: a few steps of the chains after every accepted step of the run.  In this
    norm ‖u‖ = 1, and rows of the tangent are ∂ log u/∂θ.  The same walkers on any number of ranks; bitwise restarts.

    Parameters
    ----------
    steps : int
        Markov steps for each step of the run: the more, the faster u changes.
    tau : float
        τ, the size of a Langevin step in units of the covariance of the ensemble.
    seed : int
        Of the random numbers of all steps.

    Raises
    ------
    ParameterError, ArgumentTypeError
        Numbers that are not positive, a negative seed.

    Warns
    -----
    SamplingWarning
        Once in a run: fewer than a fifth of the Markov steps are accepted.

    References
    ----------
    G. O. Roberts, R. L. Tweedie, Exponential convergence of Langevin distributions and their discrete approximations,
    Bernoulli 2 (1996) 341.
    """

    steps: int = 5
    tau: float = 0.3
    seed: int = 0

    __repr__ = represent

    def start(self, problem: Problem, state: State, points: Any) -> tuple[Problem, State]:
        """The problem with walkers that begin at given points, after ten times `steps` Markov steps; collective.

        Parameters
        ----------
        problem : Problem
        state : State
        points : (dim, N) array
            The same on all ranks: a sample of the density, or near it, with u ≠ 0.

        Raises
        ------
        ShapeError, ParameterError, QuadratureError
            No such points; not a `Problem`; u = 0 or not finite at a point.
        ReplicationError
            The ranks bring different points.
        """
        check.require({"problem": check.model, "state": check.state}, {"problem": problem, "state": state})
        check.numbers(2)("points", points)
        x = np.asarray(points, dtype=float)
        if x.shape[0] != problem.ansatz.dim or x.shape[1] < 2 * len(x):
            raise ShapeError(f"points of shape {x.shape}", f"({problem.ansatz.dim}, N), N at least twice the dimension")
        same_on_all_ranks(problem.comm, walkers=self, theta=state.theta, points=x)
        return self._walked(problem, state, x, 10 * self.steps)

    def __call__(self, problem: Model, state: State) -> tuple[Model, State]:
        """What `evolve` calls after every accepted step; collective."""
        return self._walked(problem, state, self._ensemble(problem, state), self.steps)

    def problem(self, problem: Problem, state: State) -> Problem:
        """The problem at the walkers that a state was left with; collective.

        Raises
        ------
        ParameterError
            The state is not one of a run with walkers.
        """
        check.require({"problem": check.model, "state": check.state}, {"problem": problem, "state": state})
        x = self._ensemble(problem, state)
        return self._at(problem, state.measure_carry[1], x)

    def _ensemble(self, problem: Model, state: State) -> Array:
        if len(state.measure_carry) != 3 or state.measure_carry[2].shape[0] != problem.ansatz.dim:
            raise ParameterError("the state has no walkers", "Walkers.start(problem, state, points)")
        return state.measure_carry[2]

    def _walked(self, problem: Any, state: State, x: Array, steps: int) -> tuple[Problem, State]:
        if not isinstance(problem, Problem):
            raise ParameterError(f"a {type(problem).__name__} has nodes that do not move", "a Problem")
        comm, root = problem.comm, np.linalg.cholesky(np.cov(x) + np.zeros((len(x), len(x))))
        cuts = blocks(x.shape[1], comm.size)
        first, stop = int(cuts[comm.rank]), int(cuts[comm.rank + 1])
        with collective_errors(comm):
            flat = independent((len(x) + 1) * steps, first, stop - first, self.seed, state.step)
            numbers = flat.reshape(steps, len(x) + 1, stop - first)
            mine, accepted = self._chains(problem, state.theta, x[:, first:stop], root, numbers)
        parts = comm.allgather((mine, accepted)) if comm.size > 1 else [(mine, accepted)]
        x = np.hstack([part for part, _ in parts])
        share = sum(count for _, count in parts) / (steps * x.shape[1])
        said = bool(state.measure_carry) and bool(state.measure_carry[0][1])
        if share < LEAST and not said:
            warnings.warn(
                f"walkers accept {100 * share:.0f} % of their steps at t = {state.t:.4g}\n  Try: a smaller tau",
                SamplingWarning, stacklevel=3,
            )  # fmt: skip
        carry = (np.array([share, said or share < LEAST], float), state.theta, x)
        return self._at(problem, state.theta, x), state.with_(measure_carry=carry, at_end=False, solver_carry=())

    def _chains(self, problem: Problem, theta: Array, x: Array, root: Array, numbers: Array) -> tuple[Array, int]:
        """This rank's walkers after len(numbers) steps, and how many were accepted; no communication."""
        drift, noise, accepted = self.tau * root.T, np.sqrt(2 * self.tau), 0
        log, slope = _logarithm(Field(problem.ansatz, theta, x))
        for uniform in numbers:
            xi = ndtri(uniform[1:])
            step = drift @ slope + noise * xi  # in the coordinates in which the ensemble is isotropic
            there = x + root @ step
            new_log, new_slope = _logarithm(Field(problem.ansatz, theta, there))
            back = -step - drift @ new_slope
            with np.errstate(invalid="ignore"):  # u = 0 at both points: NaN, not accepted
                ratio = new_log - log - 0.5 * (np.sum(back**2, axis=0) / noise**2 - np.sum(xi**2, axis=0))
            taken = np.log(uniform[0]) < ratio
            x, log = np.where(taken, there, x), np.where(taken, new_log, log)
            slope, accepted = np.where(taken, new_slope, slope), accepted + int(np.count_nonzero(taken))
        return x, accepted

    def _at(self, problem: Problem, theta: Array, x: Array) -> Problem:
        comm = problem.comm
        whole = Quadrature(x, np.ones(x.shape[1]), comm, replicated=True)
        with collective_errors(comm):
            u = problem.ansatz.value(theta, whole.x)
            if not np.all(np.isfinite(u) & (u != 0)):
                raise QuadratureError("u = 0 or not finite at a walker", "points where u lives, or a positive ansatz")
            w = 1.0 / (whole.size * u**2)
        return problem.with_quadrature(replace(whole, w=w, rule=self, replicated=False))


def _logarithm(u: Field) -> tuple[Array, Array]:
    """log|u| and its gradient; −∞ and 0 where u vanishes."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        log, slope = np.log(np.abs(u.value)), u.gradient / u.value
    return np.where(np.isfinite(log), log, -np.inf), np.where(np.isfinite(slope), slope, 0.0)
