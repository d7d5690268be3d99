"""The bound bounds the true error of linear problems, and is sharp where it can be."""

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from benchmarks import study_problems as study
from dfpde.diagnostics.error_bound import ErrorBound, growth_rate, hermite
from tests.small import linear


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
    problem = df.Problem(linear(2), df.Quadrature.gauss((0, 1), 12, 8), lambda t, x, u: 0.5 * u.value)
    start = df.State(0.0, np.array([1.0, 0.3]))
    bound = ErrorBound(problem, start, 1e-2, rate=0.5)
    how = {"controller": df.PI(1e-8, dt_max=0.1), "regularization": df.Tikhonov(1e-10)}
    for state in df.evolve(problem, start, until=2.0, **how):
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
    for n in (160, 320):
        bound = ErrorBound(case.problem, case.start, 0.0)
        fixed = df.Fixed(0.5 / n)
        run = df.evolve(case.problem, case.start, until=0.05, controller=fixed, regularization=df.Tikhonov(1e-9))
        for state in run:
            bound = bound.after(state)
        residuals.append(bound.residual)
    assert np.log2(residuals[0] / residuals[1]) == pytest.approx(3, abs=0.15)


def test_hermite_reproduces_cubics():
    def at(t):
        return np.array([t**3 - t, 2 * t**2]), np.array([3 * t**2 - 1, 4 * t])

    start, end = (df.State(t, at(t)[0], velocity=at(t)[1]) for t in (0.5, 0.9))
    assert np.allclose(hermite(start, end, 0.3, 0.4), at(0.62)[0])


def test_order_of_states_is_checked():
    case = study.zero_crossing()
    with pytest.raises(df.errors.ParameterError):
        ErrorBound(case.problem, case.start, 0.0).after(case.start)
    with pytest.raises(df.errors.ParameterError):
        ErrorBound(case.problem, case.start, float("nan"))


@pytest.mark.mpi
@pytest.mark.parametrize("turn", np.linspace(0.15, 0.85, 15))
def test_a_unit_that_flips_within_a_step_is_not_missed(turn, comm):
    """u_t = 0 and a slope that runs from −a to b: tanh(a x) turns round within a hundredth of the step, at `turn`."""
    ansatz = df.Network(1, (1,))
    problem = df.Problem(ansatz, df.Quadrature.gauss((-1, 1), 3000, 3, comm), lambda t, x, u: 0.0 * u.value)
    names = ansatz.slices()
    theta = np.zeros(ansatz.size)
    theta[names[list(names)[-2]][0]] = 1.0  # the output's weight
    slope = next(iter(names))

    def state(t, a):
        now = theta.copy()
        now[names[slope][0]] = a
        velocity = np.zeros_like(now)
        velocity[names[slope][0]] = 600.0
        return df.State(t, now, velocity=velocity)

    start, end = state(0.0, -600 * turn), state(1.0, 600 * (1 - turn))
    true = problem.quadrature.norm(problem.field(end).value - problem.field(start).value)
    bound = ErrorBound(problem, start, 0.0).after(end)
    assert true == pytest.approx(2 * np.sqrt(2), rel=3e-2)
    assert true <= bound.bound < 10 * true


def test_what_is_not_resolved_is_not_certified(comm):
    """A component between two points of the run: refused; on more points the bound holds."""
    ansatz = df.GaussianMixture.isotropic(1, 2)
    rhs = lambda t, x, u: -df.dx(u)  # noqa: E731
    coarse = df.Problem(ansatz, df.Quadrature.gauss((-3, 3), 20, 2, comm), rhs)
    fine = df.Problem(ansatz, df.Quadrature.gauss((-3, 3), 2000, 2, comm), rhs)
    theta = ansatz.pack(amplitudes=[1.0, 0.3], centers=[[-1.0], [0.44]], scales=[1.0, 30.0])
    start = df.State(0.0, theta)
    run = dict(until=0.02, controller=df.PI(rtol=1e-4), on_unresolved="ignore")
    states = list(df.evolve(coarse, start, **run))
    with pytest.raises(df.errors.ResolutionError, match="does not resolve"):
        ErrorBound(coarse, start, 0.0).after(states[0])
    bound = ErrorBound(fine, start, 0.0)
    for state in states:
        bound = bound.after(state)
        exact = ansatz.value(theta, fine.quadrature.x - state.t)
        assert bound.bound >= fine.quadrature.norm(fine.field(state).value - exact)


def test_f_that_reads_the_parameters_has_no_bound():
    problem = df.Problem(linear(1), df.Quadrature.gauss((0, 1), 12, 8), lambda t, x, u: u.theta[0] * u.value)
    start = df.State(0.0, np.ones(1))
    with pytest.raises(df.errors.NonFiniteError, match="not finite"):
        ErrorBound(problem, start, 0.0).after(df.State(0.1, np.ones(1)))
