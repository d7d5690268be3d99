"""Walkers: their equilibrium, exactness, restarts and ranks."""

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.ansatz.mixtures import moments
from dfpde.errors import ParameterError, QuadratureError
from dfpde.measures import Draws, SamplingWarning, Walkers, independent
from tests.measures.test_moving import CONTROL, ONE, START, THETA, D, G, drift_and_diffusion, problem
from tests.small import last

SELF = MPI.COMM_SELF


def gaussian(n, mean, deviation):
    return np.asarray(mean)[:, None] + np.asarray(deviation)[:, None] * Draws(n, 9, 0, SELF, independent).normal(D)


def test_their_equilibrium_is_the_density():
    """Mean and variances of 2000 walkers within five standard errors, from a start that is wrong in both."""
    walkers = Walkers(steps=20, tau=0.4, seed=3)
    first = df.Problem(G, problem().quadrature, drift_and_diffusion)
    moved, state = walkers.start(first, df.State(0.0, THETA), gaussian(2000, [1.0, 1.0, 0.0], [1.0, 0.3, 0.6]))
    x, covariance = moved.points, moments.covariance(G, THETA)
    sigma = np.sqrt(np.diag(covariance))
    assert np.all(np.abs(x.mean(axis=1) - moments.mean(G, THETA)) < 5 * sigma / np.sqrt(2000))
    assert x.var(axis=1) == pytest.approx(np.diag(covariance), rel=5 * np.sqrt(2.5 / 2000))
    assert 0.4 < state.measure_carry[0][0] < 1.0 and moved.norm(state) == pytest.approx(1.0, rel=1e-12)


def begun(walkers, comm=SELF, n=128):
    return walkers.start(problem(comm), START, gaussian(n, [1.0, -1.0, 0.5], [0.5, 1 / 3, 0.4]))


def test_a_closed_ansatz_is_exact_and_goes_on_bit_for_bit(tmp_path):
    """Mean of an Ornstein–Uhlenbeck process from 128 walkers; a restart in the middle takes the same steps."""
    walkers = Walkers(steps=2, seed=1)
    first, start = begun(walkers)
    states = list(df.evolve(first, start, until=0.5, controller=CONTROL, adapt=walkers))
    mean = np.array([1.0, -1.0, 0.5]) * np.exp(-0.5 * np.array([1.0, 0.5, 2.0]))
    assert ONE.unpack(states[-1].theta)["centers"][0] == pytest.approx(mean, abs=2e-4)
    df.save(tmp_path / "middle.npz", states[3], problem=first)
    loaded = df.load(tmp_path / "middle.npz", problem=first)
    rest = list(df.evolve(problem(), loaded, until=0.5, controller=CONTROL, adapt=walkers))
    assert all(np.array_equal(a.theta, b.theta) for a, b in zip(rest, states[4:], strict=True))


@pytest.mark.mpi
def test_ranks_agree_with_one_process(comm):
    walkers = Walkers(steps=2, seed=1)

    def run(comm):
        first, start = begun(walkers, comm)
        return last(df.evolve(first, start, until=0.06, regularization=df.Inertia(1e-4), controller=df.Fixed(0.02),
                              adapt=walkers))  # fmt: skip

    alone, together = run(SELF), run(comm)
    assert together.theta == pytest.approx(alone.theta, rel=1e-9)
    assert together.measure_carry[2] == pytest.approx(alone.measure_carry[2], rel=1e-8, abs=1e-10)


def test_refusals():
    with pytest.raises(ParameterError, match="no walkers"):
        Walkers().problem(problem(), START)
    with pytest.warns(SamplingWarning, match="accept"), pytest.raises(QuadratureError, match="u = 0"):
        Walkers().start(problem(), START, gaussian(64, [500.0, 0.0, 0.0], [1.0, 1.0, 1.0]))
