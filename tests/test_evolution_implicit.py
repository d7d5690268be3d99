"""Implicit steps: orders on a stiff linear and on a nonlinear problem, stability, error estimates, clear refusals."""

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.evolution import ROS2, SDIRK2, SDIRK4, ImplicitEuler, ImplicitMidpoint, RadauIIA
from dfpde.evolution.linearize import linearized
from tests.small import Written, last, linear
from tests.test_evolution_orders import START, drifting_heat, error

SCHEMES = {
    "Euler": (ImplicitEuler, 1, 40),
    "midpoint": (ImplicitMidpoint, 2, 20),
    "ROS2": (ROS2, 2, 40),
    "SDIRK2": (SDIRK2, 2, 20),
    "SDIRK4": (SDIRK4, 4, 8),
    "Radau": (RadauIIA, 5, 4),
}

MODES = 12  # −u_xx on 12 sine modes: rates π² ... 144 π² = 1421


def stiff_heat(comm):
    """u_t = u_xx/π² + forcing on sine modes; exact solution c_1 = cos t, c_2 = sin t, stiff modes at rest."""
    q = df.Quadrature.gauss((0, 1), 20, 8, comm)

    def rhs(t, x, u):
        one, two = np.sqrt(2) * np.sin(np.pi * x[0]), np.sqrt(2) * np.sin(2 * np.pi * x[0])
        force = (np.cos(t) - np.sin(t)) * one + (np.cos(t) + 4 * np.sin(t)) * two
        return df.laplacian(u) / np.pi**2 + force

    return df.Problem(linear(MODES), q, rhs)


def linear_error(scheme, steps, comm, until=1.0):
    problem = stiff_heat(comm)
    start = np.zeros(MODES)
    start[0] = 1.0
    run = df.evolve(problem, df.State(0.0, start), until=until, inertia=df.Tikhonov(1e-9),
                    controller=df.Fixed(until / steps), integrator=scheme)  # fmt: skip
    truth = np.zeros(MODES)
    truth[:2] = np.cos(until), np.sin(until)
    return np.linalg.norm(last(run).theta - truth)


@pytest.mark.parametrize("name", SCHEMES)
def test_order_on_a_stiff_linear_problem(name):
    """Rates up to 144 with steps of 1/4 to 1/160: far outside the explicit region."""
    scheme, order, steps = SCHEMES[name]
    errors = [linear_error(scheme, n, MPI.COMM_SELF) for n in (steps, 2 * steps, 4 * steps)]
    assert scheme.order == order
    assert np.log2(errors[-2] / errors[-1]) == pytest.approx(order, abs=0.15), errors


@pytest.mark.mpi
@pytest.mark.parametrize("name", SCHEMES)
def test_order_on_a_nonlinear_parametrization(comm, name):
    scheme, order, steps = SCHEMES[name]
    problem = drifting_heat(comm)
    errors = [
        error(problem, last(df.evolve(problem, START, until=1.0, inertia=df.Tikhonov(1e-9), controller=df.Fixed(1 / n),
                                      integrator=scheme)))
        for n in (2 * steps, 4 * steps)
    ]  # fmt: skip
    assert np.log2(errors[-2] / errors[-1]) == pytest.approx(order, abs=0.2), errors
