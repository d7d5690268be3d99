"""Spaces on periodic meshes of scikit-fem: as there, on any number of ranks, and exact solutions."""

from __future__ import annotations

import numpy as np
import pytest
import skfem
from mpi4py import MPI
from skfem.helpers import dot, grad
from skfem.models import laplace, mass

import dfpde as df
from dfpde import fem
from dfpde.domain.mesh import Mesh
from dfpde.errors import MeshError

GRID = np.linspace(0, 1, 9)


def strip():
    """[0, 1]², periodic in x, triangles."""
    mesh = skfem.MeshTri.init_tensor(GRID, GRID[::2])
    right, left = (mesh.nodes_satisfying(lambda x, at=at: x[0] == at) for at in (1, 0))
    return skfem.MeshTri1DG.periodic(mesh, right, left)


MESHES = {
    "circle": (lambda: skfem.MeshLine1DG.init_tensor(GRID, periodic=[0]), skfem.ElementLineP2()),
    "strip P1": (strip, skfem.ElementTriP1()),
    "strip P2": (strip, skfem.ElementTriP2()),
    "torus": (lambda: skfem.MeshQuad1DG.init_tensor(GRID, GRID, periodic=[0, 1]), skfem.ElementQuad2()),
    "tube": (lambda: skfem.MeshHex1DG.init_tensor(GRID, GRID[::4], GRID[::4], periodic=[0]), skfem.ElementHex1()),
}


def wave(x):
    return np.exp(np.cos(2 * np.pi * x[0]))


@pytest.mark.mpi
@pytest.mark.parametrize("split", ["METIS", "blocks"])
@pytest.mark.parametrize("name", MESHES)
def test_assembly_equals_scikit_fem(comm, name, split):
    make, element = MESHES[name]
    mesh = make()
    basis = skfem.Basis(mesh, element)
    part = fem.partition(mesh, comm) if split == "METIS" else Mesh.from_skfem(mesh, comm)
    space = fem.Space(part, element)
    assert space.nodes.size == basis.N
    u, whole = wave(space.nodes.x), wave(basis.doflocs)
    for form in (mass, laplace):
        expected = whole @ form.assemble(basis) @ whole
        assert comm.allreduce(u @ (space.matrix(form) @ u)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.mpi
def test_boundaries_of_a_strip(comm):
    """∮ over the bottom: the ends belong together; normals point down."""
    mesh = strip()
    heights = mesh.doflocs[1].reshape(-1, 3)  # of the corners of every cell
    pairs = np.array([(0, 1), (1, 2), (0, 2)])  # the facets of a triangle
    place, cell = np.nonzero((heights[:, pairs] == 0).all(axis=2).T)
    mesh = mesh.with_boundaries({"bottom": mesh.t2f[place, cell]})
    space = fem.Space(fem.partition(mesh, comm), skfem.ElementTriP2())
    assert space.integral(skfem.Functional(lambda w: 1.0 + 0 * w.x[0]), "bottom") == pytest.approx(1, rel=1e-13)
    assert space.integral(skfem.Functional(lambda w: w.n[1]), "bottom") == pytest.approx(-1, rel=1e-13)
    assert df.Quadrature.boundary(space.mesh, None, 2).measure == pytest.approx(2, rel=1e-13)
    chosen = space.boundary_nodes("bottom")
    assert np.all(space.nodes.x[1, chosen] == 0)
    assert len(set(comm.allreduce([int(n) for n in space.nodes.numbers[chosen]]))) == 16


@pytest.mark.mpi
@pytest.mark.parametrize(("element", "order"), [(skfem.ElementQuad1(), 2), (skfem.ElementQuad2(), 3)])
def test_poisson_on_a_torus(comm, element, order):
    """−Δc = 8π² sin 2πx sin 2πy has no boundary values: c with mean zero."""
    errors = []
    for n in (8, 16):
        grid = np.linspace(0, 1, n + 1)
        space = fem.Space(fem.partition(skfem.MeshQuad1DG.init_tensor(grid, grid, periodic=[0, 1]), comm), element)
        x = space.quadrature.x
        exact = np.sin(2 * np.pi * x[0]) * np.sin(2 * np.pi * (x[1] - 0.1))
        errors.append(space.quadrature.norm(fem.Elliptic(space, laplace).solve(8 * np.pi**2 * exact).value - exact))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


@pytest.mark.mpi
def test_a_function_is_evaluated_anywhere(comm):
    space = fem.Space(fem.partition(strip(), comm), skfem.ElementTriP2())
    form = skfem.BilinearForm(lambda u, v, w: dot(grad(u), grad(v)) + u * v)
    exact = lambda x: np.cos(2 * np.pi * x[0])  # noqa: E731
    c = fem.Elliptic(space, form).solve((4 * np.pi**2 + 1) * exact(space.quadrature.x))
    points = np.random.default_rng(comm.rank).uniform(0, 1, (2, 50))
    np.testing.assert_allclose(c(points), exact(points), atol=2e-2)


class Harmonic(df.Ansatz):
    """a cos 2πx + b sin 2πx."""

    dim, size = 1, 2

    def value(self, theta, x):
        return theta @ self.tangent(theta, x)

    def tangent(self, theta, x):
        return np.stack([np.cos(2 * np.pi * x[0]), np.sin(2 * np.pi * x[0])])


@pytest.mark.mpi
def test_semi_discrete_heat_on_a_circle(comm):
    """Of P1 elements of length h, cos 2πx is an eigenvector: λ = (6/h²)(1 − cos 2πh)/(2 + cos 2πh)."""
    mesh = skfem.MeshLine1DG.init_tensor(GRID, periodic=[0])
    space = fem.Space(fem.partition(mesh, comm), skfem.ElementLineP1())
    stiffness, h = space.matrix(laplace), 1 / 8
    problem = fem.SemiDiscrete(Harmonic(), space.matrix(mass), lambda t, U: -(stiffness @ U), space.nodes)
    *_, end = df.evolve(
        problem, df.State(0.0, np.array([1.0, 2.0])), until=0.01, controller=df.Fixed(1e-3),
        regularization=df.Inertia(1e-9, 1.0),
    )  # fmt: skip
    eigenvalue = 6 / h**2 * (1 - np.cos(2 * np.pi * h)) / (2 + np.cos(2 * np.pi * h))
    np.testing.assert_allclose(end.theta, np.exp(-0.01 * eigenvalue) * np.array([1.0, 2.0]), rtol=1e-9)


@pytest.mark.mpi
def test_what_cannot_be_joined_is_refused(comm):
    short = skfem.MeshQuad1DG.init_tensor(np.linspace(0, 1, 3), GRID, periodic=[0])
    with pytest.raises(MeshError, match="two facets in common") as caught:
        Mesh.from_skfem(short, comm)
    assert caught.value.collective
    with pytest.raises(MeshError, match="ElementTriP3 has several degrees of freedom on a facet"):
        fem.Space(Mesh.from_skfem(strip(), comm), skfem.ElementTriP3())


def test_ordinary_meshes_keep_their_cells():
    assert Mesh.from_skfem(skfem.MeshTri().refined(1), MPI.COMM_SELF).corners is None
