"""Memory stays flat over many steps and many calls, each with a solver of its own."""

import gc
import weakref

import numpy as np
import pytest

import dfpde as df
from dfpde.leastsquares import LSQR
from scripts.leaks import calling, fitting, stepping, waves

pytestmark = pytest.mark.filterwarnings("ignore:.*does not resolve:dfpde.errors.DfpdeWarning")  # tiny problems

SMALL = 1.0  # MiB; a leaked pair of p × p arrays a call would be 15 MiB


def test_many_steps_take_no_memory():
    assert stepping(1500)[1] < SMALL


@pytest.mark.parametrize("solver", [lambda: None, LSQR, df.Dense], ids=["default", "LSQR", "Dense"])
def test_many_runs_take_no_memory(solver):
    assert calling(solver, 40)[1] < SMALL


@pytest.mark.filterwarnings("ignore:the fit is bad")
def test_many_fits_take_no_memory():
    assert fitting(40)[1] < SMALL


@pytest.mark.parametrize("name", ["KSP", "LSQR"])
def test_a_solver_is_freed_with_its_last_reference(name):
    if name == "KSP":
        pytest.importorskip("petsc4py")
    problem, theta = waves(5)
    solver = getattr(df, name)()
    list(df.evolve(problem, df.State(0.0, theta), until=1e-3, controller=df.Fixed(1e-3), integrator=df.RK4,
                   regularization=df.Inertia(1e-3), solver=solver))  # fmt: skip
    assert np.all(np.isfinite(theta))
    gone = weakref.ref(solver)
    del solver
    gc.collect()
    assert gone() is None
