"""Steppers on periodic grids: orders, exactness where it is known, unitarity, the same on any number of ranks."""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.errors import ParameterError, ShapeError
from dfpde.steppers import ARS222, ARS443, ETDRK4, ETDRK32, IMEX, PeriodicGrid, SplitStep
from dfpde.steppers.fourier import phi

COMM = MPI.COMM_WORLD
NU = 0.05


def burgers(stepper, n=64, **more):
    """u_t + u u_x = ν u_xx on [0, 2π)."""
    grid = PeriodicGrid((0, 2 * np.pi), n, COMM)
    return stepper(grid, lambda k: -NU * k[0] ** 2, lambda t, x, u: -u.value * df.dx(u), **more)


def march(stepper, u, until, steps, t=0.0):
    for i in range(steps):
        u = stepper(t + i * until / steps, u, until / steps)
    return u


def order(stepper, u, until, steps, t=0.0):
    """Observed order from differences of three runs."""
    q = stepper.grid.quadrature
    a, b, c = (march(stepper, u, until, m * steps, t) for m in (1, 2, 4))
    return np.log2(q.norm(b - a) / q.norm(c - b))


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("make", "steps"), [(ETDRK4, 20), (ETDRK32, 16), (IMEX, 32), (lambda *a: IMEX(*a, tableau=ARS222), 32)]
)
def test_order_on_a_stiff_nonlinear_equation(make, steps):
    stepper = burgers(make)
    u = np.sin(stepper.grid.quadrature.x[0])
    assert abs(order(stepper, u, 1.0, steps) - stepper.order) < 0.15


def test_the_embedded_error_has_the_order_of_the_lower_solution():
    stepper = burgers(ETDRK32)
    u, q = np.sin(stepper.grid.quadrature.x[0]), stepper.grid.quadrature
    errors = [q.norm(stepper.pair(0.0, u, h)[1]) for h in (0.1, 0.05)]
    assert abs(np.log2(errors[0] / errors[1]) - 1 - stepper.error_order) < 0.15


@pytest.mark.mpi
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_linear_equations_are_exact_for_any_step(dim):
    """Advection–diffusion of one mode, a system of two components."""
    grid = PeriodicGrid([(0, 2 * np.pi)] * dim, [8 + 2 * i for i in range(dim)], COMM)
    x = grid.quadrature.x
    k = np.arange(1, dim + 1)
    symbol = lambda k: np.stack([-0.3 * np.sum(k**2, axis=0), -2j * k[0]])  # noqa: E731
    stepper = ETDRK4(grid, symbol, lambda t, x, u: 0 * u.value)
    wave = np.cos(k @ x)
    u = stepper(0.0, np.stack([wave, wave]), 5.0)
    assert np.allclose(u[0], np.exp(-0.3 * 5 * (k @ k)) * wave, atol=1e-13)
    assert np.allclose(u[1], np.cos(k @ x - 10.0), atol=1e-13)


def test_derivatives_of_the_field_of_a_nonlinearity():
    grid = PeriodicGrid([(0, 1), (-1, 2)], [12, 16], COMM)
    a, b = 2 * np.pi, 2 * np.pi / 3
    u = lambda x: np.sin(a * x[0]) * np.cos(2 * b * x[1])  # noqa: E731
    field = grid.field(grid.forward(grid.gather(u(grid.quadrature.x))), True)
    x = field.x
    assert np.allclose(field.value, u(x))
    assert np.allclose(df.grad(field)[0], a * np.cos(a * x[0]) * np.cos(2 * b * x[1]))
    assert np.allclose(df.laplacian(field), -(a**2 + 4 * b**2) * u(x))
    assert np.allclose(field.derivative(1, 1), -2 * a * b * np.cos(a * x[0]) * np.sin(2 * b * x[1]))


def test_phi_functions_on_both_sides_of_the_switch():
    z = np.array([0.0, 1e-9, 0.999, 1.001, -30.0, 20j])
    p = phi(z, 3)
    exact = [np.exp(z[2:])]
    for k, low in ((1, 1.0), (2, 1.0), (3, 0.5)):
        exact.append((exact[-1] - low) / z[2:])
        assert np.allclose(p[k][2:], exact[-1], rtol=1e-13)
    assert np.allclose([p[1][0], p[2][0], p[3][0]], [1, 1 / 2, 1 / 6], rtol=1e-15)


@pytest.mark.mpi
@pytest.mark.parametrize("q", [2, 4])
def test_split_step_is_unitary_and_has_its_order(q):
    """Cubic Schrödinger equation in a trap."""
    grid = PeriodicGrid((-8, 8), 128, COMM)
    stepper = SplitStep(grid, lambda t, x, density: 0.5 * x[0] ** 2 + density, q)
    x = grid.quadrature.x[0]
    psi = np.exp(-0.5 * (x - 1) ** 2).astype(complex)
    assert abs(order(stepper, psi, 1.0, 16) - q) < 0.15
    assert abs(grid.quadrature.norm(march(stepper, psi, 1.0, 16)) / grid.quadrature.norm(psi) - 1) < 1e-13


def test_misuse_is_refused():
    stepper = burgers(ETDRK4)
    with pytest.raises(ShapeError, match="values has shape"):
        stepper(0.0, np.zeros(stepper.grid.quadrature.n + 1), 0.1)
    wrong = ETDRK4(stepper.grid, stepper.linear, lambda t, x, u: u.value[:-1])
    with pytest.raises(ShapeError, match="nonlinearity returned"):
        wrong(0.0, np.zeros(stepper.grid.quadrature.n), 0.1)
    with pytest.raises(ParameterError, match="order = 3"):
        SplitStep(stepper.grid, lambda t, x, d: 0 * d, 3)
    with pytest.raises(ShapeError, match="one complex component"):
        SplitStep(stepper.grid, lambda t, x, d: 0 * d)(0.0, np.zeros(4), 0.1)
    assert IMEX(stepper.grid, stepper.linear, stepper.nonlinear).tableau is ARS443
