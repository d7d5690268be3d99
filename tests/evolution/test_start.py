"""What is seen before the first step."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skfem
from mpi4py import MPI

import dfpde as df
from dfpde.errors import DfpdeWarning, MissingDerivative

jax.config.update("jax_enable_x64", True)
COMM = MPI.COMM_SELF


def piecewise(theta, x):
    """Four ReLUs of x: linear between kinks."""
    a, b, c = theta.reshape(3, 4)
    return jnp.sum(a * jnp.maximum(0.0, b * x[0] + c))


def first_step(ansatz, rhs, theta, quadrature=None):
    q = df.Quadrature.gauss((-1, 1), 10, 5, COMM) if quadrature is None else quadrature
    run = df.evolve(df.Problem(ansatz, q, rhs), df.State(0.0, theta), until=1e-3, controller=df.Fixed(1e-3),
                    regularization=df.Tikhonov(1e-3), on_unresolved="ignore")  # fmt: skip
    next(run)


def test_no_second_derivative_of_a_piecewise_linear_network():
    theta = np.array([1.0, -1.0, 0.5, 2.0, 1.0, 2.0, -1.0, 0.5, 0.1, -0.3, 0.2, 0.0])
    ansatz = df.JaxFunction(piecewise, theta, dim=1)
    for rhs in (lambda t, x, u: df.dx(u, 2), lambda t, x, u: df.laplacian(u) - u.value):
        with pytest.raises(MissingDerivative, match="no polynomial"):
            first_step(ansatz, rhs, theta)
    first_step(ansatz, lambda t, x, u: -df.dx(u), theta)  # has a first one


def test_what_is_a_polynomial_may_have_derivatives_of_zero():
    """u = a x y + b (x² − y²): harmonic; u_xx = 0 for b = 0."""
    saddle = df.JaxFunction(lambda c, x: c[0] * x[0] * x[1] + c[1] * (x[0] ** 2 - x[1] ** 2), np.ones(2), dim=2)
    q = df.Quadrature.gauss(((-1, 1), (-1, 1)), 4, 4, COMM)
    for theta in ([1.0, 0.0], [0.3, 0.7]):
        first_step(saddle, lambda t, x, u: u.value + df.laplacian(u), np.array(theta), q)


@pytest.mark.parametrize(
    ("ansatz", "bounds"),
    [
        (df.PeriodicGaussianMixture.isotropic((2 * np.pi,), 3), (-1, 1)),
        (df.PeriodicGaussianMixture.isotropic((1.0,), 3), (-1, 1)),
        (df.Network(1, (4,), embedding=df.PeriodicEmbedding((4.0,))), (0, 1)),
        (df.ansatz.Periodic(df.GaussianMixture.isotropic(2, 3), (4.0,)), (0, 6)),
        (df.PeriodicGaussianMixture.isotropic((2.0,), 3), (-0.9, 0.9)),
        (df.PeriodicGaussianMixture.isotropic((2.0,), 3), (-1.01, 1.01)),
        (df.Sum(*(df.PeriodicGaussianMixture.isotropic((period,), 1) for period in (1.0, 2.0))), (0, 1)),
        (df.ansatz.Transform(df.PeriodicGaussianMixture.isotropic((3.0,), 2), df.ansatz.exp), (-1, 1)),
        (df.ansatz.Frozen(df.PeriodicGaussianMixture.isotropic((1.5,), 2), np.ones(6), names=("scales",)), (-1, 1)),
    ],
)
def test_a_period_that_the_points_do_not_cover(ansatz, bounds):
    theta = np.linspace(0.4, 1.1, ansatz.size)
    with pytest.warns(DfpdeWarning, match="period"):
        first_step(ansatz, lambda t, x, u: -df.dx(u), theta, df.Quadrature.periodic(bounds, 40, COMM))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*has the period")
        period = ansatz.period(0)
        for n in (4, 40):
            first_step(ansatz, lambda t, x, u: -u.value, theta, df.Quadrature.periodic((1.0, 1.0 + period), n, COMM))
        first_step(ansatz, lambda t, x, u: -u.value, theta, df.Quadrature.gauss((0.0, period), 15, 5, COMM))


@pytest.mark.parametrize("share", [0.6, 0.9, 1.0])
def test_points_without_order_leave_no_more_than_their_gaps(share):
    """Random points of a square, and a grid of cells of growing size, with a period of 1 in the first direction."""
    rng, ansatz = np.random.default_rng(3), df.PeriodicGaussianMixture.isotropic((1.0, 1.0), 2)
    cells = skfem.MeshQuad.init_tensor(share * np.linspace(0, 1, 20) ** 1.5, np.linspace(0, 1, 20))
    random = df.Quadrature.samples(rng.random((2, 600)) * np.array([[share], [1.0]]), np.ones(600), COMM)
    for q in (random, df.Quadrature.from_mesh(cells, 3, COMM)):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            first_step(ansatz, lambda t, x, u: -u.value, np.linspace(0.4, 1.1, ansatz.size), q)
        assert any("has the period 1 along axis 0" in str(word.message) for word in said) == (share < 1.0)
        assert not any("along axis 1" in str(word.message) for word in said)
