"""The field step: orders through the projection, what inertia does, control, bound, restart, ranks, misuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.diagnostics import Conserving, FieldStepBound, Functional
from dfpde.errors import ParameterError, ShapeError, StepError
from dfpde.evolution.field_step import BlackBox
from dfpde.evolution.growing import Growing, evolve_growing
from dfpde.evolution.projection import FIRST_DAMPING, FieldProjection
from dfpde.leastsquares import LSQR
from dfpde.steppers import ETDRK4, ETDRK32, PeriodicGrid

COMM = MPI.COMM_WORLD


def heat(n=128, comm=COMM):
    """u_t = u_xx: a Gaussian stays one (its periodic images are below rounding); the Fourier step is exact."""
    grid = PeriodicGrid((-18, 18), n, comm)
    ansatz = df.GaussianMixture.isotropic(1, 1)
    problem = df.Problem(ansatz, grid.quadrature, lambda t, x, u: df.dx(u, 2))
    start = df.State(0.0, ansatz.pack(amplitudes=[1.0], centers=[[0.3]], scales=[0.5]))
    exact = lambda t, x: np.exp(-0.5 * (x[0] - 0.3) ** 2 / (4 + 2 * t)) / np.sqrt(1 + t / 2)  # noqa: E731
    return problem, start, ETDRK4(grid, lambda k: -(k[0] ** 2), lambda t, x, u: 0 * u.value), exact


def taylor(stepper, q):
    """Explicit step of order q of u_t = u_xx: the Taylor polynomial of the exponential."""
    symbol = stepper.symbol()

    def step(t, u, dt):
        return stepper.values(stepper.modes(u) * sum((dt * symbol) ** i / math.factorial(i) for i in range(q + 1)), u)

    return BlackBox(step, q)


@pytest.mark.parametrize("q", [1, 2, 4])
def test_order_of_the_stepper_survives_the_projection(q):
    problem, start, stepper, exact = heat(48, MPI.COMM_SELF)  # explicit steps are stable on this grid
    errors = []
    for n in (8, 16):
        how = {"controller": df.Fixed(0.4 / n), "integrator": df.FieldStep(taylor(stepper, q), 1e-13, substeps=1)}
        *_, end = df.evolve(problem, start, until=0.4, **how)
        errors.append(problem.quadrature.norm(problem.field(end).value - exact(0.4, problem.points)))
    assert abs(np.log2(errors[0] / errors[1]) - q) < 0.15  # doubled steps: the finer of the two is kept


def test_first_iteration_with_explicit_euler_is_the_dirac_frenkel_step():
    """One Gauss–Newton iteration from θ_n: θ_n + h argmin ‖J v − f‖² + ε² ‖D v‖² in the metric D of the projection."""
    problem, start, stepper, _ = heat(64, MPI.COMM_SELF)
    euler = BlackBox(lambda t, u, dt: u + dt * stepper.values(stepper.symbol() * stepper.modes(u), u))
    once = df.FieldStep(euler, 1e-15, projection=FieldProjection(iterations=1, curved=False))
    h = 1e-3
    *_, end = df.evolve(problem, start, until=h, controller=df.Fixed(h), integrator=once)
    u = problem.field(start).value
    target = once.advance(problem, 0.0, problem.field(start), h)[0]
    eps = FIRST_DAMPING * problem.quadrature.norm(target - u) / problem.quadrature.norm(target)
    metric = once.projection.metric(problem.tangent(start.theta).column_norms())
    scaled = df.Problem(problem.ansatz, problem.quadrature, problem.rhs, scale=metric)
    *_, stage = df.evolve(
        scaled, start, until=h, controller=df.Fixed(h), integrator=df.integrators.Euler,
        regularization=df.Tikhonov(eps),
    )  # fmt: skip
    assert np.allclose(end.theta, stage.theta, rtol=0, atol=1e-10)


def crossing(phase, rho):
    """z_t = −z_x − 2πi z, Re and Im a Gaussian each, by its exact step; relative error at t = 1."""
    grid = PeriodicGrid((-8, 9), 256, MPI.COMM_SELF)
    k, x = grid.waves[0], grid.x
    ansatz = df.Stack(df.GaussianMixture.isotropic(1, 1), df.GaussianMixture.isotropic(1, 1))

    def advance(t, u, dt):
        z = np.fft.ifft(np.exp(-1j * dt * (k + 2 * np.pi)) * np.fft.fft(u[0] + 1j * u[1]))
        return np.stack([z.real, z.imag])

    def exact(t):
        envelope, angle = np.exp(-((x[0] - t) ** 2)), phase - 2 * np.pi * t
        return np.stack([np.cos(angle) * envelope, np.sin(angle) * envelope])

    problem = df.Problem(ansatz, grid.quadrature, lambda t, x, u: 0 * u.value)
    start = df.State(0.0, np.array([np.cos(phase), 0.0, np.sqrt(2), np.sin(phase), 0.0, np.sqrt(2)]))
    integrator = df.FieldStep(BlackBox(advance), 1e-14, rho=rho)
    *_, end = df.evolve(problem, start, until=1.0, controller=df.Fixed(0.05), integrator=integrator)
    q = grid.quadrature
    return q.norm(problem.field(end).value - exact(1.0)) / q.norm(exact(1.0))


@pytest.mark.parametrize("phase", [0.2 * np.pi, 0.25 * np.pi, 0.5])
def test_an_amplitude_passes_through_zero(phase):
    assert crossing(phase, rho=1.0) < 1e-10


@pytest.mark.filterwarnings("ignore::dfpde.errors.DfpdeWarning")
def test_without_inertia_a_step_that_lands_on_a_zero_loses_the_mode():
    assert crossing(0.2 * np.pi, rho=0.0) > 0.1


@pytest.mark.parametrize("rho", [0.0, 0.5, 1.0])
def test_parameters_that_do_not_move_the_field_are_what_inertia_says(rho):
    """Center and scale of a mode of amplitude zero: θ + hρa exactly, whatever the other mode does."""
    problem, _, stepper, _ = heat(64, MPI.COMM_SELF)
    mode = problem.ansatz
    both = df.Problem(df.Stack(mode, mode), problem.quadrature, lambda t, x, u: df.dx(u, 2))
    theta, velocity = np.array([1.0, 0.3, 0.5, 0.0, -2.0, 0.7]), np.array([0, 0, 0, 0, 3.0, -0.1])
    step = df.FieldStep(stepper, 1e-10, rho).step(both, LSQR(), None, df.State(0.0, theta, velocity=velocity), 0.2)
    assert np.allclose(step.theta[3:], (theta + 0.2 * rho * velocity)[3:], rtol=0, atol=1e-12)
    assert step.defect * 0.2 < 1e-8


@pytest.mark.mpi
def test_the_bound_holds_and_is_sharp():
    problem, start, stepper, exact = heat()
    bound = FieldStepBound(1e-8)
    how = {"controller": df.Fixed(0.1), "integrator": df.FieldStep(stepper, 1e-5)}
    for state in df.evolve(problem, start, until=2.0, **how):
        bound = bound.after(state)
        error = problem.quadrature.norm(problem.field(state).value - exact(state.t, problem.points))
        assert error <= bound.value
    assert bound.value < 100 * error


def soliton(comm=COMM):
    """KdV with one soliton, stiff and dispersive, three Gaussians."""
    grid = PeriodicGrid((-15, 15), 128, comm)
    ansatz = df.PeriodicGaussianMixture.isotropic([30.0], 3)
    problem = df.Problem(ansatz, grid.quadrature, lambda t, x, u: -6 * u.value * df.dx(u) - df.dx(u, 3))
    exact = lambda t, x: 0.5 / np.cosh(0.5 * (x[0] - t)) ** 2  # noqa: E731
    guess = ansatz.pack(amplitudes=[0.2, 0.2, 0.1], centers=[[0.0], [0.1], [-0.1]], scales=[1.0, 0.6, 0.4])
    start = df.fit(problem, lambda x: exact(0.0, x), guess)
    return problem, start, ETDRK4(grid, lambda k: 1j * k[0] ** 3, lambda t, x, u: -6 * u.value * df.dx(u)), exact


@pytest.mark.mpi
def test_adaptive_steps_of_a_stiff_dispersive_equation():
    """An explicit step would have to be below 2 Δx³: the field step takes a thousand times more."""
    problem, start, stepper, exact = soliton()
    how = {"controller": df.PI(rtol=1e-5), "integrator": df.FieldStep(stepper, 1e-5)}
    *_, end = df.evolve(problem, start, until=2.0, **how)
    error = problem.quadrature.norm(problem.field(end).value - exact(2.0, problem.points))
    assert error < 2e-3 * problem.norm(end)
    assert end.step < 60


def test_embedded_pair_and_step_doubling_keep_the_same_tolerance():
    problem, start, stepper, _ = soliton(MPI.COMM_SELF)
    pair = ETDRK32(stepper.grid, stepper.linear, stepper.nonlinear)
    ends = []
    for s in (stepper, pair):
        *_, end = df.evolve(problem, start, until=0.5, controller=df.PI(rtol=1e-6), integrator=df.FieldStep(s, 1e-6))
        ends.append(problem.field(end).value)
    assert problem.quadrature.norm(ends[1] - ends[0]) < 1e-3


def test_conserved_quantities_are_kept_to_rounding():
    problem, start, stepper, _ = soliton(MPI.COMM_SELF)
    held = Conserving(problem, (Functional.linear(),), df.Inertia(1e-4, 0.97), start)
    step = held.integrator(df.FieldStep(stepper, 1e-3))
    *_, end = df.evolve(problem, start, until=0.5, controller=df.Fixed(0.1), integrator=step, regularization=held)
    assert np.max(np.abs(held.misfit(end))) < 1e-12
    *_, free = df.evolve(problem, start, until=0.5, controller=df.Fixed(0.1), integrator=step.scheme)
    assert np.max(np.abs(held.misfit(free))) > 1e-9


@pytest.mark.mpi
def test_restart_is_bitwise(tmp_path):
    problem, start, stepper, _ = soliton()
    how = {"controller": df.PI(rtol=1e-5), "integrator": df.FieldStep(stepper, 1e-5)}
    states = list(df.evolve(problem, start, until=0.5, **how))
    path = COMM.bcast(tmp_path / "state.npz")
    df.save(path, states[1], COMM)
    again = list(df.evolve(problem, df.load(path, COMM), until=0.5, **how))
    assert np.array_equal(again[-1].theta, states[-1].theta)
    assert again[-1].integrator_carry == states[-1].integrator_carry


@pytest.mark.mpi
def test_ranks_agree_with_one_process():
    ends = []
    for comm in (COMM, MPI.COMM_SELF):
        problem, start, stepper, _ = soliton(comm)
        start = df.State(0.0, np.round(start.theta, 6))
        how = {"controller": df.Fixed(0.05), "integrator": df.FieldStep(stepper, 1e-5)}
        *_, end = df.evolve(problem, start, until=0.2, **how)
        ends.append(problem.field(end, np.linspace(-10, 10, 50)[None]).value)
    assert np.allclose(*ends, atol=1e-8)


def test_a_misfit_that_jumps_rejects_the_step():
    """Moved by four widths a Gaussian finds nothing to fit; moved by a quarter of one it does."""
    problem, start, stepper, _ = heat(128, MPI.COMM_SELF)
    waves = stepper.grid.waves[0]
    shift = BlackBox(lambda t, u, dt: stepper.values(np.exp(-1j * dt * waves) * stepper.modes(u), u), 1)
    before = start.with_(integrator_carry=(1.0, 1e-8))
    far, near = (df.FieldStep(shift, 1e-6).step(problem, LSQR(), None, before, dt) for dt in (8.0, 0.5))
    assert far.error >= 4e-6 * problem.norm(start)  # half the step or less comes next
    assert near.error < 1e-6 * problem.norm(start)


def test_misuse_is_refused():
    problem, start, stepper, _ = heat(64, MPI.COMM_SELF)
    how = {"until": 0.1, "controller": df.Fixed(0.1)}
    with pytest.raises(ParameterError, match="does not estimate its error"):
        list(df.evolve(problem, start, until=0.1, integrator=df.FieldStep(BlackBox(stepper))))
    with pytest.raises(ShapeError, match="the stepper returned shape"):
        list(df.evolve(problem, start, integrator=df.FieldStep(BlackBox(lambda t, u, dt: u[1:])), **how))
    with pytest.raises(StepError, match="no acceptable step"):
        list(df.evolve(problem, start, integrator=df.FieldStep(BlackBox(lambda t, u, dt: u * np.nan)), **how))
    walls = df.Dirichlet(df.Quadrature(np.zeros((1, 1)), np.ones(1), MPI.COMM_SELF), lambda t, x: 0 * x[0])
    walled = df.Problem(problem.ansatz, problem.quadrature, problem.rhs, conditions=(walls,))
    with pytest.raises(ParameterError, match="condition"):
        list(df.evolve(walled, start, integrator=df.FieldStep(stepper), **how))
    for wrong in ({"rtol": 0.0}, {"rho": 2.0}, {"substeps": 0}):
        with pytest.raises(ParameterError):
            df.FieldStep(stepper, **wrong)
    with pytest.raises(ParameterError, match="floor"):
        FieldProjection(floor=0.0)
    with pytest.raises(ParameterError, match="order"):
        BlackBox(stepper, 0)


def flattening():
    """u_t = −u³ flattens a Gaussian, which stays one."""
    grid = PeriodicGrid((-6, 6), 64, MPI.COMM_SELF)
    ansatz = df.GaussianMixture.isotropic(1, 1)
    problem = df.Problem(ansatz, grid.quadrature, lambda t, x, u: -(u.value**3))
    start = df.State(0.0, ansatz.pack(amplitudes=[1.0], centers=[[0.2]], scales=[1.0]))
    stepper = ETDRK4(grid, lambda k: 0 * k[0], lambda t, x, u: -(u.value**3))
    initial = problem.field(start).value
    exact = lambda t: initial / np.sqrt(1 + 2 * t * initial**2)  # noqa: E731
    return problem, start, {"until": 2.0, "controller": df.PI(rtol=1e-5), "integrator": df.FieldStep(stepper)}, exact


def test_a_misfit_that_no_shorter_step_lowers_does_not_keep_steps_short():
    problem, start, how, _ = flattening()
    *_, end = df.evolve(problem, start, **how)
    assert end.statistics.defect > 100 * 1e-5 * problem.norm(end)  # far above the tolerance
    assert end.step < 20


def test_the_misfit_makes_an_ansatz_grow():
    problem, start, how, exact = flattening()
    growing = Growing(
        lambda ansatz: df.GaussianMixture.isotropic(1, ansatz.n + 1),
        lambda x: [{"amplitudes": 0.0, "centers": x, "scales": scale} for scale in (0.7, 1.0, 1.5, 2.5)],
        2e-3, 12,
    )  # fmt: skip
    *_, fixed = df.evolve(problem, start, **how)
    *_, (larger, grown) = evolve_growing(problem, start, growing=growing, regularization=df.AutoInertia(1e-5), **how)
    before = problem.quadrature.norm(problem.field(fixed).value - exact(2.0))
    after = problem.quadrature.norm(larger.field(grown).value - exact(2.0))
    assert larger.ansatz.n > 1 and after < before / 10
