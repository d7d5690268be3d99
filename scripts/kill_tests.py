"""Runs killed at random moments end, after their restarts, with the bits of the run that nobody killed.

    python scripts/kill_tests.py                       # 50 kills of one process, 10 of two ranks
    python scripts/kill_tests.py --serial 4 --ranks 0

A job that saves every step is killed by SIGKILL (of two ranks: one, or all and the launcher): half of the times at a
random moment, half as soon as a write is seen to have begun, which is slowed down for that; then it goes on from its
checkpoint, is killed again, ... until it ends.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

UNTIL, STEP = 1.0, 0.02

#: What is being written, beside the checkpoint that it will replace.
BESIDE = ".run.*.beside.npz"


# -- the job -----------------------------------------------------------------------------------------------------
def job(folder: Path, pause: float) -> None:
    """Advection and decay by an adaptive and an implicit scheme, saved after every step; goes on where it was."""
    import numpy as np
    from mpi4py import MPI

    import dfpde as df
    from dfpde.io import checkpoint

    comm = MPI.COMM_WORLD
    slow(checkpoint, pause)
    ansatz = df.GaussianMixture.isotropic(1, 3)
    points = df.Quadrature.gauss((-4.0, 6.0), 40, 4, comm)
    problem = df.Problem(ansatz, points, lambda t, x, u: -df.dx(u) - 0.3 * u)
    problem = df.Problem(ansatz, points, problem.rhs, scale=np.linspace(1.0, 2.0, ansatz.size))
    theta = ansatz.pack(amplitudes=[1.0, 0.5, -0.2], centers=[[0.0], [0.7], [1.5]], scales=[1.5, 2.0, 1.0])
    methods = {"regularization": df.Inertia(1e-4, 0.97), "controller": df.PI(rtol=1e-5, dt_max=STEP)}
    path = folder / "run.npz"
    there = comm.bcast(path.exists())
    known = {"problem": problem, "label": "advection and decay, 0.3", **methods}
    state = df.load(path, comm, **known) if there else df.State(0.0, theta)
    if not there:
        df.save(path, state, comm, **known)
    for scheme, until in ((df.DormandPrince, 0.7 * UNTIL), (df.integrators.ROS2, UNTIL)):
        if state.t < until:
            for now in df.evolve(problem, state, until=until, integrator=scheme, **methods):
                df.save(path, now, comm, **known)
                state = now
    if comm.rank == 0:
        (folder / "done").touch()
    comm.barrier()


def slow(checkpoint: object, pause: float) -> None:
    """Write in two halves with a pause between, so that kills hit writes."""
    replace = checkpoint.replace  # type: ignore[attr-defined]

    def slowly(path: Path, write: object) -> None:
        def halves(beside: Path) -> None:
            write(beside)  # type: ignore[operator]
            content = beside.read_bytes()
            with beside.open("wb") as file:
                file.write(content[: len(content) // 2])
                file.flush()
                time.sleep(pause)
                file.write(content[len(content) // 2 :])

        replace(path, halves)

    if pause > 0:
        checkpoint.replace = slowly  # type: ignore[attr-defined]


# -- kills -------------------------------------------------------------------------------------------------------
def start(folder: Path, ranks: int, pause: float) -> subprocess.Popen[bytes]:
    """The job on so many ranks, in a process group of its own."""
    from dfpde.parallel.launch import find_launcher, ranks_environment

    words = [__file__, "--job", str(folder), "--pause", str(pause)]
    command = [sys.executable, *words] if ranks == 1 else find_launcher().command(ranks, words)
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        command, env=ranks_environment(), stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )


def finish(folder: Path, ranks: int) -> bytes:
    """θ's bits (and t's) at the end of the job."""
    process = start(folder, ranks, 0.0)
    if process.wait(timeout=300) != 0 or not (folder / "done").exists():
        raise RuntimeError(f"the job in {folder} ended with code {process.returncode}")
    return bits(folder)


def bits(folder: Path) -> bytes:
    """All of the last state but its statistics."""
    import dataclasses

    from mpi4py import MPI

    import dfpde as df

    state = df.load(folder / "run.npz", MPI.COMM_SELF)
    fields = [getattr(state, field.name) for field in dataclasses.fields(df.State) if field.name != "statistics"]
    return repr([field.tobytes() if hasattr(field, "tobytes") else field for field in fields]).encode()


def kill(process: subprocess.Popen[bytes], ranks: int, chance: random.Random) -> None:
    """SIGKILL: the process; of several ranks one of them, or the launcher and all of them."""
    children = [int(word) for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    if ranks > 1 and children and chance.random() < 0.5:
        os.kill(chance.choice(children), signal.SIGKILL)
    else:
        for number in [process.pid, *children]:
            os.kill(number, signal.SIGKILL)
    process.wait(timeout=60)


def trial(folder: Path, ranks: int, kills: int, chance: random.Random) -> tuple[int, int]:
    """Kills that hit a job after its first checkpoint, and how many of them left a write half done."""
    hits = torn = 0
    while hits < kills and not (folder / "done").exists():
        aimed = chance.random() < 0.5
        process = start(folder, ranks, 0.2 if aimed else 0.0)
        while process.poll() is None and not (folder / "run.npz").exists():
            time.sleep(0.01)
        before = (folder / "run.npz").stat().st_mtime_ns
        while process.poll() is None and (folder / "run.npz").stat().st_mtime_ns == before:
            time.sleep(0.005)  # it has gone on by a step
        while aimed and process.poll() is None and not list(folder.glob(BESIDE)):
            time.sleep(0.002)
        time.sleep(0.0 if aimed else chance.uniform(0.0, 0.3))
        if process.poll() is None:
            kill(process, ranks, chance)
            hits += 1
        left = list(folder.glob(BESIDE))
        torn += len(left)
        for path in left:
            path.unlink()
    return hits, torn


def series(ranks: int, kills: int, seed: int) -> bool:
    """So many kills, five of each job; whether all jobs end with the bits of an undisturbed one."""
    chance, hits, torn, jobs, same = random.Random(seed), 0, 0, 0, True
    with tempfile.TemporaryDirectory() as name:
        undisturbed = Path(name) / "undisturbed"
        undisturbed.mkdir()
        wanted = finish(undisturbed, ranks)
        while hits < kills:
            folder = Path(name) / str(jobs)
            folder.mkdir()
            found, half = trial(folder, ranks, min(5, kills - hits), chance)
            hits, torn, jobs = hits + found, torn + half, jobs + 1
            same = same and finish(folder, ranks) == wanted
    print(f"{ranks} rank(s): {hits} kills of {jobs} jobs, {torn} in a write; ends bitwise equal: {same}", flush=True)
    return same


def main(words: Sequence[str] | None = None) -> int:
    """Run the job, or the series of kills."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serial", type=int, default=50)
    parser.add_argument("--ranks", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--pause", type=float, default=0.0, help=argparse.SUPPRESS)
    chosen = parser.parse_args(words)
    if chosen.job is not None:
        job(chosen.job, chosen.pause)
        return 0
    parts = [series(ranks, kills, chosen.seed) for ranks, kills in ((1, chosen.serial), (2, chosen.ranks)) if kills]
    return 0 if all(parts) else 1


if __name__ == "__main__":
    raise SystemExit(main())
