"""Runs that cannot go on: each ends with one diagnosis that names the cause, its state saved, on all ranks together."""

import numpy as np
import pytest

import dfpde as df
from dfpde.errors import DfpdeError, StepError
from tests.small import last, linear, redundant, vector_problem


def fails(problem, theta, until=2.0, **options):
    """(error, rescued states) of a run that must fail."""
    saved = []
    options = {"regularization": df.Tikhonov(1e-8), "controller": df.PI(rtol=1e-4), "rescue": saved.append, **options}
    with pytest.raises(DfpdeError) as caught:
        last(df.evolve(problem, df.State(0.0, np.asarray(theta, float)), until=until, **options))
    assert caught.value.collective
    assert len(saved) == 1
    messages = problem.comm.allgather(str(caught.value))
    assert len(set(messages)) == 1  # the same words everywhere
    if isinstance(caught.value, StepError):
        assert caught.value.state.t == saved[0].t
        assert np.array_equal(caught.value.state.theta, saved[0].theta)
    return caught.value, saved[0]


@pytest.mark.mpi
def test_nan_from_a_time_on(comm):
    def f(t, c):
        return [-c[0] if t <= 0.7 else np.nan]

    error, state = fails(vector_problem(linear(1), f, 1, comm), [1.0])
    assert isinstance(error, StepError)
    assert "not finite" in str(error) and "f(t, u)" in str(error)
    assert state.t == pytest.approx(0.7, abs=1e-6) and state.t <= 0.7
    assert state.theta[0] == pytest.approx(np.exp(-0.7), rel=1e-3)


@pytest.mark.mpi
def test_nan_on_one_rank_only(comm):
    """Points of the last rank alone see it."""
    q = df.Quadrature.gauss((0, 1), 12, 8, comm)

    def rhs(t, x, u):
        return np.where((x[0] > 0.97) & (t > 0.5), np.nan, -u.value)

    error, state = fails(df.Problem(linear(1), q, rhs), [1.0])
    assert "not finite" in str(error)
    assert 0.49 < state.t <= 0.5


@pytest.mark.mpi
def test_an_exception_in_the_right_hand_side_saves_the_state(comm):
    def f(t, c):
        if t > 0.5:
            raise ZeroDivisionError("t is too large")
        return [-c[0]]

    saved = []
    with pytest.raises((ZeroDivisionError, df.errors.RemoteError)):
        last(df.evolve(vector_problem(linear(1), f, 1, comm), df.State(0.0, np.ones(1)), until=1.0,
                       regularization=df.Tikhonov(1e-8), controller=df.Fixed(0.1), integrator=df.RK4,
                       rescue=saved.append))  # fmt: skip
    assert 0.3 < saved[0].t <= 0.5


@pytest.mark.mpi
def test_solution_that_blows_up(comm):
    """c' = c², c(0) = 1 is infinite at t = 1."""
    error, state = fails(vector_problem(linear(1), lambda t, c: c**2, 1, comm), [1.0])
    assert "blows up" in str(error)
    assert state.t == pytest.approx(1.0, abs=1e-3)


@pytest.mark.mpi
def test_jump_in_the_right_hand_side(comm):
    """A jump at t = 0.6 is passed by small steps, or named when dt_min forbids them."""
    problem = vector_problem(linear(1), lambda t, c: [1.0 if t < 0.6 else -400.0], 1, comm)
    end = last(df.evolve(problem, df.State(0.0, np.ones(1)), until=0.7, regularization=df.Tikhonov(1e-8),
                         controller=df.PI(rtol=1e-5)))  # fmt: skip
    assert end.theta[0] == pytest.approx(1.6 - 40, abs=1e-2)
    error, state = fails(problem, [1.0], controller=df.PI(rtol=1e-5, dt_min=1e-3))
    assert "not smooth" in str(error) and "minimum" not in str(error)
    assert state.t == pytest.approx(0.6, abs=5e-3)


@pytest.mark.mpi
def test_zero_field(comm):
    """u = 0 stays zero without a source, and leaves zero with one, under relative tolerances."""
    at_rest = vector_problem(linear(1), lambda t, c: -c, 1, comm)
    driven = vector_problem(linear(1), lambda t, c: [np.cos(t)], 1, comm)
    start = df.State(0.0, np.zeros(1))
    for controller in (df.PI(1e-5), df.PI(1e-5, atol=1e-5), df.Fixed(0.05)):
        assert last(df.evolve(at_rest, start, until=1.0, controller=controller)).theta[0] == 0.0
        moved = last(df.evolve(driven, start, until=1.0, controller=controller))
        assert moved.theta[0] == pytest.approx(np.sin(1), abs=1e-3)


@pytest.mark.mpi
@pytest.mark.parametrize("rule", [df.AutoInertia(), df.Inertia(1e-3, 0.97), df.Tikhonov(1e-10)], ids=str)
def test_exactly_redundant_parameters_do_not_stop_a_run(comm, rule):
    problem = vector_problem(redundant(), lambda t, c: -c, 1, comm)
    state = last(df.evolve(problem, df.State(0.0, np.array([0.3, 0.7])), until=1.0, regularization=rule,
                           controller=df.PI(1e-6)))  # fmt: skip
    assert state.theta.sum() == pytest.approx(np.exp(-1), rel=1e-3)


def test_lost_rank_is_named():
    """A solver that gives up: the diagnosis counts the lost directions."""

    now = 0.0

    def rhs(t, c):
        nonlocal now
        now = t
        return -c

    class GivesUp:
        def solve(self, system):
            error = df.errors.SolverError("no convergence after 7 iterations", "more iterations", -3, 7)
            error.collective = True
            if now > 0.3:
                raise error
            return df.Dense().solve(system)

    problem = vector_problem(redundant(), rhs, 1)
    error, state = fails(problem, [0.3, 0.7], solver=GivesUp())
    assert "lost rank: 1 of 2 directions" in str(error) and "7 iterations" in str(error)
    assert state.t == pytest.approx(0.3, abs=1e-6)


@pytest.mark.mpi
def test_stiffness_at_the_minimum_step(comm):
    """Rates of 1e5 with dt_min = 1e-3: explicit steps cannot, implicit ones can."""
    rates = np.array([1.0, 1e5])
    problem = vector_problem(linear(2), lambda t, c: -rates * (c - np.cos(t)), 2, comm)
    error, _ = fails(problem, [1.0, 1.0], controller=df.PI(rtol=1e-4, first=1e-3, dt_min=1e-3))
    assert "stiffness" in str(error) and "implicit" in str(error)
    assert "1.0e+05" in str(error)  # the measured rate


@pytest.mark.mpi
def test_minimum_step_of_a_smooth_problem(comm):
    problem = vector_problem(linear(1), lambda t, c: [50 * np.cos(50 * t)], 1, comm)
    error, _ = fails(problem, [1.0], controller=df.PI(rtol=1e-9, first=0.08, dt_min=0.01))
    assert "minimum step" in str(error) and "dt_min" in str(error)


@pytest.mark.mpi
def test_defect_too_large(comm):
    """f is nearly orthogonal to the tangent: refinement of time cannot help."""
    q = df.Quadrature.gauss((0, 1), 12, 8, comm)
    problem = df.Problem(linear(1), q, lambda t, x, u: 50 * np.cos(50 * t) * np.sqrt(2) * (
        np.sin(np.pi * x[0]) + 9 * np.sin(2 * np.pi * x[0])))  # fmt: skip
    error, _ = fails(problem, [1.0], controller=df.PI(rtol=1e-9, first=0.08, dt_min=0.01))
    assert "defect too large" in str(error) and "more parameters" in str(error)


@pytest.mark.mpi
@pytest.mark.filterwarnings("ignore:.*bound of stability:dfpde.errors.DfpdeWarning")
def test_fixed_steps_stop_at_once(comm):
    error, state = fails(vector_problem(linear(1), lambda t, c: c**2, 1, comm), [1.0], controller=df.Fixed(0.3),
                         integrator=df.RK4, until=9.0)  # fmt: skip
    assert isinstance(error, StepError)
    assert "blows up" in str(error) or "stiffness" in str(error)
    assert np.all(np.isfinite(state.theta))


def test_a_field_that_vanishes_by_cancellation_asks_for_an_absolute_tolerance():
    ansatz = df.GaussianMixture.isotropic(1, 2)
    points = df.Quadrature.gauss((-6, 6), 60, 8)
    problem = df.Problem(ansatz, points, lambda t, x, u: 1e-20 * np.exp(-(x[0] ** 2) / 2))
    start = df.State(0.0, ansatz.pack(amplitudes=[1.0, -1.0], centers=0.1, scales=1.0))
    with pytest.raises(StepError, match="u vanishes") as caught:
        list(df.evolve(problem, start, until=0.1, controller=df.PI(rtol=1e-6)))
    assert "atol" in str(caught.value) and len(str(caught.value)) < 400
    assert list(df.evolve(problem, start, until=0.1, controller=df.PI(rtol=1e-6, atol=1e-6)))


def test_a_field_that_grows_from_zero_by_cancellation_needs_none():
    """u_t = exp(−x²/2) from u = 0: ‖u‖ is a measure as soon as there is a u."""
    ansatz = df.GaussianMixture.isotropic(1, 2)
    points = df.Quadrature.gauss((-6, 6), 60, 8)
    profile = np.exp(-(points.x[0] ** 2) / 2)
    problem = df.Problem(ansatz, points, lambda t, x, u: profile)
    start = df.State(0.0, ansatz.pack(amplitudes=[1.0, -1.0], centers=0.1, scales=1.0))
    *_, state = df.evolve(problem, start, until=0.1, controller=df.PI(rtol=1e-6))
    assert points.norm(problem.field(state).value - 0.1 * profile) <= 1e-5 * points.norm(0.1 * profile)


def test_times_that_cannot_be_resolved_are_said():
    start = df.State(1e16, np.ones(1))
    problem = vector_problem(linear(1), lambda t, c: -c, 1)
    with pytest.warns(df.errors.DfpdeWarning, match="roundings of t"):
        assert list(df.evolve(problem, start, until=1e16 + 4)) == []
