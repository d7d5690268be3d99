"""Case files: the committed ones are right, and a wrong one is told which key is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.cases import Case
from dfpde.cases.execute import execute, relative_error
from dfpde.cli import main
from dfpde.errors import CaseError, RunError

COMM = MPI.COMM_SELF
CASES = Path(__file__).resolve().parents[2] / "cases"

GOOD = """
title = "small"
[domain]
box = [-1.0, 1.0]
periodic = true
points = 100
[equation]
name = "burgers"
viscosity = 0.1
[ansatz]
kind = "gaussians"
n = 6
[regularization]
rule = "Inertia"
eps = 1e-3
rho = 0.9
[controller]
kind = "PI"
rtol = 1e-4
[time]
until = 0.05
outputs = 2
"""

WRONG = [
    ("[domain]", "[domian]", "domian", "did you mean 'domain'?"),
    ("points = 100", "point = 100", "domain.point", "did you mean 'points'?"),
    ("points = 100", "points = 1.5", "domain.points", "give an integer or a list of integers"),
    ("points = 100", "", "domain", "points with periodic = true"),
    ("periodic = true", "periodic = 1", "domain.periodic", "give true or false"),
    ("periodic = true", "", "domain", "cells for another box"),
    ("box = [-1.0, 1.0]", "", "domain", "neither mesh nor box"),
    ("box = [-1.0, 1.0]", "box = [-1.0, 'a']", "domain.box", "give a list of 2 numbers or"),
    ("[equation]", "[equations]", "equations", "did you mean 'equation'?"),
    ('name = "burgers"', 'name = "burger"', "equation.name", "did you mean 'burgers'?"),
    ('name = "burgers"', "", "equation", "or function"),
    ("viscosity = 0.1", "viscocity = 0.1", "equation.viscocity", "did you mean 'viscosity'?"),
    ("viscosity = 0.1", "viscosity = -0.1", "equation", "viscosity > 0"),
    ("viscosity = 0.1", "viscosity = nan", "equation.viscosity", "give a number"),
    ('kind = "gaussians"', 'kind = "gausians"', "ansatz.kind", "did you mean 'gaussians'?"),
    ("n = 6", "", "ansatz.n", "add n = an integer"),
    ("n = 6", "n = '6'", "ansatz.n", "give an integer"),
    ("n = 6", "n = 0", "ansatz", "n >= 1"),
    ("n = 6", "n = 6\npositive = true", "ansatz", "a box that is not periodic"),
    ("n = 6", "n = 6\npositive = 1", "ansatz.positive", "give true or false"),
    ('rule = "Inertia"', 'rule = "inertia"', "regularization.rule", "did you mean 'Inertia'?"),
    ("eps = 1e-3", "epsilon = 1e-3", "regularization.epsilon", "did you mean 'eps'?"),
    ("rtol = 1e-4", "rtol = 'small'", "controller.rtol", "give a number"),
    ("rtol = 1e-4", "rtol = -1.0", "controller", ">= 0"),
    ("until = 0.05", "", "time.until", "add until = a number"),
    ("outputs = 2", "outputs = 2\ntimes = [0.01]", "time", "one of them"),
    ("outputs = 2", 'integrator = "DormandPrinc"', "time.integrator", "did you mean 'DormandPrince'?"),
    ("outputs = 2", '[fit]\ninitial = "none.py:f"', "fit.initial", "a function of a file in"),
    ("outputs = 2", "[fit]\nguess = { amplitude = 1.0 }", "fit.guess.amplitude", "did you mean 'amplitudes'?"),
    ("outputs = 2", "[fit]\nguess = { amplitudes = 1.0 }", "fit.guess.centers", "all blocks of θ"),
    ("outputs = 2", "[output]\nkeep = 0", "output", "keep > 0"),
    ("outputs = 2", "[output]\nevery_second = 1", "output.every_second", "did you mean 'every_seconds'?"),
    ("points = 100", "points = 100\nmesh = 'no.msh'", "domain", "one of them"),
    ('name = "burgers"\nviscosity = 0.1', 'name = "rabi"', "domain", "the equation has 2 dimensions, the domain 1"),
]


def case(text: str, folder: Path) -> Case:
    path = folder / "case.toml"
    path.write_text(text)
    return Case.read(path, COMM)


@pytest.mark.parametrize(("old", "new", "key", "remedy"), WRONG, ids=[f"{new or old}" for old, new, *_ in WRONG])
def test_a_wrong_case_names_key_and_remedy(tmp_path, old, new, key, remedy):
    assert old in GOOD
    with pytest.raises(CaseError) as caught:
        case(GOOD.replace(old, new), tmp_path).build(COMM)
    assert caught.value.key == key and str(caught.value).startswith(f"{key}: ")
    assert remedy in str(caught.value) and "Try: " in str(caught.value)


@pytest.mark.parametrize("text", ["title = small", "[domain\n", "title = 'a'\ntitle = 'b'"])
def test_what_is_not_toml_is_named(tmp_path, text):
    with pytest.raises(CaseError, match=r"case\.toml is not TOML: "):
        case(text, tmp_path)


def test_no_file_is_an_error_with_a_remedy(tmp_path, capsys):
    assert main(["check", str(tmp_path / "none.toml")]) == 1
    assert "CaseError: cannot read" in (message := capsys.readouterr().err) and "Try:" in message


@pytest.mark.parametrize("path", sorted(CASES.glob("*.toml")), ids=lambda path: path.stem)
def test_committed_cases_can_be_built(path):
    found = Case.read(path, COMM)
    setup = found.build(COMM)
    exact = getattr(found.equation, "exact", None)
    if exact is not None:
        x = setup.problem.quadrature.x[:, :50]
        np.testing.assert_array_equal(found.equation.initial(x), exact(0.0, x))


@pytest.mark.parametrize("name", ["rabi", "burgers", "advection"])
def test_equations_solve_what_they_say(name):
    """f of the exact solution, its derivatives by differences, is its time derivative."""
    equation = Case.read(CASES / f"{name}.toml", COMM).equation
    rng = np.random.default_rng(1)
    x, t, h = rng.uniform(-0.8, 0.8, (equation.dim, 20)), 0.2, 1e-3

    def central(f, order):
        left, middle, right = f(-h), f(0.0), f(h)
        return (right - left) / (2 * h) if order == 1 else (right - 2 * middle + left) / h**2

    class Exact:
        """A field of which the exact solution's derivatives are known by differences."""

        value = equation.exact(t, x)
        dim, shape, dtype = equation.dim, value.shape[:-1], float

        @property
        def gradient(self):
            unit = np.eye(equation.dim)
            along = [lambda s, e=e: equation.exact(t, x + s * e[:, None]) for e in unit]
            return np.stack([central(f, 1) for f in along])

    field = Exact()
    if name == "burgers":
        first, second = (central(lambda s: equation.exact(t, x + s), order) for order in (1, 2))
        f = equation.viscosity * second - field.value * first
    else:
        f = equation.rhs(t, x, field)
    np.testing.assert_allclose(f, central(lambda s: equation.exact(t + s, x), 1), atol=2e-4 * max(1.0, np.abs(f).max()))


def test_a_case_is_run_and_gone_on_with(tmp_path):
    found = case(GOOD.replace("outputs = 2", "outputs = 2\n[output]\nlog = true"), tmp_path)
    state = execute(found, COMM, tmp_path / "out")
    assert state.t == 0.05 and relative_error(found, found.build(COMM), state) < 1e-3
    assert (tmp_path / "out" / "case.toml").read_text() == found.text
    assert "INFO" not in (tmp_path / "out" / "log.0.txt").read_text()
    again = execute(found, COMM, tmp_path / "out")
    assert again.t == 0.05 and "going on from t = 0.05" in (tmp_path / "out" / "log.0.txt").read_text()


def test_a_coefficient_that_has_changed_is_noticed(tmp_path):
    execute(case(GOOD, tmp_path), COMM, tmp_path / "out")
    with pytest.raises(RunError, match=r"problem\.rhs\.of\.viscosity: 0\.1 -> 0\.2"):
        execute(case(GOOD.replace("viscosity = 0.1", "viscosity = 0.2"), tmp_path), COMM, tmp_path / "out")


def test_functions_of_a_file_are_an_equation(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nimport dfpde as df\n\n\ndef heat(t, x, u, nu=1.0):\n    return nu * df.dx(u, 2)\n\n\n"
        "def hill(x):\n    return np.exp(-x[0] ** 2)\n"
    )
    text = """
[domain]
box = [-6.0, 6.0]
cells = 40
[equation]
function = "mine.py:heat"
nu = 0.5
[ansatz]
kind = "gaussians"
n = 1
[fit]
initial = "mine.py:hill"
guess = { amplitudes = 0.9, centers = [[0.1]], scales = 1.3 }
[time]
until = 0.5
outputs = 1
"""
    state = execute(case(text, tmp_path), COMM, tmp_path / "out")
    ansatz = df.GaussianMixture.isotropic(1, 1)
    x = np.linspace(-3, 3, 41)[None]
    exact = np.exp(-x[0] ** 2 / 2) / np.sqrt(2)
    np.testing.assert_allclose(ansatz.value(state.theta, x), exact, atol=1e-4)
    positive = text.replace("n = 1", "n = 1\npositive = true").replace("amplitudes = 0.9", "log_amplitudes = -0.1")
    state = execute(case(positive, tmp_path), COMM, tmp_path / "positive")
    np.testing.assert_allclose(df.ansatz.PositiveMixture.isotropic(1, 1).value(state.theta, x), exact, atol=1e-4)
    with pytest.raises(CaseError, match=r"equation\.mu: is not known\n  Try: did you mean 'nu'\?"):
        case(text.replace("nu = 0.5", "mu = 0.5"), tmp_path)
