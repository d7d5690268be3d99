"""Equations with polynomial coefficients for mixtures and wave packets: all integrals in closed form, no points."""

from .model import ClosedForm
from .operator import Operator

__all__ = ["ClosedForm", "Operator"]
