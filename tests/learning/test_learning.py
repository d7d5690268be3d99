"""Learning dynamics: conservation, decay and stochastic laws; training by the same engine as time stepping."""

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.errors import NonFiniteError, ParameterError, ShapeError
from dfpde.learning import BLANES_MOAN4, SUZUKI4, VERLET, YOSHIDA4, Given, Motion, gradient_flow

QUARTIC = Given(lambda q: 0.25 * float(np.sum(q**4)), lambda q: q**3)


def harmonic(stiffness):
    return Given(lambda q: 0.5 * stiffness * float(q @ q), lambda q: stiffness * q)


def misfit(comm):
    ansatz = df.GaussianMixture.isotropic(1, 2)
    quadrature = df.Quadrature.gauss((-6, 6), 12, 4, comm)
    x = quadrature.x[0]
    loss = df.learning.Misfit(ansatz, quadrature, np.exp(-(x**2) / 2) + 0.5 * np.exp(-2 * (x - 2) ** 2))
    return loss, ansatz.pack(amplitudes=[0.8, 0.6], centers=[[-0.3], [1.7]], scales=[1.2, 1.8])


def drift(dynamics, theta, dt, scheme, time=4.0):
    start = dynamics.energy(Motion(0.0, theta, np.zeros(theta.size)))
    states = df.learning.learn(dynamics, theta, dt=dt, steps=round(time / dt), scheme=scheme)
    return max(abs(dynamics.energy(state) - start) for state in states)


@pytest.mark.mpi
def test_gradient_of_the_misfit_is_its_derivative(comm):
    loss, theta = misfit(comm)
    gradient = loss.gradient(theta)
    for j, e in enumerate(1e-5 * np.eye(theta.size)):
        assert (loss.value(theta + e) - loss.value(theta - e)) / 2e-5 == pytest.approx(gradient[j], abs=1e-9)


@pytest.mark.parametrize("scheme", [VERLET, YOSHIDA4, SUZUKI4, BLANES_MOAN4], ids=lambda scheme: scheme.name)
def test_energy_is_conserved_to_the_order_of_the_scheme(scheme):
    loss, theta = misfit(MPI.COMM_SELF)
    dynamics = df.learning.Newtonian(loss, mass=1.0)
    drifts = [drift(dynamics, theta, dt, scheme) for dt in (0.2, 0.1, 0.05)]
    order = np.polyfit(np.log([0.2, 0.1, 0.05]), np.log(drifts), 1)[0]
    assert order == pytest.approx(scheme.order, abs=0.15), drifts


def test_schemes_are_consistent_symmetric_and_ranked_by_their_error():
    loss, theta = misfit(MPI.COMM_SELF)
    dynamics = df.learning.Newtonian(loss)
    errors = []
    for scheme in (VERLET, YOSHIDA4, SUZUKI4, BLANES_MOAN4):
        assert sum(scheme.kicks) == pytest.approx(1) == pytest.approx(sum(scheme.drifts))
        assert scheme.kicks == pytest.approx(scheme.kicks[::-1])
        assert scheme.drifts == pytest.approx(scheme.drifts[::-1])
        errors.append(drift(dynamics, theta, 0.05 * len(scheme.drifts), scheme))  # at equal numbers of gradients
    assert errors[3] < errors[2] < errors[1] and errors[3] < errors[0]


def test_motion_is_reversible():
    loss, theta = misfit(MPI.COMM_SELF)
    dynamics = df.learning.Newtonian(loss)
    (end,) = df.learning.learn(dynamics, theta, dt=0.1, steps=50, scheme=BLANES_MOAN4, every=50)
    (back,) = df.learning.learn(
        dynamics, Motion(0.0, end.theta, -end.velocity), dt=0.1, steps=50, scheme=BLANES_MOAN4, every=50
    )
    np.testing.assert_allclose(back.theta, theta, atol=1e-12)


def test_energy_error_does_not_grow():
    """20 000 steps, over 600 periods: no trend (the figure of 10⁶ steps is in demos/computational_inertia.py)."""
    dynamics = df.learning.Newtonian(QUARTIC)
    theta = np.array([1.0, -0.7])
    start = QUARTIC.value(theta)
    errors = [dynamics.energy(m) - start for m in df.learning.learn(dynamics, theta, dt=0.2, steps=20_000, every=7)]
    first, last = np.abs(errors[:700]).max(), np.abs(errors[-700:]).max()
    assert last < 1.05 * first
    assert abs(np.mean(errors[:700]) - np.mean(errors[-700:])) < 0.05 * first


def test_damped_oscillator_decays_as_the_exact_solution():
    """μ θ̈ + κ θ̇ + λ θ = 0, underdamped: θ = e^{−γt}(cos ωt + γ/ω sin ωt); order 2 against it."""
    mass, friction, stiffness = 2.0, 0.6, 3.0
    gamma = friction / (2 * mass)
    omega = np.sqrt(stiffness / mass - gamma**2)
    dynamics = df.learning.Newtonian(harmonic(stiffness), mass, friction)
    errors, balances = [], []
    for dt in (0.1, 0.05, 0.025):
        steps = round(5 / dt)
        (end,) = df.learning.learn(dynamics, np.ones(1), dt=dt, steps=steps, every=steps)
        t = end.t
        theta = np.exp(-gamma * t) * (np.cos(omega * t) + gamma / omega * np.sin(omega * t))
        v = -np.exp(-gamma * t) * stiffness / mass / omega * np.sin(omega * t)
        exact = 0.5 * mass * v**2 + 0.5 * stiffness * theta**2
        errors.append(abs(dynamics.energy(end) - exact))
        balances.append(abs(dynamics.energy(end) + end.lost - 0.5 * stiffness))
    for values in (errors, balances):  # the energy, and dH/dt = −κ|θ̇|² with the work done against friction
        assert np.polyfit(np.log([0.1, 0.05, 0.025]), np.log(values), 1)[0] == pytest.approx(2, abs=0.15), values


def test_mean_energy_grows_as_theory_says_under_noise_alone():
    """κ = 0, any L: E[H](t) = H(0) + σ² p t/(2μ).  p independent quartic oscillators are the sample."""
    p, mass, sigma, until = 40_000, 2.0, 0.7, 3.0
    dynamics = df.learning.Newtonian(QUARTIC, mass, noise=sigma, seed=5)
    start = Motion(0.0, np.ones(p), np.zeros(p))
    (end,) = df.learning.learn(dynamics, start, dt=0.05, steps=60, every=60)
    each = 0.5 * mass * end.velocity**2 + 0.25 * end.theta**4 - 0.25
    error = each.std(ddof=1) / np.sqrt(p)
    expected = sigma**2 * until / (2 * mass)
    # four standard errors, false alarm 6e-5; the bias of the step, with 2·10⁶ oscillators, is a tenth of one: −3.4e-3,
    # −1.2e-3 and −5e-4 (± 4e-4) at h = 0.2, 0.1, 0.05
    assert abs(each.mean() - expected) < 4 * error
    assert 4 * error < 0.04 * expected  # sharp enough to see a wrong factor


def test_stationary_state_has_the_temperature_of_theory():
    """Fluctuation–dissipation: E μ θ̇² = σ²/(2κ) and E λ θ² = σ²/(2κ) for a harmonic loss."""
    p, mass, friction, sigma, stiffness = 4000, 1.0, 1.5, 0.8, 2.0
    dynamics = df.learning.Newtonian(harmonic(stiffness), mass, friction, sigma, seed=1)
    (end,) = df.learning.learn(dynamics, np.zeros(p), dt=0.1, steps=150, every=150)  # 15 relaxation times
    temperature = sigma**2 / (2 * friction)
    for square in (mass * end.velocity**2, stiffness * end.theta**2):
        # variance of a squared normal variable: 2 T²; BAOAB samples θ exactly and θ̇ to O(h²) here
        assert abs(square.mean() - temperature) < 4 * temperature * np.sqrt(2 / p) + 0.01 * temperature


def test_mean_energy_balances_damping_and_noise():
    """E[H] = H(0) − κ E∫|θ̇|² + σ² p t/(2μ) for a quartic loss."""
    p, mass, friction, sigma = 4000, 1.0, 0.4, 0.5
    dynamics = df.learning.Newtonian(QUARTIC, mass, friction, sigma, seed=2)
    (end,) = df.learning.learn(dynamics, np.ones(p), dt=0.04, steps=100, every=100)
    gained = dynamics.energy(end) - 0.25 * p + end.lost - sigma**2 * p * end.t / (2 * mass)
    # the martingale ∫ σ θ̇ dW has variance σ² E∫|θ̇|² = σ² lost/κ
    error = np.sqrt(sigma**2 * end.lost / friction)
    assert abs(gained) < 4 * error
    assert 4 * error < 0.1 * end.lost


@pytest.mark.mpi
def test_noise_is_the_same_on_all_ranks_and_after_a_restart(comm):
    loss, theta = misfit(comm)
    dynamics = df.learning.Newtonian(loss, 1.0, 0.3, 0.2, seed=3)
    states = list(df.learning.learn(dynamics, theta, dt=0.05, steps=10))
    everywhere = comm.allgather(states[-1].theta)
    assert all(np.array_equal(theta, everywhere[0]) for theta in everywhere)
    again = list(df.learning.learn(dynamics, states[3], dt=0.05, steps=6))
    np.testing.assert_array_equal(again[-1].theta, states[-1].theta)
    assert again[-1].step == 10
    other = list(df.learning.learn(df.learning.Newtonian(loss, 1.0, 0.3, 0.2, seed=4), theta, dt=0.05, steps=10))
    assert np.abs(other[-1].theta - states[-1].theta).max() > 1e-3


def test_gauss_newton_flow_of_a_linear_ansatz_is_exponential():
    """u = Σ a_i φ_i with fixed φ: u − u* decays as e^{−t} in the span, and stays outside of it."""
    ansatz = Linear()
    quadrature = df.Quadrature.gauss((-1, 1), 6, 6, MPI.COMM_SELF)
    x = quadrature.x[0]
    target = 1 + 2 * x - x**2 + x**5
    problem = df.learning.gauss_newton_flow(ansatz, quadrature, target)
    start = df.State(0.0, np.array([3.0, 0.0, 1.0]))
    run = df.evolve(
        problem, start, until=2.0, regularization=df.Tikhonov(1e-7), controller=df.Fixed(0.05), solver=df.Dense()
    )
    state = list(run)[-1]
    best = np.linalg.lstsq(np.sqrt(quadrature.w)[:, None] * ansatz.tangent(start.theta, quadrature.x).T,
                           np.sqrt(quadrature.w) * target, rcond=None)[0]  # fmt: skip
    np.testing.assert_allclose(state.theta, best + np.exp(-2) * (start.theta - best), atol=1e-8)


class Linear(df.Ansatz):
    """1, x, x²."""

    dim, size = 1, 3

    def value(self, theta, x):
        return theta @ self.tangent(theta, x)

    def tangent(self, theta, x):
        return np.stack([np.ones_like(x[0]), x[0], x[0] ** 2])


def test_one_euler_step_of_unit_size_is_a_levenberg_marquardt_step():
    loss, theta = misfit(MPI.COMM_SELF)
    problem = df.learning.gauss_newton_flow(loss.ansatz, loss.quadrature, loss.target)
    (state,) = df.evolve(
        problem, df.State(0.0, theta), until=1.0, regularization=df.Tikhonov(0.1), controller=df.Fixed(1.0),
        integrator=df.integrators.Euler,
    )  # fmt: skip
    w = loss.quadrature.w
    j = loss.ansatz.tangent(theta, loss.quadrature.x)
    residual = loss.target - loss.ansatz.value(theta, loss.quadrature.x)
    step = np.linalg.solve((j * w) @ j.T + 0.01 * np.eye(theta.size), (j * w) @ residual)
    np.testing.assert_allclose(state.theta - theta, step, atol=1e-9)


@pytest.mark.mpi
def test_training_by_evolve_with_inertia_reaches_the_target(comm):
    loss, theta = misfit(comm)
    problem = df.learning.gauss_newton_flow(loss.ansatz, loss.quadrature, loss.target)
    states = df.evolve(
        problem, df.State(0.0, theta), until=8.0, regularization=df.Inertia(1e-2, 0.5), controller=df.Fixed(0.25),
        integrator=df.integrators.Heun,
    )  # fmt: skip
    final = list(states)[-1]
    assert loss.value(final.theta) < 1e-5 * loss.value(theta)


def test_gradient_flow_takes_other_losses():
    """ℓ = ∫ log cosh(u − u*): also zero only at the target."""
    loss, theta = misfit(MPI.COMM_SELF)
    problem = gradient_flow(loss.ansatz, loss.quadrature, lambda x, u: np.tanh(u.value - loss.target))
    states = df.evolve(
        problem, df.State(0.0, theta), until=6.0, regularization=df.Tikhonov(1e-2), controller=df.Fixed(0.25)
    )
    assert loss.value(list(states)[-1].theta) < 1e-4 * loss.value(theta)


def test_refusals():
    loss, theta = misfit(MPI.COMM_SELF)
    with pytest.raises(ParameterError, match="mass"):
        df.learning.Newtonian(loss, mass=0.0)
    with pytest.raises(ParameterError, match="BAOAB"):
        df.learning.learn(df.learning.Newtonian(loss, friction=1.0), theta, dt=0.1, steps=1, scheme=YOSHIDA4)
    with pytest.raises(ParameterError, match="dt"):
        df.learning.learn(df.learning.Newtonian(loss), theta, dt=-0.1, steps=1)
    with pytest.raises(ShapeError, match="target"):
        df.learning.Misfit(loss.ansatz, loss.quadrature, np.zeros(3))
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match="smaller step"):
        list(df.learning.learn(df.learning.Newtonian(QUARTIC), np.full(2, 3.0), dt=10.0, steps=50))
