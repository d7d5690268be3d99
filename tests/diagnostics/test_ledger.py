"""Energy ledger: closes at the order of the integrator, and the work of non-gradient parts is what theory says."""

import contextlib
import warnings

import numpy as np
import pytest
from mpi4py import MPI
from scipy.integrate import trapezoid

import dfpde as df
from dfpde.errors import DfpdeWarning, ParameterError
from dfpde.evolution import ExplicitRungeKutta
from dfpde.evolution import tableaus as schemes
from dfpde.evolution.continuous import ContinuousInertia

NU, PERIOD = 0.05, 2 * np.pi
ENERGY = df.diagnostics.Functional(
    lambda x, u: NU / 2 * u.gradient[0] ** 2 + (u.value**2 - 1) ** 2 / 4,
    lambda x, u: {(0,): u.value**3 - u.value, (1,): NU * u.gradient[0]},
    "Ginzburg–Landau energy",
)
KINETIC = df.diagnostics.Functional(lambda x, u: u.value**2 / 2, lambda x, u: u.value, "½‖u‖²")


def allen_cahn(t, x, u):
    return NU * df.dx(u, 2) + u.value - u.value**3


def burgers(t, x, u):
    return NU * df.dx(u, 2) - u.value * df.dx(u)


@contextlib.contextmanager
def lossy():
    """Around runs of four Gaussians that lose a tenth of u_t: the books must balance all the same."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not follow", DfpdeWarning)
        yield


def setting(rhs, comm, scale=None):
    ansatz = df.PeriodicGaussianMixture.isotropic((PERIOD,), 4)
    problem = df.Problem(ansatz, df.Quadrature.periodic((0, PERIOD), 96, comm), rhs, scale=scale)
    theta = ansatz.pack(
        amplitudes=[0.8, -0.6, 0.7, -0.5], centers=[[0.3], [1.9], [3.4], [5.0]], scales=[1.1, 1.3, 1.0, 1.2]
    )
    return problem, df.State(0.0, theta)


def books(rhs, potential, inertia, scheme, steps, until=0.8, comm=MPI.COMM_SELF, every=False, **options):
    problem, start = setting(rhs, comm, options.pop("scale", None))
    ledger = df.diagnostics.EnergyLedger(problem, potential, inertia)
    run = df.evolve(
        problem, start, until=until, regularization=inertia, integrator=ledger.integrator(scheme), solver=df.Dense(),
        controller=options.pop("controller", df.Fixed(until / steps)), **options,
    )  # fmt: skip
    with lossy():
        for state in run:
            if every:
                ledger.record(state)
        ledger.record(state)
    return ledger


def slope(make, steps):
    """Order of the greatest drift along the run."""
    drifts = [np.abs(make(n).columns()["drift"]).max() for n in steps]
    return np.polyfit(np.log(1 / np.array(steps)), np.log(drifts), 1)[0], drifts


# slopes need steps in the asymptotic range and drifts above rounding
@pytest.mark.parametrize(
    ("tableau", "steps"),
    [
        (schemes.EULER, (32, 64, 128)),
        (schemes.HEUN, (16, 32, 64)),
        (schemes.BOGACKI_SHAMPINE, (16, 32, 64)),
        (schemes.RUNGE_KUTTA_4, (8, 16, 32)),
        (schemes.DORMAND_PRINCE, (16, 24, 32)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_massless_balance_of_a_gradient_flow_closes_at_the_order_of_the_scheme(tableau, steps):
    inertia = df.Tikhonov(0.1)
    scheme = ExplicitRungeKutta(tableau)
    order, drifts = slope(lambda n: books(allen_cahn, ENERGY, inertia, scheme, n, every=True), steps)
    assert order == pytest.approx(tableau.order, abs=0.25 if tableau.order == 5 else 0.15), drifts


@pytest.mark.parametrize(
    ("tableau", "steps"),
    [(schemes.HEUN, (32, 64, 128)), (schemes.BOGACKI_SHAMPINE, (16, 32, 64)), (schemes.RUNGE_KUTTA_4, (16, 32, 64))],
    ids=lambda value: getattr(value, "name", ""),
)
def test_balance_with_mass_closes_at_the_order_of_the_scheme_for_the_continuous_equation(tableau, steps):
    inertia = df.InertiaFromMass(2.0, 0.1)
    scheme = ContinuousInertia(tableau)
    order, drifts = slope(lambda n: books(allen_cahn, ENERGY, inertia, scheme, n, every=True), steps)
    assert order == pytest.approx(tableau.order, abs=0.15), drifts


def test_one_solve_per_stage_closes_at_first_order_with_mass():
    inertia = df.InertiaFromMass(2.0, 0.1)
    order, drifts = slope(lambda n: books(allen_cahn, ENERGY, inertia, df.RK4, n, every=True), (16, 32, 64))
    assert order == pytest.approx(1, abs=0.15), drifts


def test_scaled_metric_is_in_the_books():
    problem, _ = setting(allen_cahn, MPI.COMM_SELF)
    scale = np.linspace(0.5, 2.0, problem.ansatz.size)
    drift = books(
        allen_cahn, ENERGY, df.InertiaFromMass(2.0, 0.1), ContinuousInertia(schemes.RUNGE_KUTTA_4), 64, scale=scale
    )
    entry = drift.entries[-1]
    assert abs(entry.drift) < 1e-7 and entry.friction > 1e-4 and entry.kinetic > 1e-3


def test_a_gradient_flow_does_no_other_work_and_loses_energy():
    ledger = books(allen_cahn, ENERGY, df.Tikhonov(0.1), df.RK4, 32, every=True)
    columns = ledger.columns()
    assert np.abs(columns["work"]).max() < 1e-12 * columns["dissipation"][-1]
    assert np.all(np.diff(columns["potential"]) < 0)
    assert columns["t"][0] == 0 and len(columns["t"]) == 33


def test_work_on_burgers_is_what_the_transport_does():
    """f + ∇E = −u u_x for E = ν/2 ‖u_x‖²: work is positive while the front steepens, and is ∫⟨J v, −u u_x⟩."""
    energy = df.diagnostics.Functional(
        lambda x, u: NU / 2 * u.gradient[0] ** 2, lambda x, u: {(1,): NU * u.gradient[0]}, "ν/2 ‖u_x‖²"
    )
    ledger = books(burgers, energy, df.Tikhonov(1e-2), df.RK4, 80, until=0.8, every=True)
    problem, _ = setting(burgers, MPI.COMM_SELF)
    last = ledger.entries[-1]
    assert last.work > 0.1 * last.dissipation
    assert abs(last.drift) < 1e-6 * last.dissipation
    # the same work by the trapezoidal rule on a second run
    powers, times = [], []
    start = setting(burgers, MPI.COMM_SELF)[1]
    with lossy():
        for state in df.evolve(
            problem, start, until=0.8, regularization=df.Tikhonov(1e-2), integrator=df.DormandPrince, solver=df.Dense(),
            controller=df.Fixed(0.01),
        ):  # fmt: skip
            field = problem.field(state)
            forward = problem.ansatz.jvp(state.theta, field.x, state.velocity)
            powers.append(problem.quadrature.inner(forward, -field.value * field.gradient[0]))
            times.append(state.t)
    from_first = next(entry.work for entry in ledger.entries if abs(entry.t - times[0]) < 1e-9)
    assert trapezoid(powers, times) == pytest.approx(last.work - from_first, rel=1e-4)


def test_adaptive_runs_with_rejected_steps_and_output_times_are_entered_once():
    options = {"controller": df.PI(rtol=1e-7, first=0.4), "times": (0.3, 0.8)}
    ledger = books(allen_cahn, ENERGY, df.Tikhonov(0.1), df.DormandPrince, 1, every=True, **options)
    assert abs(ledger.entries[-1].drift) < 1e-6
    whole = books(allen_cahn, ENERGY, df.Tikhonov(0.1), df.DormandPrince, 64)
    assert ledger.entries[-1].dissipation == pytest.approx(whole.entries[-1].dissipation, rel=1e-5)


def test_ledger_refuses_what_it_cannot_balance():
    problem, start = setting(allen_cahn, MPI.COMM_SELF)
    with pytest.raises(ParameterError, match="no mass and friction"):
        df.diagnostics.EnergyLedger(problem, ENERGY, df.AutoInertia())
    ledger = df.diagnostics.EnergyLedger(problem, ENERGY, df.Tikhonov(0.1))
    with pytest.raises(ParameterError, match="nothing to enter"):
        ledger.record(start)


@pytest.mark.mpi
def test_ledger_is_the_same_on_any_number_of_ranks(comm):
    inertia = df.InertiaFromMass(2.0, 0.1)
    alone = books(allen_cahn, ENERGY, inertia, ContinuousInertia(schemes.HEUN), 4).entries[-1]
    together = books(allen_cahn, ENERGY, inertia, ContinuousInertia(schemes.HEUN), 4, comm=comm).entries[-1]
    for name in ("kinetic", "potential", "dissipation", "friction"):
        assert getattr(together, name) == pytest.approx(getattr(alone, name), rel=1e-11)
