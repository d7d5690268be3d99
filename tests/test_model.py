"""What time stepping asks of an equation: `Problem` and `SemiDiscrete` give all of it, and their runs agree."""

import numpy as np
import pytest
import skfem
from mpi4py import MPI
from skfem.models import laplace, mass

import dfpde as df
from dfpde import fem
from dfpde.errors import ParameterError, StepError
from dfpde.evolution import SDIRK4, RadauIIA
from dfpde.leastsquares import LSQR, Nystrom
from tests.small import linear, vector_problem

CELLS = 12


#: Skew form of u_x: keeps ∫ u² whatever the boundary.
ADVECTION = skfem.BilinearForm(lambda u, v, w: 0.5 * (u.grad[0] * v - u * v.grad[0]))


def semidiscrete(comm=MPI.COMM_SELF, load=None, form=laplace):
    """M U̇ = −K U/10 on the unit square, by linear elements, followed by three Gaussians."""
    mesh = skfem.MeshTri.init_tensor(np.linspace(0, 1, CELLS + 1), np.linspace(0, 1, CELLS + 1))
    space = fem.Space(fem.partition(mesh if comm.rank == 0 else None, comm), skfem.ElementTriP1())
    stiffness = space.matrix(form)
    ansatz = df.GaussianMixture.isotropic(2, 3)
    heat = load or (lambda t, u: -0.1 * (stiffness @ u))
    theta = ansatz.pack(amplitudes=[1.0, 0.5, 0.3], centers=[[0.3, 0.4], [0.7, 0.6], [0.4, 0.8]], scales=2.0)
    return fem.SemiDiscrete(ansatz, space.matrix(mass), heat, space.nodes), df.State(0.0, theta)


@pytest.mark.mpi
def test_a_failing_run_names_its_cause_and_keeps_its_last_state(comm):
    """F becomes NaN after t = 0.02: the diagnosis needs no quadrature."""
    model, start = semidiscrete(comm, lambda t, u: np.full(u.shape, np.nan) if t > 0.02 else 0.0 * u)
    kept = []
    with pytest.raises(StepError, match="not finite within") as caught:
        list(df.evolve(model, start, until=0.1, controller=df.PI(rtol=1e-4, first=4e-3), rescue=kept.append))
    assert 0.0 < caught.value.state.t <= 0.02 and kept[0].t == caught.value.state.t


@pytest.mark.mpi
def test_functionals_of_a_semidiscrete_model(comm):
    """∫ of the interpolant: linear functionals are those of the elements, gradients are derivatives, runs keep them."""
    model, start = semidiscrete(comm, form=ADVECTION)
    total = df.diagnostics.Functional.linear(name="mass")
    energy = df.diagnostics.Functional.squared_norm()
    elsewhere, _ = semidiscrete()
    basis = skfem.Basis(skfem.MeshTri.init_tensor(*2 * (np.linspace(0, 1, CELLS + 1),)), skfem.ElementTriP1())
    exact = np.ones(basis.N) @ mass.assemble(basis) @ elsewhere.ansatz.value(start.theta, basis.doflocs)
    assert total.value(model, start.theta) == pytest.approx(exact, rel=1e-13)
    for functional in (total, energy):
        gradient, step = functional.gradient(model, start.theta), 1e-5
        for j in range(0, start.theta.size, 3):
            e = step * np.eye(start.theta.size)[j]
            ahead, behind = (functional.value(model, start.theta + s * e) for s in (1, -1))
            assert gradient[j] == pytest.approx((ahead - behind) / (2 * step), rel=1e-7, abs=1e-9)
    held = df.constraints.Conserving(model, (energy,), df.Inertia(1e-4, 0.9), start)
    run = df.evolve(model, start, until=0.03, regularization=held, controller=df.Fixed(0.01),
                    integrator=held.integrator(df.RK4))  # fmt: skip
    assert max(np.max(np.abs(held.misfit(state))) for state in run) <= 1e-13


@pytest.mark.mpi
def test_the_error_bound_of_a_semidiscrete_model_holds(comm):
    """Against the finite-element solution itself, by the exponential of its matrices; ℓ = 0 for diffusion."""
    model, start = semidiscrete(comm)
    basis = skfem.Basis(skfem.MeshTri.init_tensor(*2 * (np.linspace(0, 1, CELLS + 1),)), skfem.ElementTriP1())
    M, K = mass.assemble(basis).toarray(), 0.1 * laplace.assemble(basis).toarray()
    rates, vectors = np.linalg.eigh(np.linalg.solve(np.linalg.cholesky(M), np.linalg.solve(np.linalg.cholesky(M), K).T))
    back = np.linalg.inv(np.linalg.cholesky(M)).T @ vectors
    coefficients = back.T @ M @ model.ansatz.value(start.theta, basis.doflocs)
    bound, until = df.diagnostics.ErrorBound(model, start, 0.0), 0.05
    for state in df.evolve(model, start, until=until, controller=df.PI(rtol=1e-4)):
        bound = bound.after(state)
    difference = model.ansatz.value(state.theta, basis.doflocs) - back @ (np.exp(-rates * until) * coefficients)
    error = np.sqrt(difference @ M @ difference)
    assert 0.0 < error <= bound.bound < 0.2 * model.norm(state)


def test_what_needs_f_point_by_point_refuses_a_semidiscrete_model():
    model, start = semidiscrete()
    with pytest.raises(ParameterError, match="point by point"):
        next(df.evolve(model, start, until=0.1, integrator=SDIRK4))
    with pytest.raises(ParameterError, match="point by point"):
        df.diagnostics.growth_rate(model, start)


@pytest.mark.parametrize("scheme", [SDIRK4, RadauIIA, df.integrators.ROS2], ids=lambda s: type(s).__name__)
def test_the_automatic_rule_has_its_curvature_under_implicit_schemes(scheme):
    """A null direction, curvature and a defect: ε of an implicit step is that of an explicit one, not its floor."""
    from tests.small import Written

    bent = Written(2, lambda th: [th[0] * th[1], 0.0], lambda th: [[th[1], th[0]], [0.0, 0.0]])
    problem = vector_problem(bent, lambda t, c: [-c[0], 0.1], 2)
    eps = []
    for integrator in (df.DormandPrince, scheme):
        run = df.evolve(problem, df.State(0.0, np.array([1.0, 2.0])), until=0.02, controller=df.Fixed(0.01),
                        integrator=integrator)  # fmt: skip
        eps.append([state.statistics.eps for state in run][-1])
    assert eps[1] == pytest.approx(eps[0], rel=0.5) and eps[0] > 1e-5


def test_no_conserved_quantities_under_an_implicit_scheme():
    problem = vector_problem(linear(2), lambda t, c: [c[1], -c[0]], 2)
    start = df.State(0.0, np.array([1.0, 0.0]))
    held = df.constraints.Conserving(
        problem, (df.diagnostics.Functional.squared_norm(),), df.Tikhonov(1e-8), start
    )
    run = df.evolve(problem, start, until=1.0, regularization=held, integrator=held.integrator(SDIRK4))
    with pytest.raises(ParameterError, match="implicit scheme"):
        next(run)


def test_statistics_of_a_step_are_means_over_its_stages():
    """u_t = (cos t, 1) with one mode: defect 1, ‖f‖ = √(cos² t + 1) at the stages, weighted by |b_i|."""
    problem = vector_problem(linear(1), lambda t, c: [np.cos(t), 1.0], 2)
    for scheme in (df.DormandPrince, df.RK4):
        states = list(df.evolve(problem, df.State(0.0, np.zeros(1)), until=0.6, regularization=df.Tikhonov(1e-9),
                                controller=df.Fixed(0.3), integrator=scheme,
                                solver=LSQR(preconditioner=Nystrom())))  # fmt: skip
        b, c = np.abs(scheme.tableau.b), scheme.tableau.c
        for k, state in enumerate(states):
            mean = b @ np.sqrt(np.cos(0.3 * (k + c)) ** 2 + 1) / b.sum()
            assert state.statistics.defect == pytest.approx(1.0, rel=1e-9)
            assert state.statistics.rhs_norm == pytest.approx(mean, rel=1e-9)
            assert state.statistics.relative_defect == pytest.approx(1.0 / mean, rel=1e-9)
            assert (state.statistics.eps, state.statistics.rho) == (1e-9, 0.0)
        assert states[1].statistics.iterations > states[0].statistics.iterations > 0
