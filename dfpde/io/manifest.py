"""The manifest of a run: what is needed to repeat it, beside its output, as JSON."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from mpi4py import MPI

from .. import validation as check
from ..errors import CheckpointError
from ..parallel.collective import collective_errors
from ..parallel.environment import versions
from ..representation import represent
from .files import replace

FORMAT = "dfpde run"

#: What a paper that uses a run should cite.
CITATION = (
    "M. Raviola, B. Peherstorfer, Dirac-Frenkel dynamics with inertia for nonlinearly parametrized solutions of "
    "evolution problems, arXiv:2606.24769 (2026)",
    "dfpde, the version and revision of this manifest",
    "PETSc (https://petsc.org/release/#citing-petsc), where the solver is KSP",
)

#: What changes a run from outside its command line.
ENVIRONMENT = ("PETSC_OPTIONS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "JAX_ENABLE_X64")


class RunManifest:
    """Versions, command line, revision, parameters, ranks, timings; on disk from the start, completed at the end.

    Use it as a context manager: its ``status`` is "running" until the block ends, then "done" or
    "failed: " and the error.  A killed run leaves "running".

    Parameters
    ----------
    path : path
        JSON file.
    comm : MPI.Comm
        Rank 0 writes.
    earlier : mapping, optional
        Content of the manifest that this one goes on with: what is not renewed is kept, and its session becomes the
        last entry of ``sessions``.
    **parameters
        Anything that JSON or NumPy knows: what the run depends on.

    Raises
    ------
    CheckpointError
        On all ranks: the file cannot be written, or a parameter is not JSON.

    Examples
    --------
    >>> with RunManifest("out/run.json", comm, nu=0.01, eps=1e-3) as run:      # doctest: +SKIP
    ...     run.record(error=..., steps=...)
    """

    __repr__ = represent

    @check.takes(
        path=check.path,
        comm=check.instance(MPI.Comm, "a communicator of mpi4py"),
        earlier=check.optional(check.instance(Mapping, "a mapping")),
    )
    def __init__(
        self, path: str | os.PathLike[str], comm: MPI.Comm, earlier: Mapping[str, Any] | None = None, **parameters: Any
    ) -> None:
        self.path, self.comm = Path(path), comm
        self._start = time.perf_counter()
        hosts = comm.allgather(platform.node())
        earlier = {} if earlier is None else earlier
        self.content: dict[str, Any] = {
            "results": {},
            **earlier,
            "format": FORMAT,
            "status": "running",
            "started": _now(),
            "ended": None,
            "seconds": 0.0,
            "command": [sys.executable, *_command()],
            "folder": os.getcwd(),
            "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            "revision": _revision() if comm.rank == 0 else None,
            "python": platform.python_version(),
            # of the code that runs, also where it is not installed; the package itself is in no layer
            "versions": {"dfpde": sys.modules[__name__.split(".")[0]].__version__, **versions()},
            "mpi": {"size": comm.size, "hosts": sorted(set(hosts)), "library": MPI.Get_library_version().split(",")[0]},
            "parameters": parameters,
            "sessions": [*earlier.get("sessions", ()), *([_session(earlier)] if earlier else ())],
            "citation": list(CITATION),
        }
        self._write()

    def record(self, **results: Any) -> None:
        """Add results (numbers, timings, file names) and write; collective."""
        self.content["results"] |= results
        self._write()

    def update(self, **sections: Any) -> None:
        """Add or replace whole sections, and write; collective."""
        self.content |= sections
        self._write()

    def touch(self, **sections: Any) -> None:
        """As `update`, by rank 0 alone and without communication; a disk that is full is not an error here."""
        self.content |= sections
        self._stamp()
        if self.comm.rank == 0:
            with contextlib.suppress(CheckpointError):
                self._write_here()

    def _stamp(self) -> None:
        self.content["seconds"] = round(time.perf_counter() - self._start, 3)

    def _write(self) -> None:
        self._stamp()
        with collective_errors(self.comm):
            if self.comm.rank == 0:
                self._write_here()

    def _write_here(self) -> None:
        try:
            text = json.dumps(strict(self.content), indent=2, allow_nan=False)
        except (TypeError, ValueError) as error:
            remedy = "numbers, strings, arrays, lists and dicts of them"
            raise CheckpointError(f"{self.path}: {error}", remedy) from error
        replace(self.path, lambda beside: beside.write_text(text + "\n", encoding="utf-8"))

    def __enter__(self) -> RunManifest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.update(status="done", ended=_now())
            return
        # other ranks may not be here: no communication, and the error that matters is the one under way
        self.touch(status=f"failed: {type(error).__name__}: {error}", ended=_now())


def _session(content: Mapping[str, Any]) -> dict[str, Any]:
    """What stays of a session once the next one has begun."""
    kept = ("status", "started", "ended", "seconds", "revision", "resumed_from", "heartbeat", "timing")
    session = {name: content[name] for name in kept if content.get(name) is not None}
    session["ranks"] = content.get("mpi", {}).get("size")
    if session.get("status") == "running":
        session["status"] = "killed"
    return session


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _command() -> list[str]:
    """Arguments of the interpreter: ``-m dfpde run ...`` where a module runs, ``script.py ...`` else."""
    return list(sys.orig_argv[1:])


def strict(value: Any) -> Any:
    """What JSON knows: numbers that are not finite become words, as other readers know no NaN."""
    if isinstance(value, Mapping):
        return {str(key): strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [strict(entry) for entry in value]
    if isinstance(value, np.generic | np.ndarray):
        return strict(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _revision() -> str | None:
    """Git revision of the folder of the running script ('+' after it: with changes), None outside a repository."""
    script = Path(sys.argv[0]).resolve() if sys.argv and sys.argv[0] else Path.cwd()
    command = ["git", "-C", str(script if script.is_dir() else script.parent), "describe", "--always", "--abbrev=40"]
    try:
        done = subprocess.run([*command, "--dirty=+"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
