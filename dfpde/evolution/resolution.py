"""Whether the quadrature resolves the tangent: leverages of its points, looked at from time to time along a run.

    ℓ_k = ‖L⁻¹ √w_k J_k‖²,     L Lᵀ = JᵀWJ + ε²D²,     resolution = max ℓ_k,     n_ε = Σ ℓ_k

A residual sees the points only.  Where a single point decides a direction of θ (ℓ_k near 1), the residual there is made
zero whatever u does beside the point, and defect and error estimate say nothing about it.  Leverage does.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from .. import validation as check
from ..ansatz.base import Ansatz
from ..errors import DfpdeWarning, ResolutionError
from ..leastsquares import Leverage, Tangent, leverage
from ..model import Model
from ..parallel.collective import collective_errors
from ..parallel.threads import one_thread
from .state import State

Array = NDArray[Any]
Policy = Literal["warn", "raise", "ignore"]

#: Leverage from which on a row is said to decide a direction, and mean leverage n_ε/N from which on there are too few
#: rows for the informed directions; `benchmarks/resolution.py` prints what others would do.
DECIDES, CROWDED = 0.9, 0.4

#: Steps between two looks where they cost what a step does; a twentieth of the work of a run.
RARELY = 20

#: Stages of a step, for its cost.
STAGES = 4

#: Most parameters for which leverages are computed: p² numbers on every rank.  Sparse tangents are left out as well:
#: every degree of freedom of a finite-element space has points of its own.
MOST = 4096


class ResolutionWarning(DfpdeWarning):
    """A point of the quadrature decides a direction of the parameters alone."""


class ResolutionGuard:
    """Looks at the leverages along one run: on a schedule (`due`), and sooner where the largest one rises.

    Where log ℓ/(1 − ℓ) rises, as for a component that narrows, the next look is half way to the step at which it
    would come to the threshold at the rate of the last two looks.

    Parameters
    ----------
    policy : {"warn", "raise", "ignore"}
        What to do when the tangent is not resolved (`unresolved`): warn once, raise `ResolutionError`, or only keep the
        numbers in `State.statistics`.

    Raises
    ------
    ParameterError
        Another policy.
    """

    def __init__(self, policy: Policy = "warn") -> None:
        check.one_of("warn", "raise", "ignore")("on_unresolved", policy)
        self.policy, self._said = policy, False

    @one_thread()
    def after(self, problem: Model, state: State, tangent: Tangent | None = None) -> State:
        """The state with its resolution, where it is time to look; collective.

        `tangent` is √W J with the rows of the conditions, of the last stage of the step, where it is known.

        Raises
        ------
        ResolutionError
            The tangent is not resolved, and the policy is to raise.
        """
        step = state.step
        if not looked_at(problem):
            return state
        sooner = state.guard_carry[2] if state.guard_carry else math.inf
        if not (step >= sooner or due(step, interval(problem, state.statistics.effective_dimension))):
            return state
        tangent = with_conditions(problem, state) if tangent is None else tangent
        found = of_equation(tangent, state.statistics.eps, problem.scale)
        state = state.counted(resolution=found.largest, effective_dimension=found.total)
        state = state.with_(guard_carry=self._plan(state, found.largest))
        if self.policy == "ignore" or self._said or not unresolved(found, tangent):
            return state
        what, remedy = describe(problem.ansatz, tangent, found, f"at t = {state.t:.4g}")
        if self.policy == "raise":
            raise _collective(ResolutionError(what, remedy, state))
        warnings.warn(f"{what}\n  Try: {remedy}", ResolutionWarning, stacklevel=2)
        self._said = True
        return state

    @staticmethod
    def _plan(state: State, largest: float) -> tuple[float, float, float]:
        """This step, log ℓ/(1 − ℓ), and the step at which to look before the schedule says so."""
        now, sooner = _logit(largest), math.inf
        then, before, _ = state.guard_carry or (0.0, math.inf, math.inf)
        if before < now < _logit(DECIDES):
            left = (_logit(DECIDES) - now) / (now - before) * (state.step - then)
            sooner = state.step + max(1, int(left / 2))
        return float(state.step), now, sooner


def require_resolved(problem: Model, state: State) -> None:
    """Refuse a state at which the points of `problem` do not resolve the tangent; collective.

    Raises
    ------
    ResolutionError
    """
    if not looked_at(problem):
        return
    tangent = with_conditions(problem, state)
    found = of_equation(tangent, state.statistics.eps, state.scale if problem.scale is None else problem.scale)
    if unresolved(found, tangent):
        what, remedy = describe(problem.ansatz, tangent, found, f"at t = {state.t:.4g}")
        raise _collective(ResolutionError(what, remedy, state))


def _logit(share: float) -> float:
    return math.log(share / (1 - share)) if 0 < share < 1 else math.copysign(math.inf, share - 0.5)


def _collective(error: ResolutionError) -> ResolutionError:
    """Leverages are summed over ranks: all of them come here."""
    error.collective = True
    return error


# -- what is looked at, and when -----------------------------------------------------------------------------
def looked_at(problem: Model) -> bool:
    """Whether leverages of this model's tangent are computed at all: not where its norm has no points; collective."""
    n = problem.points.shape[1]
    n = problem.comm.allreduce(n) if problem.comm.size > 1 else n
    return n > 0 and not problem.ansatz.sparse and problem.ansatz.size <= MOST


def with_conditions(problem: Model, state: State) -> Tangent:
    """√W J at a state, the rows of the conditions included; collective."""
    tangent = problem.tangent(state.theta)
    with collective_errors(problem.comm):
        further = [condition.rows(state.t, state.theta, problem.ansatz)[0] for condition in problem.conditions]
    return Tangent((*tangent.blocks, *further), tangent.comm)


def due(step: int, interval: int) -> bool:
    """Whether to look after this step: the first one, and multiples of the interval; before, powers of two if cheap."""
    cheap = interval <= RARELY // 2
    return step == 1 or step % interval == 0 or (cheap and step < interval and step & (step - 1) == 0)


def interval(problem: Model, dimension: float = math.nan) -> int:
    """Steps between two looks: `RARELY` times the flops of a look, 2 N p min(N, p), over those of a step.

    A stage takes about 7/3 r² p (a Gram matrix of sampled rows and its factor, r = min(p, 3 n_ε), n_ε the effective
    dimension where a look has found it) and 60 N p (the tangent and a few sweeps).
    """
    comm, p = problem.comm, problem.ansatz.size
    n = float(problem.points.shape[1] * max(1, math.prod(problem.ansatz.shape)))
    n = comm.allreduce(n) if comm.size > 1 else n
    r = p if math.isnan(dimension) else min(float(p), 3 * dimension)
    return max(RARELY // 2, math.ceil(RARELY * 2 * n * p * min(n, p) / (STAGES * (7 / 3 * r**2 * p + 60 * n * p))))


# -- verdict ---------------------------------------------------------------------------------------------------
def of_equation(tangent: Tangent, eps: float, scale: Array | None) -> Leverage:
    """Leverages of the rows of the equation; without those of the conditions, which are meant to decide; collective."""
    found, comm = leverage(tangent, eps if math.isfinite(eps) else 0.0, scale), tangent.comm
    if len(tangent.blocks) == 1:
        return found
    rows = found.rows[: tangent.blocks[0].rows]
    sums = np.array([rows.sum(), rows.size])
    largest = float(rows.max(initial=0.0))
    if comm.size > 1:
        comm.Allreduce(MPI.IN_PLACE, sums)
        largest = comm.allreduce(largest, op=MPI.MAX)
    return Leverage(rows, largest, float(sums[0]), int(sums[1]))


def unresolved(found: Leverage, tangent: Tangent) -> bool:
    """Whether a row decides a direction alone, or rows are less than 2.5 times the informed directions; collective.

    Not where every row has one parameter of its own: a system of ordinary differential equations.
    """
    if not (found.largest > DECIDES or found.total > CROWDED * found.count):
        return False
    several = 0
    for chunk in tangent.blocks[0].chunks():
        several += int(np.count_nonzero(np.count_nonzero(chunk, axis=0) > 1))
    return (tangent.comm.allreduce(several) if tangent.comm.size > 1 else several) > 0


def describe(ansatz: Ansatz, tangent: Tangent, found: Leverage, where: str) -> tuple[str, str]:
    """(what, remedy) of a tangent that is not resolved, the same on all ranks; collective."""
    comm, deciding, shares = tangent.comm, int(np.count_nonzero(found.rows > DECIDES)), _concentrated(tangent)
    if comm.size > 1:
        deciding = comm.allreduce(deciding)
        comm.Allreduce(MPI.IN_PLACE, shares, op=MPI.MAX)
    names = _names(ansatz, shares > DECIDES)
    lives = f"; {names} live on one row each" if names else ""
    return (
        f"the quadrature does not resolve the ansatz {where}: {found.count} rows for {found.total:.1f} informed "
        f"directions, of which {deciding} rows decide one each alone (largest leverage {found.largest:.3f}, p = "
        f"{tangent.columns}){lives}. Misfit, defect and error estimate say nothing between the points",
        "more points or a higher order of the quadrature, fewer or smoother components, or a larger ε",
    )


def _concentrated(tangent: Tangent) -> Array:
    """Largest share of one local row in the squared norm of each column, (p,)."""
    norms = tangent.column_norms() ** 2
    largest = np.zeros(tangent.columns)
    for block in tangent.blocks:
        for chunk in block.chunks():
            np.maximum(largest, np.max(chunk**2, axis=1, initial=0.0), out=largest)
    shares: Array = largest / np.where(norms > 0, norms, np.inf)
    return shares


def _names(ansatz: Ansatz, chosen: Array) -> str:
    """``centers[3], scales[0, 1]``: the first few of the chosen parameters."""
    found = []
    for name, (part, shape) in ansatz.slices().items():
        for i in np.flatnonzero(chosen[part]):
            index = ", ".join(str(int(k)) for k in np.unravel_index(i, shape)) if shape else ""
            found.append(f"{name}[{index}]" if shape else name)
    return ", ".join(found[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else "")
