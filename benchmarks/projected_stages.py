"""Explicit Runge–Kutta with projected stages beside Dirac–Frenkel stages: does it pay where only f is known?

    python benchmarks/projected_stages.py
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from field_step import allen_cahn, run

import dfpde as df
from dfpde.evolution.explicit import Step
from dfpde.evolution.projection import FIRST_DAMPING
from dfpde.evolution.tableaus import RUNGE_KUTTA_4
from dfpde.regularization import Velocity

Array = np.ndarray


@dataclass(frozen=True)
class ProjectedStages:
    """Stages are fields, U_i = u_n + h Σ a_ij f(Φ(θ_j)), and θ_i the parameters nearest to U_i: only f is needed."""

    tableau: Any
    projection: df.integrators.FieldProjection
    rtol: float = 1e-6
    order, error_order, implicit = 4, None, False

    def step(self, problem: Any, solver: Any, regularization: Any, state: df.State, dt: float) -> Any:
        """See `df.integrators`."""
        t, u, slopes, theta = state.t, problem.field(state).value, [], state.theta
        for i, c in enumerate(self.tableau.c):
            target = u + dt * sum((a * k for a, k in zip(self.tableau.a[i], slopes, strict=False)), start=0 * u)
            theta = self.fit(problem, solver, state, target, c * dt).theta if i else theta
            slopes.append(problem.time_derivative(t + c * dt, problem.field(theta)))
        change = sum(b * k for b, k in zip(self.tableau.b, slopes, strict=True))
        found = self.fit(problem, solver, state, u + dt * change, dt)
        value, speed = (found.theta - state.theta) / dt, problem.quadrature.norm(change)
        last = Velocity(value, value, found.misfit / dt, speed, 0.0, 1.0, found.iterations, state.rule_carry)
        return Step(found.theta, last, False, 0.0, found.misfit / dt, speed, found.iterations)

    def fit(self, problem: Any, solver: Any, state: df.State, target: Array, dt: float) -> Any:
        """The parameters nearest to a field, from the prediction."""
        starts = [state.theta] if state.velocity is None else [state.theta + dt * state.velocity, state.theta]
        goal = 0.3 * self.rtol * problem.quadrature.norm(target)
        return self.projection(problem, target, starts, goal, solver, FIRST_DAMPING)


def main() -> None:
    """Allen–Cahn until t = 1 by projected stages of RK4 beside Dirac–Frenkel stages of it."""
    warnings.simplefilter("ignore", UserWarning)
    row = allen_cahn(0)
    given = (row.problem, row.start, row.exact, 1e-6, 150, np.linspace(0, 1, 6)[1:], df.Fixed(0.05))
    print("Allen–Cahn, network, RK4 with h = 0.05 until t = 1", flush=True)
    for name, integrator in (
        ("projected stages", ProjectedStages(RUNGE_KUTTA_4, df.integrators.FieldProjection())),
        ("Dirac–Frenkel stages", df.RK4),
    ):
        print(f"  {name}: " + run(*given, integrator=integrator), flush=True)


if __name__ == "__main__":
    main()
