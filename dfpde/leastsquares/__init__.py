"""Regularized least squares over distributed points: data (`LeastSquares`), solvers (`KSP`, `Dense`), `Solution`."""

from .dense import Dense, right_singular, singular_values
from .ksp import KSP
from .preconditioners import GramCholesky
from .rows import DenseRows, MatrixFreeRows, Products, Rows, SparseRows, real_rows, root_weights
from .system import LeastSquares, Solution, Solver, Tangent

__all__ = [
    "KSP", "Dense", "DenseRows", "GramCholesky", "LeastSquares", "MatrixFreeRows", "Products", "Rows", "Solution",
    "Solver", "SparseRows", "Tangent", "real_rows", "right_singular", "root_weights", "singular_values",
]
