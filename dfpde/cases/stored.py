"""A run in a directory, read for pictures and the report by one process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from ..diagnostics.history import History
from ..diagnostics.plots import Canvas
from ..errors import CheckpointError, RunError
from ..evolution.state import State
from ..io.checkpoint import load
from ..runs import contents, store
from .case import Case, Setup
from .execute import case_in, relative_error


@dataclass(frozen=True, eq=False)
class Stored:
    """What a directory holds; a run may go on there meanwhile, as nothing is written.

    Attributes
    ----------
    directory : Path
    manifest : dict
    case : Case or None
        None for a run of a script, whose ansatz is not known here.
    states : tuple of State
        At the output times, those that are intact.
    damaged : tuple of str
        What cannot be read.
    """

    directory: Path
    manifest: dict[str, Any]
    case: Case | None
    states: tuple[State, ...]
    damaged: tuple[str, ...]
    comm: MPI.Comm

    @classmethod
    def read(cls, directory: Path, comm: MPI.Comm) -> Stored:
        """Read it; `comm` of one process.

        Raises
        ------
        RunError
            No run there.
        """
        manifest = contents.read_manifest(directory)
        if manifest is None:
            raise RunError(f"{directory} holds no run", "a directory with manifest.json in it")
        case = case_in(directory, comm) if (directory / contents.CASE).exists() else None
        states, damaged = [], []
        for path in store.files(directory, store.OUTPUTS):
            try:
                states.append(load(path, comm))
            except CheckpointError as error:
                damaged.append(error.what)
        return cls(directory, manifest, case, tuple(states), tuple(damaged), comm)

    @cached_property
    def setup(self) -> Setup | None:
        """Mesh, problem, method; None for a run of a script."""
        return None if self.case is None else self.case.build(self.comm)

    @cached_property
    def history(self) -> History:
        """A row for each accepted step."""
        return History.read(self.directory / contents.HISTORY)

    @cached_property
    def canvas(self) -> Canvas | None:
        """Where fields are drawn."""
        if self.case is None or self.setup is None:
            return None
        mesh = self.setup.mesh
        if mesh is None or mesh.local is None:
            return Canvas(self.case.domain.bounds or ())
        p = np.asarray(mesh.local.p)
        bounds = tuple(zip(p.min(axis=1).tolist(), p.max(axis=1).tolist(), strict=True))
        triangles = mesh.local.t[:3].T if mesh.dim == 2 and mesh.local.t.shape[0] == 3 else None
        return Canvas(bounds, p if triangles is not None else None, triangles)

    def errors(self) -> list[float | None]:
        """Relative error of each state where the equation knows its solution."""
        if self.case is None or self.setup is None:
            return [None] * len(self.states)
        return [relative_error(self.case, self.setup, state) for state in self.states]
