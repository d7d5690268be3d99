"""The solver where none is given."""

from __future__ import annotations

from importlib.util import find_spec

from .solver import LSQR


def default_solver() -> LSQR:
    """A new `KSP` where petsc4py is installed, else a new `LSQR`: the same iterates to rounding."""
    if find_spec("petsc4py") is None:
        return LSQR()
    from .ksp import KSP

    return KSP()
