"""Time integration of θ: states, schemes, controllers, and the generator `evolve`."""

from .control import PI, Controller, Decision, Fixed
from .evolve import evolve
from .explicit import RK4, BogackiShampine, DormandPrince, Euler, ExplicitRungeKutta, Heun, Integrator, Step
from .implicit import (
    ROS2, SDIRK2, SDIRK4, ImplicitEuler, ImplicitMidpoint, ImplicitRungeKutta, LinearlyImplicit, RadauIIA,
)  # fmt: skip
from .state import State
from .tableaus import Tableau

__all__ = [
    "PI", "RK4", "ROS2", "SDIRK2", "SDIRK4", "BogackiShampine", "Controller", "Decision", "DormandPrince", "Euler", "ExplicitRungeKutta", "Fixed",
    "Heun", "ImplicitEuler", "ImplicitMidpoint", "ImplicitRungeKutta", "Integrator", "LinearlyImplicit", "RadauIIA", "State", "Step", "Tableau", "evolve",
]
