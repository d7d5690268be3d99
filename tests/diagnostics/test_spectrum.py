"""Randomized spectrum against the dense decomposition, and what is said about ε, directions and parameters."""

import warnings

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.diagnostics import EpsilonWarning
from dfpde.errors import ParameterError
from dfpde.leastsquares import DenseRows, Tangent, right_singular, singular_values


def network(comm, n=12):
    """A mixture of overlapping Gaussians: singular values over many decades."""
    ansatz = df.GaussianMixture.isotropic(1, n)
    random = np.random.default_rng(1)
    theta = ansatz.pack(
        amplitudes=random.standard_normal(n), centers=random.uniform(-2, 2, (n, 1)), scales=random.uniform(0.5, 2, n)
    )
    problem = df.Problem(ansatz, df.Quadrature.gauss((-6, 6), 30, 4, comm), lambda t, x, u: -u.value)
    return problem, theta


def matrix(sigma, rows, comm=MPI.COMM_SELF, seed=0):
    """Tangent of given singular values on one rank, with its left and right vectors."""
    random = np.random.default_rng(seed)
    u = np.linalg.qr(random.standard_normal((rows, len(sigma))))[0]
    v = np.linalg.qr(random.standard_normal((len(sigma), len(sigma))))[0]
    return Tangent((DenseRows(np.ascontiguousarray((u * sigma @ v.T).T), np.ones(rows)),), comm), u, v


@pytest.mark.mpi
def test_leading_values_agree_with_the_dense_decomposition(comm):
    problem, theta = network(comm)
    tangent = problem.tangent(theta)
    exact = singular_values(tangent)
    found = df.diagnostics.spectrum(tangent, 10)
    np.testing.assert_allclose(found.values, exact[:10], rtol=1e-6)
    assert exact[9] < 0.1 * exact[0] and exact[-1] < 1e-7 * exact[0]
    # one iteration, no oversampling: the promise of 5 % for the leading values
    rough = df.diagnostics.spectrum(tangent, 10, oversampling=2, iterations=1)
    np.testing.assert_allclose(rough.values, exact[:10], rtol=0.05)


@pytest.mark.mpi
def test_slow_decay_is_estimated_within_five_per_cent(comm):
    """σ_i = i^(−½), the hard case: no gap anywhere."""
    sigma = np.arange(1, 81) ** -0.5
    random = np.random.default_rng(3)
    u = np.linalg.qr(random.standard_normal((200, 80)))[0] * sigma
    v = np.linalg.qr(random.standard_normal((80, 80)))[0]
    mine = np.array_split(np.arange(200), comm.size)[comm.rank]
    rows = np.ascontiguousarray((u @ v.T)[mine].T)
    found = df.diagnostics.spectrum(Tangent((DenseRows(rows, np.ones(len(mine))),), comm), 10, iterations=3)
    np.testing.assert_allclose(found.values, sigma[:10], rtol=0.05)


@pytest.mark.mpi
def test_full_width_is_exact_and_vectors_are_singular_vectors(comm):
    problem, theta = network(comm, 5)
    tangent = problem.tangent(theta)
    found = df.diagnostics.spectrum(tangent)
    np.testing.assert_allclose(found.values, singular_values(tangent), atol=1e-13 * found.values[0])
    gram = tangent._sum(found.left.T @ found.left)
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)
    for sigma, left, right in zip(found.values[:6], found.left.T, found.right, strict=False):
        np.testing.assert_allclose(tangent.apply(right), sigma * left, atol=1e-12 * found.values[0])


def test_metric_of_the_parameters_is_that_of_the_columns():
    problem, theta = network(MPI.COMM_SELF, 5)
    tangent = problem.tangent(theta)
    d = np.linspace(0.5, 3.0, tangent.columns)
    columns = np.ascontiguousarray((tangent.blocks[0].dense() / d).T)
    scaled = Tangent((DenseRows(columns, np.ones(tangent.rows)),), tangent.comm)
    found = df.diagnostics.spectrum(tangent, scale=d)
    np.testing.assert_allclose(found.values, singular_values(scaled), atol=1e-13 * found.values[0])


def test_effective_rank_bounds_the_full_sum():
    sigma = 10.0 ** -np.arange(0, 8, 0.25)
    tangent, _, _ = matrix(sigma, 60)
    for eps in (1e-1, 1e-3, 1e-5):
        full = (sigma**2 / (sigma**2 + eps**2)).sum()
        rank, rest = df.diagnostics.spectrum(tangent, 12).effective_rank(eps)
        assert rank <= full * (1 + 1e-9) <= (rank + rest) * (1 + 2e-9)
    assert df.diagnostics.spectrum(tangent).effective_rank(1e-3) == (
        pytest.approx((sigma**2 / (sigma**2 + 1e-6)).sum()),
        0.0,
    )


def test_bulk_and_outliers_are_split_at_the_widest_gap():
    tangent, _, _ = matrix(np.array([9.0, 5.0, 4.0, 0.11, 0.1, 0.09, 0.08]), 30)
    assert df.diagnostics.spectrum(tangent).outliers() == 3
    # a jump down to rounding level is no gap: the values below it are noise
    tangent, _, _ = matrix(np.array([3.0, 1.0, 0.9, 0.8, 1e-17, 1e-18]), 30)
    assert df.diagnostics.spectrum(tangent).outliers() == 1


def test_weak_directions_of_velocities_and_named_parameters():
    """A component far outside the quadrature leaves no trace in the field: its parameters are weak, the others not."""
    ansatz = df.GaussianMixture.isotropic(1, 3)
    theta = ansatz.pack(amplitudes=[1.0, 0.8, 1.0], centers=[[-2.0], [1.5], [60.0]], scales=[1.0, 1.3, 1.0])
    problem = df.Problem(ansatz, df.Quadrature.gauss((-6, 6), 30, 4, MPI.COMM_SELF), lambda t, x, u: -u.value)
    found = df.diagnostics.spectrum(problem.tangent(theta))
    weak = found.weak_parameters(ansatz, 1e-3)
    assert weak["centers"].shape == (3, 1)
    for block in weak.values():
        np.testing.assert_allclose(block.reshape(3), [0, 0, 1], atol=1e-10)
    only_third = ansatz.pack(amplitudes=[0, 0, 1.0], centers=[[0], [0], [2.0]], scales=[0, 0, 1.0])
    assert found.weakness(only_third, 1e-3) == pytest.approx(1)
    assert found.weakness(ansatz.pack(amplitudes=[1, 1, 0], centers=0, scales=0), 1e-3) == pytest.approx(0, abs=1e-10)


@pytest.mark.mpi
def test_epsilon_above_informative_directions_is_warned_of(comm):
    problem, theta = network(comm)
    system = problem.system(0.0, theta)
    found = df.diagnostics.spectrum(system.tangent)
    sigma, vt = right_singular(system.tangent)
    with pytest.warns(EpsilonWarning, match="damps"):
        report = df.diagnostics.check_epsilon(system, found, 1e-1 * sigma[0])
    # what is lost, and what remains, from the dense solution v = V (σ²+ε²)⁻¹ Vᵀ Jᵀ f
    eps = 1e-1 * sigma[0]
    g = vt @ system.tangent.adjoint(system.rhs)
    sound = sigma > 1e-6 * sigma[0]  # no more can be divided by
    v, w = vt.T @ (g / (sigma**2 + eps**2)), vt[sound].T @ (g[sound] / sigma[sound] ** 2)
    lost = system.tangent.norm(system.tangent.apply(w - v))
    assert report.lost == pytest.approx(lost, rel=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small = df.diagnostics.check_epsilon(system, found, 1e-7 * sigma[0])
        assert small.lost < 1e-3 * small.size
        # an anchor that already is the velocity leaves nothing to lose
        assert df.diagnostics.check_epsilon(system, found, eps, anchor=w, rho=1.0).lost < 1e-4 * report.lost


def test_spectrum_refuses_impossible_requests():
    tangent, _, _ = matrix(np.ones(4), 10)
    with pytest.raises(ParameterError, match="k = 5"):
        df.diagnostics.spectrum(tangent, 5)
