"""The metric a run chooses: it follows a change of units, and what does nothing at the moment is not cheap to move."""

from __future__ import annotations

import math

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.leastsquares import block_metric

SELF = MPI.COMM_SELF


def decayed(amplitude, length, time):
    """Amplitude after a fifth of the time in which a heat kernel of that length spreads, over the one at the start."""
    quadrature = df.Quadrature.gauss((-6 * length, 6 * length), 60, 8, SELF)
    rate = length**2 / time
    problem = df.Problem(df.GaussianMixture.isotropic(1, 1), quadrature, lambda t, x, u: rate * df.dx(u, 2))
    start = df.State(0.0, np.array([amplitude, 0.0, 1 / length]))
    for chosen in (problem, problem.scaled(start)):
        *_, last = df.evolve(chosen, start, until=0.2 * time, controller=df.PI(rtol=1e-6))
        yield last.theta[0] / amplitude


@pytest.mark.parametrize("units", [(1, 1, 1), (1e19, 1e-2, 1e-9), (1e-12, 1e-9, 1e-6), (1.0, 1e7, 1e3)])
def test_heat_in_any_units(units):
    for found in decayed(*units):
        assert found == pytest.approx(1 / math.sqrt(1.4), rel=2e-5)


def test_a_column_has_the_floor_of_its_block():
    norms = np.array([3.0, 1e-9, 2.0, 1e-20, 4e-20, 0.0])
    blocks = [slice(0, 3), slice(3, 5), slice(5, 6)]
    floors = np.array([0.3, 0.3, 0.3, 4e-21, 4e-21, 0.0])
    expected = np.sqrt(norms**2 + floors**2)
    expected[5] = expected[3]  # a block that does nothing shows no unit
    assert np.allclose(block_metric(norms, blocks), expected, rtol=1e-12, atol=0)
    assert np.all(block_metric(np.zeros(2), [slice(0, 2)]) == 1.0)


def test_a_saturated_neuron_does_not_flip():
    """u = a tanh(k (x − b)) + c tanh(n), n large: n's column vanishes, and it costs to move as any other."""
    network = df.Network(1, (2,))
    theta = network.pack(weights0=[[2.0], [0.0]], biases0=[0.3, 19.0], weights1=[[1.0, 0.4]], biases1=[-0.4])
    problem = df.Problem(network, df.Quadrature.gauss((-3, 3), 40, 4, SELF), lambda t, x, u: -df.dx(u))
    *_, last = df.evolve(problem, df.State(0.0, theta), until=0.5, controller=df.PI(rtol=1e-5))
    before, after = network.unpack(theta), network.unpack(last.theta)
    assert after["biases0"][1] == pytest.approx(before["biases0"][1], abs=1e-2)
    x = problem.quadrature.x
    exact = network.value(theta, x - 0.5)
    assert problem.quadrature.norm(problem.field(last).value - exact) < 1e-3 * problem.quadrature.norm(exact)
    assert last.scale is not None and last.scale.min() > 1e-3 * last.scale.max()


def test_a_restart_keeps_the_metric_and_an_explicit_rule_has_none():
    ansatz = df.GaussianMixture.isotropic(1, 2)
    problem = df.Problem(ansatz, df.Quadrature.gauss((-6, 6), 40, 4, SELF), lambda t, x, u: df.dx(u, 2))
    start = df.State(0.0, ansatz.pack(amplitudes=[1.0, 0.5], centers=[[-1.0], [1.0]], scales=[1.0, 2.0]))
    states = list(df.evolve(problem, start, until=0.2, controller=df.PI(rtol=1e-5)))
    *_, again = df.evolve(problem, states[2], until=0.2, controller=df.PI(rtol=1e-5))
    assert np.array_equal(states[-1].theta, again.theta) and np.array_equal(states[-1].scale, again.scale)
    *_, plain = df.evolve(problem, start, until=0.1, regularization=df.Inertia(1e-4, 0.97))
    assert plain.scale is None
