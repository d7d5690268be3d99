"""Step control: tolerances, controllers, output times, events."""

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.evolution import PID, Event
from tests.evolution.test_evolution_orders import START, drifting_heat, error
from tests.small import last, linear, vector_problem


def pulses(comm=MPI.COMM_SELF):
    """c' = −200 ((t − 1)/σ²) e^{−(t−1)²/2σ²}-like kick at t = 1: needs small steps there and only there."""
    return vector_problem(
        linear(1), lambda t, c: [-(t - 1) / 0.02**2 * np.exp(-((t - 1) ** 2) / (2 * 0.02**2)) - c[0]], 1, comm
    )


@pytest.mark.mpi
@pytest.mark.parametrize("controller", [df.PI(rtol=1e-6, atol=1e-8), PID(rtol=1e-6, atol=1e-8)], ids=["PI", "PID"])
def test_steps_follow_the_solution(comm, controller):
    """Small steps at the kick, large ones away from it; error near the tolerance."""
    states = list(
        df.evolve(
            pulses(comm),
            df.State(0.0, np.array([1.0])),
            until=2.0,
            regularization=df.Tikhonov(1e-9),
            controller=controller,
        )
    )
    t = np.array([s.t for s in states])
    dt = np.array([s.statistics.dt for s in states])
    assert dt[np.abs(t - 1) < 0.04].max() < 0.02
    assert dt[t < 0.8].max() > 0.05
    # exact: c = e^{-t} + k(t) − ∫ e^{-(t−s)} k ds, k = e^{-(t−1)²/2σ²}
    s = np.linspace(0, 2, 20001)
    kick = np.exp(-((s - 1) ** 2) / (2 * 0.02**2))
    truth = np.exp(-2) + kick[-1] - np.sum(np.exp(-(2 - s)) * kick) * (s[1] - s[0])  # kick vanishes at both ends
    assert abs(states[-1].theta[0] - truth) < 1e-4


def test_controllers_agree_when_nothing_happens():
    """At a constant ratio of 0.9^q both keep the step: a fixed point of the filter up to its safety factor."""
    for controller in (df.PI(1e-4), PID(1e-4)):
        carry, dt = (), 0.1
        for _ in range(60):
            decision = controller.decide((dt / 0.1) ** 5, dt, 4, carry)
            assert decision.accept
            carry, dt = decision.carry, decision.dt
        assert 0.05 < dt < 0.1


def test_a_rejected_step_shrinks_and_does_not_grow_at_once():
    controller = df.PI(1e-4)
    rejected = controller.decide(32.0, 0.1, 4, ())
    assert not rejected.accept and rejected.dt == pytest.approx(0.1 * 0.9 / 2)
    accepted = controller.decide(1e-6, rejected.dt, 4, rejected.carry)
    assert accepted.accept and accepted.dt == rejected.dt
    assert controller.decide(1e-6, rejected.dt, 4, accepted.carry).dt > rejected.dt
    assert not controller.decide(float("inf"), 0.1, 4, ()).accept
    assert not controller.decide(float("nan"), 0.1, 4, ()).accept


def test_steps_stay_within_their_bounds():
    run = df.evolve(
        drifting_heat(MPI.COMM_SELF),
        START,
        until=1.0,
        regularization=df.Tikhonov(1e-9),
        controller=df.PI(rtol=1e-4, dt_max=0.03),
    )
    assert max(s.statistics.dt for s in run) <= 0.03


@pytest.mark.parametrize("scale", [1.0, 1e-12])
def test_a_run_from_zero_chooses_its_first_step(scale):
    """‖u‖ = 0 is no measure of an error: that of the solution c = scale (t, t²/2) soon after is."""
    problem = vector_problem(linear(2), lambda t, c: scale * np.array([1.0, t]), 2)
    start = df.State(0.0, np.zeros(2))
    state = last(df.evolve(problem, start, until=2.0, regularization=df.Tikhonov(1e-9), controller=df.PI(rtol=1e-6)))
    np.testing.assert_allclose(state.theta, scale * np.array([2.0, 2.0]), rtol=1e-6)
    assert state.step < 40


def test_last_step_is_not_tiny():
    """Steps towards the end are shared out: none is shorter than half its neighbour because of the end."""
    states = list(
        df.evolve(
            drifting_heat(MPI.COMM_SELF),
            START,
            until=1.0,
            regularization=df.Tikhonov(1e-9),
            controller=df.PI(rtol=1e-5),
        )
    )
    dt = [s.statistics.dt for s in states]
    assert states[-1].t == 1.0
    assert dt[-1] > 0.3 * dt[-2]


@pytest.mark.mpi
def test_defaults_need_no_number(comm):
    """evolve(problem, state, until=...) alone: automatic inertia, PI at 1e-4."""
    problem = drifting_heat(comm, 2)
    theta = problem.ansatz.pack(amplitudes=[0.5, 0.5], centers=[[0.0], [0.0]], scales=[1.0, 1.0])
    state = last(df.evolve(problem, df.State(0.0, theta), until=1.0))
    assert error(problem, state) < 1e-3


# -- events ------------------------------------------------------------------------------------------------------
def falling(comm):
    """c = (height, speed), c' = (speed, −1)."""
    return vector_problem(linear(2), lambda t, c: [c[1], -1.0], 2, comm)


@pytest.mark.mpi
def test_an_event_stops_the_run_at_its_root(comm):
    start = df.State(0.0, np.array([1.0, 0.0]))
    states = list(
        df.evolve(
            falling(comm),
            start,
            until=5.0,
            regularization=df.Tikhonov(1e-10),
            controller=df.PI(1e-6),
            events=[Event(lambda t, s: s.theta[0])],
        )
    )
    assert states[-1].t == pytest.approx(np.sqrt(2), abs=1e-8)
    assert states[-1].theta[0] == pytest.approx(0, abs=1e-8)
    assert states[-1].theta[1] == pytest.approx(-np.sqrt(2), abs=1e-7)


@pytest.mark.mpi
def test_an_event_acts_and_the_run_goes_on(comm):
    """A ball that loses half its speed at each bounce: bounce times √2 (1 + 1 + 1/2 + ...)."""

    def bounce(state):
        return state.with_(theta=state.theta * [0.0, -0.5] + [1e-14, 0.0])

    start = df.State(0.0, np.array([1.0, 0.0]))
    bounces = [
        s.t
        for s in df.evolve(
            falling(comm),
            start,
            until=3.3,
            regularization=df.Tikhonov(1e-10),
            controller=df.Fixed(0.05),
            integrator=df.RK4,
            events=[Event(lambda t, s: s.theta[0], bounce, direction=-1)],
        )
        if abs(s.theta[0]) < 1e-8
    ]
    assert bounces[:2] == pytest.approx([np.sqrt(2), 2 * np.sqrt(2)], abs=1e-7)


def test_direction_and_order_of_events():
    """c = (cos t, sin t): of two events in one run each fires at its own root, in its own direction."""
    problem = vector_problem(linear(2), lambda t, c: [-c[1], c[0]], 2)
    seen = []

    def note(name):
        def act(state):
            seen.append((name, state.t))

        return act

    events = [
        Event(lambda t, s: s.theta[0], note("cosine falls"), direction=-1),
        Event(lambda t, s: s.theta[1] - 0.5, note("sine rises"), direction=1),
    ]
    last(
        df.evolve(
            problem,
            df.State(0.0, np.array([1.0, 0.0])),
            until=7.0,
            regularization=df.Tikhonov(1e-10),
            controller=df.PI(1e-8),
            events=events,
        )
    )
    assert [name for name, _ in seen] == ["sine rises", "cosine falls", "sine rises"]
    assert [t for _, t in seen] == pytest.approx([np.pi / 6, np.pi / 2, np.pi / 6 + 2 * np.pi], abs=1e-6)


def test_bad_controllers_and_events_are_refused():
    for bad in (
        lambda: df.PI(rtol=-1.0),
        lambda: df.PI(rtol=0.0),
        lambda: df.PI(1e-4, dt_min=1.0, dt_max=0.5),
        lambda: df.PI(1e-4, first=0.0),
        lambda: df.Fixed(0.0),
        lambda: df.Fixed(np.nan),
        lambda: Event(lambda t, s: t, direction=2),
    ):
        with pytest.raises(df.errors.ParameterError):
            bad()
    with pytest.raises(df.errors.ParameterError, match="embedded"):
        df.evolve(drifting_heat(MPI.COMM_SELF), START, until=1.0, controller=df.PI(1e-4), integrator=df.RK4)
