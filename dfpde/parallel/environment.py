"""What dfpde runs on: versions, MPI and its launcher, PETSc, BLAS; and what among them does not fit together.

Everything that may crash, hang or abort (MPI's start, PETSc built for another NumPy) is looked at in a process of its
own, so this works on a broken installation, which is when it is needed.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import MissingDependency
from .launch import MPI_LIBRARY, cores, family, find_launcher, last_line, probe, run_ranks

REQUIRED = ("numpy", "scipy", "scikit-fem", "meshio", "h5py", "threadpoolctl", "mpi4py", "petsc4py")
OPTIONAL = ("jax", "torch", "matplotlib", "pymetis")
OLDEST = {"mpi4py": (3, 1), "petsc4py": (3, 18)}  # pip cannot hold these two to a bound: see pyproject.toml
SOURCE_BUILD = "docs/installation.md"

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
_SIZES = r"""
import os
from mpi4py import MPI
os.write(1, b"<size %d>\n" % MPI.COMM_WORLD.size)  # in one piece: launchers mix the ranks' pieces
"""


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
    start = _launch(ranks, library["library"]) if library else ([], [])
    petsc, usable = _petsc(installed, library)
    listing = [(name, ", ".join(f"{key} {installed.get(key, '-')}" for key in keys)) for name, keys in (
        ("packages", REQUIRED), ("optional", OPTIONAL))]  # fmt: skip
    machine = [
        ("Python", f"{platform.python_version()} ({sys.executable})"),
        ("system", f"{_system()}, {platform.machine()}, {cores()} core(s)"),
    ]
    places = (Path.cwd(), Path(__file__).resolve().parents[2])
    parts = [_environment(places), (machine + listing, _old(installed)), (blas, pools), mpi, start, petsc]
    facts = tuple(fact for part, _ in parts for fact in part)
    return Environment(facts, tuple(text for _, warnings in parts for text in warnings), usable and bool(library))


Part = tuple[list[tuple[str, str]], list[str]]  # facts and warnings


def _numerics(ranks: int) -> Part:
    found, error = probe(_THREADS)
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
        "OMP_NUM_THREADS=1 (`python -m dfpde mpirun` does)"
    ]


def _mpi(installed: dict[str, str]) -> tuple[Part, dict[str, Any]]:
    found, error = probe(MPI_LIBRARY)
    if found:
        return ([("MPI", f"{found['library']} ({', '.join(found['files']) or 'library file unknown'})")], []), found
    state = "is not installed" if "mpi4py" not in installed else "cannot be imported"
    remedy = f"Debian, Ubuntu: apt-get install python3-mpi4py openmpi-bin; else see {SOURCE_BUILD}"
    return ([("MPI", f"mpi4py {state}")], [f"mpi4py {state}: {error}\n  Try: {remedy}"]), {}


def _launch(ranks: int, library: str) -> Part:
    try:
        launcher = find_launcher()
        result = run_ranks(ranks, ["-c", _SIZES], timeout=60)
    except (MissingDependency, subprocess.TimeoutExpired) as error:
        return [("launcher", "none that works")], [str(error)]
    name = f"{launcher.path} ({launcher.family or 'unknown MPI'})"
    sizes = [int(size) for size in re.findall(r"<size (\d+)>", result.stdout)]
    facts = [("launcher", f"{name}; {ranks} ranks see sizes {sizes}")]
    if sizes == [ranks] * ranks:
        return facts, []
    if sizes == [1] * ranks:
        effect = f"every rank sees size 1, so {ranks} copies run instead of {ranks} ranks"
    else:
        effect = f"{ranks} ranks do not start (exit code {result.returncode}: {last_line(result.stderr)})"
    if sizes == [1] * ranks or launcher.family != family(library):
        return facts, [
            f"{name} belongs to another MPI than mpi4py ({library}): {effect}\n"
            "  Try: install the launcher of mpi4py's own MPI, or name it in $MPIEXEC"
        ]
    return facts, [f"{name}: {effect}"]


def _environment(places: tuple[Path, ...]) -> Part:
    """The `.venv` that set-up made in one of the places, and whether this Python is its own."""
    found = next((place / ".venv" for place in places if (place / ".venv" / "pyvenv.cfg").exists()), None)
    if found is None:
        return [], []
    if Path(sys.prefix).resolve() == found.resolve():
        return [("environment", f"{found} (in use)")], []
    return [("environment", f"{found} (not in use)")], [
        f"{found} is here, but this is the Python of {sys.prefix}\n  Try: . {found}/bin/activate"
    ]


def _petsc(installed: dict[str, str], library: dict[str, Any]) -> tuple[Part, bool]:
    if find_spec("petsc4py") is None:
        return ([("PETSc", "not installed: least squares are solved by LSQR in NumPy")], []), True
    found, error = probe(_PETSC)
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
    if int(numpy.split(".")[0]) >= 2 and re.search(r"NumPy 1|_ARRAY_API|multiarray|numpy\.dtype size", error):
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
