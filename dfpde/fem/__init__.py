"""Coupling with finite-element codes: their models reduced, subproblems solved on their meshes, fields both ways."""

from .linear import LinearSolver
from .mass import square_root
from .nodes import Nodes
from .partition import partition
from .semidiscrete import Fixed, SemiDiscrete
from .skfem_adapter import Space

__all__ = ["Fixed", "LinearSolver", "Nodes", "SemiDiscrete", "Space", "partition", "square_root"]
