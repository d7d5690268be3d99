"""Points that a flow carries: exact flows, the probability flow of a density, restarts, ranks, refusals."""

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.errors import ParameterError, ShapeError
from dfpde.measures import Components, Draws, SamplingWarning, Transported, fisher, independent
from dfpde.measures.proposals import Cloud
from tests.measures.test_moving import CONTROL, NOISE, ONE, RATE, START, D, problem
from tests.small import last

SELF = MPI.COMM_SELF


def drawn(n, seed=4):
    """Points of the density of the start, and that density."""
    cloud = Cloud(ONE, START.theta, np.zeros(D), np.eye(D))
    x = Components(1.0).points(cloud, Draws(n, seed, 0, SELF, independent).uniform(D + 1))
    return x, Components(1.0).density(cloud, x)


def probability_flow(t, x, u):
    """Of u_t = ∇·(R x u) + D Δu."""
    slope = df.grad(u) / u.value
    return -RATE * x - NOISE * slope, -RATE.sum() - NOISE * (df.laplacian(u) / u.value - df.dot(slope, slope))


def test_a_flow_of_known_solution_is_followed_with_order_four():
    """ẋ = sin x: tan(x/2) = e^t tan(x₀/2), dx/dx₀ = sin x/sin x₀, as the density of uniform points sees it."""
    ansatz = df.GaussianMixture.isotropic(1, 1)
    x0 = np.linspace(0.3, 2.7, 40)[None]
    still = df.Problem(ansatz, df.Quadrature.samples(x0, np.ones(40)), lambda t, x, u: 0.0 * u.value)
    errors = []
    for h in (0.25, 0.125):
        carried = Transported(lambda t, x, u: (np.sin(x), np.cos(x[0])))
        theta = ansatz.pack(amplitudes=1.0, centers=1.5, scales=1.0)
        at, state = carried.start(still, df.State(0.0, theta), x0, np.ones(40))
        state = last(df.evolve(at, state, until=1.0, controller=df.Fixed(h), adapt=carried))
        x, log_q = state.measure_carry[3][0], state.measure_carry[4]
        exact = 2 * np.arctan(np.e * np.tan(x0[0] / 2))
        assert x == pytest.approx(exact, abs=1e-4)
        errors.append([np.abs(x - exact).max(), np.abs(log_q + np.log(np.sin(exact) / np.sin(x0[0]))).max()])
    assert np.log2(np.divide(*errors)) == pytest.approx([4.0, 4.0], abs=0.15)


def test_the_probability_flow_keeps_the_density_that_of_the_solution():
    """u/q is the mass, at every point and time: the cloud is a sample of u without a proposal."""
    x, q = drawn(256)
    carried = Transported(probability_flow, fisher, substeps=2)
    at, start = carried.start(problem(), START, x, q)
    for state in df.evolve(at, start, until=1.0, controller=df.PI(rtol=1e-6), adapt=carried):
        points = carried.problem(problem(), state)
        ratio = ONE.value(state.theta, points.points) / np.exp(state.measure_carry[4])
        assert np.ptp(ratio) < 2e-4 * ratio[0]
    mean = np.array([1.0, -1.0, 0.5]) * np.exp(-RATE[:, 0])
    assert ONE.unpack(state.theta)["centers"][0] == pytest.approx(mean, abs=2e-5)
    assert state.statistics.effective_samples > 16


@pytest.mark.mpi
def test_restarts_and_ranks(comm, tmp_path):
    def run(comm, state=None):
        carried = Transported(probability_flow, fisher)
        at, start = carried.start(problem(comm), START, *drawn(128)) if state is None else (problem(comm), state)
        return list(df.evolve(at, start, until=0.3, controller=CONTROL, adapt=carried))

    together, alone = run(comm), run(SELF)
    assert together[-1].theta == pytest.approx(alone[-1].theta, rel=1e-9)
    assert together[-1].measure_carry[3] == pytest.approx(alone[-1].measure_carry[3], rel=1e-8, abs=1e-10)
    file = comm.bcast(tmp_path / "middle.npz")
    df.save(file, together[1], comm, problem=problem(comm))
    rest = run(comm, df.load(file, comm, problem=problem(comm)))
    assert all(np.array_equal(a.theta, b.theta) for a, b in zip(rest, together[2:], strict=True))


def test_refusals():
    x, q = drawn(128)
    with pytest.raises(ParameterError, match="a flow carries"):
        Transported(probability_flow).problem(problem(), START)
    flat = Transported(lambda t, x, u: (x[0], x[0]))
    at, start = flat.start(problem(), START, x, q)
    with pytest.raises(ShapeError, match="divergence"):
        last(df.evolve(at, start, until=0.1, controller=CONTROL, adapt=flat))
    away = Transported(lambda t, x, u: (0 * x, 0 * x[0]))
    with pytest.warns(SamplingWarning, match="do not see"):
        away.start(problem(), START, np.hstack([x[:, :1], x[:, 1:] + 50.0]), q)
