"""Events of dfpde in PETSc's log (``-log_view``): context managers around the parts of a stage."""

from __future__ import annotations

from .petsc import PETSc

TANGENT = PETSc.Log.Event("dfpde tangent")
RHS = PETSc.Log.Event("dfpde rhs")
GRAM = PETSc.Log.Event("dfpde gram")
FACTOR = PETSc.Log.Event("dfpde factor")
SOLVE = PETSc.Log.Event("dfpde solve")
