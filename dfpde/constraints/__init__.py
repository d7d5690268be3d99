"""Quantities that a run keeps: constraints of every solve and a projection after every step."""

from .conserved import Conserving
from .nullspace import Constrained, NullSpace, Projector

__all__ = ["Conserving", "Constrained", "NullSpace", "Projector"]
