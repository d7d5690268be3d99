"""Field steps of the ready-made steppers on ansätze that contain the solution: orders, and the bound of the error."""

from __future__ import annotations

import numpy as np
import pytest
import skfem
from mpi4py import MPI
from skfem.models import laplace, mass

import dfpde as df
from dfpde import fem
from dfpde.diagnostics import FieldStepBound
from dfpde.parallel.collective import norm
from dfpde.steppers import ARS222, ETDRK4, ETDRK32, IMEX, PeriodicGrid, SplitStep

COMM = MPI.COMM_SELF
NU, C = 0.5, 1.5
SHARP = 10.0


def drift(make):
    """u_t = ν u_xx − c u_x, transport as N: one Gaussian (its periodic images are below rounding)."""
    grid = PeriodicGrid((-18, 18), 96, COMM)
    ansatz = df.GaussianMixture.isotropic(1, 1)
    problem = df.Problem(ansatz, grid.quadrature, lambda t, x, u: NU * df.dx(u, 2) - C * df.dx(u))
    start = df.State(0.0, ansatz.pack(amplitudes=[1.0], centers=[[-0.5]], scales=[0.5]))
    stepper = make(grid, lambda k: -NU * k[0] ** 2, lambda t, x, u: -C * df.dx(u), dealias=False)

    def exact(t, x):
        spread = 4 + 2 * NU * t
        return 2 / np.sqrt(spread) * np.exp(-0.5 * (x[0] + 0.5 - C * t) ** 2 / spread)

    return problem, start, stepper, exact


def oscillator(order):
    """i ψ_t = −½ ψ_xx + ½ x² ψ: a thawed wave packet; after a period it is −ψ."""
    grid = PeriodicGrid((-9, 9), 96, COMM)
    ansatz = df.ansatz.WavePackets(1, 1)
    problem = df.Problem(ansatz, grid.quadrature, lambda t, x, u: 0.5j * df.laplacian(u) - 0.5j * x[0] ** 2 * u.value)
    start = df.State(
        0.0, ansatz.pack(centers=[[1.0]], momenta=[[0.5]], zeta=[[0.0, 0.3]], chirps=[[0.0]], scales=[[1.2]])
    )
    fine = SplitStep(grid, lambda t, x, density: 0.5 * x[0] ** 2, 4)
    return problem, start, SplitStep(grid, fine.potential, order), fine


def imex222(*arguments, **more):
    return IMEX(*arguments, tableau=ARS222, **more)


@pytest.mark.parametrize(("make", "steps"), [(ETDRK4, 4), (ETDRK32, 4), (IMEX, 8), (imex222, 8)])
def test_orders_on_a_periodic_grid(make, steps):
    problem, start, stepper, exact = drift(make)
    errors = []
    for n in (steps, 2 * steps):
        how = {"controller": df.Fixed(1.0 / n), "integrator": df.FieldStep(stepper, 1e-13, substeps=1)}
        *_, end = df.evolve(problem, start, until=1.0, **how)
        errors.append(problem.quadrature.norm(problem.field(end).value - exact(1.0, problem.points)))
    assert abs(np.log2(errors[0] / errors[1]) - stepper.order) < 0.15


@pytest.mark.parametrize("order", [2, 4])
def test_orders_of_split_steps(order):
    problem, start, stepper, fine = oscillator(order)
    u = problem.field(start).value
    for i in range(64):
        u = fine(i / 64, u, 1 / 64)
    errors = []
    for n in (4, 8):
        how = {"controller": df.Fixed(1.0 / n), "integrator": df.FieldStep(stepper, 1e-13, substeps=1)}
        *_, end = df.evolve(problem, start, until=1.0, **how)
        errors.append(problem.quadrature.norm(problem.field(end).value - u))
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.15


def diffusion(scheme):
    """u_t = ν Δu on a square, nodal values themselves as the (linear) ansatz."""
    space = fem.Space.serial(skfem.MeshTri().refined(2), skfem.ElementTriP1())
    model = fem.StiffModel(space.nodes, space.matrix(mass), 0.05 * space.matrix(laplace))
    problem = fem.SemiDiscrete(
        df.FiniteElement(space.basis), model.mass, lambda t, u: -model.apply_stiffness(u), space.nodes
    )
    start = df.State(0.0, np.cos(3 * space.nodes.x[0]) * space.nodes.x[1])
    return problem, start, scheme(model)


@pytest.mark.parametrize(
    "scheme", [fem.CrankNicolson, fem.ImplicitExplicit, lambda model: fem.ImplicitExplicit(model, ARS222)]
)
def test_orders_on_finite_elements_with_a_linear_ansatz(scheme):
    problem, start, stepper = diffusion(scheme)
    ends = []
    for n in (4, 8, 16):
        how = {"controller": df.Fixed(1.0 / n), "integrator": df.FieldStep(stepper, 1e-13, substeps=1)}
        *_, end = df.evolve(problem, start, until=1.0, **how)
        ends.append(problem.field(end).value)
    a, b, c = ends
    assert abs(np.log2(problem.distance(b - a) / problem.distance(c - b)) - stepper.order) < 0.15


@pytest.mark.parametrize("make", [ETDRK4, ETDRK32, IMEX, imex222])
def test_the_bound_of_the_error_on_a_periodic_grid(make):
    problem, start, stepper, exact = drift(make)
    sharp = SHARP if make is not ETDRK32 else 60.0  # the estimate is that of the lower solution of the pair
    hold_the_bound(problem, start, stepper, lambda t: exact(t, problem.points), sharp)


def test_the_bound_of_the_error_of_split_steps():
    problem, start, stepper, fine = oscillator(2)
    u = [problem.field(start).value]
    for i in range(64):
        u.append(fine(i / 64, u[-1], 1 / 64))
    hold_the_bound(problem, start, stepper, lambda t: u[round(64 * t)])


@pytest.mark.parametrize("scheme", [fem.CrankNicolson, fem.ImplicitExplicit])
def test_the_bound_of_the_error_of_finite_elements(scheme):
    """Against the semi-discrete solution: what the mesh is wrong by is not the steps' business."""
    problem, start, stepper = diffusion(scheme)
    mass_, stiff = stepper.model.mass.toarray(), stepper.model.stiffness.toarray()
    rate, modes = np.linalg.eig(np.linalg.solve(mass_, stiff))
    part = np.linalg.solve(modes, problem.field(start).value)
    hold_the_bound(problem, start, stepper, lambda t: (modes @ (np.exp(-rate * t) * part)).real)


def hold_the_bound(problem, start, stepper, exact, sharp=SHARP):
    """error <= bound <= `sharp` times the largest error so far, at every step; all equations here contract, ℓ = 0."""
    bound, largest = FieldStepBound(0.0), 0.0
    how = {"controller": df.Fixed(1 / 8), "integrator": df.FieldStep(stepper, 1e-9, substeps=1)}
    for state in df.evolve(problem, start, until=1.0, **how):
        bound = bound.after(state)
        error = norm(problem.weigh(problem.field(state).value - exact(state.t)), problem.comm)
        largest = max(largest, error)
        assert error <= bound.value <= sharp * largest
