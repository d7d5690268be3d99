"""`solve`: fit, run and evaluate at any time; the interpolant's order; pictures."""

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.errors import ParameterError, ShapeError
from dfpde.solving import Solution
from tests.small import linear, modes, vector_problem

COMM = MPI.COMM_SELF


def turning(comm=COMM):
    """c = (cos t, sin t) by a linear ansatz: the field is known at all times and points."""
    return vector_problem(linear(2), lambda t, c: [-c[1], c[0]], 2, comm)


def exact(t, x):
    return np.array([np.cos(t), np.sin(t)]) @ modes(x, 2)


@pytest.mark.mpi
def test_the_solution_is_known_at_any_time_and_point(comm):
    problem, x = turning(comm), np.random.default_rng(0).random((1, 7))
    times = [0.0, 0.5, 2.0]
    solution = df.solve(problem, lambda x: exact(0.0, x), times=times, rtol=1e-7, guess=np.zeros(2))
    assert solution.t.tolist() == times and len(solution.history) == len(solution.steps) > 4
    np.testing.assert_allclose(solution(1.3, x), exact(1.3, x), atol=2e-5)
    np.testing.assert_array_equal(solution(1.3, x[0]), solution(1.3, x))
    several = solution([0.0, 0.7, 2.0], x)
    assert several.shape == (3, 7)
    np.testing.assert_allclose(several[1], exact(0.7, x), atol=2e-5)
    np.testing.assert_array_equal(several[2], problem.field(solution.states[2], x).value)  # no interpolation at a step
    assert np.max(solution.errors(exact)) < 1e-6
    assert solution.errors(lambda t, x: 2 * exact(t, x)) == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize(
    ("integrator", "order"), [(df.DormandPrince, 4), (df.RK4, 4), (df.integrators.Heun, 2), (df.integrators.SDIRK4, 4),
                              (df.integrators.ROS2, 2)], ids=str
)  # fmt: skip
def test_order_of_the_interpolant(integrator, order):
    """Between fixed steps, anywhere in them, the error falls like h^min(4, p)."""
    problem, x, errors = turning(), np.array([[0.3, 0.6]]), []
    t = np.linspace(0.0, 2.0, 101)
    truth = np.array([exact(time, x) for time in t])
    for n in (20, 40, 80):
        start = df.State(0.0, np.array([1.0, 0.0]))
        steps = [(0.0, start.theta, np.array([0.0, 1.0]))]
        for state in df.evolve(problem, start, until=2.0, controller=df.Fixed(2.0 / n), integrator=integrator,
                               regularization=df.Tikhonov(1e-10)):  # fmt: skip
            steps.append((state.t, state.theta, state.velocity))
        found = Solution(problem, (start,), df.History(), tuple(steps))(t, x)
        errors.append(np.max(np.abs(found - truth)))
    assert np.log2(errors[-2] / errors[-1]) == pytest.approx(order, abs=0.15), errors


def test_the_notebook():
    """Viscous Burgers with a front, as one would write it down."""
    u = df.PeriodicGaussianMixture(n=20, periods=2.0)
    burgers = df.Problem(
        u, df.Quadrature.periodic((-1, 1), 400, COMM), lambda t, x, u: 0.01 * df.dx(u, 2) - u * df.dx(u)
    )
    solution = df.solve(burgers, lambda x: -np.sin(np.pi * x[0]), times=np.linspace(0, 0.2, 3), rtol=1e-4)
    x = np.linspace(-1.0, 1.0, 11)
    values = solution(0.15, x)
    np.testing.assert_allclose(values, -values[::-1], atol=3e-3)  # odd, as the start is
    assert len(solution.plot().axes) >= 2 and len(solution.history.plot().axes) >= 4


def test_a_state_goes_on_and_a_reference_is_drawn():
    problem, start = turning(), df.State(1.0, np.array([np.cos(1.0), np.sin(1.0)]))
    solution = df.solve(problem, start, times=[1.5, 2.0], quantities={"energy": lambda p, s: p.norm(s) ** 2})
    assert solution.t.tolist() == [1.5, 2.0] and solution(1.0, np.array([0.5])) == exact(1.0, np.array([[0.5]]))
    np.testing.assert_allclose(solution.history.to_dict()["energy"], 1.0, atol=1e-3)
    figure = solution.plot(exact)
    assert figure.axes[1].get_title() == "relative error"
    assert "Solution(" in repr(solution) and len(repr(solution)) <= 400


def test_wrong_times_and_points():
    problem, start = turning(), df.State(1.0, np.array([1.0, 0.0]))
    for times in ([], [1.0], [0.5, 2.0], [2.0, 1.5], [np.nan, 2.0]):
        with pytest.raises(ParameterError, match="times"):
            df.solve(problem, start, times=times)
    solution = df.solve(problem, start, times=[1.1])
    with pytest.raises(ParameterError, match=r"t = 1\.2"):
        solution(1.2, np.zeros((1, 3)))
    with pytest.raises(ShapeError):
        solution(1.05, np.zeros((2, 3)))
