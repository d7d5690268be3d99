"""Time integration of θ: states, schemes, controllers, and the generator `evolve`."""

from .control import PI, PID, Controller, Decision, Fixed
from .events import Event
from .explicit import RK4, BogackiShampine, DormandPrince, Euler, ExplicitRungeKutta, Heun, Integrator, Step
from .field_step import BlackBox, FieldStep
from .growing import Growing, evolve_growing
from .implicit import (
    ROS2,
    SDIRK2,
    SDIRK4,
    ImplicitEuler,
    ImplicitMidpoint,
    ImplicitRungeKutta,
    LinearlyImplicit,
    RadauIIA,
)  # fmt: skip
from .run import evolve
from .state import State, Statistics
from .tableaus import Tableau

__all__ = [
    "PI", "PID", "RK4", "ROS2", "SDIRK2", "SDIRK4", "BlackBox", "BogackiShampine", "Controller", "Decision",
    "DormandPrince", "Euler", "Event", "ExplicitRungeKutta", "FieldStep", "Fixed", "Growing", "Heun", "ImplicitEuler",
    "ImplicitMidpoint", "ImplicitRungeKutta", "Integrator", "LinearlyImplicit", "RadauIIA", "State", "Statistics",
    "Step", "Tableau", "evolve", "evolve_growing",
]
