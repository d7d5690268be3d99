"""Steppers of the field for `dfpde.integrators.FieldStep`: u(t) at the points -> u(t + h) at the points."""

from .characteristics import Characteristics
from .exponential import ETDRK4, ETDRK32
from .grid import PeriodicGrid
from .imex import ARS222, ARS443, IMEX, ImexTableau
from .schroedinger import SplitStep

__all__ = [
    "ARS222", "ARS443", "ETDRK4", "ETDRK32", "IMEX", "Characteristics", "ImexTableau", "PeriodicGrid", "SplitStep",
]  # fmt: skip
