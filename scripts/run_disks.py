"""Runs on disks that are full, over quota or read-only, and in locked directories; on one process and on two ranks.

    python scripts/run_disks.py                      small tmpfs (needs root)
    python scripts/run_disks.py --limited DIR        in a directory on a disk with little space, or under a small quota

The job is `tests/runs_job.py`.  A ballast leaves it some space, so that the disk is full at another file each time. The
job must end by itself with code 1 and a named error, leave an intact state (or none if it never wrote one), and go on
once the ballast is gone; then history, outputs, series and file must be those of an undisturbed run, byte for byte.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from run_kills import contents, session, start

import dfpde as df
from dfpde.errors import CheckpointError

PIECE = 4096
LIMIT = 120.0  # seconds after which a job counts as hanging


@contextmanager
def tmpfs(size: str) -> Iterator[Path]:
    """A file system of its own."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def fill(folder: Path, leave: int) -> list[Path]:
    """Files that leave so many bytes on the disk."""
    ballast: list[Path] = []
    folder.mkdir()
    try:
        while True:
            ballast.append(folder / f"{len(ballast)}")
            with ballast[-1].open("wb", buffering=0) as file:
                file.write(bytes(range(256)) * (PIECE // 256))
                subprocess.run(["sync", str(ballast[-1])], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pass
    for path in ballast[-1 - leave // PIECE :]:
        path.unlink(missing_ok=True)
    return ballast


def ended(directory: Path, ranks: int) -> tuple[int | None, str]:
    """Code of a session (None: it hung), and the error that it printed."""
    with tempfile.TemporaryDirectory() as elsewhere:
        log = Path(elsewhere) / "log"
        process = start(directory, ranks, 0.0, log)
        try:
            code = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            return None, "hung"
        lines = [line for line in log.read_text().splitlines() if re.search(r"(Checkpoint|Run)Error: ", line)]
    return code, lines[-1].strip().replace("dfpde.errors.", "") if lines else ""


def newest(directory: Path) -> str:
    """The newest state, read."""
    states = sorted(directory.glob("*/*.npz"), key=lambda path: path.stem)
    if not states:
        return "no state yet"
    try:
        return f"step {df.load(states[-1]).step} intact"
    except CheckpointError as error:
        return f"DAMAGED: {error}"


def full(folder: Path, leave: int, ranks: int, whole: dict[str, bytes]) -> bool:
    """One job on a disk with little space, and again once there is more."""
    ballast, directory = fill(folder / "ballast", leave), folder / "run"
    code, said = ended(directory, ranks)
    state = newest(directory)
    for path in ballast:
        path.unlink(missing_ok=True)
    again, _ = ended(directory, ranks)
    same = contents(directory) == whole
    print(f"{leave // 1024:4d} KiB left, {ranks} rank(s): code {code}, {state}; then {again}, {_word(same)}; {said}")
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    return code in (0, 1) and (code == 0 or bool(said)) and again == 0 and same and "DAMAGED" not in state


def read_only(folder: Path, ranks: int, whole: dict[str, bytes]) -> bool:
    """The disk becomes read-only under a running job."""
    directory = folder / "run"
    process = start(directory, ranks, 0.1, Path(os.devnull))
    while not list(directory.glob("checkpoints/*.npz")) and process.poll() is None:
        time.sleep(0.02)
    while subprocess.run(["mount", "-o", "remount,ro", folder], capture_output=True, check=False).returncode:
        time.sleep(0.005)  # busy while a file is open for writing
    code = process.wait(LIMIT)
    state = newest(directory)
    refused, said = ended(directory, ranks)
    subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
    again, _ = ended(directory, ranks)
    same = contents(directory) == whole
    print(f"read-only, {ranks} rank(s): code {code}, {state}; there {refused}, {said}; then {again}, {_word(same)}")
    return code == refused == 1 and again == 0 and same and bool(said)


def locked(folder: Path, ranks: int, whole: dict[str, bytes]) -> bool:
    """A second job beside a live one, and one after a killed one."""
    directory = folder / "run"
    process = start(directory, ranks, 0.2, Path(os.devnull))
    while not list(directory.glob("checkpoints/*.npz")) and process.poll() is None:
        time.sleep(0.02)
    second, said = ended(directory, ranks)
    alive = process.poll() is None
    for child in [*session(process), process.pid]:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    process.wait(LIMIT)
    again, _ = ended(directory, ranks)
    same = contents(directory) == whole
    print(f"locked, {ranks} rank(s): second job {second}, {said}; after SIGKILL of the first {again}, {_word(same)}")
    return second == 1 and alive and "in use by process" in said and again == 0 and same


def _word(same: bool) -> str:
    return "equal" if same else "NOT EQUAL"


def main() -> int:
    """Print a line for each job."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--limited", type=Path, help="directory on a disk with little space, or under a quota")
    limited, good = parser.parse_args().limited, []
    with tempfile.TemporaryDirectory() as folder:
        whole = {}
        for ranks in (1, 2):
            if start(Path(folder) / f"{ranks}", ranks, 0.0).wait(LIMIT):
                sys.exit((Path(folder) / f"{ranks}.log").read_text())
            whole[ranks] = contents(Path(folder) / f"{ranks}")
    for ranks in (1, 2):
        for leave in (8, 16, 32, 48, 64, 96, 128):
            if limited is not None:
                good.append(full(limited, 1024 * leave, ranks, whole[ranks]))
                continue
            with tmpfs("1m") as disk:
                good.append(full(disk, 1024 * leave, ranks, whole[ranks]))
        if limited is None:
            for case in (read_only, locked):
                with tmpfs("1m") as disk:
                    good.append(case(disk, ranks, whole[ranks]))
    print(f"{sum(good)} of {len(good)} as they should be")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
