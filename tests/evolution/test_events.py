"""Events against equations whose roots are known, and changes of the equation on the way."""

import math

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.errors import NonFiniteError, ParameterError
from dfpde.evolution import BogackiShampine, Event
from tests.small import linear, vector_problem

COMM = MPI.COMM_SELF
RULE = df.Tikhonov(1e-10)


def run(f, start, until, events=(), controller=None, integrator=df.DormandPrince, **choices):
    problem = vector_problem(linear(len(start)), f, len(start))
    return list(
        df.evolve(problem, df.State(0.0, np.array(start, float)), until=until, events=events, regularization=RULE,
                  controller=controller or df.PI(rtol=1e-7, atol=1e-10), integrator=integrator, **choices)
    )  # fmt: skip


class Switch:
    """c' = sign, and an action that turns it round."""

    def __init__(self):
        self.sign, self.times = 1.0, []

    def __call__(self, t, c):
        return [self.sign]

    def turn(self, state):
        self.times.append(state.t)
        self.sign = -self.sign


@pytest.mark.parametrize("integrator", [df.DormandPrince, BogackiShampine, df.RK4], ids=lambda i: i.tableau.name)
def test_an_action_that_changes_the_equation(integrator):
    """c' = 1 up to c = 0.45, then −1: the velocity that was kept for the next step is of the old equation."""
    switch = Switch()
    event = Event(lambda t, s: s.theta[0] - 0.45, switch.turn, direction=1)
    states = run(switch, [0.0], 1.0, [event], df.Fixed(0.1), integrator)
    assert states[-1].theta[0] == pytest.approx(-0.1, abs=1e-9)


@pytest.mark.parametrize("controller", [df.Fixed(0.1), df.PI(rtol=1e-7)], ids=["fixed", "adaptive"])
@pytest.mark.parametrize("times", [(), (0.5, 1.0)])
def test_a_loop_body_that_changes_the_equation(controller, times):
    """From the yielded state on, whether it is an output time or any step."""
    switch = Switch()
    problem = vector_problem(linear(1), switch, 1)
    turned = None
    for state in df.evolve(problem, df.State(0.0, np.zeros(1)), until=1.0, times=times, regularization=RULE,
                           controller=controller):  # fmt: skip
        if turned is None and state.t >= 0.45:
            turned = state.t
            switch.turn(state)
    assert state.theta[0] == pytest.approx(turned - (1.0 - turned), abs=1e-9)


@pytest.mark.parametrize("at", [lambda t: t < 0.5, lambda t: t <= 0.5], ids=["<", "<="])
@pytest.mark.parametrize("integrator", [df.DormandPrince, df.RK4], ids=lambda i: i.tableau.name)
def test_f_jumps_at_an_output_time(at, integrator):
    """No stage sees the other side, whichever value f has at the jump itself."""
    states = run(lambda t, c: [1.0 if at(t) else -3.0], [0.0], 1.0, controller=df.Fixed(0.125), integrator=integrator,
                 times=(0.5, 1.0))  # fmt: skip
    assert [state.theta[0] for state in states] == pytest.approx([0.5, -1.0], abs=1e-12)


def test_a_run_that_goes_on_with_another_equation():
    """The last state of a run keeps no velocity of its equation."""
    (*_, middle) = run(lambda t, c: [1.0], [0.0], 0.5, controller=df.Fixed(0.1))
    other = vector_problem(linear(1), lambda t, c: [-1.0], 1)
    (*_, end) = df.evolve(other, middle, until=1.0, regularization=RULE, controller=df.Fixed(0.1))
    assert end.theta[0] == pytest.approx(0.0, abs=1e-12)


def test_events_of_one_instant_all_act():
    """Three of them, one by another function of the state, in the order given; one more a little later."""
    seen = []

    def note(name):
        return lambda state: seen.append((name, round(state.t, 9)))

    events = [
        Event(lambda t, s: s.theta[0] - 0.5, note("a")),
        Event(lambda t, s: 0.25 - s.theta[1] ** 2, note("b")),
        Event(lambda t, s: t - 0.5, note("c"), direction=1),
        Event(lambda t, s: t - 0.6, note("later")),
        Event(lambda t, s: t - 0.5, note("never"), direction=-1),
    ]
    run(lambda t, c: [1.0, 1.0], [0.0, 0.0], 1.0, events)
    assert seen == [("a", 0.5), ("b", 0.5), ("c", 0.5), ("later", 0.6)]


def test_an_end_is_not_lost_beside_an_action():
    seen = []
    stop, note = Event(lambda t, s: t - 0.5), Event(lambda t, s: s.theta[0] - 0.5, lambda s: seen.append(s.t))
    for events in ((note, stop), (stop, note)):
        states = run(lambda t, c: [1.0], [0.0], 1.0, events)
        assert states[-1].t == pytest.approx(0.5, abs=1e-9)
    assert len(seen) == 2


@pytest.mark.parametrize(
    "g",
    [
        lambda d: d**3,
        lambda d: math.copysign(abs(d) ** 9, d),
        lambda d: math.copysign(abs(d) ** 0.2, d),
        lambda d: math.expm1(300 * d),
        lambda d: -math.expm1(-300 * d),
        lambda d: 1e12 if d > 0 else -1e-12,
        lambda d: 1e-300 * d,
    ],
    ids=["cubic", "order 9", "root", "exponential", "saturated", "jump", "small"],
)
def test_a_root_is_found_however_g_is_bent(g):
    """Multiple roots, and functions much larger on one side: secants alone stay where they are."""
    states = run(lambda t, c: [1.0], [0.0], 2.0, [Event(lambda t, s: g(t - 0.7))], controller=df.Fixed(0.5))
    assert states[-1].t == pytest.approx(0.7, abs=1e-9)


@pytest.mark.parametrize("others", [1, 2])
def test_what_is_found_a_little_later_has_happened_all_the_same(others):
    """A triple root is located less sharply than a simple one; where that one is, g has its new sign."""
    done = []
    events = [Event(lambda t, s: (t - 0.7) ** 3, lambda s: done.append("triple"))]
    events += [Event(lambda t, s, k=k: (k + 1) * (t - 0.7), lambda s, k=k: done.append(k)) for k in range(others)]
    run(lambda t, c: [1.0], [1.0], 2.0, events)
    assert done == ["triple", *range(others)]


@pytest.mark.parametrize("returned", [3, "state", np.zeros(1), (None, None)])
def test_what_an_action_returns_is_a_state(returned):
    with pytest.raises(ParameterError, match="what an event's action returns"):
        run(lambda t, c: [1.0], [0.0], 2.0, [Event(lambda t, s: t - 0.7, lambda s: returned)])


def test_a_ball_bounces_as_often_as_it_does():
    """Flights of 2 v/g, shorter by the factor of restitution, while steps are as long as flights."""
    hits = []

    def bounce(state):
        hits.append(state.t)
        return state.with_(theta=np.array([0.0, -0.8 * state.theta[1]]))

    states = run(lambda t, c: [c[1], -9.81], [1.0, 0.0], 3.0, [Event(lambda t, s: s.theta[0], bounce, direction=-1)])
    v, expected = math.sqrt(2 * 9.81), [math.sqrt(2 / 9.81)]
    while expected[-1] + 1.6 * v / 9.81 < 3.0:
        v *= 0.8
        expected.append(expected[-1] + 2 * v / 9.81)
    assert hits == pytest.approx(expected, abs=1e-8)
    assert min(state.theta[0] for state in states) > -1e-12


def test_a_relay_that_is_left_at_the_surface():
    """c' = ±1 between walls at ±0.2, by one event of g = 0.04 − c²: the state stays on the wall, the velocity turns."""
    switch = Switch()
    run(switch, [0.0], 2.9, [Event(lambda t, s: 0.04 - s.theta[0] ** 2, switch.turn)])
    assert switch.times == pytest.approx(0.2 + 0.4 * np.arange(7), abs=1e-8)


@pytest.mark.parametrize("wrong", [lambda t, s: t > 0.5, lambda t, s: s.theta, lambda t, s: "late", lambda t, s: None])
def test_what_is_no_number_is_no_event(wrong):
    with pytest.raises(ParameterError, match="changes sign"):
        run(lambda t, c: [1.0, 0.0], [0.0, 0.0], 1.0, [Event(wrong)])


@pytest.mark.parametrize("late", [0.0, 0.3])
def test_an_event_function_that_is_not_finite(late):
    """Also where it becomes so on the way."""
    with pytest.raises(NonFiniteError, match="event function is nan"):
        run(lambda t, c: [1.0], [0.0], 1.0, [Event(lambda t, s: t - 0.8 if t < late else math.nan)])


def test_zero_at_the_start_is_no_event():
    """c = sin t leaves zero and comes back at π."""
    (*_, end) = run(lambda t, c: [math.cos(t)], [0.0], 4.0, [Event(lambda t, s: s.theta[0])])
    assert end.t == pytest.approx(math.pi, abs=1e-6)


@pytest.mark.mpi
def test_a_resumed_run_meets_the_same_events(comm):
    """From the state that an event yields, and from those around it: bit for bit."""
    problem = vector_problem(linear(2), lambda t, c: [c[1], -9.81], 2, comm)

    def states(start):
        bounce = Event(lambda t, s: s.theta[0], lambda s: s.with_(theta=[0.0, -0.8 * s.theta[1]]), direction=-1)
        return list(df.evolve(problem, start, until=1.5, events=[bounce], regularization=RULE, solver=df.Dense(),
                              controller=df.PI(rtol=1e-6, atol=1e-9)))  # fmt: skip

    whole = states(df.State(0.0, np.array([1.0, 0.0])))
    for k in range(len(whole) - 1):
        again = states(whole[k])
        assert [s.theta.tobytes() for s in again] == [s.theta.tobytes() for s in whole[k + 1 :]], k
