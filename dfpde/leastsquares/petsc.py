"""PETSc, initialised once with the command line; every other file takes it from here.

Importing this raises `MissingDependency` where petsc4py is not installed, so only what needs PETSc does.
"""

from __future__ import annotations

import ctypes
import difflib
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import MissingDependency, OptionsError

try:
    import petsc4py
except ImportError as error:
    raise MissingDependency(
        f"PETSc is needed here and petsc4py does not import: {error}",
        "install it (Debian, Ubuntu: apt-get install python3-petsc4py; conda: petsc4py from conda-forge; "
        "docs/installation.md); without it dfpde.leastsquares.LSQR solves, and finite elements on one rank",
    ) from error

if "petsc4py.PETSc" not in sys.modules:  # options must be known before the first import of PETSc
    before = signal.getsignal(signal.SIGPIPE)
    petsc4py.init(sys.argv)
    if threading.current_thread() is threading.main_thread():  # PETSc's own aborts ``demo.py | head``
        signal.signal(signal.SIGPIPE, before)

from petsc4py import PETSc

__all__ = ["PETSC_OPTIONS", "PETSc", "petsc_errors", "refuse_unused_options", "unused_options"]

#: Options most often wanted, for suggestions when one is misspelt.
PETSC_OPTIONS = (
    "ksp_type",
    "ksp_rtol",
    "ksp_atol",
    "ksp_max_it",
    "ksp_monitor",
    "ksp_view",
    "ksp_converged_reason",
    "ksp_norm_type",
    "pc_type",
)


@contextmanager
def petsc_errors(prefix: str) -> Iterator[None]:
    """Around calls that types and options decide: PETSc's own error of one that it does not take becomes a named one.

    Raises
    ------
    OptionsError
        On all ranks: types and options are the same everywhere.
    """
    try:
        yield
    except (PETSc.Error, UnicodeError) as error:
        lines = [re.sub(r"^\[\d+\] +", "", line).strip() for line in str(error).splitlines()]
        said = " ".join(line for line in lines if not re.search(r"^error code|\(\) at ", line))  # not the calls in C
        what = f"PETSc does not take what it is told under the prefix -{prefix}: {said}"
        named = OptionsError(what, f"another type or value; without options -{prefix}... the library chooses")
        named.collective = True
        raise named from error


def unused_options(prefix: str) -> list[str]:
    """Names in PETSc's options database that start with `prefix` and that nothing has read."""
    names = [name for name in PETSc.Options().getAll() if name.startswith(prefix)]
    return [name for name in names if not _used(name)]


def _used(name: str) -> bool:
    options = PETSc.Options()
    if hasattr(options, "used"):  # petsc4py >= 3.19
        return bool(options.used(name))
    library = ctypes.CDLL(PETSc.__file__)  # older petsc4py does not wrap PetscOptionsUsed
    used = ctypes.c_int(0)
    library.PetscOptionsUsed(None, name.encode(), ctypes.byref(used))
    return bool(used.value)


def refuse_unused_options(prefix: str) -> None:
    """Raise when an option under the prefix was never read; identical on all ranks (the database is replicated).

    Raises
    ------
    OptionsError
        Names the options and the nearest known spelling.
    """
    unused = unused_options(prefix)
    if not unused:
        return
    known = [prefix + name for name in PETSC_OPTIONS]
    near = [match for name in unused for match in difflib.get_close_matches(name, known, 1)]
    hint = f"did you mean -{', -'.join(near)}? " if near else ""
    error = OptionsError(
        f"nothing read the PETSc option{'s' * (len(unused) > 1)} -{', -'.join(unused)}",
        f"{hint}Options of the least-squares solve are PETSc's own under the prefix -{prefix}, "
        f"for example -{prefix}ksp_monitor",
    )
    error.collective = True
    raise error
