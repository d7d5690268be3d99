"""Conserved quantities: constraint against LAPACK, machine precision along runs, and no loss of accuracy."""

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.errors import DfpdeWarning, ParameterError, SolverError, StepError
from dfpde.measures import Components, Draws, Moving, fisher
from dfpde.regularization.rule import StageContext

PERIOD = 2 * np.pi
QUANTITIES = (df.diagnostics.Functional.linear(1.0), df.diagnostics.Functional.squared_norm("energy"))


def initial(x):
    return 0.5 + np.sin(x)


def exact(t, x):
    """Inviscid Burgers before the shock at t = 1: u = u₀(y), x = y + t u₀(y), by Newton's method."""
    y = x[0] - t * initial(x[0])
    for _ in range(60):
        y = y - (y + t * initial(y) - x[0]) / (1 + t * np.cos(y))
    return initial(y)


def burgers(comm, n=8, points=128, scale=None):
    ansatz = df.PeriodicGaussianMixture.isotropic((PERIOD,), n)
    quadrature = df.Quadrature.periodic((0, PERIOD), points, comm)
    problem = df.Problem(ansatz, quadrature, lambda t, x, u: -u.value * df.dx(u), scale=scale)
    nodes = PERIOD * np.arange(n) / n
    guess = ansatz.pack(amplitudes=0.3 * initial(nodes), centers=nodes[:, None], scales=n / 5)
    return problem, df.fit(problem, lambda x: initial(x[0]), guess, rtol=1e-6)


def run(problem, start, rule, steps, until, held=None, solver=None, scheme=df.RK4):
    integrator = scheme if held is None else held.integrator(scheme)
    worst = np.zeros(2)
    for state in df.evolve(
        problem, start, until=until, regularization=rule if held is None else held, integrator=integrator,
        controller=df.Fixed(until / steps), solver=solver,
    ):  # fmt: skip
        if held is not None:
            worst = np.maximum(worst, np.abs(held.misfit(state)))
    x = problem.quadrature.x
    error = problem.quadrature.norm(problem.field(state).value - exact(until, x))
    return state, error / problem.quadrature.norm(exact(until, x)), worst


def test_functional_gradients_are_derivatives():
    problem, start = burgers(MPI.COMM_SELF, 4)
    theta = start.theta + 0.1 * np.random.default_rng(0).standard_normal(start.theta.size)
    weak = df.diagnostics.Functional(lambda x, u: u.gradient[0] ** 2 / 2, lambda x, u: {(1,): u.gradient[0]})
    strong = df.diagnostics.Functional(lambda x, u: u.gradient[0] ** 2 / 2, lambda x, u: -df.dx(u, 2))
    weighted = df.diagnostics.Functional.linear(lambda x: np.cos(x[0]))
    for functional in (*QUANTITIES, weak, strong, weighted):
        gradient = functional.gradient(problem, theta)
        for j in range(theta.size):
            e = np.zeros(theta.size)
            e[j] = 1e-5
            difference = functional.value(problem, theta + e) - functional.value(problem, theta - e)
            assert difference / 2e-5 == pytest.approx(gradient[j], rel=1e-7, abs=1e-8)


@pytest.mark.mpi
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("krylov", [False, True])
def test_constrained_velocity_solves_the_optimality_system(comm, scaled, krylov):
    """[G Cᵀ; C 0] [v; λ] = [Jᵀf + ε²D²ρa; 0] by LAPACK on the full matrix."""
    size = 3 * 8
    d = np.linspace(0.5, 2.0, size) if scaled else np.ones(size)
    problem, start = burgers(comm, scale=d if scaled else None)
    eps, rho = 1e-2, 0.9
    anchor = np.random.default_rng(2).standard_normal(size)
    system = problem.system(0.0, start.theta)
    held = df.constraints.Conserving(problem, QUANTITIES, df.Inertia(eps, rho), start)
    solver = df.LSQR(rtol=1e-13) if krylov else df.Dense()
    found = held.velocity(system, anchor, solver, StageContext(0.0, 0.1, 4)).value
    gram = system.tangent.local_gram()
    gram = system.tangent._sum(np.tril(gram) + np.tril(gram, -1).T)
    c = np.stack([q.gradient(problem, start.theta) for q in QUANTITIES])
    matrix = np.block([[gram + np.diag((eps * d) ** 2), c.T], [c, np.zeros((2, 2))]])
    rhs = np.concatenate([system.tangent.adjoint(system.rhs) + (eps * d) ** 2 * rho * anchor, np.zeros(2)])
    oracle = np.linalg.solve(matrix, rhs)[:size]
    np.testing.assert_allclose(found, oracle, rtol=0, atol=1e-8 * np.abs(oracle).max())
    assert np.all(np.abs(c @ found) <= 1e-13 * np.linalg.norm(c, axis=1) * np.linalg.norm(found))


def test_constraints_cost_no_iterations():
    problem, start = burgers(MPI.COMM_SELF)
    rule = df.Inertia(1e-3, 0.97)
    counts = []
    for held in (None, df.constraints.Conserving(problem, QUANTITIES, rule, start)):
        solver = Counting()
        run(problem, start, rule, 20, 0.2, held, solver)
        counts.append(solver.iterations)
    assert counts[1] <= 1.1 * counts[0], counts


class Counting(df.LSQR):
    """LSQR that adds up its iterations."""

    iterations = 0

    def solve(self, system):
        solution = super().solve(system)
        self.iterations += solution.iterations
        return solution


def test_invariants_hold_to_rounding_over_a_thousand_steps_at_no_loss_of_accuracy():
    problem, start = burgers(MPI.COMM_SELF, 6, 96)
    rule = df.Inertia(1e-3, 0.97)
    held = df.constraints.Conserving(problem, QUANTITIES, rule, start)
    _, free_error, _ = run(problem, start, rule, 1000, 0.7, scheme=df.integrators.Heun)
    state, error, worst = run(problem, start, rule, 1000, 0.7, held, scheme=df.integrators.Heun)
    assert state.step == 1000
    assert np.all(worst < 1e-12), worst
    assert error <= 1.001 * free_error
    assert error < 2e-2  # the run is a solution at all


def test_without_projection_the_invariants_drift_with_the_step():
    """The constraint alone leaves the error of the scheme in the quantities: fourth order for Runge–Kutta 4."""
    problem, start = burgers(MPI.COMM_SELF, 6, 96)
    rule = df.Tikhonov(1e-1)
    drifts = []
    for steps in (40, 80, 160):
        held = df.constraints.Conserving(problem, QUANTITIES, rule, start)
        states = df.evolve(
            problem, start, until=0.5, regularization=held, integrator=df.RK4, controller=df.Fixed(0.5 / steps),
            solver=df.Dense(),
        )  # fmt: skip
        with pytest.warns(DfpdeWarning, match="does not follow"):  # six Gaussians lose an eighth of u_t
            state = list(states)[-1]
        drifts.append(np.abs(held.misfit(state)).max())
    slope = np.polyfit(np.log([1 / 40, 1 / 80, 1 / 160]), np.log(drifts), 1)[0]
    assert drifts[-1] > 1e-12
    assert slope == pytest.approx(4, abs=0.15), drifts


def test_every_rule_and_scheme_can_be_constrained():
    problem, start = burgers(MPI.COMM_SELF, 6, 96)
    for rule, scheme, solver in (
        (df.InertiaFromMass(1e-5, 1e-6), df.DormandPrince, None),
        (df.AutoInertia(), df.integrators.Heun, None),
        (df.regularization.TruncatedSVD(1e-2), df.RK4, df.Dense()),
        (df.regularization.Onsager(1e-2), df.integrators.Euler, df.Dense()),
    ):
        held = df.constraints.Conserving(problem, QUANTITIES, rule, start)
        _, _, worst = run(problem, start, rule, 10, 0.1, held, solver, scheme)
        assert np.all(worst < 1e-13), (rule, worst)


@pytest.mark.mpi
def test_projection_is_the_same_on_any_number_of_ranks(comm):
    rule = df.Inertia(1e-2, 0.97)
    ends = []
    _, start = burgers(MPI.COMM_SELF, 6, 96)
    start = df.State(0.0, comm.bcast(start.theta))
    for ranks in (MPI.COMM_SELF, comm):
        problem, _ = burgers(ranks, 6, 96)
        held = df.constraints.Conserving(problem, QUANTITIES, rule, start)
        state, _, worst = run(problem, start, rule, 10, 0.2, held, df.LSQR(rtol=1e-13))
        assert np.all(worst < 1e-13)
        ends.append(problem.ansatz.value(state.theta, np.linspace(0, 6, 50)[None]))
    np.testing.assert_allclose(ends[1], ends[0], atol=1e-9)


def test_dependent_quantities_are_refused():
    problem, start = burgers(MPI.COMM_SELF, 4)
    twice = (df.diagnostics.Functional.linear(1.0), df.diagnostics.Functional.linear(2.0))
    held = df.constraints.Conserving(problem, twice, df.Tikhonov(1e-2), start)
    with pytest.raises(ParameterError, match="dependent"):
        held.velocity(problem.system(0.0, start.theta), None, df.Dense(), StageContext(0.0, 0.1, 1))
    with pytest.raises(ParameterError, match="no quantities"):
        df.constraints.Conserving(problem, (), df.Tikhonov(1e-2), start)


def trapped(comm, n=512):
    """Six isotropic Gaussians in three dimensions that contract, at points that move."""
    dim = 3
    ansatz = df.GaussianMixture.isotropic(dim, 6)
    theta = ansatz.pack(amplitudes=1.0, centers=np.linspace(-0.4, 0.4, 6)[:, None] * np.ones(dim), scales=1.2)
    z = Draws(n, 0, 0, comm).normal(dim)
    first = df.Quadrature.samples(z, np.exp(-0.5 * np.sum(z**2, axis=0)) / (2 * np.pi) ** (dim / 2), comm)
    moving = Moving(Components(1.2), n, 0, fisher)
    rhs = lambda t, x, u: dim * u.value + df.dot(x, df.grad(u)) + 0.1 * df.laplacian(u)  # noqa: E731
    return *moving.start(df.Problem(ansatz, first, rhs), df.State(0.0, theta)), moving


@pytest.mark.mpi
def test_mass_in_closed_form_is_kept_at_points_that_move(comm):
    problem, start, moving = trapped(comm)
    mass = df.diagnostics.ParameterFunctional.mass(problem.ansatz)
    held = df.constraints.Conserving(problem, (mass,), df.AutoInertia(), start)
    drift = []
    for how in ({}, {"regularization": held, "integrator": held.integrator(df.integrators.DormandPrince)}):
        found = df.evolve(problem, start, until=0.5, adapt=moving, controller=df.PI(rtol=1e-4), **how)
        masses = [mass.value(problem, state.theta) for state in found]
        drift.append(np.abs(np.array(masses) / held.targets[0] - 1).max())
    assert drift[0] > 1e-7  # sampling: there is something to keep
    assert drift[1] < 1e-12


def test_integrals_over_points_that_have_moved_are_refused():
    problem, start, moving = trapped(MPI.COMM_SELF)
    held = df.constraints.Conserving(problem, QUANTITIES[:1], df.AutoInertia(), start)
    how = {"regularization": held, "integrator": held.integrator(df.integrators.DormandPrince)}
    with pytest.raises(ParameterError, match="points have moved"):
        list(df.evolve(problem, start, until=0.5, adapt=moving, **how))


def test_history_takes_quantities_in_closed_form():
    problem, start, _ = trapped(MPI.COMM_SELF)
    mass = df.diagnostics.ParameterFunctional.mass(problem.ansatz)
    history = df.History(quantities={"mass": mass}, problem=problem)
    history.record(start)
    assert history.to_dict()["mass"][0] == mass.formula(start.theta)


@pytest.mark.parametrize("kind", [df.GaussianMixture, df.ansatz.PositiveMixture])
@pytest.mark.parametrize("shape", ["isotropic", "diagonal", "full"])
def test_gradient_of_the_mass_in_closed_form_is_its_derivative(kind, shape):
    ansatz = getattr(kind, shape)(3, 2)
    theta = np.random.default_rng(0).uniform(0.5, 1.5, ansatz.size)
    mass = df.diagnostics.ParameterFunctional.mass(ansatz)
    problem = df.Problem(ansatz, df.Quadrature.gauss([(-1.0, 1.0)] * 3, 1, 2), lambda t, x, u: u.value)
    gradient = mass.gradient(problem, theta)
    for j, e in enumerate(1e-5 * np.eye(theta.size)):
        difference = mass.value(problem, theta + e) - mass.value(problem, theta - e)
        assert difference / 2e-5 == pytest.approx(gradient[j], rel=1e-8, abs=1e-9)


def test_a_step_whose_projection_fails_is_tried_again_smaller():
    ansatz = df.GaussianMixture.isotropic(1, 1)
    problem = df.Problem(ansatz, df.Quadrature.gauss([(-5.0, 5.0)], 20, 3), lambda t, x, u: -u.derivative(1))
    start = df.State(0.0, ansatz.pack(amplitudes=1.0, centers=[[0.0]], scales=1.0))
    failing = [1.0, 0.5, 0.3]

    class Strict(df.constraints.Conserving):
        def project(self, problem, theta, prepare=False):
            if failing:
                failing.pop()
                raise SolverError("no convergence", "a smaller step")
            return super().project(problem, theta, prepare)

    mass = df.diagnostics.ParameterFunctional.mass(ansatz)
    held = Strict(problem, (mass,), df.Inertia(1e-6, 0.97), start)
    how = {"regularization": held, "integrator": held.integrator(df.integrators.DormandPrince)}
    *_, state = df.evolve(problem, start, until=0.1, controller=df.PI(rtol=1e-6), **how)
    assert state.statistics.rejected >= 3
    assert mass.value(problem, state.theta) == pytest.approx(held.targets[0], rel=1e-13)


def test_a_projection_without_a_direction_is_a_failed_step_and_no_crash():
    """Q = 0 θ₀ + 1 after the start: its gradient is that of the last solve, its value never changes."""
    problem, start, _ = trapped(MPI.COMM_SELF)
    values = iter((1.0, *[2.0] * 1000))
    stuck = df.diagnostics.ParameterFunctional(lambda theta: next(values), lambda theta: np.eye(theta.size)[0], "stuck")
    held = df.constraints.Conserving(problem, (stuck,), df.Inertia(1e-4, 0.97), start)
    how = {"regularization": held, "integrator": held.integrator(df.RK4), "controller": df.Fixed(0.1)}
    with pytest.raises(StepError, match=r"stuck.*still off by -1"):
        list(df.evolve(problem, start, until=0.5, **how))
