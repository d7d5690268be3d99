"""Kill and stop runs at random moments, let them go on by themselves, and compare every file with an uninterrupted run.

    python scripts/run_kills.py --count 50          25 runs of one process and 25 of two ranks killed, as many stopped

A run is `tests/runs_job.py`: 20 steps with pauses in the loop body, a checkpoint every second step, a series for
ParaView.  SIGKILL goes to all its processes at once, or to one rank; SIGTERM, SIGINT and SIGUSR1 to the process, to one
rank, or to Open MPI's launcher (which passes on SIGUSR1, and answers the others by killing its ranks within two
seconds).  After that the job is started again until it leaves with code 0; history, outputs and series must be
those of the uninterrupted run, byte for byte.
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
from collections import Counter
from pathlib import Path

from dfpde.parallel.launch import find_launcher, ranks_environment

JOB = Path(__file__).resolve().parents[1] / "tests" / "runs_job.py"


def start(directory: Path, ranks: int, pause: float) -> subprocess.Popen[bytes]:
    """One session of the job, in a process group of its own."""
    words = [str(JOB), str(directory), str(pause)]
    command = [sys.executable, *words] if ranks == 1 else find_launcher().command(ranks, words)
    log = (directory.parent / f"{directory.name}.log").open("ab")
    return subprocess.Popen(command, env=ranks_environment(), stdout=log, stderr=log, start_new_session=True)


def children(process: int) -> list[int]:
    """Ranks of a launcher."""
    found = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def session(process: subprocess.Popen[bytes]) -> list[int]:
    """Processes of its session that live (ranks have process groups of their own)."""
    found = subprocess.run(["pgrep", "-s", str(process.pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


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


def trial(
    directory: Path, ranks: int, kill: bool, rng: random.Random, whole: dict[str, bytes]
) -> tuple[str, int, bool]:
    """(what was done, sessions, whether all files are equal)."""
    process = start(directory, ranks, 0.05)
    history, target = directory / "history.csv", rng.randrange(-3, 19)  # before the first step as well
    while process.poll() is None and target >= 0:
        if history.exists() and history.read_bytes().count(b"\n") > target + 1:
            break
        time.sleep(0.005)
    time.sleep(rng.random() * (0.1 if target >= 0 else 2.0))
    what = "it had ended before" if process.poll() is not None else interrupt(process, ranks, kill, rng)
    codes = [process.wait(300)]
    while codes[-1] != 0 and len(codes) < 10:
        if len(codes) > 1:
            time.sleep(0.5)
        codes.append(start(directory, ranks, 0.0).wait(300))
    return f"{ranks} rank(s), {what}: code {codes[0]}", len(codes), contents(directory) == whole


def main() -> int:
    """Print a line for each run, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=50, help="runs killed, and runs stopped")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, equal, done = random.Random(options.seed), Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        whole = {}
        for ranks in (1, 2):
            directory = Path(folder) / f"whole{ranks}"
            if start(directory, ranks, 0.0).wait(600):
                sys.exit((Path(folder) / f"whole{ranks}.log").read_text())
            whole[ranks] = contents(directory)
        for i in range(2 * options.count):
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
