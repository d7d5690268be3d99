"""Coupling with finite-element codes: their models reduced, subproblems solved on their meshes, fields both ways."""

from ..domain.decomposition import partition, partition_cells
from .boundary import Robin, nitsche
from .elliptic import Elliptic
from .inverse import FixedNodes
from .linear import LinearSolver
from .mass import square_root
from .nodes import Nodes
from .reading import load
from .semidiscrete import SemiDiscrete
from .skfem_adapter import Space
from .steppers import CrankNicolson, ImplicitExplicit, StiffModel
from .transfer import Evaluation, Function, Projection

__all__ = [
    "CrankNicolson", "Elliptic", "Evaluation", "FixedNodes", "Function", "ImplicitExplicit", "LinearSolver", "Nodes",
    "Projection", "Robin", "SemiDiscrete", "Space", "StiffModel", "load", "nitsche", "partition", "partition_cells",
    "square_root",
]
