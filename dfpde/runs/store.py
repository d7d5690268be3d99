"""States of a run on disk: those at output times, which stay, and the last few others, to go on from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import CheckpointError
from ..evolution.state import State
from ..io.checkpoint import load, save
from ..parallel.collective import collective_errors
from ..problem import Problem

log = logging.getLogger(__name__)

OUTPUTS, CHECKPOINTS = "outputs", "checkpoints"


@dataclass(frozen=True, eq=False)
class Store:
    """Files ``outputs/000000120.npz`` and ``checkpoints/000000133.npz``, named by step, each a whole `State`.

    Parameters
    ----------
    directory : Path
        Of the run.
    problem : Problem
        Its ansatz is noted in the files, and its communicator writes them.
    keep : int
        Checkpoints kept; a state in ``outputs`` is one to go on from as well.
    """

    directory: Path
    problem: Problem
    keep: int

    def save(self, state: State, output: bool) -> None:
        """Write a state and drop the checkpoints that are no longer needed; collective.

        Raises
        ------
        CheckpointError
            On all ranks: the file cannot be written; those before are untouched.
        """
        path = self.directory / (OUTPUTS if output else CHECKPOINTS) / f"{state.step:09d}.npz"
        save(path, state, self.problem.comm, problem=self.problem)
        with collective_errors(self.problem.comm):
            if self.problem.comm.rank == 0:
                for old in files(self.directory, CHECKPOINTS)[: -self.keep]:
                    old.unlink(missing_ok=True)

    def newest(self) -> State | None:
        """The newest intact state, None where there is none at all; collective.

        A damaged file is named in a warning, renamed to ``….damaged``, and the one before it is taken.

        Raises
        ------
        CheckpointError
            On all ranks: files, but no intact one; or they belong to another ansatz.
        """
        comm = self.problem.comm
        candidates: list[Path] = []
        with collective_errors(comm):
            if comm.rank == 0:
                both = files(self.directory, OUTPUTS) + files(self.directory, CHECKPOINTS)
                candidates = sorted(both, key=lambda path: path.stem, reverse=True)
        candidates = comm.bcast(candidates, root=0)
        for path in candidates:
            try:
                load(path, comm)
            except CheckpointError as error:
                self._set_aside(path, error)
                continue
            return load(path, comm, problem=self.problem)
        if candidates:
            lost = CheckpointError(
                f"none of the {len(candidates)} states in {self.directory} is intact",
                "overwrite=True (dfpde run --overwrite) starts anew",
            )
            lost.collective = True
            raise lost
        return None

    def _set_aside(self, path: Path, error: CheckpointError) -> None:
        with collective_errors(self.problem.comm):
            if self.problem.comm.rank == 0:
                log.warning("%s; falling back to the state before it", error.what)
                path.replace(path.with_name(path.name + ".damaged"))


def files(directory: Path, kind: str) -> list[Path]:
    """States of a kind, `OUTPUTS` or `CHECKPOINTS`, in the order of their steps; for one rank."""
    return sorted(path for path in (directory / kind).glob("*.npz") if path.stem.isdigit())


def owned(directory: Path) -> Sequence[Path]:
    """All states of a run, the damaged ones too: what a run that starts anew deletes; for one rank."""
    return [path for kind in (OUTPUTS, CHECKPOINTS) for path in (directory / kind).glob("*.npz*")]
