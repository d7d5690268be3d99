"""Parts of a stage in PETSc's log (``-log_view``), where PETSc runs; else they cost nothing."""

from __future__ import annotations

import sys
from typing import Any


class Event:
    """A named part of a stage: a context manager."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._event: Any = None

    def __enter__(self) -> None:
        if self._event is None:
            petsc = sys.modules.get("petsc4py.PETSc")
            if petsc is None or not hasattr(petsc, "Log"):
                return
            self._event = petsc.Log.Event(self.name)
        self._event.begin()

    def __exit__(self, *failure: object) -> None:
        if self._event is not None:
            self._event.end()


TANGENT = Event("dfpde tangent")
RHS = Event("dfpde rhs")
GRAM = Event("dfpde gram")
FACTOR = Event("dfpde factor")
SOLVE = Event("dfpde solve")
