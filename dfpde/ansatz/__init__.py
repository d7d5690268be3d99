"""Ansätze: parameters θ and points x ↦ a field, its derivatives and its tangent."""

from .autodiff import Autodiff
from .base import Ansatz, unit
from .check import AnsatzReport, check_ansatz
from .compose import Product, Sum
from .finite_element import FiniteElement
from .gaussian import GaussianMixture, PeriodicGaussianMixture
from .known import Known, Polynomial
from .stack import Stack
from .symmetry import Periodic, Symmetric
from .torch_function import TorchFunction
from .transform import Frozen, Masked, Transform, exp, softplus, square
from .wavepacket import WavePackets

__all__ = [
    "Ansatz",
    "AnsatzReport",
    "Autodiff",
    "FiniteElement",
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
    "TorchFunction",
    "Transform",
    "WavePackets",
    "check_ansatz",
    "exp",
    "softplus",
    "square",
    "unit",
]
