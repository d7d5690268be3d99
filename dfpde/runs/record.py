"""The manifest of a `Run`: what it is made of, how far it is, and all its sessions."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mpi4py import MPI

from ..errors import RunError, Stopped
from ..evolution.state import State
from ..io.manifest import RunManifest, strict
from ..parallel.collective import collective_errors
from . import contents
from .describe import changes

HEARTBEAT = 10.0  # seconds between updates of the manifest


class Record:
    """Rank 0's file ``manifest.json``; collective where it says so.

    Parameters
    ----------
    directory : Path
    comm : MPI.Comm
    state : State or None
        Where the run goes on; None for a new one.
    parameters : mapping
        Of the manifest.
    """

    def __init__(self, directory: Path, comm: MPI.Comm, state: State | None, parameters: Mapping[str, Any]) -> None:
        earlier = None
        with collective_errors(comm):
            if comm.rank == 0:
                earlier = contents.read_manifest(directory)
        self._earlier: dict[str, Any] = comm.bcast(earlier, root=0) or {}
        self.directory = directory
        self.manifest = RunManifest(directory / contents.MANIFEST, comm, self._earlier, **parameters)
        self._first, self._beat_at = state, -math.inf
        self._seconds = {"stepping": 0.0, "saving": 0.0, "loop body": 0.0}
        self.manifest.touch(resumed_from=None if state is None else _place(state))

    def describe(self, name: str, description: Any, accept: bool) -> None:
        """Note what the run is made of; collective.

        Raises
        ------
        RunError
            On all ranks: it is not what the run was made of before, and `accept` is False.
        """
        before = self._earlier.pop(name, None)  # compared once: what `evolve` is called with later is another phase
        description = strict(description)  # as it is read back
        changed = [] if before is None or self._first is None else changes(before, description, name)
        if changed and not accept:
            error = RunError(
                f"{self.directory} belongs to a run of something else: {'; '.join(changed)}",
                "another directory; overwrite=True (dfpde run --overwrite) to start anew there; accept_changes=True "
                "(--accept-changes) to go on with what has changed",
            )
            error.collective = True
            raise error
        sections: dict[str, Any] = {name: description}
        if changed:
            sections["changes"] = [*self.manifest.content.get("changes", ()), *changed]
        self.manifest.update(**sections)

    def method(self, description: Any, until: float, accept: bool) -> None:
        """As `describe`, of one call of `evolve`; compared where the call that was interrupted goes on."""
        if self._first is None or not self._first.t < self._earlier.get("until", -math.inf):
            self._earlier.pop("method", None)
        self.describe("method", description, accept)
        self.manifest.update(until=until)

    def finished(self, until: float) -> bool:
        """Whether the run has come to its end before, at `until` or at an event that ends it."""
        found = self.manifest.content.get("finished")
        return found is not None and self._first is not None and found["until"] >= until

    def spent(self, on: str, seconds: float) -> None:
        """Add to the timing summary."""
        self._seconds[on] += seconds

    def beat(self, state: State) -> None:
        """Say how far the run is, every HEARTBEAT seconds; without communication."""
        now = time.perf_counter()
        if now - self._beat_at < HEARTBEAT:
            return
        self._beat_at = now
        self.manifest.touch(heartbeat=_place(state) | {"time": _now()}, timing=self._timing(state))

    def finish(self, until: float, state: State) -> None:
        """Say that the run has come to its end; collective."""
        self.manifest.update(finished={"until": until, **_place(state)})

    def close(self, error: BaseException | None, state: State | None) -> None:
        """Status at the end of a session; collective without an error, rank 0 alone with one."""
        sections: dict[str, Any] = {"ended": _now()}
        if state is not None:
            sections |= {"heartbeat": _place(state) | {"time": _now()}, "timing": self._timing(state)}
        if error is None:
            finished = self.manifest.content.get("finished")
            left = state is None or finished is None or finished["step"] != state.step
            self.manifest.update(status="left" if left else "done", **sections)
        elif isinstance(error, Stopped):
            self.manifest.touch(status=str(error), **sections)
        else:
            self.manifest.touch(status=f"failed: {type(error).__name__}: {error}", **sections)

    def _timing(self, state: State) -> dict[str, Any]:
        steps = state.step - (0 if self._first is None else self._first.step)
        spent = {name: round(seconds, 3) for name, seconds in self._seconds.items()}
        each = round(self._seconds["stepping"] / steps, 6) if steps else None
        return {"steps": steps, "seconds": spent, "seconds per step": each}


def _place(state: State) -> dict[str, Any]:
    return {"t": state.t, "step": state.step, "dt": state.dt}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
