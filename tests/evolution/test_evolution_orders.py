"""Orders of the explicit schemes on an equation whose solution stays in the ansatz; exact times; bitwise restarts."""

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from tests.small import last

SCHEMES = {
    df.integrators.Euler: (1, 40),
    df.integrators.Heun: (2, 20),
    df.integrators.BogackiShampine: (3, 10),
    df.RK4: (4, 15),
    df.DormandPrince: (5, 10),
}


def drifting_heat(comm, n=1):
    """u_t = 0.3 u_xx − cos(3t) u_x + sin(3t) u: a Gaussian of precision s² stays one, 1/s² grows by 0.6 t."""
    ansatz = df.GaussianMixture.isotropic(1, n)
    quadrature = df.Quadrature.gauss((-9, 9), 40, 8, comm)

    def rhs(t, x, u):
        return 0.3 * df.laplacian(u) - np.cos(3 * t) * df.dx(u) + np.sin(3 * t) * u.value

    return df.Problem(ansatz, quadrature, rhs)


def exact(t, x, s0=1.0):
    width, center = 1 / s0**2 + 0.6 * t, np.sin(3 * t) / 3
    return np.exp((1 - np.cos(3 * t)) / 3) / np.sqrt(s0**2 * width) * np.exp(-((x[0] - center) ** 2) / (2 * width))


def error(problem, state):
    q = problem.quadrature
    truth = exact(state.t, q.x)
    return q.norm(problem.field(state).value - truth) / q.norm(truth)


START = df.State(0.0, np.array([1.0, 0.0, 1.0]))


def marched(problem, start, until, steps, scheme):
    """The state after fixed steps, with next to no regularization."""
    choices = {"regularization": df.Tikhonov(1e-9), "controller": df.Fixed(until / steps), "integrator": scheme}
    return last(df.evolve(problem, start, until=until, **choices))


@pytest.mark.mpi
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.tableau.name)
def test_order(comm, scheme):
    order, steps = SCHEMES[scheme]
    problem = drifting_heat(comm)
    errors = [error(problem, marched(problem, START, 1.0, n, scheme)) for n in (steps, 2 * steps, 4 * steps)]
    assert scheme.order == order
    assert np.log2(errors[-2] / errors[-1]) == pytest.approx(order, abs=0.15), errors


@pytest.mark.parametrize(
    "scheme", [df.integrators.Heun, df.integrators.BogackiShampine, df.DormandPrince], ids=lambda s: s.tableau.name
)
def test_embedded_error_has_the_embedded_order(scheme):
    """The estimate of one step is O(h^(q+1)), q the order of the embedded solution."""
    problem = drifting_heat(MPI.COMM_SELF)
    errors = [scheme.step(problem, df.LSQR(), df.Tikhonov(1e-9), START, dt).error for dt in (0.02, 0.01)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(scheme.error_order + 1, abs=0.15)


@pytest.mark.mpi
def test_adaptive_error_follows_the_tolerance(comm):
    problem = drifting_heat(comm)
    for rtol in (1e-4, 1e-6, 1e-8):
        state = last(
            df.evolve(problem, START, until=1.0, regularization=df.Tikhonov(1e-9), controller=df.PI(rtol=rtol))
        )
        assert state.t == 1.0
        assert error(problem, state) < 10 * rtol
        assert state.step < 60


@pytest.mark.mpi
def test_output_times_are_hit_exactly(comm):
    problem = drifting_heat(comm)
    times = [0.1, 0.2500000001, 0.7]
    states = list(
        df.evolve(problem, START, until=0.9, times=times, regularization=df.Tikhonov(1e-9), controller=df.PI(1e-6))
    )
    assert [s.t for s in states] == [*times, 0.9]
    fixed = list(
        df.evolve(problem, START, until=0.9, times=times, regularization=df.Tikhonov(1e-9), controller=df.Fixed(0.04))
    )
    assert [s.t for s in fixed] == [*times, 0.9]
    for s in states:
        assert error(problem, s) < 1e-5


@pytest.mark.mpi
@pytest.mark.filterwarnings("ignore:.*does not follow:dfpde.errors.DfpdeWarning")  # with 7 columns of 9
@pytest.mark.parametrize(
    "inertia", [df.Inertia(1e-3, 0.97), df.AutoInertia(), df.regularization.RandomSparse(7, 1e-6)], ids=str
)
def test_restart_is_bitwise(comm, inertia):
    """Going on from any state gives the same bits as the run it came from, with a solver that knows nothing of it."""
    problem = drifting_heat(comm, 3)
    theta = problem.ansatz.pack(amplitudes=[0.4, 0.4, 0.4], centers=[[-0.5], [0.0], [0.5]], scales=[1.0, 1.2, 1.0])
    controller = df.Fixed(0.02) if isinstance(inertia, df.regularization.RandomSparse) else df.PI(rtol=1e-5, first=1e-3)
    options = {"until": 0.3, "regularization": inertia, "controller": controller}
    states = list(df.evolve(problem, df.State(0.0, theta), **options))
    assert len(states) > 6
    used = df.LSQR()
    for i in (0, 2, len(states) // 2, len(states) - 2):
        again = last(df.evolve(problem, states[i], solver=used, **options))
        assert np.array_equal(again.theta, states[-1].theta), i
        assert again.t == states[-1].t and again.dt == states[-1].dt and again.step == states[-1].step


def test_times_behind_or_unordered_are_refused():
    problem = drifting_heat(MPI.COMM_SELF)
    for bad in (
        {"until": -1.0},
        {"until": np.inf},
        {"until": 1.0, "times": [0.5, 0.4]},
        {"until": 1.0, "times": [2.0]},
    ):
        with pytest.raises(df.errors.ParameterError):
            df.evolve(problem, START, regularization=df.Tikhonov(1e-6), controller=df.PI(1e-4), **bad)
