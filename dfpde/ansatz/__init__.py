"""Ansätze: parameters θ and points x ↦ a field, its derivatives and its tangent."""

from .base import Ansatz, unit
from .stack import Stack

__all__ = ["Ansatz", "Stack", "unit"]
