"""What stays the same along a run, until its problem is adapted."""

from __future__ import annotations

from dataclasses import dataclass

from ..leastsquares import Solver
from ..model import Model
from ..regularization import Regularization, StageContext, Velocity
from .control import Controller
from .explicit import Integrator
from .state import State


@dataclass(frozen=True, eq=False)
class Run:
    """A model, how it is solved, and the time `since` which."""

    problem: Model
    regularization: Regularization
    controller: Controller
    integrator: Integrator
    solver: Solver
    since: float

    def velocity(self, state: State, dt: float) -> Velocity:
        """θ̇ at a state, as the first stage of a step of size dt finds it; collective."""
        context = StageContext(state.t, dt, 1, state.step, 0, state.rule_carry)
        system = self.problem.system(state.t, state.theta)
        return self.regularization.velocity(system, state.anchor, self.solver, context)
