"""Implicit steps of finite-element models: orders, boundary values, steps far beyond the explicit limit, ranks."""

from __future__ import annotations

import numpy as np
import pytest
import skfem
from mpi4py import MPI
from scipy.sparse.linalg import eigsh
from skfem.models import laplace, mass

import dfpde as df
from dfpde import fem
from dfpde.errors import ParameterError, ShapeError
from dfpde.steppers import ARS222, ARS443

NU = 0.1


def square(comm, n=6, element=None):
    mesh = skfem.MeshTri.init_tensor(*[np.linspace(-1, 1, n + 1)] * 2).with_boundaries({"rim": lambda x: x[0] < 2})
    return fem.Space(fem.partition(mesh if comm.rank == 0 else None, comm), element or skfem.ElementTriP1())


def model(space, **more):
    return fem.StiffModel(space.nodes, space.matrix(mass), NU * space.matrix(laplace), **more)


def march(stepper, u, until, steps):
    for i in range(steps):
        u = stepper(i * until / steps, u, until / steps)
    return u


def distance(space, u, v):
    return np.sqrt(space.comm.allreduce(float((u - v) @ (space.matrix(mass) @ (u - v)))))


@pytest.mark.mpi
@pytest.mark.parametrize(("tableau", "nonlinear"), [(None, False), (ARS222, True), (ARS443, True), (ARS443, False)])
def test_orders(comm, tableau, nonlinear):
    """Diffusion with natural boundary values, and a cubic reaction for the schemes that take one."""
    space = square(comm)
    matrix = space.matrix(mass)
    load = (lambda t, u: matrix @ (np.cos(t) + u - u**3)) if nonlinear else None
    stiff = model(space, load=load)
    stepper = fem.CrankNicolson(stiff) if tableau is None else fem.ImplicitExplicit(stiff, tableau)
    start = np.cos(np.pi * space.nodes.x[0]) * space.nodes.x[1]
    a, b, c = (march(stepper, start, 0.5, n) for n in (8, 16, 32))
    assert abs(np.log2(distance(space, a, b) / distance(space, b, c)) - stepper.order) < 0.15


@pytest.mark.mpi
def test_essential_values_are_kept_and_reached(comm):
    """u = x y is harmonic: with its values on the rim everything tends to it, by steps of any size."""
    space = square(comm)
    harmonic = lambda t, x: x[0] * x[1]  # noqa: E731
    stiff = model(space, fixed=space.boundary_nodes("rim"), values=harmonic)
    end = march(fem.ImplicitExplicit(stiff), harmonic(0, space.nodes.x) + 0 * space.nodes.x[0], 100.0, 3)
    assert distance(space, end, harmonic(0, space.nodes.x)) < 1e-9
    end = march(fem.ImplicitExplicit(stiff), np.zeros(space.nodes.n), 300.0, 6)
    assert distance(space, end, harmonic(0, space.nodes.x)) < 1e-8


def heat(comm, n=20):
    """A Gaussian ansatz on the heat equation of a P2 square, large enough for natural boundary values not to matter."""
    mesh = skfem.MeshTri.init_tensor(*[np.linspace(-3, 3, n + 1)] * 2)
    space = fem.Space(fem.partition(mesh if comm.rank == 0 else None, comm), skfem.ElementTriP2())
    stiff = model(space)
    problem = fem.SemiDiscrete(
        df.GaussianMixture.isotropic(2, 1), stiff.mass, lambda t, u: -stiff.apply_stiffness(u), space.nodes
    )
    start = df.State(0.0, problem.ansatz.pack(amplitudes=[1.0], centers=[[0.2, 0.0]], scales=[2.0]))
    exact = lambda t, x: np.exp(-2 * ((x[0] - 0.2) ** 2 + x[1] ** 2) / (1 + 8 * NU * t)) / (1 + 8 * NU * t)  # noqa: E731
    return problem, start, stiff, exact


def test_field_steps_of_a_hundred_times_the_explicit_limit():
    """Every step of the stepper, a half of dt, is that long."""
    problem, start, stiff, exact = heat(MPI.COMM_SELF, 24)
    fastest = eigsh(stiff.stiffness, 1, stiff.mass, return_eigenvectors=False)[0]
    dt = 2.0
    assert dt / 2 > 100 * 2 / fastest
    steps = {"controller": df.Fixed(dt), "integrator": df.FieldStep(fem.ImplicitExplicit(stiff), 1e-6, substeps=1)}
    *_, end = df.evolve(problem, start, until=2.0, **steps)
    error = problem.distance(problem.field(end).value - exact(2.0, problem.points))
    assert error < 1e-2 * problem.norm(end)


@pytest.mark.mpi
def test_ranks_agree(comm):
    ends = []
    for c in (comm, MPI.COMM_SELF):
        problem, start, stiff, _ = heat(c)
        steps = {"controller": df.Fixed(0.5), "integrator": df.FieldStep(fem.CrankNicolson(stiff), 1e-8, substeps=2)}
        *_, end = df.evolve(problem, start, until=1.0, **steps)
        ends.append(end.theta)
    assert np.allclose(*ends, atol=1e-8)


def test_a_linear_ansatz_follows_the_stepper_itself():
    """Φ(θ) = Σ θ_j φ_j on the nodes: the projection is the identity."""
    space = fem.Space.serial(skfem.MeshTri().refined(2), skfem.ElementTriP1())
    stepper = fem.CrankNicolson(model(space))
    ansatz = df.FiniteElement(space.basis)
    problem = fem.SemiDiscrete(ansatz, space.matrix(mass), lambda t, u: 0 * u, space.nodes)
    u = np.cos(3 * space.nodes.x[0])
    steps = {"controller": df.Fixed(0.1), "integrator": df.FieldStep(stepper, 1e-12, substeps=1)}
    *_, end = df.evolve(problem, df.State(0.0, u), until=0.3, **steps)
    assert np.allclose(problem.field(end).value, march(stepper, u, 0.3, 6), atol=1e-9)


def test_misuse_is_refused():
    space = square(MPI.COMM_SELF, 2)
    with pytest.raises(ShapeError, match="mass matrix of shape"):
        fem.StiffModel(space.nodes, np.eye(3), space.matrix(laplace))
    with pytest.raises(ParameterError, match="with a load"):
        fem.CrankNicolson(model(space, load=lambda t, u: u))
