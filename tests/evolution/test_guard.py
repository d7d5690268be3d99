"""What a run is watched for: step sizes and times at the edge, limits, stalls, and words about what goes wrong."""

import warnings

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.errors import DfpdeWarning, ParameterError, StepError
from dfpde.evolution import Euler, Heun, ImplicitEuler, guard
from tests.small import linear, vector_problem

RULE = df.Tikhonov(1e-10)
COMM = MPI.COMM_SELF


def evolve(f, start, until, **choices):
    problem = vector_problem(linear(len(start)), f, len(start))
    begin = start if isinstance(start, df.State) else df.State(0.0, np.array(start, float))
    return df.evolve(problem, begin, until=until, **{"regularization": RULE, **choices})


def test_no_step_is_longer_than_dt_max():
    """Neither the first one, nor that of a run which goes on from longer steps."""
    run = evolve(lambda t, c: [-c[0]], [1.0], 2.0, controller=df.PI(rtol=1e-2, first=0.9, dt_max=0.1))
    assert max(state.statistics.dt for state in run) <= 0.1 * (1 + 1e-9)
    flat = vector_problem(linear(1), lambda t, c: [0.0], 1)
    (*_, state) = df.evolve(flat, df.State(0.0, np.ones(1)), until=1.0, regularization=RULE)
    run = df.evolve(flat, state, until=1.2, controller=df.PI(rtol=1e-2, dt_max=0.01), regularization=RULE)
    assert max(state.statistics.dt for state in run) <= 0.01 * (1 + 1e-9)


@pytest.mark.parametrize("times", [np.cumsum([0.1] * 10), [0.5, np.nextafter(0.5, 1.0), 1.0], [np.nextafter(1.0, 0.0)]])
def test_output_times_a_rounding_apart_are_one(times):
    states = list(evolve(lambda t, c: [1.0], [0.0], 1.0, times=times))
    assert min(state.statistics.dt for state in states) > 1e-3 and states[-1].t == 1.0
    assert len(states) == len({round(t, 9) for t in times})


@pytest.mark.parametrize(("begin", "dt", "steps"), [(1e6, 0.7, 80), (-1e5, 0.1, 300), (0.0, 0.1, 300)])
def test_the_rounding_of_many_fixed_steps_is_no_step(begin, dt, steps):
    """t + dt + dt ... misses `until` by more than a step's own rounding."""
    problem = vector_problem(linear(1), lambda t, c: [1.0], 1)
    run = df.evolve(problem, df.State(begin, np.zeros(1)), until=begin + dt * steps, regularization=RULE,
                    controller=df.Fixed(dt), integrator=Euler)  # fmt: skip
    (*_, last) = run
    assert last.step == steps and last.statistics.dt == pytest.approx(dt, rel=1e-6)


def test_times_behind_the_state_are_skipped_and_a_finished_run_is_over():
    (*_, state) = evolve(lambda t, c: [1.0], [0.0], 0.5)
    problem = vector_problem(linear(1), lambda t, c: [1.0], 1)
    with pytest.warns(DfpdeWarning, match="2 output times"):
        states = list(df.evolve(problem, state, until=1.0, times=[0.25, 0.5, 0.75], regularization=RULE))
    assert [s.t for s in states] == [0.75, 1.0]
    assert list(df.evolve(problem, states[-1], until=1.0, regularization=RULE)) == []
    with pytest.raises(ParameterError, match=r"until = 0\.5"):
        df.evolve(problem, states[-1], until=0.5)


def test_every_step_and_the_output_times():
    times = [0.3, 0.55]
    only = list(evolve(lambda t, c: [-c[0]], [1.0], 1.0, times=times))
    every = list(evolve(lambda t, c: [-c[0]], [1.0], 1.0, times=times, every_step=True))
    assert [s.t for s in only] == [0.3, 0.55, 1.0]
    assert {s.t for s in only} < {s.t for s in every} and [s.step for s in every] == list(range(1, len(every) + 1))
    assert [s.theta.tobytes() for s in every if s.t in (0.3, 0.55, 1.0)] == [s.theta.tobytes() for s in only]


@pytest.mark.mpi
def test_limits_end_a_run_with_its_last_state(comm):
    problem = vector_problem(linear(1), lambda t, c: [-c[0]], 1, comm)
    start, choices = df.State(0.0, np.ones(1)), {"controller": df.Fixed(0.1), "regularization": RULE}
    with pytest.raises(StepError, match="max_steps = 3") as caught:
        list(df.evolve(problem, start, until=1.0, max_steps=3, **choices))
    assert caught.value.state.step == 3
    go_on = list(df.evolve(problem, caught.value.state, until=1.0, max_steps=7, **choices))  # enough
    assert go_on[-1].t == 1.0
    with pytest.raises(StepError, match="max_seconds = 1e-09") as caught:
        list(df.evolve(problem, start, until=1.0, max_seconds=1e-9, **choices))
    assert caught.value.state.step == 1
    for wrong in ({"max_steps": 0}, {"max_seconds": -1.0}):
        with pytest.raises(ParameterError, match="max_"):
            df.evolve(problem, start, until=1.0, **wrong)


def test_a_run_that_does_not_move_is_stalled(monkeypatch):
    """Steps of 1e-10: the rest would take 1e10 of them."""
    monkeypatch.setattr(guard, "STALL", 200)
    with pytest.raises(StepError, match=r"stalled at t = .*200 steps moved t by 2.0e-08") as caught:
        list(evolve(lambda t, c: [1.0], [0.0], 1.0, controller=df.Fixed(1e-10), integrator=Euler, max_steps=10_000))
    assert caught.value.state.step == 200


def test_a_defect_that_matters_is_said_once():
    """Half of f is out of reach; near a steady state all of it may be."""
    half = vector_problem(linear(1), lambda t, c: [1.0, 1.0], 2)
    with pytest.warns(DfpdeWarning, match="does not follow 71 % of u_t") as caught:
        list(df.evolve(half, df.State(0.0, np.ones(1)), until=1.0, controller=df.Fixed(0.1), regularization=RULE))
    assert len(caught) == 1
    steady = vector_problem(linear(1), lambda t, c: [-1e-6 * c[0], 1e-4], 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(df.evolve(steady, df.State(0.0, np.ones(1)), until=1.0, controller=df.Fixed(0.1), regularization=RULE))


def test_a_small_share_that_is_lost_for_long_is_said():
    """A twentieth of u_t, 0.05 t/(1 + t) of ‖u‖: a hundredth at t = 0.25."""
    run = vector_problem(linear(1), lambda t, c: [1.0, 0.05], 2)
    with pytest.warns(DfpdeWarning, match=r"at t = 0\.26 .*does not follow 5 % of u_t"):
        list(df.evolve(run, df.State(0.0, np.ones(1)), until=1.0, controller=df.Fixed(0.02), regularization=RULE))


def test_what_is_lost_for_a_moment_is_no_word():
    """u_t has a component outside of the ansatz for a step."""
    run = vector_problem(linear(1), lambda t, c: [1.0, 2.0 * (0.5 < t < 0.504)], 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(df.evolve(run, df.State(0.0, np.ones(1)), until=1.0, controller=df.Fixed(4e-3), regularization=RULE))
    for_long = vector_problem(linear(1), lambda t, c: [1.0, 2.0 * (t > 0.5)], 2)
    with pytest.warns(DfpdeWarning, match="comes to 1 % of"):
        list(df.evolve(for_long, df.State(0.0, np.ones(1)), until=1.0, controller=df.Fixed(1e-2), regularization=RULE))


@pytest.mark.parametrize("integrator", [Euler, Heun, df.RK4], ids=lambda i: i.tableau.name)
def test_fixed_steps_beyond_stability(integrator):
    """Rate 100, steps of 1/20: the bound is 2/100 to 2.8/100.  Growth of the equation itself is none of it."""
    two = lambda t, c: [-100 * c[0], -c[1]]  # noqa: E731
    with pytest.warns(DfpdeWarning, match=r"bound of stability.*\n.*dt below 2.0e-02") as caught:
        list(evolve(two, [1e-6, 1.0], 0.6, controller=df.Fixed(0.05), integrator=integrator))
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(evolve(lambda t, c: [3 * c[0]], [1.0], 2.0, controller=df.Fixed(0.05), integrator=integrator))
        list(evolve(two, [0.0, 1.0], 0.5, controller=df.Fixed(0.015), integrator=integrator))
    assert ImplicitEuler.implicit and not integrator.implicit


def test_steps_that_fall_are_said():
    """From t = 0.5 on the velocity turns within 1e-6: how many steps are left, why, and a way out."""
    run = evolve(lambda t, c: [1e3 * np.cos(1e6 * max(t - 0.5, 0))], [1.0], 0.503, times=[0.5],
                 controller=df.PI(rtol=1e-7, dt_max=1e-3))  # fmt: skip
    with pytest.warns(DfpdeWarning, match=r"steps have fallen from 1\.\de-03 to \d\.\de-05(.|\n)*FieldStep"):
        list(run)
