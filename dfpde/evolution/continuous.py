"""The inertial Dirac–Frenkel equation itself, as a first-order system for (θ, v):

    θ̇ = v,      μ D² v̇ = −κ D² v − Jᵀ(J v − f)

without the implicit Euler step in the velocity that `dfpde.Inertia` makes of it.  It shows what a scheme of high order
does to the equation with mass (energy balance, limit μ → 0), at the price of stiffness: explicit schemes need
h σ²_max/μ below about 2.8 (Runge–Kutta 4), so a mass far larger than one would use to compute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..errors import ParameterError
from ..leastsquares import Solver
from ..model import Model, StageSystem
from ..regularization import InertiaFromMass, Regularization, StageContext, Velocity
from ..representation import represent
from .explicit import ByTableau, Step, means, stage_time
from .state import State

Array = NDArray[Any]


@dataclass(frozen=True)
@check.takes(observe=check.optional(check.function))
class ContinuousInertia(ByTableau):
    """Explicit Runge–Kutta scheme for (θ, v); an `Integrator` that asks for `Inertia` with a positive mass.

    v starts from the state's velocity; a state without one gets the velocity of `Inertia` at rest.

    Parameters
    ----------
    tableau : Tableau
        Scheme; first-same-as-last is not made use of.
    observe : callable or None
        (stage, system, v) called at every stage, for instruments.
    """

    observe: Callable[[int, StageSystem, Array], None] | None = None

    __repr__ = represent

    def step(self, problem: Model, solver: Solver, regularization: Regularization, state: State, dt: float) -> Step:
        """See `Integrator`.

        Raises
        ------
        ParameterError
            The regularization is not `Inertia` with a positive mass.
        """
        mass, friction = getattr(regularization, "mass", 0.0), getattr(regularization, "friction", 0.0)
        if not (isinstance(regularization, InertiaFromMass) and mass > 0):
            raise ParameterError(f"the continuous equation with {regularization}", "InertiaFromMass with mass > 0")
        tableau, p = self.tableau, state.theta.size
        v, k, norms = np.zeros((tableau.stages, p)), np.zeros((tableau.stages, p)), np.zeros((tableau.stages, 2))
        start = state.velocity
        for i in range(tableau.stages):
            row = np.asarray(tableau.a[i])
            t, theta = stage_time(state.t, dt, tableau.c[i]), state.theta + dt * (row @ v[:i] if i else 0.0)
            system = problem.system(t, theta)
            if start is None:
                context = StageContext(t, dt, tableau.stages, state.step, i)
                start = regularization.velocity(system, None, solver, context).value
            v[i] = start + dt * (row @ k[:i]) if i else start
            k[i], norms[i, 0] = acceleration(system, v[i], mass, friction)
            norms[i, 1] = system.tangent.norm(system.rhs)
            if self.observe is not None:
                self.observe(i, system, v[i])
        b, weights = np.asarray(tableau.b), tableau.error_weights
        tangent = system.tangent
        error = float("nan") if weights is None else tangent.norm(tangent.apply(dt * (weights @ v)))
        theta, velocity = state.theta + dt * (b @ v), v[0] + dt * (b @ k)
        defect, size = means(tableau.b, norms)
        eps, rho = regularization.coefficients(dt / tableau.stages)
        last = Velocity(velocity, velocity, float(norms[-1, 0]), float(norms[-1, 1]), eps, rho)
        return Step(theta, last, True, error, defect, size)


def acceleration(system: StageSystem, v: Array, mass: float, friction: float) -> tuple[Array, float]:
    """v̇ = −(κ v + D⁻² Jᵀ(J v − f))/μ and the defect ‖J v − f‖; collective."""
    residual = system.tangent.apply(v) - system.rhs
    force = system.tangent.adjoint(residual)
    if system.scale is not None:
        force = force / system.scale**2
    return -(friction * v + force) / mass, system.tangent.norm(residual)
