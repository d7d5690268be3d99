"""Random points by number: independence of ranks, uniformity, rates; and the weights of samples."""

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.errors import ParameterError, QuadratureError, ShapeError
from dfpde.measures import Draws, independent, sobol

SOURCES = pytest.mark.parametrize("source", [independent, sobol])


@SOURCES
@pytest.mark.parametrize("dim", [1, 3, 4, 9])
def test_a_point_is_the_same_whoever_draws_it(source, dim):
    whole = source(dim, 0, 100, 7, 3)
    parts = [source(dim, first, stop - first, 7, 3) for first, stop in ((0, 1), (1, 40), (40, 40), (40, 100))]
    assert np.array_equal(whole, np.hstack(parts))
    assert np.all((whole > 0) & (whole < 1))
    assert not np.any(whole == source(dim, 0, 100, 7, 4)) and not np.any(whole == source(dim, 0, 100, 8, 3))


def product(u):
    """∫ over the cube = 1, variance (13/12)^3 − 1."""
    return np.prod(0.5 + u, axis=0)


@SOURCES
def test_means_are_unbiased_and_converge_with_the_known_rate(source):
    """Root mean square over 64 keys: N^(−1/2) of independent points, N^(−3/2) of scrambled nets."""
    sizes = np.array([64, 256, 1024])
    errors = np.array([[np.mean(product(source(3, 0, n, seed, 0))) - 1 for seed in range(64)] for n in sizes])
    rms = np.sqrt(np.mean(errors**2, axis=1))
    rate = np.polyfit(np.log(sizes), np.log(rms), 1)[0]
    assert np.all(np.abs(errors.mean(axis=1)) < 4 * rms / 8)  # four standard errors of the mean
    if source is independent:
        assert rate == pytest.approx(-0.5, abs=0.15)
        assert rms == pytest.approx(np.sqrt(((13 / 12) ** 3 - 1) / sizes), rel=0.35)  # 4 sd of 64 samples
    else:
        assert -1.8 < rate < -1.2


@pytest.mark.mpi
def test_ranks_hold_consecutive_blocks_of_the_same_points(comm):
    draws = Draws(101, 5, 2, comm)
    mine = draws.normal(4)
    assert np.array_equal(np.hstack(comm.allgather(mine)), Draws(101, 5, 2, MPI.COMM_SELF).normal(4))


@pytest.mark.mpi
def test_weighted_samples_integrate_without_bias(comm):
    """∫ (1 + x²) e^(−x²/2) dx = 2 √2π from points of a wider Gaussian, distributed and replicated."""
    deviation = 1.5
    x = deviation * Draws(4096, 1, 0, comm).normal(1)
    q = np.exp(-0.5 * (x[0] / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
    omega = 1 + x[0] ** 2
    quadrature = df.Quadrature.samples(x, q, comm, weight=omega)
    exact = 2 * np.sqrt(2 * np.pi)
    assert quadrature.size == 4096
    assert quadrature.integrate(np.exp(-0.5 * x[0] ** 2)) == pytest.approx(exact, rel=1e-3)
    everything = [np.concatenate(comm.allgather(part), axis=-1) for part in (x, q, omega)]
    same = df.Quadrature.samples(*everything[:2], comm, weight=everything[2], replicated=True)
    assert np.array_equal(same.x, x) and np.array_equal(same.w, quadrature.w)


def test_samples_refuse_what_is_no_density():
    x = np.zeros((1, 2))
    with pytest.raises(QuadratureError, match="not positive at 1 of 2 points"):
        df.Quadrature.samples(x, [1.0, 0.0])
    with pytest.raises(ShapeError, match="weight"):
        df.Quadrature.samples(x, [1.0, 1.0], weight=[1.0])
    with pytest.raises(ParameterError, match="seed"):
        Draws(10, -1, 0, MPI.COMM_SELF)
