"""What users get wrong: each case gives a named error that says what happened and what to try."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.errors import MissingDerivative, NonFiniteError, ParameterError, QuadratureError, ShapeError, StepError

SELF = MPI.COMM_SELF
ANSATZ = df.GaussianMixture.isotropic(1, 1)
THETA = np.array([1.0, 0.0, 2.0])
POINTS = df.Quadrature.gauss((-1, 1), 10, 3, SELF)


class Bare(df.Ansatz):
    """An ansatz without derivatives in space."""

    dim, size = 1, 1

    def value(self, theta, x):
        return theta[0] * x[0]

    def tangent(self, theta, x):
        return x[:1].copy()


def problem(rhs=lambda t, x, u: -u.value, ansatz=ANSATZ):
    return df.Problem(ansatz, POINTS, rhs)


def run(this=None, state=None, **how):
    start = df.State(0.0, THETA) if state is None else state
    how = {"until": 0.1, "regularization": df.Tikhonov(1e-6), "controller": df.Fixed(0.05)} | how
    return list(df.evolve(this or problem(), start, **how))


CASES = {
    "θ of the wrong length": (ShapeError, lambda: run(state=df.State(0.0, np.ones(4)))),
    "complex θ": (ShapeError, lambda: ANSATZ.check_theta(THETA + 0j)),
    "points as rows": (ShapeError, lambda: ANSATZ.check_points(np.zeros((5, 2)))),
    "unknown parameter name": (ShapeError, lambda: ANSATZ.pack(amplitude=1.0, centers=0.0, scales=1.0)),
    "ansatz and quadrature of different dimension": (
        ShapeError,
        lambda: df.Problem(df.GaussianMixture.isotropic(2, 1), POINTS, lambda t, x, u: u.value),
    ),
    "right-hand side of the wrong shape": (ShapeError, lambda: run(problem(lambda t, x, u: np.zeros(3)))),
    "complex right-hand side of a real field": (ShapeError, lambda: run(problem(lambda t, x, u: 1j * u.value))),
    "divergence of a scalar": (ShapeError, lambda: run(problem(lambda t, x, u: df.div(u)))),
    "a derivative the ansatz lacks": (
        MissingDerivative,
        lambda: run(problem(lambda t, x, u: df.dx(u, 2), Bare()), df.State(0.0, np.ones(1))),
    ),
    "no regularization": (ParameterError, lambda: df.InertiaFromMass(mass=0.0)),
    "ρ above 1": (ParameterError, lambda: df.Inertia(1e-3, 1.5)),
    "negative tolerance": (ParameterError, lambda: df.PI(rtol=-1e-6)),
    "final time in the past": (ParameterError, lambda: run(until=-1.0)),
    "output times out of order": (ParameterError, lambda: run(times=[0.1, 0.05])),
    "adaptive steps without an error estimate": (
        ParameterError,
        lambda: run(controller=df.PI(rtol=1e-4), integrator=df.RK4),
    ),
    "negative weights": (QuadratureError, lambda: df.Quadrature(np.zeros((1, 2)), np.array([1.0, -1.0]), SELF)),
    "initial data with NaN": (NonFiniteError, lambda: df.fit(problem(), lambda x: np.log(x[0] - 2), THETA)),
    "NaN in the right-hand side": (StepError, lambda: run(problem(lambda t, x, u: np.full(x.shape[1], np.nan)))),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("case", CASES)
def test_named_error_with_remedy(case):
    kind, misuse = CASES[case]
    with pytest.raises(kind) as caught:
        misuse()
    assert caught.value.what and caught.value.remedy, "what happened, and what to try"
    assert "Try:" in str(caught.value)


def test_a_reader_that_has_enough_ends_a_run_as_any_python_program():
    """``demo.py | head -1``: BrokenPipeError, no MPI_Abort from PETSc's signal handler."""
    pytest.importorskip("petsc4py")
    code = "import dfpde as df; df.KSP(); [print(i, flush=True) for i in range(10**6)]"
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout.readline() == "0\n"
    run.stdout.close()
    message = run.stderr.read()
    ends = (1, 120)  # 120: the last flush failed, too
    assert run.wait(timeout=60) in ends and "BrokenPipeError" in message and "PETSC" not in message, message
