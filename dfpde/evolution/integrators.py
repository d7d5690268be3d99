"""All integrators and step controllers by name: ``df.integrators.SDIRK4``."""

from .continuous import ContinuousInertia
from .control import PI, PID, Controller, Fixed
from .explicit import RK4, BogackiShampine, DormandPrince, Euler, ExplicitRungeKutta, Heun, Integrator, Step
from .field_step import BlackBox, FieldStep, Stepper
from .implicit import (
    ROS2,
    SDIRK2,
    SDIRK4,
    ImplicitEuler,
    ImplicitMidpoint,
    ImplicitRungeKutta,
    LinearlyImplicit,
    RadauIIA,
)
from .projection import FieldProjection
from .tableaus import Tableau

__all__ = [
    "PI", "PID", "RK4", "ROS2", "SDIRK2", "SDIRK4", "BlackBox", "BogackiShampine", "ContinuousInertia", "Controller",
    "DormandPrince", "Euler", "ExplicitRungeKutta", "FieldProjection", "FieldStep", "Fixed", "Heun", "ImplicitEuler",
    "ImplicitMidpoint", "ImplicitRungeKutta", "Integrator", "LinearlyImplicit", "RadauIIA", "Step", "Stepper",
    "Tableau",
]
