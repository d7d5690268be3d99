"""A run whose ansatz grows, driven by its defect."""

import sys
from pathlib import Path

import numpy as np
import pytest

import dfpde as df
from dfpde.ansatz import GaussianMixture
from dfpde.errors import ParameterError
from dfpde.evolution.growing import Growing, evolve_growing

DEMOS = Path(__file__).resolve().parents[2] / "demos"


def narrowing(t, x, u):
    """u_t = a second bump that no Gaussian of the start can make."""
    return np.exp(-50.0 * (x[0] - 0.5) ** 2)


def growing(limit=0.05, most=100):
    return Growing(
        lambda ansatz: GaussianMixture.isotropic(1, ansatz.n + 1),
        lambda x: [{"amplitudes": 0.0, "centers": x, "scales": scale} for scale in (2.0, 10.0, 40.0)],
        limit,
        most,
    )


@pytest.fixture
def start(comm):
    ansatz = GaussianMixture.isotropic(1, 1)
    problem = df.Problem(ansatz, df.Quadrature.gauss((-1, 1), 40, 5, comm), narrowing)
    return problem, df.State(0.0, ansatz.pack(amplitudes=1.0, centers=-0.5, scales=3.0))


@pytest.mark.mpi
def test_finds_the_place_and_the_width(start):
    """The missing function is one of the candidates: one component, at the maximum, of scale 10, is enough."""
    problem, state = start
    larger, grown = growing().grow(problem, state, df.Tikhonov(1e-6))
    assert larger.ansatz.n == 2 and larger.ansatz.size == grown.theta.size
    parameters = larger.ansatz.unpack(grown.theta)
    assert parameters["scales"][1] == 10.0 and abs(parameters["centers"][1, 0] - 0.5) < 0.02  # the nearest point
    np.testing.assert_allclose(larger.field(grown).value, problem.field(state).value, atol=1e-15)


@pytest.mark.mpi
def test_error_stays_within_the_budget(start):
    """f does not depend on u, so ‖error‖ <= ∫ defect <= limit · duration."""
    problem, state = start
    choices = {"until": 0.1, "regularization": df.Inertia(1e-3, 0.97), "controller": df.PI(rtol=1e-5)}
    run = list(evolve_growing(problem, state, growing=growing(), **choices))
    last, end = run[-1]
    exact = np.exp(-4.5 * (last.points[0] + 0.5) ** 2) + 0.1 * narrowing(0.0, last.points, None)
    assert last.ansatz.n > 1 and all(now.theta.size == larger.ansatz.size for larger, now in run)
    assert problem.quadrature.norm(last.field(end).value - exact) <= 0.05 * 0.1


@pytest.mark.mpi
def test_velocity_anchor_and_scale_are_carried_over(start):
    problem, state = start
    scaled = df.Problem(problem.ansatz, problem.quadrature, narrowing, scale=np.array([1.0, 2.0, 3.0]))
    moving = state.with_(velocity=np.array([0.1, 0.2, 0.3]), anchor=np.array([1.0, 2.0, 3.0]), at_end=True)
    larger, grown = growing().grow(scaled, moving, df.Tikhonov(1e-6))
    np.testing.assert_array_equal(larger.scale, [1.0, 1.0, 2.0, 2.0, 3.0, 3.0])
    np.testing.assert_array_equal(grown.velocity, [0.1, 0.0, 0.2, 0.0, 0.3, 0.0])
    np.testing.assert_array_equal(grown.anchor, [1.0, 0.0, 2.0, 0.0, 3.0, 0.0])
    assert not grown.at_end and grown.t == moving.t


@pytest.mark.mpi
def test_stays_as_it_is(start):
    problem, state = start
    for rule in (growing(limit=1e3), growing(most=5)):  # good enough; no parameters left
        assert rule.grow(problem, state, df.Tikhonov(1e-6)) == (problem, state)
    hopeless = Growing(growing().larger, lambda x: [{"amplitudes": 0.0, "centers": 900.0, "scales": 1.0}], 0.05, 100)
    assert hopeless.grow(problem, state, df.Tikhonov(1e-6)) == (problem, state)
    with pytest.raises(ParameterError, match="limit"):
        growing(limit=0.0)


@pytest.mark.filterwarnings("ignore:.*does not follow:dfpde.errors.DfpdeWarning")  # the run that does not grow
def test_demo(monkeypatch, tmp_path):
    """The error is at most a tenth of the fixed ansatz's against Cole–Hopf."""
    monkeypatch.syspath_prepend(str(DEMOS))
    sys.modules.pop("growing", None)
    from growing import main

    figures = main(["--quick", "--out", str(tmp_path)])
    assert figures["ratio"] > 10 and figures["error_growing"] < 5e-3 and figures["components"] > 4
