"""Regularized least squares over distributed points: data (`LeastSquares`), solvers (`KSP`, `Dense`), `Solution`."""

from .dense import Dense, right_singular, singular_values, truncated
from .gram import GramCholesky
from .ksp import KSP
from .lag import KeptFactor
from .matrix_free import MatrixFreeRows, Products
from .nystrom import Nystrom
from .rows import DenseRows, MetricRows, Rows, SparseRows, real_rows, root_weights
from .system import LeastSquares, Solution, Solver, Tangent

__all__ = [
    "KSP",
    "Dense",
    "DenseRows",
    "GramCholesky",
    "KeptFactor",
    "LeastSquares",
    "MatrixFreeRows",
    "MetricRows",
    "Nystrom",
    "Products",
    "Rows",
    "Solution",
    "Solver",
    "SparseRows",
    "Tangent",
    "real_rows",
    "right_singular",
    "root_weights",
    "singular_values",
    "truncated",
]
