"""Kill and stop runs at random moments, let them go on by themselves, and compare every file with an uninterrupted run.

    python scripts/run_kills.py --count 50          25 runs of one process and 25 of two ranks killed, as many stopped

A run is `tests/runs_job.py`: 20 steps with pauses in the loop body, a checkpoint every second step, a .pvd series and a
VTKHDF file.  SIGKILL goes to all its processes at once, or to one rank; SIGTERM, SIGINT and SIGUSR1 to the process, to
one rank, or to the launcher (Open MPI's passes on SIGUSR1, and answers the others by killing its ranks within two
seconds; MPICH's passes on all three).  Then VTK's readers must be able to read every step of series and file.  After
that the job is started again until it leaves with code 0; history, outputs, series and file must be those of the
uninterrupted run, byte for byte.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from dfpde.parallel.launch import find_launcher, ranks_environment

JOB = Path(__file__).resolve().parents[1] / "tests" / "runs_job.py"


def start(directory: Path, ranks: int, pause: float, log: Path | None = None) -> subprocess.Popen[bytes]:
    """One session of the job, in a process group of its own; what it says is added to a file beside the directory."""
    words = [str(JOB), str(directory), str(pause)]
    command = [sys.executable, *words] if ranks == 1 else find_launcher().command(ranks, words)
    with (log or directory.parent / f"{directory.name}.log").open("ab") as said:
        return subprocess.Popen(command, env=ranks_environment(), stdout=said, stderr=said, start_new_session=True)


def living() -> dict[int, tuple[int, int]]:
    """Number of each process that lives -> (parent, session), from /proc: `pgrep` is not on every machine."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, _, session, *_ = file.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if state != "Z":
            found[int(file.parent.name)] = int(parent), int(session)
    return found


def children(process: int) -> list[int]:
    """Ranks of a launcher: the leaves below it, as MPICH's has a proxy between."""
    below = sorted(number for number, (parent, _) in living().items() if parent == process)
    return [rank for child in below for rank in children(child) or [child]]


def session(process: subprocess.Popen[bytes]) -> list[int]:
    """Processes of its session that live (ranks have process groups of their own)."""
    return [number for number, (_, of) in living().items() if of == process.pid]


def interrupt(process: subprocess.Popen[bytes], ranks: int, kill: bool, rng: random.Random) -> str:
    """Send one signal; returns what was done."""
    one = rng.random() < 0.5 and ranks > 1 and len(children(process.pid)) == ranks
    number = signal.SIGKILL if kill else rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
    if one:
        targets = [rng.choice(children(process.pid))]
    else:
        targets = [*session(process), *children(process.pid)] if kill else [process.pid]
    for target in targets:
        try:
            os.kill(target, number)
        except ProcessLookupError:
            continue
    alone = "the launcher" if ranks > 1 else "the process"
    return f"{number.name} to {'one rank' if one else 'all' if kill else alone}"


def contents(directory: Path) -> dict[str, bytes]:
    """What must be equal."""
    names = ("history.csv", "*.pvd", "*.vtkhdf", "outputs/*", "series/*")
    paths = [path for name in names for path in directory.glob(name)]
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}


def readable(directory: Path) -> bool:
    """Whether VTK reads all steps of the series and of the file that a killed job has left."""
    import vtk

    files = []
    if (directory / "series.pvd").exists():
        text = (directory / "series.pvd").read_text()
        files = [directory / name for name in re.findall(r'file="([^"]*)"', text)]
    for file in files:
        reader = vtk.vtkXMLPUnstructuredGridReader() if file.suffix == ".pvtu" else vtk.vtkXMLUnstructuredGridReader()
        reader.SetFileName(str(file))
        reader.Update()
        if reader.GetErrorCode() or reader.GetOutput().GetNumberOfCells() != 8:
            return False
    if not (directory / "series.vtkhdf").exists():
        return True
    reader = vtk.vtkHDFReader()
    reader.SetFileName(str(directory / "series.vtkhdf"))
    reader.UpdateInformation()
    for t in reader.GetOutputInformation(0).Get(vtk.vtkStreamingDemandDrivenPipeline.TIME_STEPS()) or (0.0,):
        reader.UpdateTimeStep(t)
        if reader.GetErrorCode() or reader.GetOutputDataObject(0).GetNumberOfCells() != 8:
            return False
    return True


def trial(
    directory: Path, ranks: int, kill: bool, rng: random.Random, whole: dict[str, bytes]
) -> tuple[str, int, bool]:
    """(what was done, sessions, whether all files could be read and are equal at the end)."""
    process = start(directory, ranks, 0.05)
    history, target = directory / "history.csv", rng.randrange(-3, 19)  # before the first step as well
    while process.poll() is None and target >= 0:
        if history.exists() and history.read_bytes().count(b"\n") > target + 1:
            break
        time.sleep(0.005)
    time.sleep(rng.random() * (0.1 if target >= 0 else 2.0))
    what = "it had ended before" if process.poll() is not None else interrupt(process, ranks, kill, rng)
    codes = [process.wait(300)]
    end = time.monotonic() + 10
    while ranks > 1 and session(process) and time.monotonic() < end:
        time.sleep(0.01)  # ranks whose launcher was killed notice it
    intact = readable(directory)
    while codes[-1] != 0 and len(codes) < 10:
        if len(codes) > 1:
            time.sleep(0.5)
        codes.append(start(directory, ranks, 0.0).wait(300))
    return f"{ranks} rank(s), {what}: code {codes[0]}", len(codes), intact and contents(directory) == whole


def main() -> int:
    """Print a line for each run, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=50, help="runs killed, and runs stopped")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the run to begin with")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no run after this time")
    options = parser.parse_args()
    begin, equal, done = time.monotonic(), Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        whole = {}
        for ranks in (1, 2):
            directory = Path(folder) / f"whole{ranks}"
            if start(directory, ranks, 0.0).wait(600):
                sys.exit((Path(folder) / f"whole{ranks}.log").read_text())
            whole[ranks] = contents(directory)
        for i in range(options.first, 2 * options.count):
            if time.monotonic() - begin > options.seconds:
                print(f"go on with --first {i}")
                break
            rng = random.Random(f"{options.seed} {i}")
            kind, ranks = ("killed", "stopped")[i % 2], 1 + i // 2 % 2
            what, sessions, same = trial(Path(folder) / str(i), ranks, kind == "killed", rng, whole[ranks])
            done[kind] += 1
            equal[kind] += same
            print(f"{i:3d}  {what}, {sessions} sessions, {'equal' if same else 'NOT EQUAL'}", flush=True)
            if not same:
                print((Path(folder) / f"{i}.log").read_text(), flush=True)
    print(f"equal to the uninterrupted run: {equal['killed']} of {done['killed']} killed, "
          f"{equal['stopped']} of {done['stopped']} stopped")  # fmt: skip
    return 0 if equal == done else 1


if __name__ == "__main__":
    sys.exit(main())
