"""`SemiDiscrete` against scikit-fem's own time stepping, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import skfem
from mpi4py import MPI
from scipy.sparse import csr_array, diags_array, eye_array
from scipy.sparse.linalg import spsolve
from skfem.helpers import dot, grad
from skfem.models import laplace, mass

import dfpde as df
from dfpde import fem
from dfpde.ansatz.base import Ansatz
from dfpde.errors import MassError, NonFiniteError, ParameterError, ShapeError, SolverError
from dfpde.leastsquares import Dense

CONDUCTIVITY = skfem.BilinearForm(lambda u, v, w: np.where(w.x[0] < 0.5, 1.0, 0.1) * dot(grad(u), grad(v)))
HEAT_LOSS = skfem.BilinearForm(lambda u, v, w: 0.5 * u * v)


def square(n: int) -> skfem.Mesh:
    """Unit square with named sides."""
    mesh = skfem.MeshTri.init_tensor(np.linspace(0, 1, n + 1), np.linspace(0, 1, n + 1))
    return mesh.with_boundaries({"left": lambda x: x[0] == 0, "right": lambda x: x[0] == 1})


def space_on(comm: MPI.Comm, mesh: skfem.Mesh, element: skfem.Element) -> fem.Space:
    return fem.Space(fem.partition(mesh if comm.rank == 0 else None, comm), element)


class Line(Ansatz):
    """U_j = θ₀ a_j + θ₁ b_j + θ₀² c_j with functions a, b, c of x: the finite-element solution may be one of these."""

    dim, size = 2, 2

    def __init__(self, *parts) -> None:
        self.parts = parts

    def value(self, theta, x):
        a, b, c = (part(x) for part in self.parts)
        return theta[0] * a + theta[1] * b + theta[0] ** 2 * c

    def tangent(self, theta, x):
        a, b, c = (part(x) for part in self.parts)
        return np.array([a + 2 * theta[0] * c, b])


@pytest.mark.mpi
@pytest.mark.parametrize("element", [skfem.ElementTriP1(), skfem.ElementTriP2()])
def test_all_degrees_of_freedom_reproduce_scikit_fem(comm, element):
    """Linear ansatz of every degree of freedom: RK4 on M U̇ = −K U by scikit-fem and SciPy alone, to 1e-10."""
    mesh, dt, steps = square(5), 1e-3, 10
    basis = skfem.Basis(mesh, element)
    a = skfem.FacetBasis(mesh, element, facets=mesh.boundaries["left"])
    matrix, stiffness = mass.assemble(basis).tocsc(), CONDUCTIVITY.assemble(basis) + HEAT_LOSS.assemble(a)
    start = np.cos(3 * basis.doflocs[0]) + basis.doflocs[1]
    expected = start
    for _ in range(steps):
        k = []
        for c in (0.0, 0.5, 0.5, 1.0):
            k.append(-spsolve(matrix, stiffness @ (expected + c * dt * (k[-1] if k else 0.0))))
        expected = expected + dt / 6 * (k[0] + 2 * k[1] + 2 * k[2] + k[3])

    space = space_on(comm, mesh, element)
    local = space.matrix(CONDUCTIVITY) + space.matrix(HEAT_LOSS, "left")
    ansatz = df.ansatz.FiniteElement(basis)
    problem = fem.SemiDiscrete(ansatz, space.matrix(mass), lambda t, u: -(local @ u), space.nodes)
    run = df.evolve(
        problem, df.State(0.0, start), until=steps * dt, regularization=df.Tikhonov(1e-9), controller=df.Fixed(dt),
        integrator=df.RK4, solver=Dense(),
    )  # fmt: skip
    (*_, last) = run
    assert np.linalg.norm(last.theta - expected) < 1e-10 * np.linalg.norm(expected)
    assert last.statistics.defect < 1e-8


@pytest.mark.mpi
def test_nonlinear_ansatz_that_contains_the_solution(comm):
    """Two eigenvectors of the finite-element problem as ansatz, one of them reached through θ₀ + θ₀²: exact decay."""
    mesh = square(4)
    basis = skfem.Basis(mesh, skfem.ElementTriP1())
    stiffness, matrix = laplace.assemble(basis).toarray(), mass.assemble(basis).toarray()
    rates, vectors = scipy.linalg.eigh(stiffness, matrix)
    element = df.ansatz.FiniteElement(basis)
    first, second = (lambda x, j=j: element.value(vectors[:, j], x) for j in (1, 4))
    ansatz = Line(first, second, first)
    space = space_on(comm, mesh, skfem.ElementTriP1())
    local = space.matrix(laplace)
    problem = fem.SemiDiscrete(ansatz, space.matrix(mass), lambda t, u: -(local @ u), space.nodes)
    until = 0.05
    start = df.State(0.0, np.array([0.5, -1.0]))
    (*_, last) = df.evolve(problem, start, until=until, regularization=df.Tikhonov(1e-8), controller=df.PI(rtol=1e-7))
    expected = 0.75 * np.exp(-rates[1] * until) * vectors[:, 1] - np.exp(-rates[4] * until) * vectors[:, 4]
    difference = problem.field(last).value - element.value(expected, problem.points)
    assert problem.distance(difference) < 1e-6
    assert last.statistics.defect < 1e-7


@pytest.mark.mpi
def test_norm_velocity_and_essential_values(comm):
    """‖u‖_M = ‖u‖_L², and f_I = M_II⁻¹(F_I − M_ID ġ), f_D = ġ, as by scikit-fem's condense."""
    mesh, element = square(6), skfem.ElementTriP2()
    basis = skfem.Basis(mesh, element)
    space = space_on(comm, mesh, element)
    local = space.matrix(laplace)
    rate = lambda t, x: np.cos(t) * x[1]  # noqa: E731
    problem = fem.SemiDiscrete(
        df.GaussianMixture.isotropic(2, 1), space.matrix(mass), lambda t, u: -(local @ u), space.nodes,
        fixed=fem.FixedNodes(space.boundary_nodes("left"), rate),
    )  # fmt: skip
    theta = np.array([1.0, 0.4, 0.3, 2.0])
    u = problem.ansatz.value(theta, basis.doflocs)
    matrix = mass.assemble(basis)
    assert problem.norm(theta) == pytest.approx(np.sqrt(u @ matrix @ u), rel=1e-12)
    sides = basis.get_dofs("left")
    known = np.zeros(basis.N)
    known[sides] = rate(0.3, basis.doflocs[:, sides])
    expected = skfem.solve(*skfem.condense(matrix, -(laplace.assemble(basis) @ u), x=known, D=sides))
    found = problem.velocity(0.3, problem.field(theta).value)
    at_nodes = df.ansatz.FiniteElement(basis).value(expected, problem.points)
    assert np.abs(found - at_nodes).max(initial=0) < 1e-10 * np.abs(expected).max()


@pytest.mark.mpi
def test_systems_and_complex_fields(comm):
    """One mass matrix for every component, and for real and imaginary parts."""
    space = space_on(comm, square(4), skfem.ElementTriP1())
    local = space.matrix(laplace)
    one = df.GaussianMixture.isotropic(2, 1)
    theta = np.array([1.0, 0.4, 0.3, 2.0])

    def problem(ansatz):
        return fem.SemiDiscrete(ansatz, space.matrix(mass), lambda t, u: -(u @ local.T), space.nodes)

    single = problem(one)
    v = Dense().solve(df.leastsquares.LeastSquares(*_system(single, theta), 1e-6)).value
    pair = problem(df.Stack(one, one))
    w = Dense().solve(df.leastsquares.LeastSquares(*_system(pair, np.tile(theta, 2)), 1e-6)).value
    assert np.allclose(w, np.tile(v, 2), rtol=1e-9)
    assert pair.norm(np.tile(theta, 2)) == pytest.approx(np.sqrt(2) * single.norm(theta), rel=1e-13)

    class Twisted(Ansatz):
        dim, size, dtype = 2, 4, complex
        value = staticmethod(lambda theta, x: (0.6 + 0.8j) * one.value(theta, x))
        tangent = staticmethod(lambda theta, x: (0.6 + 0.8j) * one.tangent(theta, x))

    z = Dense().solve(df.leastsquares.LeastSquares(*_system(problem(Twisted()), theta), 1e-6)).value
    assert np.allclose(z, v, rtol=1e-9)


def _system(problem, theta):
    stage = problem.system(0.0, theta)
    return stage.tangent, stage.rhs


@pytest.mark.mpi
def test_fit_in_the_norm_of_the_mass_matrix(comm):
    space = space_on(comm, square(8), skfem.ElementTriP2())
    problem = fem.SemiDiscrete(df.GaussianMixture.isotropic(2, 1), space.matrix(mass), lambda t, u: u, space.nodes)
    theta = np.array([0.7, 0.4, 0.6, 3.0])
    state = df.fit(problem, problem.ansatz.value(theta, problem.points), np.array([1.0, 0.5, 0.5, 2.0]))
    assert np.allclose(np.abs(state.theta), theta, atol=1e-8)


def test_root_of_a_mass_matrix():
    """RᵀR = M to rounding, for graded meshes and with untouched degrees of freedom; singular ones are refused."""
    for mesh, element in (
        (skfem.MeshTri.init_tensor(np.geomspace(1, 1e4, 12), np.geomspace(1, 1e3, 9)), skfem.ElementTriP2()),
        (skfem.MeshTet().refined(2), skfem.ElementTetP1()),
    ):
        matrix = mass.assemble(skfem.Basis(mesh, element))
        root = fem.square_root(matrix)
        size = np.sqrt(matrix.diagonal())
        assert (abs(root.T @ root - matrix) / size[:, None] / size).max() < 1e-14
    wide = csr_array((matrix.shape[0] + 3,) * 2)
    wide[3:, 3:] = matrix
    assert abs(fem.square_root(wide).T @ fem.square_root(wide) - wide).max() < 1e-14

    p2 = mass.assemble(skfem.Basis(skfem.MeshTri().refined(2), skfem.ElementTriP2()))
    lumped = diags_array(np.asarray(p2.sum(axis=0)).ravel())
    ones = np.ones((p2.shape[0], 1)) / p2.shape[0]
    singular = p2 - csr_array((p2 @ ones) @ (p2 @ ones).T / float((ones.T @ (p2 @ ones))[0, 0]))
    for bad in (lumped, singular, p2 - 0.1 * eye_array(p2.shape[0]), csr_array(p2 + eye_array(p2.shape[0], k=1))):
        with pytest.raises(MassError):
            fem.square_root(bad)


@pytest.mark.mpi
def test_named_errors_on_all_ranks(comm):
    """Non-matching sizes, a singular mass matrix, NaN on one rank, a diverging subsolve: one error on every rank."""
    space = space_on(comm, square(4), skfem.ElementTriP1())
    local, ansatz = space.matrix(mass), df.GaussianMixture.isotropic(2, 1)
    theta = np.array([1.0, 0.4, 0.3, 2.0])
    last = comm.rank == comm.size - 1
    with pytest.raises(ShapeError, match="mass matrix of shape"):
        fem.SemiDiscrete(ansatz, eye_array(7, format="csr") if last else local, lambda t, u: u, space.nodes)
    with pytest.raises(MassError):
        fem.SemiDiscrete(ansatz, local * (0.0 if last else 1.0) - eye_array(space.nodes.n), lambda t, u: u, space.nodes)
    with pytest.raises(ShapeError, match="dimensions"):
        fem.SemiDiscrete(df.GaussianMixture.isotropic(3, 1), local, lambda t, u: u, space.nodes)
    wrong = fem.SemiDiscrete(ansatz, local, lambda t, u: u[:-1] if last else u, space.nodes)
    with pytest.raises(ShapeError, match="F\\(t, U\\)"):
        wrong.system(0.0, theta)
    broken = fem.SemiDiscrete(ansatz, local, lambda t, u: u * (np.nan if last else 1.0), space.nodes)
    with pytest.raises(NonFiniteError):
        broken.system(0.0, theta)
    with pytest.raises(ParameterError):
        fem.SemiDiscrete(ansatz, local, lambda t, u: u, space.nodes, fixed=fem.FixedNodes(np.array([10**6])))
    with pytest.raises(SolverError):
        fem.LinearSolver(space.nodes, space.nodes.matrix(local), "dfpde_fem_nan_").solve(np.full(space.nodes.n, np.nan))
    if space.nodes.serial:
        pytest.skip("SuperLU has no iterations that could be too few")
    few = fem.LinearSolver(space.nodes, space.nodes.matrix(local), "dfpde_fem_few_", max_it=1)
    with pytest.raises(SolverError, match="DIVERGED_MAX_IT") as caught:
        few.solve(np.arange(space.nodes.n) ** 2.0)
    assert caught.value.reason < 0 and caught.value.collective


@pytest.mark.mpi
def test_assembled_petsc_matrix_gives_the_same_rows(comm):
    """The norm of an assembled, row-distributed matrix: substructuring across ranks equals the matrix itself."""
    pytest.importorskip("petsc4py")
    mesh, element = square(6), skfem.ElementTriP2()
    space = space_on(comm, mesh, element)
    matrix = space.nodes.matrix(space.matrix(mass))
    stiffness = space.nodes.matrix(space.matrix(laplace))
    low, high = matrix.getOwnershipRange()
    places = np.concatenate(comm.allgather(space.nodes.x), axis=1)
    numbers = np.concatenate(comm.allgather(space.nodes.numbers))
    own = np.array([places[:, np.flatnonzero(numbers == i)[0]] for i in range(low, high)]).reshape(-1, 2).T
    nodes = fem.Nodes(own, comm)

    def rhs(t, u):
        vector = nodes.sum(u)
        return -(stiffness * vector).getArray().copy()

    theta = np.array([1.0, 0.4, 0.3, 2.0])
    ansatz = df.GaussianMixture.isotropic(2, 1)
    assembled = fem.SemiDiscrete(ansatz, matrix, rhs, nodes)
    local = space.matrix(laplace)
    reference = fem.SemiDiscrete(ansatz, space.matrix(mass), lambda t, u: -(local @ u), space.nodes)
    assert assembled.norm(theta) == pytest.approx(reference.norm(theta), rel=1e-12)
    one, other = assembled.system(0.0, theta), reference.system(0.0, theta)
    assert one.tangent.norm(one.rhs) == pytest.approx(other.tangent.norm(other.rhs), rel=1e-10)
    assert np.allclose(one.tangent.adjoint(one.rhs), other.tangent.adjoint(other.rhs), rtol=1e-9, atol=1e-12)
    with pytest.raises(ShapeError):
        fem.SemiDiscrete(ansatz, matrix, rhs, fem.Nodes(own[:, ::-1], comm, np.arange(low, high)[::-1]))
