"""The parameters whose field is nearest to a given one, near a prediction.

    minimize ‖Φ(θ) − u*‖_W      by Levenberg–Marquardt,   δ = argmin ‖J δ − (u* − Φ(θ))‖²_W + ε² ‖D δ‖²

The iteration is that of `fit` (`dfpde.leastsquares.nonlinear`): a metric D of column norms with a floor, damping by the
gain ratio.  A direction in which J vanishes keeps the value of the prediction: there inertia decides, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..errors import NonFiniteError
from ..leastsquares import Solver
from ..leastsquares.nonlinear import LevenbergMarquardt, Minimum, floored_metric
from ..model import Model
from ..parallel.collective import collective_errors, norm

Array = NDArray[Any]

#: λ of the first iteration of a run: ε is λ times the relative misfit.
FIRST_DAMPING = 1.0

#: Largest λ that the next projection begins with.
LARGEST_DAMPING = 10.0

#: The iteration ends when STALLED iterations with a gain have lowered the misfit by less than this share.
STALLED, LEAST_GAIN = 4, 0.1

#: It ends where the linear problem promises less than this share of the misfit: J holds nothing of what is missing.
NEGLIGIBLE = 1e-4


@dataclass(frozen=True)
@check.takes(
    floor=check.real(above=0, high=1),
    eps=check.real(above=0, below=1),
    iterations=check.integer(1),
    curved=check.truth,
)
class FieldProjection:
    """How far a projection is carried, and in which metric.

    Parameters
    ----------
    floor : float
        φ of the metric, 0 < φ <= 1.
    eps : float
        Lower end of the damping ε: directions with ‖J e‖ < ε ‖D e‖ stay where the prediction has them.
    iterations : int
        Most tangents and linear problems of one projection.
    curved : bool
        Bend every step by the curvature of the ansatz: one field and one solve more with the same tangent.  Without
        it, the first iteration is the inertial Dirac–Frenkel step.

    Raises
    ------
    ParameterError
    """

    floor: float = 0.03
    eps: float = 1e-8
    iterations: int = 25
    curved: bool = True

    def __call__(
        self, model: Model, target: Array, starts: Sequence[Array], misfit: float, solver: Solver, damping: float
    ) -> Minimum:
        """θ with ‖Φ(θ) − u*‖_W <= misfit, or the least that is found; collective.

        Parameters
        ----------
        model : Model
        target : (*shape, N) array
            u* at this rank's points.
        starts : sequence of (p,) arrays
            The best of them is where the iteration starts.
        misfit : float
            Where it may end, in units of ‖u‖.
        solver : Solver
        damping : float
            First λ.

        Raises
        ------
        NonFiniteError
            The field is not finite at any start.
        """
        residual = partial(_residual, model, target)
        found = [norm(residual(theta), model.comm) for theta in starts]
        best = int(np.argmin([value if math.isfinite(value) else math.inf for value in found]))
        if not math.isfinite(found[best]):
            error = NonFiniteError(f"the field is not finite at any of {len(starts)} predictions", "a smaller step")
            error.collective = True
            raise error
        size = norm(model.weigh(target), model.comm)
        descent = LevenbergMarquardt(
            model.comm, self.floor, self.eps, unit=size if size > 0 else 1.0, goal=misfit, least=LEAST_GAIN,
            memory=STALLED, negligible=NEGLIGIBLE, most=self.iterations, curved=self.curved,
        )  # fmt: skip
        return descent(residual, model.tangent, starts[best], damping, solver)

    def metric(self, norms: Array) -> Array:
        """D of column norms (p,)."""
        return floored_metric(norms, self.floor)


def _residual(model: Model, target: Array, theta: Array) -> Array:
    """√W (u* − Φ(θ)), not finite where the field is not; collective."""
    with np.errstate(all="ignore"), collective_errors(model.comm):
        return model.weigh(target - model.ansatz.value(theta, model.points))
