"""Spaces over ranks: METIS parts, assembly, elliptic solves, boundary conditions, transfer."""

from __future__ import annotations

import numpy as np
import pytest
import skfem
from mpi4py import MPI
from scipy import sparse
from skfem.helpers import dot, grad
from skfem.models import laplace, mass

import dfpde as df
from dfpde import fem
from dfpde.domain.decomposition import dual_graph, shared_numbers
from dfpde.domain.raw import RawMesh
from dfpde.errors import DfpdeError, MeshError, NonFiniteError, ParameterError, ShapeError, SolverError

HELMHOLTZ = skfem.BilinearForm(lambda u, v, w: dot(grad(u), grad(v)) + u * v)


def square(n: int) -> skfem.Mesh:
    mesh = skfem.MeshTri.init_tensor(np.linspace(0, 1, n + 1), np.linspace(0, 1, n + 1))
    return mesh.with_boundaries({"left": lambda x: x[0] == 0, "right": lambda x: x[0] == 1})


def space_on(comm: MPI.Comm, mesh: skfem.Mesh, element: skfem.Element, intorder: int | None = None) -> fem.Space:
    return fem.Space(fem.partition(mesh if comm.rank == 0 else None, comm), element, intorder)


ELEMENTS = [
    (square(3), skfem.ElementTriP1()),
    (square(3), skfem.ElementTriP2()),
    (skfem.MeshTri(), skfem.ElementTriP2()),  # two cells: fewer than three ranks
    (skfem.MeshTet().refined(1), skfem.ElementTetP1()),
    (skfem.MeshTet().refined(1), skfem.ElementTetP2()),
    (skfem.MeshQuad().refined(2), skfem.ElementQuad2()),
    (skfem.MeshLine(np.linspace(0, 1, 6)), skfem.ElementLineP2()),
]


@pytest.mark.mpi
@pytest.mark.parametrize(("mesh", "element"), ELEMENTS, ids=lambda part: type(part).__name__)
def test_distributed_assembly_equals_scikit_fem(comm, mesh, element):
    """uᵀA u, ∫ f v and M⁻¹K u on any number of ranks, more than cells included."""
    basis = skfem.Basis(mesh, element)
    space = space_on(comm, mesh, element)
    f = lambda x: np.exp(-x[0]) * (1 + x[-1])  # noqa: E731
    u, whole = f(space.nodes.x), f(basis.doflocs)
    assert space.nodes.size == basis.N
    for form in (mass, laplace):
        matrix = form.assemble(basis)
        assert comm.allreduce(u @ (space.matrix(form) @ u)) == pytest.approx(whole @ matrix @ whole, rel=1e-12)
    expected = skfem.solve(mass.assemble(basis), laplace.assemble(basis) @ whole)
    solver = fem.LinearSolver(space.nodes, space.nodes.matrix(space.matrix(mass)), "dfpde_fem_test_")
    found = solver.solve(space.matrix(laplace) @ u)
    at_nodes = df.ansatz.FiniteElement(basis).value(expected, space.nodes.x)
    assert np.abs(found - at_nodes).max(initial=0) < 1e-10 * np.linalg.norm(expected)
    assert space.integral(skfem.Functional(lambda w: w.x[0])) == pytest.approx(
        skfem.Functional(lambda w: w.x[0]).assemble(basis), rel=1e-12
    )


NODAL = [
    (skfem.MeshTri(), skfem.ElementTriP1()), (skfem.MeshTri(), skfem.ElementTriP3()),
    (skfem.MeshTri(), skfem.ElementTriCR()), (skfem.MeshTri(), skfem.ElementTriP0()),
    (skfem.MeshQuad(), skfem.ElementQuadS2()), (skfem.MeshHex(), skfem.ElementHex2()),
    (skfem.MeshTri(), skfem.ElementDG(skfem.ElementTriP1())), (skfem.MeshLine(), skfem.ElementLineP2()),
]  # fmt: skip
OTHER = [
    (skfem.MeshLine(), skfem.ElementLineHermite()), (skfem.MeshTri(), skfem.ElementTriArgyris()),
    (skfem.MeshTri(), skfem.ElementTriMorley()), (skfem.MeshTri(), skfem.ElementTriHermite()),
    (skfem.MeshQuad(), skfem.ElementQuadBFS()), (skfem.MeshTri(), skfem.ElementTriMini()),
    (skfem.MeshTri(), skfem.ElementTriRT0()), (skfem.MeshTet(), skfem.ElementTetN0()),
    (skfem.MeshTri(), skfem.ElementVector(skfem.ElementTriP1())), (skfem.MeshHex(), skfem.ElementHexRT1()),
]  # fmt: skip


@pytest.mark.mpi
@pytest.mark.parametrize(("mesh", "element"), NODAL + OTHER, ids=lambda part: type(part).__name__)
def test_degrees_of_freedom_that_are_no_values_are_refused_by_name(comm, mesh, element):
    """u = x + 2 has its values at the nodes as coefficients, or the model and Dirichlet values refuse the element."""
    space = space_on(comm, mesh, element)
    ansatz = df.GaussianMixture.isotropic(space.mesh.dim, 1)
    unit = sparse.eye_array(space.nodes.n).tocsr()
    make = (
        lambda: fem.SemiDiscrete(ansatz, unit, lambda t, U: U, space.nodes),
        lambda: fem.Elliptic(space, laplace, dirichlet={"left": 0.0}),
    )
    if element in [part for _, part in OTHER]:
        for attempt in make:
            with pytest.raises(ParameterError, match=f"those of {type(element).__name__} are not") as caught:
                attempt()
            assert caught.value.collective
        return
    assert make[0]().points is not None
    if space.basis is not None:
        field = space.basis.interpolate(space.nodes.x[0] + 2.0)
        exact = 2.0 + (space.basis.global_coordinates()[0] if element.maxdeg else 0.5)
        assert element.maxdeg == 0 or np.allclose(np.asarray(field), exact, atol=1e-13)


def test_a_form_that_does_not_fit_the_element_is_named():
    space = space_on(MPI.COMM_SELF, square(2), skfem.ElementTriRT0())
    with pytest.raises(ShapeError, match="does not fit ElementTriRT"):
        space.matrix(mass)
    with pytest.raises(ParameterError, match="values of ElementTriRT"):
        _ = space.evaluation


@pytest.mark.mpi
def test_named_boundaries_keep_their_facets(comm):
    """Length, normals and nodes of a named boundary do not depend on the parts; unknown names are refused."""
    space = space_on(comm, square(4), skfem.ElementTriP2())
    flux = skfem.Functional(lambda w: w.n[0] * (1 + w.x[1]))
    assert space.integral(flux, "right") == pytest.approx(1.5, rel=1e-13)
    assert space.integral(flux, "left") == pytest.approx(-1.5, rel=1e-13)
    chosen = space.boundary_nodes("left")
    assert np.all(space.nodes.x[0, chosen] == 0)
    assert np.sum(space.nodes.x[0] == 0) == chosen.size
    for use in (space.boundary_nodes, lambda name: space.integral(flux, name), lambda name: _dirichlet(space, name)):
        with pytest.raises(ParameterError, match="no boundary 'hole'") as caught:
            use("hole")
        assert caught.value.collective
    with pytest.raises(MeshError):
        fem.partition(None, comm)


def _dirichlet(space: fem.Space, name: str) -> fem.Elliptic:
    return fem.Elliptic(space, HELMHOLTZ, dirichlet={name: 0.0})


def test_parts_are_balanced_and_connected():
    """METIS parts of an annulus differ by at most 4 % in size, and their borders are short."""
    mesh = skfem.MeshTri.init_circle(4)
    raw = RawMesh(mesh.p, mesh.t, "triangle")
    start, neighbours = dual_graph(raw)
    assert np.array_equal(np.diff(start), np.sum(mesh.f2t[1][mesh.t2f] >= 0, axis=0))
    owner = fem.partition_cells(raw, 4)
    counts = np.bincount(owner, minlength=4)
    assert counts.max() < 1.04 * counts.mean()
    source = np.repeat(np.arange(mesh.nelements), np.diff(start))
    border = np.sum(owner[source] != owner[neighbours]) / 2
    contiguous = np.arange(mesh.nelements) * 4 // mesh.nelements
    assert border < 0.5 * np.sum(contiguous[source] != contiguous[neighbours]) / 2
    assert np.array_equal(np.sort(fem.partition_cells(RawMesh(mesh.p, mesh.t[:, :3], "triangle"), 5)), [0, 1, 2])


@pytest.mark.mpi
def test_numbers_of_shared_things(comm):
    """Equal keys get equal numbers, different keys different ones, 0 … without gaps."""
    keys = np.stack([np.arange(comm.rank, comm.rank + 6), np.arange(6) * 0])
    numbers = shared_numbers(keys, comm)
    everyone = [np.concatenate(comm.allgather(part)) for part in (keys[0], numbers)]
    everything = dict(zip(*everyone, strict=True))
    assert sorted(everything.values()) == list(range(comm.size + 5))
    assert [everything[key] for key in keys[0]] == numbers.tolist()


@pytest.mark.mpi
def test_elliptic_orders(comm):
    """−Δc + c = u with natural and essential conditions: values of order k + 1, gradients of order k."""
    exact = lambda x: np.cos(np.pi * x[0]) * np.cos(np.pi * x[1])  # noqa: E731
    for element, order in ((skfem.ElementTriP1(), 1), (skfem.ElementTriP2(), 2)):
        errors = []
        for n in (8, 16):
            space = space_on(comm, square(n), element, 6)
            x = space.quadrature.x
            problem = fem.Elliptic(space, HELMHOLTZ, dirichlet={"left": exact})
            c = problem.solve((1 + 2 * np.pi**2) * exact(x))
            slope = -np.pi * np.sin(np.pi * x[0]) * np.cos(np.pi * x[1])
            errors.append([space.quadrature.norm(c.value - exact(x)), space.quadrature.norm(c.gradient[0] - slope)])
        rates = np.log2(np.divide(*errors))
        assert rates == pytest.approx([order + 1, order], abs=0.15)


@pytest.mark.mpi
def test_nitsche_is_consistent(comm):
    """−Δu = 0 with u = 1 + 2x − y by Nitsche's method: exact (patch test); order 2 for P1 otherwise."""
    element = skfem.ElementTriP1()

    def solve(n, g, source):
        mesh = skfem.MeshTri.init_tensor(np.linspace(0, 1, n + 1), np.linspace(0, 1, n + 1))
        space = space_on(comm, mesh.with_boundaries({"rim": mesh.boundary_facets()}), element, 4)
        bilinear, linear = fem.nitsche(1.0, 10.0)
        load = space.vector(linear, "rim", g=g(space.nodes.x))
        c = fem.Elliptic(space, laplace, boundary={"rim": bilinear}, load=load).solve(source(space.quadrature.x))
        return space.quadrature.norm(c.value - g(space.quadrature.x))

    assert solve(4, lambda x: 1 + 2 * x[0] - x[1], lambda x: 0 * x[0]) < 1e-9
    errors = [solve(n, lambda x: np.sin(2 * x[0] + x[1]), lambda x: 5 * np.sin(2 * x[0] + x[1])) for n in (8, 16)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.15)


@pytest.mark.mpi
def test_robin_rows(comm):
    """u_t = Δu with a condition that the exact solution satisfies: its rows add no defect; another β does."""
    ansatz = df.GaussianMixture.isotropic(2, 1)
    theta = np.array([1.0, 0.3, 0.2, 1.5])  # amplitude, centre, scale: spreads with s' = −s³, a' = −2 s² a
    mesh = skfem.MeshTri().refined(2).with_boundaries({"top": lambda x: x[1] == 1})

    def exact(t, x):
        spread = 1 / 1.5**2 + 2 * t
        return np.exp(-((x[0] - 0.3) ** 2 + (x[1] - 0.2) ** 2) / (2 * spread)) / (1.5**2 * spread)

    def flux(beta):
        return lambda t, x: (-(x[1] - 0.2) / (1 / 1.5**2 + 2 * t) + beta) * exact(t, x)

    quadrature = df.Quadrature.from_mesh(mesh, 6, comm)
    top = df.Quadrature.boundary(mesh, "top", 6, comm)
    for beta, right, defect in ((0.0, 0.0, 0.0), (0.7, 0.7, 0.0), (0.7, 0.0, 0.1)):
        condition = fem.Robin(top, flux(right), beta=beta, decay=2.0)
        problem = df.Problem(ansatz, quadrature, lambda t, x, u: df.laplacian(u), (condition,))
        system = problem.system(0.0, theta)
        v = df.Dense().solve(df.leastsquares.LeastSquares(system.tangent, system.rhs, 1e-12))
        if defect:
            assert v.defect > defect
        else:
            assert v.defect < 1e-8
            assert v.value == pytest.approx([-2 * 1.5**2, 0, 0, -(1.5**3)], abs=1e-6)
    with pytest.raises(ParameterError, match="normals"):
        fem.Robin(quadrature, flux(0.0))


@pytest.mark.mpi
def test_transfer_there_and_back(comm):
    """Finite elements at points on any rank and back: quadratics exactly, projections of order k + 1."""
    space = space_on(comm, square(5), skfem.ElementTriP2())
    u = lambda x: 1 + x[0] * x[1] - x[1] ** 2  # noqa: E731
    function = fem.Function(space, u(space.nodes.x))
    x = np.random.default_rng(comm.rank).random((2, 40 if comm.rank != 1 else 0))
    evaluation = fem.Evaluation(space, x)
    assert np.allclose(function(x), u(x), atol=1e-13)
    assert np.allclose(evaluation.gradient(function.nodal), [x[1], x[0] - 2 * x[1]], atol=1e-12)
    assert np.allclose(fem.Projection(space).apply(u).nodal, u(space.nodes.x), atol=1e-11)
    outside = np.array([[0.5, 2.0], [0.5, 0.5]])
    assert np.allclose(fem.Evaluation(space, outside, outside=-7.0).value(function.nodal), [u(outside[:, 0]), -7.0])
    with pytest.raises(ParameterError, match="outside the mesh"):
        fem.Evaluation(space, outside if comm.rank == comm.size - 1 else x)

    ansatz, theta = df.GaussianMixture.isotropic(2, 1), np.array([1.0, 0.4, 0.3, 2.0])
    field = df.Field(ansatz, theta, space.quadrature.x)
    errors = []
    for n in (6, 12):
        fine = space_on(comm, square(n), skfem.ElementTriP1(), 5)
        projected = fem.Projection(fine).apply(field)
        errors.append(fine.quadrature.norm(projected.value - field(fine.quadrature.x)))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.15)
    basis = skfem.Basis(square(6), skfem.ElementTriP1(), intorder=5)
    alone = fem.Space.serial(square(6), skfem.ElementTriP1(), 5)
    assert np.allclose(fem.Projection(alone).apply(field).nodal, basis.project(field)[_order(basis, alone)], atol=1e-9)


def _order(basis: skfem.Basis, space: fem.Space) -> np.ndarray:
    """scikit-fem's number of each node of a serial space."""
    return np.argmin(np.abs(basis.doflocs[:, None] - space.nodes.x[:, :, None]).sum(axis=0), axis=1)


@pytest.mark.mpi
def test_a_fit_to_a_finite_element_function(comm):
    """Back: a Gaussian interpolated by P2 elements is found again, to the interpolation error."""
    space = space_on(comm, square(10), skfem.ElementTriP2())
    theta = np.array([0.8, 0.45, 0.55, 3.0])
    ansatz = df.GaussianMixture.isotropic(2, 1)
    given = fem.Function(space, ansatz.value(theta, space.nodes.x))
    quadrature = df.Quadrature.gauss([(0.1, 0.9), (0.1, 0.9)], 5, 4, comm)
    problem = df.Problem(ansatz, quadrature, lambda t, x, u: u.value)
    state = df.fit(problem, given(quadrature.x), np.array([1.0, 0.5, 0.5, 2.0]))
    assert np.allclose(state.theta, theta, atol=2e-3)


@pytest.mark.mpi
def test_a_diverging_subsolve_and_bad_sources(comm):
    """Named errors on all ranks out of an elliptic problem inside f."""
    space = space_on(comm, square(4), skfem.ElementTriP1())
    indefinite = skfem.BilinearForm(lambda u, v, w: dot(grad(u), grad(v)) - 300.0 * u * v)
    cases: list[tuple[type[DfpdeError], str, object, float]] = [
        (SolverError, "finite-element solve", indefinite, 1.0),
        (NonFiniteError, "source", HELMHOLTZ, np.nan),
    ]
    for error, message, form, value in cases[1:] if space.nodes.serial else cases:  # SuperLU takes indefinite matrices
        problem = fem.Elliptic(space, form, prefix="dfpde_fem_bad_")
        source = np.ones(space.quadrature.n) * (value if comm.rank == comm.size - 1 else 1.0)
        with pytest.raises(error, match=message) as caught:
            problem.solve(source * (1 + space.quadrature.x[0]))
        assert caught.value.collective
    with pytest.raises(ShapeError):
        fem.Elliptic(space, HELMHOLTZ).solve(np.ones(space.quadrature.n + (comm.rank == comm.size - 1)))
