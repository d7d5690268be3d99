"""The bound bounds the true error of linear problems, and is sharp where it can be."""

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from benchmarks import study_problems as study
from dfpde.diagnostics.error_bound import ErrorBound, growth_rate, hermite
from tests.small import linear, vector_problem


def certified(case, rate=0.0, **options):
    """[(bound, true error)] along a run."""
    q = case.problem.quadrature

    def true(state):
        return q.norm(case.problem.field(state).value - case.exact(state.t, q.x))

    bound = ErrorBound(case.problem, case.start, true(case.start), rate)
    pairs = []
    for state in df.evolve(case.problem, case.start, until=case.until, **options):
        bound = bound.after(state)
        pairs.append((bound.bound, true(state)))
    return pairs


@pytest.mark.mpi
@pytest.mark.parametrize("make", [study.advection, study.heat, study.zero_crossing])
def test_bounds_the_error_of_linear_problems(comm, make):
    """ℓ = 0 for transport, diffusion and rotation; coarse tolerances, so that there is an error."""
    case = make(comm=comm)
    pairs = certified(case, controller=df.PI(rtol=1e-3), regularization=df.Inertia(1e-3, 0.97))
    assert all(bound >= error for bound, error in pairs)
    assert pairs[-1][0] < 1e3 * pairs[-1][1] + 1e-6
    assert pairs[-1][1] > 1e-6


def test_sharp_when_the_residual_is_unreachable():
    """A forcing outside the ansatz: the error is exactly ∫ ‖defect‖ for ℓ = 0."""
    q = df.Quadrature.gauss((0, 1), 12, 8, MPI.COMM_SELF)
    problem = df.Problem(linear(1), q, lambda t, x, u: np.sqrt(2) * np.sin(2 * np.pi * x[0]))
    start = df.State(0.0, np.ones(1))
    bound = ErrorBound(problem, start, 0.0)
    for state in df.evolve(problem, start, until=0.7, controller=df.Fixed(0.1), integrator=df.RK4):
        bound = bound.after(state)
        assert bound.bound == pytest.approx(state.t, rel=1e-12)


def test_growth_rate_enters_exactly():
    """u_t = ℓu and an initial error: the bound is e^{ℓt} times it."""
    problem = vector_problem(linear(2), lambda t, c: 0.5 * c, 2)
    start = df.State(0.0, np.array([1.0, 0.3]))
    bound = ErrorBound(problem, start, 1e-2, rate=0.5)
    for state in df.evolve(problem, start, until=2.0, controller=df.PI(1e-8), regularization=df.Tikhonov(1e-10)):
        bound = bound.after(state)
    assert bound.bound == pytest.approx(1e-2 * np.e, rel=1e-4)


@pytest.mark.mpi
def test_estimated_growth_rate(comm):
    """∂f = diag(0.3, −2) plus a skew part: ℓ = 0.3; the heat equation's is negative."""
    q = df.Quadrature.gauss((0, 1), 12, 8, comm)
    waves = np.sqrt(2) * np.sin(np.pi * np.arange(1, 3)[:, None] * q.x[0])
    heat = df.Problem(linear(2), q, lambda t, x, u: df.laplacian(u) / np.pi**2)
    assert growth_rate(heat, df.State(0.0, np.ones(2))) == pytest.approx(-1.0, rel=1e-8)
    local = df.Problem(linear(2), q, lambda t, x, u: 0.3 * u.value + u.gradient[0])
    assert growth_rate(local, df.State(0.0, np.ones(2))) == pytest.approx(0.3, abs=1e-6)
    assert waves.shape[0] == 2


def test_residual_of_the_curve_falls_with_the_third_power_of_the_step():
    case = study.zero_crossing()
    residuals = []
    for n in (40, 80):
        bound = ErrorBound(case.problem, case.start, 0.0)
        fixed = df.Fixed(0.5 / n)
        run = df.evolve(case.problem, case.start, until=0.05, controller=fixed, regularization=df.Tikhonov(1e-9))
        for state in run:
            bound = bound.after(state)
        residuals.append(bound.residual)
    assert np.log2(residuals[0] / residuals[1]) == pytest.approx(3, abs=0.4)


def test_hermite_reproduces_cubics():
    def at(t):
        return np.array([t**3 - t, 2 * t**2]), np.array([3 * t**2 - 1, 4 * t])

    start, end = (df.State(t, at(t)[0], velocity=at(t)[1]) for t in (0.5, 0.9))
    theta, velocity = hermite(start, end, 0.3, 0.4)
    assert np.allclose(theta, at(0.62)[0]) and np.allclose(velocity, at(0.62)[1])


def test_order_of_states_is_checked():
    case = study.zero_crossing()
    with pytest.raises(df.errors.ParameterError):
        ErrorBound(case.problem, case.start, 0.0).after(case.start)
    with pytest.raises(df.errors.ParameterError):
        ErrorBound(case.problem, case.start, float("nan"))
