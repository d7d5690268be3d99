"""Run a case in its directory, or go on with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from ..errors import RunError
from ..evolution.state import State
from ..io.files import replace
from ..io.reporting import start_logging
from ..parallel.collective import collective_errors
from ..runs import Run, contents
from .case import Case, Setup


def directory_of(case: Case, path: Path) -> Path:
    """Where a case file wants to be run: as it says, else ``out/<its name>``."""
    return Path(case.output.directory or Path("out") / path.stem)


def execute(
    case: Case, comm: MPI.Comm, directory: Path, *, overwrite: bool = False, accept_changes: bool = False
) -> State:
    """Run a case, or go on with it where it is in the directory already; collective.

    Returns
    -------
    State
        The last one.

    Raises
    ------
    CaseError, RunError, CheckpointError
        See `Case.build` and `Run`.
    Stopped
        A signal, or the time limit of the case.
    """
    start_logging(comm, directory if case.output.log else None)
    setup, out = case.build(comm), case.output
    parameters: dict[str, Any] = {"title": case.title, "seed": case.fit.seed, "case": {"folder": str(case.folder)}}
    with Run(
        directory, setup.problem, every_steps=out.every_steps, every_seconds=out.every_seconds, keep=out.keep,
        max_seconds=out.max_seconds, overwrite=overwrite, accept_changes=accept_changes, show_progress=True,
        **parameters,
    ) as run:  # fmt: skip
        with collective_errors(comm):
            if comm.rank == 0:
                replace(directory / contents.CASE, lambda beside: beside.write_text(case.text, encoding="utf-8"))
        state = run.begin(setup.start)
        makers = [run.paraview] * out.paraview + [run.vtkhdf] * out.vtkhdf if setup.mesh is not None else []
        writers = [make(setup.mesh, refine=out.refine) for make in makers]
        for writer in writers:
            if writer.steps == 0:
                writer.write(state.t, u=setup.problem.field(state))
        for state in run.evolve(until=case.time.until, times=case.time.listed, **setup.method):
            for writer in writers:
                writer.write(state.t, u=setup.problem.field(state))
        error = relative_error(case, setup, state)
        results = {"t": state.t, "steps": state.step, "rejected": state.statistics.rejected}
        run.record.manifest.record(**results, **({} if error is None else {"relative error": error}))
    return state


def relative_error(case: Case, setup: Setup, state: State) -> float | None:
    """‖Φ(θ) − u‖/‖u‖ where the equation knows its solution u (from its own initial data); collective."""
    exact = getattr(case.equation, "exact", None)
    if exact is None or case.fit.initial is not None:
        return None
    q = setup.problem.quadrature
    with collective_errors(q.comm):
        reference = np.asarray(exact(state.t, q.x))
    norm = q.norm(reference)
    return q.norm(setup.problem.field(state).value - reference) / norm if norm > 0 else None


def case_in(directory: Path, comm: MPI.Comm) -> Case:
    """The case that a directory holds a run of; collective.

    Raises
    ------
    RunError
        On all ranks: the directory holds no run of a case file.
    """
    folder = None
    with collective_errors(comm):
        if comm.rank == 0:
            manifest = contents.read_manifest(directory)
            if manifest is None or not (directory / contents.CASE).exists():
                raise RunError(
                    f"{directory} holds no run of a case file",
                    "dfpde run CASE.toml starts one; a run of a script goes on when the script is started again",
                )
            folder = manifest["parameters"].get("case", {}).get("folder")
    folder = comm.bcast(folder, root=0)
    return Case.read(directory / contents.CASE, comm, None if folder is None else Path(folder))
