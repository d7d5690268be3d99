"""Ansätze: parameters θ and points x ↦ a field, its derivatives and its tangent."""

from .base import Ansatz, unit
from .check import AnsatzReport, check_ansatz
from .compose import Product, Sum
from .gaussian import GaussianMixture, PeriodicGaussianMixture
from .known import Known, Polynomial
from .stack import Stack
from .symmetry import Periodic, Symmetric
from .transform import Frozen, Masked, Transform, exp, softplus, square
from .wavepacket import WavePackets

__all__ = [
    "Ansatz",
    "AnsatzReport",
    "Frozen",
    "GaussianMixture",
    "Known",
    "Masked",
    "Periodic",
    "PeriodicGaussianMixture",
    "Polynomial",
    "Product",
    "Stack",
    "Sum",
    "Symmetric",
    "Transform",
    "WavePackets",
    "check_ansatz",
    "exp",
    "softplus",
    "square",
    "unit",
]
