"""Gaussian mixtures: Cauchy's integral formula as the oracle of every derivative, invariances, limits, refusals."""

import itertools
import math

import numpy as np
import pytest

from dfpde.ansatz.elementary import exponential
from dfpde.ansatz.mixtures.gaussian import GaussianMixture, PeriodicGaussianMixture
from dfpde.errors import ParameterError, ShapeError

PERIODS = (2.0, 1.5, 3.0)
CASES = [
    pytest.param(make, dim, id=f"{name}-{dim}d")
    for dim in (1, 2, 3)
    for name, make in {
        "isotropic": lambda d: GaussianMixture.isotropic(d, 3),
        "diagonal": lambda d: GaussianMixture.diagonal(d, 3),
        "full": lambda d: GaussianMixture.full(d, 3),
        "periodic": lambda d: PeriodicGaussianMixture.isotropic(PERIODS[:d], 3),
        "periodic-diagonal": lambda d: PeriodicGaussianMixture.diagonal(PERIODS[:d], 3),
    }.items()
]


def formula(ansatz, theta, x):
    """u(x) straight from the definition; θ and x may be complex."""
    n, dim = ansatz.n, ansatz.dim
    a, b = theta[:n], theta[n : n * (1 + dim)].reshape(n, dim)
    s = theta[n * (1 + dim) :].reshape(n, -1)
    total = 0
    for i in range(n):
        y = x - b[i][:, None]
        if isinstance(ansatz, PeriodicGaussianMixture):
            kappa = 2 * np.pi / np.array(ansatz.periods)[:, None]
            q = np.sum((s[i][:, None] * 2 / kappa * np.sin(kappa * y / 2)) ** 2, axis=0)
        else:
            lower = np.zeros((dim, dim), theta.dtype)
            if s.shape[1] == dim * (dim + 1) // 2:
                lower[np.tril_indices(dim)] = s[i]
            else:
                np.fill_diagonal(lower, s[i])
            q = np.sum((lower.T @ y) ** 2, axis=0)
        total = total + a[i] * np.exp(-q / 2)
    return total


def oracle(function, alpha, x, radius=0.3, nodes=24):
    """∂^alpha at x of an entire function of (dim, K) points: Cauchy's integral on a product of circles.

    The trapezoidal rule errs by O(radius^nodes / nodes!) times the next derivatives.
    """
    dim, size = x.shape
    weights = np.ones(1)
    points = x.astype(complex)[:, None, :]
    for axis in range(dim):
        if alpha[axis]:
            angles = 2 * np.pi * np.arange(nodes) / nodes
            circle = np.zeros((dim, nodes, 1, 1), complex)
            circle[axis, :, 0, 0] = radius * np.exp(1j * angles)
            points = (circle + points[:, None]).reshape(dim, -1, size)
            factor = math.factorial(alpha[axis]) / radius ** alpha[axis] / nodes
            weights = (factor * np.exp(-1j * alpha[axis] * angles)[:, None] * weights).reshape(-1)
    values = function(points.reshape(dim, -1))
    return weights @ values.reshape(-1, size)


def setting(make, dim, points=5):
    ansatz = make(dim)
    rng = np.random.default_rng(dim)
    return ansatz, rng.normal(size=ansatz.size), rng.uniform(-1, 1, (dim, points))


def orders(dim):
    """All multi-indices up to order 4 in 1D, 3 in 2D, 2 in 3D."""
    return [a for a in itertools.product(range(6 - dim), repeat=dim) if sum(a) <= 5 - dim]


@pytest.mark.parametrize("make, dim", CASES)
def test_every_derivative_is_cauchys(make, dim):
    ansatz, theta, x = setting(make, dim)
    for alpha in orders(dim):
        exact = oracle(lambda z: formula(ansatz, theta.astype(complex), z), alpha, x)
        scale = max(1.0, abs(exact).max())
        assert abs(ansatz.derivative(theta, x, alpha) - exact).max() < 1e-10 * scale, alpha


@pytest.mark.parametrize("make, dim", CASES)
def test_tangent_is_the_complex_step(make, dim):
    ansatz, theta, x = setting(make, dim)
    tangent = ansatz.tangent(theta, x)
    assert tangent.shape == (ansatz.size, x.shape[1]) and tangent.flags.c_contiguous
    steps = [1e-30j * row for row in np.eye(ansatz.size)]
    exact = np.array([formula(ansatz, theta + step, x).imag / 1e-30 for step in steps])
    np.testing.assert_allclose(tangent, exact, atol=1e-13 * abs(exact).max())


@pytest.mark.parametrize("make, dim", CASES)
def test_tangent_of_every_derivative(make, dim):
    """Along a direction v of θ: mixed derivatives of (x, h) ↦ u(θ + h v, x)."""
    ansatz, theta, x = setting(make, dim)
    v = np.random.default_rng(9).normal(size=ansatz.size)
    v /= np.linalg.norm(v)

    def function(z):
        return np.concatenate(
            [formula(ansatz, theta + h * v, point[:, None]) for h, point in zip(z[-1], z[:-1].T, strict=True)]
        )

    xh = np.vstack([x[:, :1], [[0.0]]])
    for alpha in [tuple(np.eye(dim, dtype=int)[-1]), (2,) + (0,) * (dim - 1), (3, 0, 0)[:dim], (1, 1, 0)[:dim]]:
        exact = oracle(function, (*alpha, 1), xh, nodes=24 if sum(a > 0 for a in alpha) == 1 else 16)
        approximation = v @ ansatz.tangent_derivative(theta, x[:, :1], alpha)
        assert abs(approximation - exact).max() < 1e-8 * max(1.0, abs(exact).max()), alpha


def test_orders_beyond_any_pde():
    """Tenth derivative of exp(−x²/2) is the Hermite polynomial He_10."""
    mixture = GaussianMixture.isotropic(1, 1)
    theta, x = mixture.pack(amplitudes=1, centers=0, scales=1), np.linspace(-2, 2, 9)[None]
    hermite = np.polynomial.hermite_e.hermeval(x[0], [0] * 10 + [1])
    np.testing.assert_allclose(mixture.derivative(theta, x, (10,)), hermite * np.exp(-(x[0] ** 2) / 2), rtol=1e-11)


@pytest.mark.parametrize("make, dim", CASES)
def test_translation_and_permutation(make, dim):
    ansatz, theta, x = setting(make, dim)
    shift = np.linspace(0.3, 0.7, dim)
    blocks = ansatz.unpack(theta)
    moved = ansatz.pack(**{**blocks, "centers": blocks["centers"] + shift})
    np.testing.assert_allclose(ansatz.laplacian(moved, x + shift[:, None]), ansatz.laplacian(theta, x), atol=1e-12)
    swapped = ansatz.pack(**{name: block[::-1] for name, block in blocks.items()})
    np.testing.assert_allclose(ansatz.hessian(swapped, x), ansatz.hessian(theta, x), atol=1e-12)
    # moving every center by c is moving the points by −c
    direction = ansatz.pack(amplitudes=0, centers=shift, scales=0)
    np.testing.assert_allclose(ansatz.jvp(theta, x, direction), -shift @ ansatz.gradient(theta, x), atol=1e-12)


def test_heat_equation_of_one_gaussian():
    """u_t = Δu: a Gaussian of covariance Σ stays one, Σ(t) = Σ + 2tI, so u_t lies in the tangent space."""
    mixture = GaussianMixture.full(3, 1)
    covariance = np.array([[1.0, 0.3, 0.1], [0.3, 0.7, -0.2], [0.1, -0.2, 0.5]])

    def exact(t):
        sigma = covariance + 2 * t * np.eye(3)
        mass = np.sqrt(np.linalg.det(covariance) / np.linalg.det(sigma))
        return mixture.pack(amplitudes=mass, centers=0, scales=mixture.scales(sigma))

    x = np.random.default_rng(0).normal(size=(3, 50))
    rate = cauchy_real(exact, 1e-3)
    np.testing.assert_allclose(mixture.jvp(exact(0), x, rate), mixture.laplacian(exact(0), x), atol=1e-10)
    np.testing.assert_allclose(mixture.precisions(exact(0))[0], np.linalg.inv(covariance), atol=1e-13)


def cauchy_real(function, h):
    """Sixth-order central difference."""
    weights = {1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
    return sum(w * (function(k * h) - function(-k * h)) for k, w in weights.items()) / h


def test_periodic_mixture_is_periodic_and_tends_to_the_gaussian():
    periodic = PeriodicGaussianMixture.diagonal(PERIODS[:2], 2)
    rng = np.random.default_rng(1)
    theta, x = rng.normal(size=periodic.size), rng.uniform(-1, 1, (2, 6))
    turns = x + np.array([[3 * PERIODS[0]], [-2 * PERIODS[1]]])
    np.testing.assert_allclose(periodic.hessian(theta, turns), periodic.hessian(theta, x), atol=1e-11)
    flat = GaussianMixture.diagonal(2, 2)
    errors = []
    for scale in (10.0, 20.0, 40.0):  # exponents differ by O(κ² y² (s y)²) = O(κ²/s²)
        blocks = {"amplitudes": 1.0, "centers": 0.0, "scales": scale}
        y = rng.uniform(-1, 1, (2, 200)) / scale
        errors.append(abs(periodic.value(periodic.pack(**blocks), y) - flat.value(flat.pack(**blocks), y)).max())
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 2, atol=0.15)


def test_blocks_of_points_agree_with_single_points():
    mixture = GaussianMixture.full(2, 90)
    rng = np.random.default_rng(2)
    theta, x = rng.normal(size=mixture.size), rng.normal(size=(2, 1000))  # several blocks of 32768 // 90 points
    tangent = mixture.tangent(theta, x)
    for k in (0, 363, 364, 999):
        np.testing.assert_allclose(tangent[:, k], mixture.tangent(theta, x[:, k : k + 1])[:, 0], atol=1e-13)
    assert mixture.tangent(theta, x[:, :0]).shape == (mixture.size, 0)
    y = rng.normal(size=1000)
    v = rng.normal(size=mixture.size)
    np.testing.assert_allclose(mixture.jvp(theta, x, v) @ y, v @ mixture.vjp(theta, x, y), rtol=1e-11)


def test_refusals():
    mixture = GaussianMixture.isotropic(2, 3)
    theta = np.zeros(mixture.size)
    with pytest.raises(ShapeError, match="12 real parameters"):
        mixture.value(theta[:-1], np.zeros((2, 4)))
    with pytest.raises(ShapeError, match=r"shape \(2, N\)"):
        mixture.tangent(theta, np.zeros((4, 2)))
    with pytest.raises(ShapeError, match="multi-index"):
        mixture.derivative(theta, np.zeros((2, 4)), (1,))
    with pytest.raises(ShapeError, match="multi-index"):
        mixture.derivative(theta, np.zeros((2, 4)), (1, -1))
    with pytest.raises(ParameterError, match="n >= 1"):
        GaussianMixture.full(2, 0)
    with pytest.raises(ParameterError, match="positive definite"):
        mixture.scales(np.diag([1.0, -1.0]))
    with pytest.raises(ParameterError, match="period"):
        PeriodicGaussianMixture.isotropic((2.0, 0.0), 3)


def test_far_tails_are_zero_not_subnormal():
    """e^E with E < −300 is zero: squares of smaller numbers are subnormal, and slow.  NaN is not hidden."""
    tail = exponential(np.array([-299.0, -301.0, -1e4, np.nan]))
    assert tail[0] == np.exp(-299.0) and tail[1] == tail[2] == 0.0 and np.isnan(tail[3])
    packet = exponential(np.array([-299.0 + 1j, -301.0 + 1j]))
    assert packet[0] == np.exp(-299.0 + 1j) and packet[1] == 0.0
    ansatz = GaussianMixture.isotropic(1, 1)
    tangent = ansatz.tangent(np.array([1e-3, 0.0, 1.0]), np.linspace(0, 60, 2001)[None])
    used = np.abs(tangent[tangent != 0])
    assert used.min() ** 2 > 1e-280
