"""Regularized least squares over distributed points: data (`LeastSquares`), solvers (`KSP`, `LSQR`, `Dense`)."""

from typing import Any

from .default import default_solver
from .dense import Dense, right_singular, singular_values, truncated
from .dual import DualCholesky
from .gram import GramCholesky
from .leverage import Leverage, leverage
from .matrix_free import MatrixFreeRows, Products
from .metric import block_metric
from .nystrom import Nystrom
from .pivoted import PivotedCholesky
from .preconditioner import Preconditioner
from .rows import DenseRows, MetricRows, Rows, SparseRows, real_rows, root_weights
from .sampled import Sampled
from .solver import LSQR
from .system import LeastSquares, Solution, Solver, Tangent

__all__ = [
    "LSQR",
    "Dense",
    "DenseRows",
    "DualCholesky",
    "GramCholesky",
    "LeastSquares",
    "Leverage",
    "MatrixFreeRows",
    "MetricRows",
    "Nystrom",
    "PivotedCholesky",
    "Preconditioner",
    "Products",
    "Rows",
    "Sampled",
    "Solution",
    "Solver",
    "SparseRows",
    "Tangent",
    "block_metric",
    "default_solver",
    "leverage",
    "real_rows",
    "right_singular",
    "root_weights",
    "singular_values",
    "truncated",
]


def __getattr__(name: str) -> Any:
    if name == "KSP":  # PETSc is loaded when it is asked for
        from .ksp import KSP

        return KSP
    raise AttributeError(f"dfpde.leastsquares has no name {name!r}")
