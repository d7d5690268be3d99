"""Ansätze: parameters θ and points x ↦ a field, its derivatives and its tangent."""

from .activations import Gaussian, Rational, Sine, Softplus, Swish, Tanh
from .autodiff import Autodiff
from .base import Ansatz, unit
from .check import AnsatzReport, check_ansatz
from .compose import Product, Sum
from .embedding import PeriodicEmbedding
from .finite_element import FiniteElement
from .gaussian import GaussianMixture, PeriodicGaussianMixture
from .grow import change, insert, remove
from .known import Known, Polynomial
from .network import Network
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
    "Gaussian",
    "GaussianMixture",
    "Known",
    "Masked",
    "Network",
    "Periodic",
    "PeriodicEmbedding",
    "PeriodicGaussianMixture",
    "Polynomial",
    "Product",
    "Rational",
    "Sine",
    "Softplus",
    "Stack",
    "Sum",
    "Swish",
    "Symmetric",
    "Tanh",
    "TorchFunction",
    "Transform",
    "WavePackets",
    "change",
    "check_ansatz",
    "exp",
    "insert",
    "remove",
    "softplus",
    "square",
    "unit",
]
