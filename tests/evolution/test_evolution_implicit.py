"""Implicit steps: orders on a stiff linear and on a nonlinear problem, stability, error estimates, clear refusals."""

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.errors import DfpdeWarning
from dfpde.evolution import ROS2, SDIRK2, SDIRK4, ImplicitEuler, ImplicitMidpoint, RadauIIA
from dfpde.evolution.linearize import linearized
from tests.evolution.test_evolution_orders import START, drifting_heat, error, marched
from tests.small import Written, last, linear

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
    truth = np.zeros(MODES)
    truth[:2] = np.cos(until), np.sin(until)
    return np.linalg.norm(marched(problem, df.State(0.0, start), until, steps, scheme).theta - truth)


@pytest.mark.parametrize("name", SCHEMES)
def test_order_on_a_stiff_linear_problem(name):
    """Rates up to 144 with steps of 1/4 to 1/160: far outside the explicit region."""
    scheme, order, steps = SCHEMES[name]
    errors = [linear_error(scheme, n, MPI.COMM_SELF) for n in (steps, 2 * steps, 4 * steps)]
    assert scheme.order == order
    assert np.log2(errors[-2] / errors[-1]) == pytest.approx(order, abs=0.15), errors


# on several ranks one scheme of each kind: stage by stage, all stages at once, without iteration
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.mpi] * (n in ("SDIRK4", "Radau", "ROS2"))) for n in SCHEMES]
)
def test_order_on_a_nonlinear_parametrization(comm, name):
    scheme, order, steps = SCHEMES[name]
    problem = drifting_heat(comm)
    errors = [error(problem, marched(problem, START, 1.0, n, scheme)) for n in (2 * steps, 4 * steps)]
    assert np.log2(errors[-2] / errors[-1]) == pytest.approx(order, abs=0.15), errors


# -- stiffness ---------------------------------------------------------------------------------------------------
@pytest.mark.mpi
@pytest.mark.parametrize("scheme", [SDIRK2, SDIRK4, RadauIIA, ROS2], ids=["SDIRK2", "SDIRK4", "Radau", "ROS2"])
def test_heat_equation_at_a_hundred_times_the_explicit_limit(comm, scheme, monkeypatch):
    """Rates up to 40² = 1600, explicit Euler's limit 2/1600: steps far beyond it, at the accuracy asked for."""
    monkeypatch.setattr(f"{__name__}.MODES", 40)
    limit, rtol = 2 / 40**2, {SDIRK2: 1e-3, ROS2: 1e-3}.get(scheme, 1e-4)
    problem = stiff_heat(comm)
    start = np.zeros(MODES)
    start[0] = 1.0
    states = list(
        df.evolve(
            problem,
            df.State(0.0, start),
            until=4.0,
            regularization=df.Tikhonov(1e-9),
            controller=df.PI(rtol=rtol, first=0.01),
            integrator=scheme,
        )
    )
    truth = np.zeros(MODES)
    truth[:2] = np.cos(4.0), np.sin(4.0)
    assert np.linalg.norm(states[-1].theta - truth) < 10 * rtol
    assert max(s.statistics.dt for s in states) > (100 if rtol < 1e-3 else 20) * limit
    assert len(states) < 250


def test_explicit_steps_blow_up_where_implicit_ones_do_not():
    steps = 100  # h = 2/100 > 2/144
    with pytest.warns(DfpdeWarning, match="bound of stability"):
        assert linear_error(df.integrators.Euler, steps, MPI.COMM_SELF, until=2.0) > 1.0
    assert linear_error(ImplicitEuler, steps, MPI.COMM_SELF, until=2.0) < 0.02


@pytest.mark.parametrize("scheme", [ImplicitEuler, SDIRK2, SDIRK4, RadauIIA, ROS2], ids=lambda s: str(s)[:60])
def test_stiff_modes_are_damped(scheme):
    """L-stability: a mode with hλ = 1440 is gone after some steps (midpoint would keep it)."""
    problem = stiff_heat(MPI.COMM_SELF)
    start = np.zeros(MODES)
    start[0], start[-1] = 1.0, 1.0
    state = marched(problem, df.State(0.0, start), 50.0, 5, scheme)
    assert abs(state.theta[-1]) < 1e-6


def test_midpoint_conserves_quadratic_invariants():
    """u_t = i u_xx conserves ‖u‖; the midpoint rule does so to solver accuracy with a linear ansatz."""

    class Pair(df.Ansatz):
        dim, size, dtype = 1, 8, complex

        def derivative(self, theta, x, alpha):
            k = np.arange(4)
            return (theta[:4] + 1j * theta[4:]) * (1j * k) ** alpha[0] @ np.exp(1j * np.outer(k, x[0]))

        def tangent_derivative(self, theta, x, alpha):
            k = np.arange(4)[:, None]
            waves = (1j * k) ** alpha[0] * np.exp(1j * k * x[0])
            return np.concatenate([waves, 1j * waves])

        def value(self, theta, x):
            return self.derivative(theta, x, (0,))

        def tangent(self, theta, x):
            return self.tangent_derivative(theta, x, (0,))

    q = df.Quadrature.periodic((0, 2 * np.pi), 16, MPI.COMM_SELF)
    problem = df.Problem(Pair(), q, lambda t, x, u: 1j * df.dx(u, 2))
    theta = np.linspace(0.2, 1.0, 8)
    state = last(
        df.evolve(
            problem,
            df.State(0.0, theta),
            until=2.0,
            regularization=df.Tikhonov(1e-8),
            controller=df.Fixed(0.25),
            integrator=ImplicitMidpoint,
        )
    )
    assert problem.norm(state.theta) == pytest.approx(problem.norm(theta), rel=1e-10)
    assert np.linalg.norm(state.theta - theta) > 0.1


# -- the Jacobian ------------------------------------------------------------------------------------------------
def test_linearized_right_hand_side():
    """F_θ against central differences of θ ↦ f(Φ(θ)): a nonlinear system with first, second and mixed dependence."""
    ansatz = df.Stack(df.GaussianMixture.isotropic(2, 1), df.GaussianMixture.diagonal(2, 1))
    q = df.Quadrature.gauss(((-2, 2), (-2, 2)), 3, 2, MPI.COMM_SELF)

    def rhs(t, x, u):
        a, b = u.value
        return np.stack([df.laplacian(u)[0] + a * b * u.gradient[1, 1], np.sin(a) + u.hessian[0, 1, 1] * t])

    problem = df.Problem(ansatz, q, rhs)
    theta = np.linspace(0.3, 1.2, ansatz.size)
    f, slope = linearized(problem, 0.7, theta)
    field = problem.field(theta)
    assert np.allclose(f, rhs(0.7, q.x, field))
    for j in range(ansatz.size):
        e = 1e-6 * np.eye(ansatz.size)[j]
        difference = (rhs(0.7, q.x, problem.field(theta + e)) - rhs(0.7, q.x, problem.field(theta - e))) / 2e-6
        assert np.abs(slope[j] - difference).max() < 1e-7


def test_missing_tangents_of_derivatives_are_named():
    class OnlyTangent(df.Ansatz):
        dim, size = 1, 1

        def value(self, theta, x):
            return theta[0] * np.sin(x[0])

        def tangent(self, theta, x):
            return np.sin(x)

        def derivative(self, theta, x, alpha):
            return theta[0] * np.sin(x[0] + alpha[0] * np.pi / 2)

    q = df.Quadrature.gauss((0, np.pi), 4, 4, MPI.COMM_SELF)
    problem = df.Problem(OnlyTangent(), q, lambda t, x, u: df.dx(u, 2))
    run = df.evolve(
        problem,
        df.State(0.0, np.ones(1)),
        until=1.0,
        regularization=df.Tikhonov(1e-6),
        controller=df.Fixed(0.1),
        integrator=ImplicitEuler,
    )
    with pytest.raises(df.errors.MissingDerivative, match="tangent_derivative"):
        next(run)


def test_right_hand_sides_that_are_not_pointwise_are_refused():
    problem = drifting_heat(MPI.COMM_SELF)
    shifted = df.Problem(problem.ansatz, problem.quadrature, lambda t, x, u: u(x - 1.0) - u.value)
    run = df.evolve(
        shifted, START, until=1.0, regularization=df.Tikhonov(1e-6), controller=df.Fixed(0.1), integrator=SDIRK2
    )
    with pytest.raises(df.errors.MissingDerivative, match="pointwise"):
        next(run)


def test_conditions_need_explicit_steps():
    problem = drifting_heat(MPI.COMM_SELF)
    q = problem.quadrature
    bounded = df.Problem(problem.ansatz, q, problem.rhs, (df.Dirichlet(q, lambda t, x: 0 * x[0]),))
    run = df.evolve(
        bounded, START, until=1.0, regularization=df.Tikhonov(1e-6), controller=df.Fixed(0.1), integrator=ROS2
    )
    with pytest.raises(df.errors.ParameterError, match="explicit"):
        next(run)


@pytest.mark.mpi
@pytest.mark.filterwarnings("ignore:.*does not follow:dfpde.errors.DfpdeWarning")  # J = 0 at the collapse
def test_inertia_carries_implicit_stages_through_a_collapse(comm):
    """u = θ³φ, u_t = φ from θ = −1: implicit steps with inertia pass θ = 0 too."""
    ansatz = Written(1, lambda th: [th[0] ** 3], lambda th: [[3 * th[0] ** 2]])
    q = df.Quadrature.gauss((0, 1), 12, 8, comm)
    problem = df.Problem(ansatz, q, lambda t, x, u: np.sqrt(2) * np.sin(np.pi * x[0]))
    state = last(
        df.evolve(
            problem,
            df.State(0.0, np.array([-1.0])),
            until=2.0,
            regularization=df.InertiaFromMass(1e-4),
            controller=df.Fixed(5e-3),
            integrator=SDIRK2,
        )
    )
    assert abs(state.theta[0] ** 3 - 1) < 0.1
