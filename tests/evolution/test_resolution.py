"""The guard of the resolution: silent where the quadrature resolves the ansatz, heard where it does not."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.errors import ParameterError, ResolutionError
from dfpde.evolution.resolution import ResolutionWarning, due

ANSATZ = df.PeriodicGaussianMixture.isotropic((2.0,), 8)


def burgers(points, comm):
    rhs = lambda t, x, u: 0.05 * df.dx(u, 2) - u.value * df.dx(u)  # noqa: E731
    return df.Problem(ANSATZ, df.Quadrature.periodic((-1.0, 1.0), points, comm), rhs)


def start():
    """Fitted where it is resolved."""
    return df.State(0.0, df.fit(burgers(200, MPI.COMM_SELF), lambda x: -np.sin(np.pi * x[0])).theta)


def last(points, comm, **how):
    *_, state = df.evolve(burgers(points, comm), start(), until=0.05, controller=df.PI(rtol=1e-4), **how)
    return state


@pytest.mark.mpi
def test_silence_where_points_resolve_the_ansatz(comm):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResolutionWarning)
        found = last(200, comm).statistics
    assert 0 < found.resolution < 0.5
    assert 3 < found.effective_dimension < ANSATZ.size


@pytest.mark.mpi
def test_fewer_points_than_parameters_are_named(comm):
    with pytest.warns(ResolutionWarning, match="does not resolve the ansatz"):
        found = last(16, comm)
    assert found.statistics.effective_dimension > 8 and found.statistics.resolution > 0.7
    with pytest.raises(ResolutionError, match="informed directions") as caught:
        last(16, comm, on_unresolved="raise")
    assert "more points" in str(caught.value) and caught.value.state.t > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert last(16, comm, on_unresolved="ignore").statistics.resolution > 0.7


def test_a_component_between_two_points_is_named():
    ansatz = df.GaussianMixture.isotropic(1, 2)
    problem = df.Problem(ansatz, df.Quadrature.gauss((-3, 3), 20, 2, MPI.COMM_SELF), lambda t, x, u: -df.dx(u))
    theta = ansatz.pack(amplitudes=1.0, centers=[[-1.0], [0.44]], scales=[1.0, 30.0])
    with pytest.warns(ResolutionWarning, match=r"scales\[1\]|centers\[1"):
        list(df.evolve(problem, df.State(0.0, theta), until=1e-3, controller=df.PI(rtol=1e-4)))


def test_looks_are_taken_after_the_first_step_and_then_at_intervals():
    assert [step for step in range(1, 100) if due(step, 20)] == [1, 20, 40, 60, 80]
    assert [step for step in range(1, 40) if due(step, 10)] == [1, 2, 4, 8, 10, 20, 30]  # a look is at most half a step


def test_another_policy_is_refused(comm):
    with pytest.raises(ParameterError, match="on_unresolved"):
        last(50, comm, on_unresolved="shout")


@pytest.mark.mpi
def test_a_fit_on_too_few_points_is_named(comm):
    """Its misfit is small, and the field between the points is wrong."""
    few, enough = burgers(12, comm), burgers(200, comm)
    wanted = lambda x: np.sin(5 * np.pi * x[0])  # noqa: E731
    with pytest.warns(ResolutionWarning, match="after the fit"):
        found = df.fit(few, wanted)
    assert found.statistics.resolution > 0.8
    true = enough.quadrature.norm(enough.field(found).value - wanted(enough.quadrature.x))
    assert true > 10 * found.misfit
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResolutionWarning)
        assert 0 < df.fit(enough, wanted).statistics.resolution < 0.5


def test_ordinary_differential_equations_are_no_quadrature():
    """Every row has one parameter of its own: nothing lies between the points."""

    class Values(df.Ansatz):
        dim, size, shape = 1, 2, ()

        def value(self, theta, x):
            return np.array(theta)

        def tangent(self, theta, x):
            return np.eye(2)

    pendulum = df.Problem(Values(), df.Quadrature([[0.0, 1.0]], [1.0, 1.0]), lambda t, x, u: np.array([u[1], -u[0]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        *_, state = df.evolve(pendulum, df.State(0.0, [1.0, 0.0]), until=1.0, controller=df.PI(rtol=1e-8))
    np.testing.assert_allclose(state.theta, [np.cos(1.0), -np.sin(1.0)], atol=1e-6)


def test_rows_of_a_condition_are_meant_to_decide():
    """A boundary value of large weight decides its direction; the points of the equation resolve the rest."""
    q = df.Quadrature.gauss((0, 1), 40, 3, MPI.COMM_SELF)
    end = df.Quadrature(np.zeros((1, 1)), np.ones(1), MPI.COMM_SELF)
    ansatz = df.GaussianMixture.isotropic(1, 2)
    edge = df.Dirichlet(end, lambda t, x: np.zeros(x.shape[1]), weight=1e3)
    problem = df.Problem(ansatz, q, lambda t, x, u: -u.value, conditions=(edge,))
    theta = ansatz.pack(amplitudes=[1.0, -1.0], centers=[[0.0], [0.0]], scales=[2.0, 4.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResolutionWarning)
        *_, state = df.evolve(problem, df.State(0.0, theta), until=0.1, regularization=df.Inertia(1e-4, 0.97))
    assert state.statistics.resolution < 0.5
