"""Points chosen by leverage: in proportion, unbiased, none that decides alone; restarts and ranks."""

from dataclasses import replace

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.leastsquares import DenseRows, Tangent, leverage
from dfpde.measures import Components, Moving, fisher, independent
from dfpde.measures.leveraged import SHARE, chosen
from tests.small import last

SELF = MPI.COMM_SELF
D = 3
#: A broad component, and a narrow one of a hundredth of its mass: few points decide where that goes.
TWO = df.GaussianMixture.isotropic(D, 2)
THETA = TWO.pack(amplitudes=[1.0, 1.0], centers=[[0.0] * D, [1.0] * D], scales=[1.0, 5.0])


def problem(comm=SELF):
    rhs = lambda t, x, u: D * u.value + df.dot(x, df.grad(u)) + 0.1 * df.laplacian(u)  # noqa: E731
    return df.Problem(TWO, df.Quadrature.gauss([(-4.0, 4.0)] * D, 8, 3, comm), rhs)


def rows(seed, n=300, p=7):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(p, n)) * np.exp(rng.normal(size=n))
    return Tangent((DenseRows(matrix, np.ones(n)),), SELF)


def test_each_candidate_is_chosen_in_proportion():
    """Over many draws: n π_k times in the mean, always n in all, never off by one or more."""
    tangent, n = rows(0), 60
    found = leverage(tangent, 0.3)
    expected = n * ((1 - SHARE) / 300 + SHARE * found.rows / found.total)
    times = np.zeros(300)
    for u in (np.arange(400) + 0.5) / 400:
        index, ratio = chosen(tangent, (1, 300), n, u, 0.3, None)
        assert len(index) == n and ratio == pytest.approx(300 / n * expected[index])
        once = np.bincount(index, minlength=300)
        assert np.all(np.abs(once - expected) < 1)
        times += once
    assert times / 400 == pytest.approx(expected, abs=2 / 400)


def test_a_point_of_a_complex_field_has_the_leverage_of_both_of_its_rows():
    """Against LAPACK, real parts before imaginary parts: nothing of the library's order of rows goes in."""
    packet, n = df.WavePackets(2, 1), 40
    width = np.array([[0.3 + 1.2j, 0.1 + 0.2j], [0.1 + 0.2j, 0.8j]])
    theta = packet.pack(centers=[[0.5, -1.0]], momenta=[[2.0, 0.0]], zeta=[[0.0, 0.3]], **packet.widths(width))
    x = np.random.default_rng(0).normal(size=(2, n)) * np.linspace(0.5, 4.0, n)
    J = packet.tangent(theta, x)
    parts = np.concatenate([J.real, J.imag], axis=1)
    own = np.einsum("ik,ij,jk->k", parts, np.linalg.pinv(parts @ parts.T), parts).reshape(2, n).sum(axis=0)
    sampled = df.Problem(packet, df.Quadrature.samples(x, np.ones(n), SELF), lambda t, x, u: u.value)
    index, ratio = chosen(sampled.tangent(theta), (1, n), 400, 0.5, 0.0, None)
    assert ratio == pytest.approx((1 - SHARE) + SHARE * n * own[index] / own.sum(), rel=1e-6)
    assert np.ptp(own) > 1


def test_integrals_stay_unbiased():
    """Mean of ∫ u² dx over 200 keys, within four of its standard errors, in L²(dx) and L²(dx/u)."""
    exact = df.ansatz.mixtures.moments.squared_norm(TWO, THETA)
    for weight in (None, fisher):
        found = []
        for seed in range(200):
            moving = Moving(Components(1.3), 128, seed, weight, source=independent, candidates=4)
            moved, _ = moving.start(problem(), df.State(0.0, THETA))
            u = TWO.value(THETA, moved.points)
            found.append(moved.weights @ (u**2 if weight is None else u**3))  # w has 1/u
        spread = np.std(found) / np.sqrt(200)
        assert abs(np.mean(found) - exact) < 4 * spread and spread < 0.05 * exact


def test_no_point_decides_alone():
    """Largest leverage of 256 points that come as they come, and of 256 chosen out of 2048: the bound is n_ε/(s N)."""
    plain, picked = [], []
    for seed in range(10):
        for candidates, found in ((1, plain), (8, picked)):
            moving = Moving(Components(1.3), 256, seed, fisher, candidates=candidates)
            moved, _ = moving.start(problem(), df.State(0.0, THETA))
            found.append(leverage(moved.tangent(THETA), 0.0).largest)
    bound = TWO.size / (SHARE * 256)
    assert max(picked) < 2 * bound  # the bound is that of the Gram matrix of all 2048
    assert max(plain) > 4 * bound


@pytest.mark.mpi
def test_a_run_with_chosen_points_goes_on_from_a_restart_and_is_the_same_on_any_number_of_ranks(comm):
    moving = Moving(Components(1.2, even=0.5), 256, 1, fisher, candidates=4)

    def run(comm, start=None, until=0.4):
        moved, begin = moving.start(problem(comm), df.State(0.0, THETA))
        how = {"controller": df.PI(rtol=1e-4), "adapt": moving}
        return last(df.evolve(moved, start or begin, until=until, **how))

    together, alone = run(comm), run(SELF)
    assert together.step == alone.step > 4
    assert together.theta == pytest.approx(alone.theta, rel=1e-6, abs=1e-8)
    moved, begin = moving.start(problem(comm), df.State(0.0, THETA))
    how = {"controller": df.PI(rtol=1e-4), "adapt": moving}
    middle = last(s for k, s in zip(range(3), df.evolve(moved, begin, until=0.4, every_step=True, **how), strict=False))
    there = moving.problem(problem(comm), middle)
    again = last(df.evolve(there, replace(middle), until=0.4, **how))
    assert np.array_equal(again.theta, together.theta) and again.step == together.step
