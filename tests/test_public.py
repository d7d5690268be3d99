"""The front door: the names it shows, how it is imported, and objects that print on one screen."""

import dataclasses
import inspect
import re
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df

COMM = MPI.COMM_SELF

#: What a generated `repr` may show: numbers, names and tuples of them.
PLAIN = re.compile(r"(int|float|str|bool|None|tuple|\.\.\.|[\[\]|, ])+")


#: Names that say what to install where petsc4py is missing.
MISSING = () if find_spec("petsc4py") else ("KSP",)


def public_classes():
    modules = [df, *(getattr(df, name) for name in sorted(df._NAMESPACES))]
    found = {getattr(module, name) for module in modules for name in module.__all__ if name not in MISSING}
    classes = [c for c in found if inspect.isclass(c) and not issubclass(c, Exception)]
    return sorted((c for c in classes if not getattr(c, "_is_protocol", False)), key=lambda c: c.__qualname__)


def test_dir_shows_the_public_names_only():
    assert all(getattr(df, name) is not None for name in df.__all__ if name not in MISSING)
    assert dir(df) == sorted([*df.__all__, "__doc__", "__version__"])  # also after everything has been imported
    assert len(df._NAMES) <= 50
    with pytest.raises(AttributeError, match="no name 'Autodiff'"):
        _ = df.Autodiff


def test_a_package_that_imports_dfpde_runs_with_m(tmp_path):
    """`python -m package` imports the package with its own name in sys.argv[0] == '-m'."""
    package = tmp_path / "study"
    package.mkdir()
    (package / "__init__.py").write_text("import dfpde as df\nTHETA = df.State(0.0, [1.0]).theta\n")
    (package / "__main__.py").write_text("from . import THETA\nprint('theta', THETA)\n")
    done = subprocess.run([sys.executable, "-m", "study"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.strip() == "theta [1.]", done.stderr


@pytest.mark.parametrize("cls", public_classes(), ids=lambda c: c.__qualname__)
def test_every_public_class_prints_no_arrays(cls):
    """Its own `repr`, or a generated one of numbers alone."""
    assert cls.__repr__ is not object.__repr__
    if dataclasses.is_dataclass(cls) and hasattr(cls.__repr__, "__wrapped__"):  # as dataclasses generate it
        shown = [str(field.type) for field in dataclasses.fields(cls) if field.repr]
        assert all(PLAIN.fullmatch(kind) or kind in SMALL for kind in shown), shown


#: Types of the library that are small themselves.
SMALL = {"Tableau", "ImplicitTableau", "list[Check]", "tuple[Check, ...]"}


def instances():
    ansatz = df.PeriodicGaussianMixture.isotropic((2.0,), 20)
    q = df.Quadrature.periodic((-1, 1), 400, COMM)
    problem = df.Problem(ansatz, q, lambda t, x, u: -df.dx(u), scale=np.ones(ansatz.size))
    theta = np.linspace(0.5, 1.5, ansatz.size)
    state = df.State(0.0, theta)
    system = problem.system(0.0, theta)
    network = df.Network(2, (40, 40))
    yield from (q, problem, ansatz, network, df.Stack(ansatz, ansatz), state, state.statistics, problem.field(state))
    yield from (system, system.tangent)
    yield from (df.LSQR(), df.Dense(), df.AutoInertia(), df.DormandPrince, df.PI(1e-4), df.Event(lambda t, s: t - 1))
    yield df.Tikhonov(1e-3).velocity(system, None, df.Dense(), df.regularization.StageContext(0.0, 0.1, 1))
    yield df.DormandPrince.step(problem, df.LSQR(), df.Tikhonov(1e-3), state, 1e-3)
    yield df.diagnostics.spectrum(system.tangent, 5)
    yield df.diagnostics.ErrorBound(problem, state, 0.0)


@pytest.mark.parametrize("thing", list(instances()), ids=lambda thing: type(thing).__name__)
def test_objects_print_on_one_screen(thing):
    text = repr(thing)
    assert type(thing).__name__ in text and len(text) <= 400 and "\n" not in text
    assert "array(" not in text and " object at 0x" not in text
