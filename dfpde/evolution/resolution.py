"""Whether the quadrature resolves the tangent: leverages of its points, looked at from time to time along a run.

    ℓ_k = ‖L⁻¹ √w_k J_k‖²,     L Lᵀ = JᵀWJ + ε²D²,     resolution = max ℓ_k,     n_ε = Σ ℓ_k

A residual sees the points only.  Where a single point decides a direction of θ (ℓ_k near 1), the residual there is made
zero whatever u does beside the point, and defect and error estimate say nothing about it.  Leverage does.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..ansatz.base import Ansatz
from ..errors import DfpdeWarning, ParameterError, ResolutionError
from ..leastsquares import Leverage, Tangent, leverage
from ..model import Model
from .state import State

Array = NDArray[Any]
Policy = Literal["warn", "raise", "ignore"]

#: Leverage from which on a point is said to decide a direction; table in docs/limits.md.
DECIDES = 0.8

#: Steps between two looks where they cost what a step does; a twentieth of the work of a run.
RARELY = 20

#: Most parameters for which leverages are computed: p² numbers on every rank.
MOST = 4096


class ResolutionWarning(DfpdeWarning):
    """A point of the quadrature decides a direction of the parameters alone."""


@dataclass(frozen=True)
class ResolutionGuard:
    """Looks at the leverages after steps 1, 2, 4, 8, … and then every `interval` steps.

    Parameters
    ----------
    policy : {"warn", "raise", "ignore"}
        What to do when the largest leverage exceeds 0.8: warn (once for each place in the code), raise
        `ResolutionError`, or only keep the numbers in `State.statistics`.

    Raises
    ------
    ParameterError
        Another policy.
    """

    policy: Policy = "warn"

    def __post_init__(self) -> None:
        if self.policy not in ("warn", "raise", "ignore"):
            raise ParameterError(f"on_unresolved = {self.policy!r}", "'warn', 'raise' or 'ignore'")

    def after(self, problem: Model, state: State, stages: int) -> State:
        """The state with its resolution, where it is time to look; collective.

        Raises
        ------
        ResolutionError
            A point decides a direction, and the policy is to raise.
        """
        p = state.theta.size
        if p > MOST or not due(state.step, interval(problem, p, stages)):
            return state
        tangent = problem.system(state.t, state.theta).tangent
        eps = state.statistics.eps
        found = leverage(tangent, eps if math.isfinite(eps) else 0.0, problem.scale)
        state = state.counted(resolution=found.largest, effective_dimension=found.total)
        if found.largest > DECIDES and self.policy != "ignore":
            what, remedy = describe(problem.ansatz, tangent, found, f"at t = {state.t:.4g}")
            if self.policy == "raise":
                error = ResolutionError(what, remedy, state)
                error.collective = True
                raise error
            warnings.warn(f"{what}\n  Try: {remedy}", ResolutionWarning, stacklevel=3)
        return state


def due(step: int, interval: int) -> bool:
    """Whether to look after this step: at powers of two up to the interval, then at its multiples."""
    return step % interval == 0 or (step < interval and step & (step - 1) == 0)


def interval(problem: Model, p: int, stages: int) -> int:
    """Steps between two looks: `RARELY` times the flops of a look, 2 N p², over those of a step.

    A stage takes about 7/3 p³ (a Gram matrix of 2 p rows and its factor) and 60 N p (the tangent and a few sweeps).
    """
    comm = problem.comm
    rows = problem.weigh(np.zeros((*problem.ansatz.shape, problem.points.shape[1]), problem.ansatz.dtype)).size
    n = comm.allreduce(rows) / comm.size if comm.size > 1 else rows
    return max(RARELY // 2, math.ceil(RARELY * 2 * n * p**2 / (stages * (7 / 3 * p**3 + 60 * n * p))))


def describe(ansatz: Ansatz, tangent: Tangent, found: Leverage, where: str) -> tuple[str, str]:
    """(what, remedy) of a tangent that is not resolved, the same on all ranks; collective."""
    comm = tangent.comm
    many = float(np.count_nonzero(found.rows > DECIDES)), float(found.rows.size)
    local = np.array([*many, *_concentrated(tangent, comm)])
    if comm.size > 1:
        share = np.empty_like(local)
        comm.Allreduce(local[2:], share[2:], op=MPI.MAX)
        comm.Allreduce(local[:2], share[:2])
        local = share
    names = _names(ansatz, local[2:] > DECIDES)
    lives = f"; {names} live on one row each" if names else ""
    return (
        f"the quadrature does not resolve the ansatz {where}: {local[0]:.0f} of {local[1]:.0f} rows decide a direction "
        f"alone (largest leverage {found.largest:.3f}, effective dimension {found.total:.1f} of p = "
        f"{tangent.columns}){lives}. Defect and error estimate say nothing between the points",
        "more points or a higher order of the quadrature, fewer or smoother components, or a larger ε",
    )


def _concentrated(tangent: Tangent, comm: MPI.Comm) -> Array:
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
