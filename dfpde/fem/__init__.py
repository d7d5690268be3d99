"""Coupling with finite-element codes: their models reduced, subproblems solved on their meshes, fields both ways."""

from .boundary import Robin, nitsche
from .elliptic import Elliptic
from .linear import LinearSolver
from .mass import square_root
from .nodes import Nodes
from .partition import partition, partition_cells
from .semidiscrete import Fixed, SemiDiscrete
from .skfem_adapter import Space
from .transfer import Evaluation, Function, Projection

__all__ = [
    "Elliptic", "Evaluation", "Fixed", "Function", "LinearSolver", "Nodes", "Projection", "Robin", "SemiDiscrete",
    "Space", "nitsche", "partition", "partition_cells", "square_root",
]
