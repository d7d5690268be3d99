"""Regularization rules: which velocity to take where the equation says little."""

from .automatic import AutoInertia
from .comparison import Onsager, RandomSparse, TruncatedSVD
from .inertia import Inertia, InertiaFromMass, Tikhonov
from .rule import Regularization, StageContext, Velocity, anchored

__all__ = [
    "AutoInertia", "Inertia", "InertiaFromMass", "Onsager", "RandomSparse", "Regularization", "StageContext",
    "Tikhonov", "TruncatedSVD", "Velocity", "anchored",
]
