"""Ansätze: parameters θ and points x ↦ a field, its derivatives and its tangent."""

from .autodiff.jax_function import JaxFunction
from .autodiff.torch_function import TorchFunction
from .base import Ansatz, multi_index
from .check import check_ansatz
from .check_report import AnsatzReport
from .composites.compose import Product, Sum
from .composites.known import Known, Polynomial
from .composites.stack import Stack
from .composites.symmetry import Periodic, Symmetric
from .composites.transform import Frozen, Masked, Transform, exp, softplus, square
from .finite_element import FiniteElement
from .grow import change, insert, remove
from .mixtures.gaussian import GaussianMixture, PeriodicGaussianMixture
from .mixtures.positive import PositiveMixture
from .mixtures.split import split
from .mixtures.wavepacket import WavePackets
from .networks.activations import Gaussian, Rational, Sine, Softplus, Swish, Tanh
from .networks.embedding import PeriodicEmbedding
from .networks.network import Network

__all__ = [
    "Ansatz",
    "AnsatzReport",
    "FiniteElement",
    "Frozen",
    "Gaussian",
    "GaussianMixture",
    "JaxFunction",
    "Known",
    "Masked",
    "Network",
    "Periodic",
    "PeriodicEmbedding",
    "PeriodicGaussianMixture",
    "Polynomial",
    "PositiveMixture",
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
    "multi_index",
    "remove",
    "softplus",
    "split",
    "square",
]
