"""What dfpde runs on: versions, MPI and its launcher, PETSc, BLAS; and what among them does not fit together.

Everything that may crash, hang or abort (MPI's start, PETSc built for another NumPy) is looked at in a process of its
own, so this works on a broken installation, which is when it is needed.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .errors import MissingDependency

REQUIRED = ("numpy", "scipy", "scikit-fem", "meshio", "h5py", "threadpoolctl", "mpi4py", "petsc4py")
OPTIONAL = ("jax", "torch", "matplotlib", "pymetis")
OLDEST = {"mpi4py": (3, 1), "petsc4py": (3, 18)}  # pip cannot hold these two to a bound: see pyproject.toml
SOURCE_BUILD = "docs/installation.md"

# variables by which Open MPI and the MPICH family tell a process that a launcher started it
_LAUNCHED = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK")
_LAUNCHER_PREFIXES = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "HYDRA_", "HYDI_", "MPI_LOCAL")

_MAPPED = """
def mapped(*words):
    try:
        lines = open("/proc/self/maps").read().splitlines()
    except OSError:
        return []
    names = {line.split(maxsplit=5)[5] for line in lines if "/" in line}
    return sorted(name for name in names if any(word in name.rsplit("/", 1)[1] for word in words))
"""
_MPI = """
import json, mpi4py
mpi4py.rc.initialize = False
from mpi4py import MPI
library = MPI.Get_library_version().strip(chr(0)).splitlines()[0]
print(json.dumps({"library": library, "files": mapped("libmpi.so", "libmpich.so")}))
"""
_PETSC = """
import json, numpy
before = set(mapped("blas", "lapack", "mkl", "atlas"))
import petsc4py
petsc4py.init([])
from petsc4py import PETSc
print(json.dumps({
    "version": ".".join(map(str, PETSc.Sys.getVersion())), "path": petsc4py.__path__[0],
    "scalar": numpy.dtype(PETSc.ScalarType).name, "int": numpy.dtype(PETSc.IntType).name,
    "blas": sorted(set(mapped("blas", "lapack", "mkl", "atlas")) - before), "mpi": mapped("libmpi.so", "libmpich.so")}))
"""
_THREADS = """
import json, numpy, scipy.linalg, threadpoolctl
print(json.dumps({"pools": [{"name": pool["internal_api"], "version": pool["version"], "threads": pool["num_threads"]}
                            for pool in threadpoolctl.threadpool_info()]}))
"""
_SIZES = """
from mpi4py import MPI
print("size", MPI.COMM_WORLD.size, flush=True)
"""


# -- starting ranks ------------------------------------------------------------------------------------------
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

    def command(self, n: int, arguments: Sequence[str]) -> list[str]:
        """Words that start ``python *arguments`` on n ranks, also with more ranks than cores."""
        crowd = ["--oversubscribe"] if self.family == "Open MPI" else []
        return [self.path, *crowd, "-n", str(n), sys.executable, *arguments]


def find_launcher() -> Launcher:
    """The launcher of the MPI library that mpi4py is linked with.

    ``$MPIEXEC``, else the first on the path (next to Python first) of the library's family, else the first at all.

    Raises
    ------
    MissingDependency
        There is no launcher.
    """
    ours = family(_probe(_MAPPED + _MPI)[0].get("library", ""))
    names = ["mpiexec", "mpirun", "mpirun.openmpi", "mpirun.mpich", "mpiexec.hydra"]
    path = os.pathsep.join([str(Path(sys.base_prefix) / "bin"), os.environ.get("PATH", os.defpath)])
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


def ranks_environment(n: int) -> dict[str, str]:
    """`clean_environment` with the cores shared out: BLAS threads × ranks ≤ cores, unless OMP_NUM_THREADS is set."""
    environment = clean_environment()
    environment.setdefault("OMP_NUM_THREADS", str(max(1, cores() // n)))
    return environment


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
        command, env=ranks_environment(n), stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True,
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


# -- what is here --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Environment:
    """Facts (name, text) in the order to show them, what does not fit together, and whether dfpde can run."""

    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    usable: bool


def versions() -> dict[str, str]:
    """Distribution name -> installed version, of all that dfpde may use; absent ones are left out."""
    found = {}
    for name in REQUIRED + OPTIONAL:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def inspect(ranks: int = 2) -> Environment:
    """Look at this machine as a bug report needs it; starts ``ranks`` ranks as a trial."""
    installed = versions()
    blas, pools = _numerics(ranks)
    mpi, library = _mpi(installed)
    start = _launch(ranks) if library else ([], [])
    petsc, usable = _petsc(installed, library)
    listing = [(name, ", ".join(f"{key} {installed.get(key, '-')}" for key in keys)) for name, keys in (
        ("packages", REQUIRED), ("optional", OPTIONAL))]  # fmt: skip
    machine = [
        ("Python", f"{platform.python_version()} ({sys.executable})"),
        ("system", f"{_system()}, {platform.machine()}, {cores()} core(s)"),
    ]
    parts = [(machine + listing, _old(installed)), (blas, pools), mpi, start, petsc]
    facts = tuple(fact for part, _ in parts for fact in part)
    return Environment(facts, tuple(text for _, warnings in parts for text in warnings), usable and bool(library))


Part = tuple[list[tuple[str, str]], list[str]]  # facts and warnings


def _numerics(ranks: int) -> Part:
    found, error = _probe(_THREADS)
    if not found:
        return [("NumPy, SciPy", f"cannot be imported: {error}")], [f"NumPy or SciPy cannot be imported: {error}"]
    pools = found["pools"]
    texts = [f"{pool['name']} {pool['version']}, {pool['threads']} thread(s)" for pool in pools]
    facts = [("BLAS of NumPy, SciPy", "; ".join(texts) or "unknown")]
    threads = max((pool["threads"] for pool in pools), default=1)
    if threads * ranks <= cores():
        return facts, []
    return facts, [
        f"{threads} BLAS threads on each of {ranks} ranks are more than {cores()} core(s): under a plain mpirun set "
        f"OMP_NUM_THREADS={max(1, cores() // ranks)} (`python -m dfpde mpirun` does)"
    ]


def _mpi(installed: dict[str, str]) -> tuple[Part, dict[str, Any]]:
    found, error = _probe(_MAPPED + _MPI)
    if found:
        return ([("MPI", f"{found['library']} ({', '.join(found['files']) or 'library file unknown'})")], []), found
    state = "is not installed" if "mpi4py" not in installed else "cannot be imported"
    remedy = f"Debian, Ubuntu: apt-get install python3-mpi4py openmpi-bin; else see {SOURCE_BUILD}"
    return ([("MPI", f"mpi4py {state}")], [f"mpi4py {state}: {error}\n  Try: {remedy}"]), {}


def _launch(ranks: int) -> Part:
    try:
        launcher = find_launcher()
        result = run_ranks(ranks, ["-c", _SIZES], timeout=60)
    except (MissingDependency, subprocess.TimeoutExpired) as error:
        return [("launcher", "none that works")], [str(error)]
    name = f"{launcher.path} ({launcher.family or 'unknown MPI'})"
    sizes = [int(size) for size in re.findall(r"^size (\d+)", result.stdout, re.MULTILINE)]
    facts = [("launcher", f"{name}; {ranks} ranks see sizes {sizes}")]
    if sizes == [ranks] * ranks:
        return facts, []
    if sizes == [1] * ranks:
        return facts, [
            f"{name} belongs to another MPI than mpi4py: every rank sees size 1, so N copies run instead of N ranks\n"
            "  Try: the launcher of mpi4py's own MPI (above), named in $MPIEXEC"
        ]
    return facts, [f"{name} cannot start {ranks} ranks (exit code {result.returncode}): {_last(result.stderr)}"]


def _petsc(installed: dict[str, str], library: dict[str, Any]) -> tuple[Part, bool]:
    found, error = _probe(_MAPPED + _PETSC)
    if not found:
        return _no_petsc(installed, error), False
    blas = ", ".join(_blas_name(path) for path in found["blas"] if "lapack" not in path) or "NumPy's or built in"
    facts = [
        ("PETSc", f"{found['version']}, {found['scalar']} scalars, {found['int']} indices ({found['path']})"),
        ("BLAS of PETSc", blas),
    ]
    warnings = []
    if found["scalar"] != "float64":
        warnings.append(
            f"PETSc has {found['scalar']} scalars; dfpde needs real double precision (float64)\n"
            f"  Try: a real build (Debian, Ubuntu: python3-petsc4py-real), see {SOURCE_BUILD}"
        )
    if library.get("files") and set(found["mpi"]) != set(library["files"]):
        warnings.append(f"PETSc and mpi4py are linked with different MPI libraries: {', '.join(found['mpi'])}")
    if any("reference" in _blas_name(path) for path in found["blas"]):
        warnings.append(
            "PETSc uses the reference BLAS, slow for dense matrices\n"
            "  Try: apt-get install libopenblas0-serial (no rebuild needed), or PETSc built with OpenBLAS or MKL"
        )
    return (facts, warnings), True


def _no_petsc(installed: dict[str, str], error: str) -> Part:
    numpy = installed.get("numpy", "0")
    if "petsc4py" not in installed and "No module named 'petsc4py'" in error:
        state, remedy = "is not installed", "apt-get install python3-petsc4py (Debian, Ubuntu), or"
    elif int(numpy.split(".")[0]) >= 2 and re.search(r"NumPy 1|_ARRAY_API|multiarray|numpy\.dtype size", error):
        state, remedy = f"was built for NumPy 1 and cannot run with NumPy {numpy}", 'pip install "numpy<2", or'
    else:
        state, remedy = "cannot be imported", "check that it belongs to this Python and this MPI, or"
    warning = f"petsc4py {state}: {error}\n  Try: {remedy} see {SOURCE_BUILD}"
    return [("PETSc", f"petsc4py {state}")], [warning]


def _old(installed: dict[str, str]) -> list[str]:
    def number(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in re.findall(r"\d+", text)[:2])

    return [
        f"{name} {installed[name]} is older than {'.'.join(map(str, bound))}, the oldest that dfpde supports"
        for name, bound in OLDEST.items()
        if name in installed and number(installed[name]) < bound
    ]


def _blas_name(path: str) -> str:
    """What a BLAS library file is; Debian's reference BLAS lies in .../blas/libblas.so.3.x."""
    kinds = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS", "atlas": "ATLAS", "/blas/libblas": "reference BLAS"}
    return next((f"{name} ({path})" for part, name in kinds.items() if part in path), path)


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()


# -- processes -----------------------------------------------------------------------------------------------
def _probe(code: str) -> tuple[dict[str, Any], str]:
    """Run code that prints one JSON object in a fresh interpreter: (object, ''), or ({}, what went wrong)."""
    command = [sys.executable, "-c", code]
    try:
        result = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return {}, "no answer within 60 s"
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode == 0 and lines:
        return json.loads(lines[-1]), ""
    return {}, f"ended by signal {-result.returncode}" if result.returncode < 0 else _last(result.stderr)


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def _output(command: list[str]) -> str:
    try:
        result = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout + result.stderr
