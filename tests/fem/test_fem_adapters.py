"""Other finite-element codes, where they are installed: the same model through them and through scikit-fem."""

from __future__ import annotations

import numpy as np
import pytest
import skfem
from mpi4py import MPI
from skfem.models import laplace, mass

import dfpde as df
from dfpde import fem
from dfpde.errors import ParameterError, ShapeError

THETA = np.array([1.0, 0.4, 0.3, 2.0])
NU = 0.02


def through_scikit_fem(comm, n: int) -> fem.SemiDiscrete:
    """Heat equation on the unit square, P1 on the mesh whose diagonals go from bottom left to top right."""
    mesh = skfem.MeshTri.init_tensor(np.linspace(0, 1, n + 1), np.linspace(0, 1, n + 1))
    space = fem.Space(fem.partition(mesh if comm.rank == 0 else None, comm), skfem.ElementTriP1())
    local = space.matrix(laplace)
    ansatz = df.GaussianMixture.isotropic(2, 1)
    return fem.SemiDiscrete(ansatz, space.matrix(mass), lambda t, u: -(local @ u), space.nodes)


def compare(one: fem.SemiDiscrete, other: fem.SemiDiscrete, rel: float) -> None:
    """Norm, gradient of the least-squares functional and a short run agree."""
    assert one.norm(THETA) == pytest.approx(other.norm(THETA), rel=rel)
    first, second = one.system(0.0, THETA), other.system(0.0, THETA)
    assert np.allclose(first.tangent.adjoint(first.rhs), second.tangent.adjoint(second.rhs), rtol=rel, atol=rel)
    how = {"until": 0.02, "regularization": df.Tikhonov(1e-4), "controller": df.Fixed(0.01), "integrator": df.RK4}
    ends = [list(df.evolve(problem, df.State(0.0, THETA), **how))[-1].theta for problem in (one, other)]
    assert np.allclose(*ends, rtol=10 * rel)


@pytest.mark.mpi
def test_dolfinx(comm):
    """dolfinx's own assembled matrices on any number of ranks; its functions at dfpde's points and back."""
    dolfinx = pytest.importorskip("dolfinx", reason="dolfinx is not installed (apt-get install python3-dolfinx)")
    import ufl

    from dfpde.fem import dolfinx_adapter

    mesh = dolfinx.mesh.create_unit_square(comm, 6, 6)
    make = getattr(dolfinx.fem, "functionspace", None) or dolfinx.fem.FunctionSpace
    space = make(mesh, ("CG", 1))
    u, v = dolfinx.fem.Function(space), ufl.TestFunction(space)
    model = dolfinx_adapter.semi_discrete(
        df.GaussianMixture.isotropic(2, 1), u, ufl.TrialFunction(space) * v * ufl.dx,
        -ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx,
    )  # fmt: skip
    compare(model, through_scikit_fem(comm, 6), 1e-9)

    linear = lambda x: 1 + 2 * x[0] - x[1]  # noqa: E731
    u.interpolate(linear)
    points = np.random.default_rng(comm.rank).random((2, 7 * comm.rank + 5))
    assert np.allclose(dolfinx_adapter.evaluate(u, points), linear(points), atol=1e-13)
    field = df.Field(model.ansatz, THETA, points)
    u.interpolate(lambda x: field(x[:2]))
    mine = dolfinx_adapter.nodes(space)
    assert np.allclose(u.x.array[: mine.n], field(mine.x), atol=1e-14)
    with pytest.raises(ParameterError, match="outside the mesh"):
        dolfinx_adapter.evaluate(u, points + (3.0 if comm.rank == 0 else 0.0))


def dolfinx_diffusion(comm, dolfinx):
    """A code that exists, u_t = 0.02 Δu on the unit square by P2 and Crank–Nicolson: its model for dfpde and its step.

    The step is wrapped in three lines, the same on any number of ranks.
    """
    import ufl
    from petsc4py import PETSc

    from dfpde.fem import dolfinx_adapter

    mesh = dolfinx.mesh.create_unit_square(comm, 16, 16)
    make = getattr(dolfinx.fem, "functionspace", None) or dolfinx.fem.FunctionSpace
    space = make(mesh, ("CG", 2))
    u, v, w = dolfinx.fem.Function(space), ufl.TestFunction(space), ufl.TrialFunction(space)
    step = dolfinx.fem.Constant(mesh, PETSc.ScalarType(0.0))
    form = lambda c, sign: (c * v + sign * step / 2 * NU * ufl.inner(ufl.grad(c), ufl.grad(v))) * ufl.dx  # noqa: E731
    linear = dolfinx.fem.petsc.LinearProblem(
        form(w, 1), form(u, -1), petsc_options={"ksp_type": "cg", "pc_type": "jacobi", "ksp_rtol": 1e-12}
    )

    def advance(dt):  # the existing code
        step.value = dt
        u.x.array[:] = linear.solve().x.array

    def stepper(t, values, dt):
        u.x.array[: len(values)] = values
        u.x.scatter_forward()
        advance(dt)
        return u.x.array[: len(values)].copy()

    model = dolfinx_adapter.semi_discrete(
        df.GaussianMixture.isotropic(2, 1), u, w * v * ufl.dx, -NU * ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx
    )
    return model, stepper


@pytest.mark.mpi
def test_field_steps_of_a_dolfinx_code(comm):
    """A Gaussian spreads, its parameters are those of one process; the code sees its own nodes, in its own order."""
    dolfinx = pytest.importorskip("dolfinx", reason="dolfinx is not installed (apt-get install python3-dolfinx)")
    pytest.importorskip("dolfinx.fem.petsc")
    ends = []
    for c in (comm, MPI.COMM_SELF):
        model, stepper = dolfinx_diffusion(c, dolfinx)
        start = df.State(0.0, model.ansatz.pack(amplitudes=[1.0], centers=[[0.5, 0.5]], scales=[1 / 0.1]))
        scheme = df.FieldStep(df.integrators.BlackBox(stepper, order=2), substeps=2)
        *_, end = df.evolve(model, start, until=0.1, integrator=scheme, controller=df.Fixed(0.05))
        spread = 0.1**2 + 2 * NU * 0.1
        exact = 0.1**2 / spread * np.exp(-0.5 * np.sum((model.points - 0.5) ** 2, axis=0) / spread)
        assert model.distance(model.field(end).value - exact) < 1e-2 * model.distance(exact)
        ends.append(end.theta)
    assert np.allclose(*ends, rtol=1e-7)


@pytest.mark.mpi
def test_values_at_the_nodes_of_an_assembled_matrix(comm):
    """Rank 0 has nodes of other ranks at its points: values at the nodes come back with those of their owners."""
    dolfinx = pytest.importorskip("dolfinx", reason="dolfinx is not installed (apt-get install python3-dolfinx)")
    pytest.importorskip("dolfinx.fem.petsc")
    model, _ = dolfinx_diffusion(comm, dolfinx)
    assert comm.allreduce(model.points.shape[1] - model.nodes.n) > 0 or comm.size == 1
    for f in (lambda x: np.sin(3 * x[0]) - x[1], lambda x: x[0] + 1j * x[1]):
        values = f(model.points)
        assert np.array_equal(model.own(values), f(model.nodes.x))
        assert np.array_equal(model.with_ghosts(model.own(values)), values)
    with pytest.raises(ShapeError, match="values has shape"):
        model.with_ghosts(np.zeros(model.nodes.n + (comm.rank == 0)))


@pytest.mark.mpi
def test_firedrake(comm):
    """Firedrake's own assembled matrices."""
    firedrake = pytest.importorskip("firedrake", reason="Firedrake is installed from source only; not here")
    from dfpde.fem import firedrake_adapter

    mesh = firedrake.UnitSquareMesh(6, 6, diagonal="right", comm=comm)
    space = firedrake.FunctionSpace(mesh, "CG", 1)
    u, v = firedrake.Function(space), firedrake.TestFunction(space)
    model = firedrake_adapter.semi_discrete(
        df.GaussianMixture.isotropic(2, 1), u, firedrake.TrialFunction(space) * v * firedrake.dx,
        -firedrake.inner(firedrake.grad(u), firedrake.grad(v)) * firedrake.dx,
    )  # fmt: skip
    compare(model, through_scikit_fem(comm, 6), 1e-9)
