"""Starting ranks: the launcher of mpi4py's MPI, the environment a new MPI job needs, and looks into other processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MissingDependency

# variables by which Open MPI and the MPICH family tell a process that a launcher started it
_LAUNCHED = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK")
_LAUNCHER_PREFIXES = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "HYDRA_", "HYDI_", "MPI_LOCAL")

# what a probe may call: paths of the shared libraries in memory whose file names contain one of the words
_MAPPED = """
def mapped(*words):
    try:
        lines = open("/proc/self/maps").read().splitlines()
    except OSError:
        return []
    names = {line.split(maxsplit=5)[5] for line in lines if "/" in line}
    return sorted(name for name in names if any(word in name.rsplit("/", 1)[1] for word in words))
"""
#: Probe of the MPI library that mpi4py is linked with; it does not start MPI.
MPI_LIBRARY = """
import json, mpi4py
mpi4py.rc.initialize = False
from mpi4py import MPI
library = MPI.Get_library_version().strip(chr(0)).splitlines()[0]
print(json.dumps({"library": library, "files": mapped("libmpi.so", "libmpich.so")}))
"""


# -- processes ----------------------------------------------------------------------------------------------
def probe(code: str) -> tuple[dict[str, Any], str]:
    """Run code that prints one JSON object in a fresh interpreter: (object, ''), or ({}, what went wrong)."""
    command = [sys.executable, "-c", _MAPPED + code]
    try:
        result = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return {}, "no answer within 60 s"
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode == 0 and lines:
        return json.loads(lines[-1]), ""
    return {}, f"ended by signal {-result.returncode}" if result.returncode < 0 else last_line(result.stderr)


def last_line(text: str) -> str:
    """The last line that says something, as of a traceback; not a ruler."""
    lines = [line.strip() for line in text.splitlines() if line.strip(" -=*")]
    return lines[-1] if lines else "no message"


def _output(command: list[str]) -> str:
    try:
        result = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout + result.stderr


# -- ranks --------------------------------------------------------------------------------------------------
def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def rank_of_launch() -> int:
    """Rank that a launcher gave this process, 0 without one; asks no MPI."""
    return next((int(os.environ[name]) for name in _LAUNCHED if os.environ.get(name, "").isdigit()), 0)


def clean_environment() -> dict[str, str]:
    """This process's environment as a new MPI job needs it.

    Without the traces of a launcher around this process, and with Open MPI's consent to run as root where we are root.
    """
    launched = any(name in os.environ for name in _LAUNCHED)
    kept = {name: v for name, v in os.environ.items() if not (launched and name.startswith(_LAUNCHER_PREFIXES))}
    if os.getuid() == 0:
        for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"):
            kept.setdefault(name, "1")
    return kept


def family(text: str) -> str:
    """Which launcher protocol a library's or launcher's version text speaks: ``Open MPI``, ``MPICH`` or ``''``."""
    if re.search(r"Open MPI|OpenRTE|PRRTE|prte", text):
        return "Open MPI"
    return "MPICH" if re.search(r"MPICH|HYDRA|Intel\(R\) MPI|MVAPICH", text) else ""


@dataclass(frozen=True)
class Launcher:
    """An MPI launcher: its path, and the family of MPI libraries it can start."""

    path: str
    family: str

    def command(self, n: int, arguments: Sequence[str], timeout: int | None = None) -> list[str]:
        """Words that start ``python *arguments`` on n ranks, also with more ranks than cores.

        With a timeout in seconds the launcher ends the job then.
        """
        ours = self.family == "Open MPI"
        crowd = ["--oversubscribe"] if ours else []
        watch = [] if timeout is None else ["--timeout" if ours else "-timeout", str(timeout)]
        return [self.path, *crowd, *watch, "-n", str(n), sys.executable, *arguments]


def find_launcher() -> Launcher:
    """The launcher of the MPI library that mpi4py is linked with.

    ``$MPIEXEC``, else the first on the path (next to Python first) of the library's family, else the first at all.

    Raises
    ------
    MissingDependency
        There is no launcher.
    """
    ours = family(probe(MPI_LIBRARY)[0].get("library", ""))
    names = ["mpiexec", "mpirun", "mpirun.openmpi", "mpirun.mpich", "mpiexec.hydra"]
    beside = [str(Path(prefix) / "bin") for prefix in (sys.prefix, sys.base_prefix)]
    path = os.pathsep.join([*beside, os.environ.get("PATH", os.defpath)])
    wanted = [os.environ["MPIEXEC"]] if os.environ.get("MPIEXEC") else names
    found = [place for name in wanted if (place := shutil.which(name, path=path))]
    launchers = [Launcher(place, family(_output([place, "--version"]))) for place in dict.fromkeys(found)]
    if not launchers:
        raise MissingDependency(
            f"no MPI launcher: none of {', '.join(wanted)} is on the path",
            "install the launcher of the MPI that mpi4py is linked with (Debian, Ubuntu: apt-get install openmpi-bin), "
            "or name it in $MPIEXEC",
        )
    return next((launcher for launcher in launchers if launcher.family == ours), launchers[0])


def ranks_environment() -> dict[str, str]:
    """`clean_environment` with one BLAS thread for each rank unless OMP_NUM_THREADS is set."""
    environment = clean_environment()
    environment.setdefault("OMP_NUM_THREADS", "1")
    return environment


def supervise(command: Sequence[str]) -> int:
    """Run a launcher, and pass on to its ranks the wish to stop; returns its exit code.

    Open MPI's launcher answers SIGTERM and SIGINT by killing the ranks within two seconds, which is less than a step
    may take; SIGUSR1 it passes on.  So the first signal becomes SIGUSR1, and the second is passed on as it is.
    """
    asked: list[int] = []

    def pass_on(number: int, frame: Any) -> None:
        process.send_signal(number if asked else signal.SIGUSR1)
        asked.append(number)

    # a session of its own, or a terminal would send its signals to the launcher as well
    process = subprocess.Popen(command, env=ranks_environment(), stdin=subprocess.DEVNULL, start_new_session=True)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_ranks(n: int, arguments: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run ``python *arguments`` on n ranks and collect the output.

    Raises
    ------
    MissingDependency
        There is no launcher.
    subprocess.TimeoutExpired
        After ``timeout`` seconds; the ranks are ended first.
    """
    command = find_launcher().command(n, arguments)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=ranks_environment(), stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.terminate()  # the launcher ends its ranks, which SIGKILL would orphan
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)
