"""Quadratures: exactness on every cell type, the divergence theorem, and the same numbers on any number of ranks."""

from __future__ import annotations

from itertools import pairwise
from math import factorial

import numpy as np
import pytest
import skfem
from hypothesis import given
from hypothesis import strategies as st
from mpi4py import MPI
from small_meshes import DEGREE, KINDS, cube, monomials, sides

from dfpde.domain import cells
from dfpde.domain.mesh import Mesh
from dfpde.domain.quadrature import Quadrature
from dfpde.domain.splitting import blocks
from dfpde.errors import MeshError, NonFiniteError, ParameterError, QuadratureError, ReplicationError, ShapeError

SELF = MPI.COMM_SELF
EPS = np.finfo(float).eps


# -- reference rules -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "orders"),
    [("line", 30), ("triangle", 22), ("quad", 12), ("tetra", 12), ("hexahedron", 7)],
)
def test_reference_rules_are_positive_and_exact(kind: str, orders: int) -> None:
    refdom = cube(kind, 1).refdom
    dim = refdom.dim()
    for order in range(orders + 1):
        x, w = cells.rule(refdom, order)
        assert np.all(w > 0) and np.all(x >= 0) and np.all(x <= 1)
        for k in monomials(dim, order):
            simplex = np.prod([float(factorial(j)) for j in k]) / factorial(sum(k) + dim)
            exact = simplex if kind in ("triangle", "tetra") else 1 / np.prod([j + 1 for j in k])
            assert w @ np.prod(x ** np.array(k)[:, None], axis=0) == pytest.approx(exact, rel=1e-12)


def test_rules_do_not_promise_more_than_they_keep() -> None:
    """The test above can fail: a rule two degrees short is far from its tolerance."""
    x, w = cells.rule(cube("tetra", 1).refdom, 4)
    assert abs(w @ x[0] ** 7 / (factorial(7) / factorial(10)) - 1) > 1e-4


@pytest.mark.parametrize("order", [-1, 2.5, "3"])
def test_impossible_order(order: object) -> None:
    with pytest.raises(ParameterError, match="quadrature order"):
        Quadrature.from_mesh(cube("line"), order, SELF)


# -- cells ---------------------------------------------------------------------------------------------------
@pytest.mark.mpi
@pytest.mark.parametrize("kind", KINDS)
def test_exact_degree_on_distorted_cells(kind: str, comm: MPI.Comm) -> None:
    mesh = cube(kind, 2)
    for degree in range(3):
        quadrature = Quadrature.from_mesh(mesh, DEGREE[kind](degree), comm)
        for k in monomials(mesh.dim(), degree):
            value = quadrature.integrate(np.prod(quadrature.x ** np.array(k)[:, None], axis=0))
            assert value == pytest.approx(1 / np.prod([j + 1 for j in k]), rel=1e-13)


@pytest.mark.parametrize(("order", "rate"), [(0, 4), (3, 4), (4, 6), (5, 6), (6, 8)])
def test_convergence_of_gauss_cells(order: int, rate: int) -> None:
    """n = max(2, order // 2 + 1) Gauss points per cell: error O(h^2n)."""
    errors = []
    for n in (3, 6):
        rule = Quadrature.gauss((0.0, 2.0), n, order, SELF)
        errors.append(abs(rule.integrate(np.exp(2 * rule.x[0])) - (np.exp(4) - 1) / 2))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(rate, abs=0.15)


@pytest.mark.mpi
def test_gauss_box(comm: MPI.Comm) -> None:
    rule = Quadrature.gauss([(0, 1), (-1, 2), (0, 0.5)], [2, 3, 1], 5, comm)
    x, y, z = rule.x
    assert rule.integrate(x**5 * y**4 * z**3) == pytest.approx(1 / 6 * 33 / 5 * 0.5**4 / 4, rel=1e-13)
    assert rule.size == 2 * 3 * 1 * 3**3


@pytest.mark.mpi
def test_periodic_rule_is_exact_below_its_number_of_points_and_aliases_there(comm: MPI.Comm) -> None:
    n = 9
    rule = Quadrature.periodic((0.0, 2 * np.pi), n, comm)
    for k in range(1, n):
        assert abs(rule.integrate(np.exp(1j * k * rule.x[0]))) < 20 * EPS
    assert rule.integrate(np.exp(1j * n * rule.x[0])) == pytest.approx(2 * np.pi, rel=1e-13)
    box = Quadrature.periodic([(-1, 1), (0, 3)], (4, 5), comm)
    assert box.size == 20 and box.measure == pytest.approx(6, rel=1e-14)
    points = np.concatenate(comm.allgather(box.x), axis=1)
    assert np.allclose(points[1, :5], 3 * np.arange(5) / 5) and np.all(points[0, :5] == -1)


# -- boundaries ----------------------------------------------------------------------------------------------
def _field(dim: int, degree: int) -> tuple[object, object]:
    """A polynomial vector field and its divergence."""
    rng = np.random.default_rng(3)
    terms = [(axis, np.array(k), rng.normal()) for axis in range(dim) for k in monomials(dim, degree)]

    def flux(x: np.ndarray) -> np.ndarray:
        out = np.zeros_like(x)
        for axis, k, c in terms:
            out[axis] += c * np.prod(x ** k[:, None], axis=0)
        return out

    def divergence(x: np.ndarray) -> np.ndarray:
        out = np.zeros(x.shape[1])
        for axis, k, c in terms:
            if k[axis]:
                lower = k - (np.arange(dim) == axis)
                out += c * k[axis] * np.prod(x ** lower[:, None], axis=0)
        return out

    return flux, divergence


@pytest.mark.mpi
@pytest.mark.parametrize("kind", KINDS)
def test_divergence_theorem(kind: str, comm: MPI.Comm) -> None:
    mesh = cube(kind, 2)
    flux, divergence = _field(mesh.dim(), 3)
    inside = Quadrature.from_mesh(mesh, DEGREE[kind](2), comm)
    around = Quadrature.boundary(mesh, None, 3, comm)
    assert around.measure == pytest.approx(2 * mesh.dim(), rel=1e-13)
    lost = inside.integrate(divergence(inside.x)) - around.integrate(np.sum(flux(around.x) * around.normals, axis=0))
    assert abs(lost) < 1e-12


@pytest.mark.mpi
@pytest.mark.parametrize("mesh", [skfem.MeshTri2.init_circle(2), skfem.MeshTet2.init_ball(1)], ids=["disk", "ball"])
def test_divergence_theorem_with_curved_boundary(mesh: skfem.Mesh, comm: MPI.Comm) -> None:
    """Facets of degree 2: F of degree 2 gives F·n dS of degree 5 (6 on triangles in space)."""
    flux, divergence = _field(mesh.dim(), 2)
    inside = Quadrature.from_mesh(mesh, 5, comm)
    around = Quadrature.boundary(mesh, None, 6, comm)
    lost = inside.integrate(divergence(inside.x)) - around.integrate(np.sum(flux(around.x) * around.normals, axis=0))
    assert abs(lost) < 1e-12
    assert np.allclose(np.linalg.norm(around.normals, axis=0), 1, rtol=1e-14)


@pytest.mark.mpi
@pytest.mark.parametrize("kind", ["line", "triangle", "quad", "tetra", "hexahedron"])
def test_named_sides(kind: str, comm: MPI.Comm) -> None:
    mesh = sides(cube(kind, 2))
    for axis, (low, high) in enumerate([("left", "right"), ("bottom", "top"), ("front", "back")][: mesh.dim()]):
        for name, at in ((low, 0), (high, 1)):
            side = Quadrature.boundary(mesh, name, 2, comm)
            assert side.measure == pytest.approx(1, rel=1e-13)
            assert np.allclose(side.x[axis], at)
            assert np.allclose(side.normals, (2 * at - 1) * np.eye(mesh.dim())[:, [axis]], atol=1e-14)


@pytest.mark.mpi
def test_subdomain(comm: MPI.Comm) -> None:
    mesh = skfem.MeshTri().refined(3).with_subdomains({"lower": lambda x: x[1] < 0.5})
    lower = Quadrature.from_mesh(mesh, 2, comm, subdomain="lower")
    assert lower.measure == pytest.approx(0.5, rel=1e-14)
    assert lower.integrate(lower.x[1]) == pytest.approx(0.125, rel=1e-14)


# -- sums and ranks ------------------------------------------------------------------------------------------
@pytest.mark.mpi
@pytest.mark.parametrize("kind", KINDS)
def test_points_do_not_depend_on_the_number_of_ranks(kind: str, comm: MPI.Comm) -> None:
    """The serial points and weights, in the same order, each once; products of other sizes may round otherwise."""
    mesh = cube(kind, 2)
    alone, shared = Quadrature.from_mesh(mesh, 3, SELF), Quadrature.from_mesh(mesh, 3, comm)
    np.testing.assert_allclose(np.concatenate(comm.allgather(shared.x), axis=1), alone.x, rtol=0, atol=4e-16)
    np.testing.assert_allclose(np.concatenate(comm.allgather(shared.w)), alone.w, rtol=1e-15)
    assert shared.size == alone.size
    assert shared.offset == sum(comm.allgather(shared.n)[: comm.rank])


@pytest.mark.mpi
def test_more_ranks_than_cells(comm: MPI.Comm) -> None:
    mesh = skfem.MeshLine(np.array([0.0, 2.0])).with_boundaries({"right": lambda x: x[0] > 1})
    rule = Quadrature.from_mesh(mesh, 3, comm)
    assert sorted(comm.allgather(rule.n)) == [0] * (comm.size - 1) + [2]
    assert rule.x.shape == (1, rule.n)
    assert rule.integrate(rule.x**3) == pytest.approx([4.0], rel=1e-14)
    assert Quadrature.boundary(mesh, "right", 0, comm).integrate(np.ones(1 if rule.n else 0)) == 1.0


@pytest.mark.mpi
def test_products_of_real_complex_and_vector_fields(comm: MPI.Comm) -> None:
    rule = Quadrature.gauss((0.0, 1.0), 4, 5, comm)
    x = rule.x[0]
    assert rule.inner(x, x**2) == pytest.approx(0.25, rel=1e-13)
    assert rule.inner(1j * x, x) == pytest.approx(0, abs=1e-15)
    assert rule.inner((1 + 2j) * x, 1j * x) == pytest.approx(2 / 3, rel=1e-13)
    both = np.stack([x, 1j * x])
    assert rule.norm(both) == pytest.approx(np.sqrt(2 / 3), rel=1e-13)
    assert rule.integrate(both) == pytest.approx([0.5, 0.5j], rel=1e-13)
    assert rule.integrate(np.ones((2, 3, rule.n))) == pytest.approx(np.ones((2, 3)), rel=1e-13)


@pytest.mark.mpi
def test_one_rank_may_be_real_where_another_is_complex(comm: MPI.Comm) -> None:
    rule = Quadrature.periodic((0.0, 1.0), 6, comm)
    values = np.ones(rule.n) if comm.rank == 0 else np.ones(rule.n) + 0j
    assert rule.integrate(values) == pytest.approx(1.0, rel=1e-14)


@given(st.data())
def test_blocks_cover_and_balance(data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0, 10), min_size=1, max_size=30).filter(lambda w: sum(w) > 1e-3))
    parts = data.draw(st.integers(1, 8))
    cuts = blocks(len(weights), parts, np.array(weights))
    assert cuts[0] == 0 and cuts[-1] == len(weights) and np.all(np.diff(cuts) >= 0)
    loads = [sum(weights[a:b]) for a, b in pairwise(cuts)]
    assert max(loads) <= sum(weights) / parts + max(weights) + 1e-9
    equal = np.diff(blocks(len(weights), parts))
    assert equal.max() - equal.min() <= 1


# -- scikit-fem bases ----------------------------------------------------------------------------------------
@pytest.mark.mpi
def test_basis_gives_its_own_points(comm: MPI.Comm) -> None:
    basis = skfem.Basis(cube("quad", 3), skfem.ElementQuad2())
    split = Quadrature.from_basis(basis, comm)
    assert split.size == basis.dx.size and split.measure == pytest.approx(1, rel=1e-13)
    mass = skfem.BilinearForm(lambda u, v, _: u * v).assemble(basis)
    nodal = np.sin(basis.doflocs).prod(axis=0)
    values = np.asarray(basis.interpolate(nodal))
    mine = values[blocks(len(values), comm.size)[comm.rank] : blocks(len(values), comm.size)[comm.rank + 1]]
    assert split.norm(mine.ravel()) ** 2 == pytest.approx(nodal @ mass @ nodal, rel=1e-13)
    moved = skfem.Basis(cube("quad", 3).translated((float(comm.rank), 0.0)), skfem.ElementQuad2())
    whole = Quadrature.from_basis(moved, comm, split=False)  # every rank's own cells
    assert whole.measure == pytest.approx(comm.size, rel=1e-13)


@pytest.mark.mpi
def test_facet_basis_brings_its_normals(comm: MPI.Comm) -> None:
    mesh = cube("triangle", 3)
    around = Quadrature.from_basis(skfem.FacetBasis(mesh, skfem.ElementTriP1(), intorder=3), comm)
    assert around.integrate(np.sum(around.x * around.normals, axis=0)) == pytest.approx(2, rel=1e-13)


# -- misuse: all ranks raise ---------------------------------------------------------------------------------
X, W = np.array([[0.25, 0.75]]), np.array([0.5, 0.5])
MISUSE = {
    "points one-dimensional": (ShapeError, lambda: (X[0], W), "give real numbers"),
    "weights too many": (ShapeError, lambda: (X, np.ones(3)), "weights"),
    "complex points": (ShapeError, lambda: (X + 0j, W), "complex128"),
    "no dimension": (ShapeError, lambda: (np.zeros((0, 2)), W), "points"),
    "NaN point": (NonFiniteError, lambda: (np.array([[0.25, np.nan]]), W), "x is not finite"),
    "infinite weight": (NonFiniteError, lambda: (X, np.array([0.5, np.inf])), "w is not finite"),
    "negative weight": (QuadratureError, lambda: (X, np.array([1.5, -0.5])), r"negative.*\[1\]"),
}


@pytest.mark.mpi
@pytest.mark.parametrize("name", MISUSE)
def test_bad_points_on_one_rank_raise_on_all(name: str, comm: MPI.Comm) -> None:
    error, bad, message = MISUSE[name]
    x, w = bad() if comm.rank == comm.size - 1 else (X, W)
    with pytest.raises(error, match=message) as caught:
        Quadrature(x, w, comm)
    assert caught.value.collective and caught.value.remedy


@pytest.mark.mpi
def test_total_weight_must_be_positive(comm: MPI.Comm) -> None:
    with pytest.raises(QuadratureError, match="sum to zero"):
        Quadrature(X, 0 * W, comm)
    with pytest.raises(QuadratureError, match="sum to zero"):
        Quadrature(np.zeros((2, 0)), np.zeros(0), comm)


@pytest.mark.mpi
def test_ranks_must_agree_on_the_dimension(comm: MPI.Comm) -> None:
    if comm.size == 1:
        pytest.skip("needs two ranks")
    x = np.zeros((2 if comm.rank else 1, 2))
    with pytest.raises(QuadratureError, match="ranks disagree"):
        Quadrature(x, W, comm)
    with pytest.raises(QuadratureError, match="normals"):
        Quadrature(X, W, comm, normals=X if comm.rank else None)


@pytest.mark.mpi
def test_bad_values_on_one_rank_raise_on_all(comm: MPI.Comm) -> None:
    rule = Quadrature.gauss((0.0, 1.0), 2 * comm.size, 3, comm)
    good, last = np.ones(rule.n), comm.rank == comm.size - 1
    with pytest.raises(ShapeError, match="points"):
        rule.integrate(np.ones(rule.n + 1) if last else good)
    with pytest.raises(ShapeError, match="equal shape"):
        rule.inner(good, np.ones((2, rule.n)) if last else good)
    with pytest.raises(NonFiniteError, match="not finite"):
        rule.norm(np.full(rule.n, np.nan) if last else good)
    assert rule.norm(good) == pytest.approx(1, rel=1e-13)  # still in step


@pytest.mark.mpi
def test_unknown_names_list_the_known(comm: MPI.Comm) -> None:
    mesh = Mesh.from_skfem(sides(cube("triangle")), comm)
    with pytest.raises(ParameterError, match=r"no boundary 'lid'.*\n.*bottom, left, right, top"):
        Quadrature.boundary(mesh, "lid", 2)
    with pytest.raises(ParameterError, match=r"no subdomain 'fluid'.*\n.*none"):
        Quadrature.from_mesh(mesh, 2, subdomain="fluid")


@pytest.mark.parametrize("bounds", [(1, 0), (0, 0), (0, np.nan), (0, 1, 2), [(0, 1), (1, 0)]])
def test_bad_bounds(bounds: object) -> None:
    with pytest.raises(ParameterError, match="bounds"):
        Quadrature.periodic(bounds, 4, SELF)


@pytest.mark.parametrize("n", [0, 2.5, (3, 3), (3, 3, 3), "4"])
def test_bad_counts(n: object) -> None:
    with pytest.raises(ParameterError):
        Quadrature.gauss((0, 1), n, 3, SELF)


def test_points_cannot_be_overwritten() -> None:
    rule = Quadrature(X, W, SELF)
    with pytest.raises(ValueError, match="read-only"):
        rule.w[0] = 1
    assert X.flags.writeable


def test_wedges_are_refused() -> None:
    with pytest.raises(MeshError, match="MeshWedge1"):
        Quadrature.from_mesh(skfem.MeshWedge1(), 2, SELF)


# -- replicated points, and no communicator ------------------------------------------------------------------
@pytest.mark.mpi
def test_replicated_points_are_split(comm: MPI.Comm) -> None:
    rng = np.random.default_rng(3)
    x, w = rng.uniform(size=(2, 7)), rng.uniform(size=7)
    normals = np.tile([[0.6], [0.8]], 7)
    whole = Quadrature(x, w, SELF, normals=normals)
    split = Quadrature(x, w, comm, normals=normals, replicated=True)
    assert split.size == 7 and split.n in (7 // comm.size, 7 // comm.size + 1)
    assert split.measure == pytest.approx(whole.measure, rel=4 * EPS)
    assert split.integrate(split.x) == pytest.approx(whole.integrate(x), rel=4 * EPS)
    np.testing.assert_array_equal(np.concatenate(comm.allgather(split.x), axis=1), x)
    assert split.offset == sum(comm.allgather(split.n)[: comm.rank])
    own = Quadrature(split.x, split.w, comm)  # each rank's own: the default
    assert own.measure == split.measure and own.n == split.n


@pytest.mark.mpi
def test_the_same_points_on_all_ranks_are_refused_unless_replicated(comm: MPI.Comm) -> None:
    if comm.size == 1:
        assert Quadrature(np.zeros((1, 3)), np.ones(3), comm).measure == 3
        return
    with pytest.raises(QuadratureError, match=rf"all {comm.size} ranks bring the same 3 points.*(\n.*)replicated=True"):
        Quadrature(np.zeros((1, 3)), np.ones(3), comm)
    with pytest.raises(ReplicationError, match="x is not the same on all ranks"):
        Quadrature(np.full((1, 3), float(comm.rank)), np.ones(3), comm, replicated=True)
    assert Quadrature(np.full((1, 3), float(comm.rank)), np.ones(3), comm).measure == 3 * comm.size


@pytest.mark.mpi
def test_the_communicator_may_be_left_out_in_a_job_of_one_process(comm: MPI.Comm) -> None:
    makers = {
        "points": lambda: Quadrature(np.array([[0.0, 1.0]]), np.ones(2)),
        "periodic": lambda: Quadrature.periodic((-1, 1), 2),
        "gauss": lambda: Quadrature.gauss((-1, 1), 1, 3),
        "mesh": lambda: Quadrature.from_mesh(cube("line"), 2),
        "basis": lambda: Quadrature.from_basis(skfem.Basis(cube("line"), skfem.ElementLineP1())),
    }
    for make in makers.values():
        if comm.size == 1:
            assert make().comm.size == 1
        else:
            with pytest.raises(ParameterError, match=rf"job of {comm.size} processes"):
                make()
