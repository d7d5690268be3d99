"""Finite elements as a linear ansatz: scikit-fem's own interpolation, sparse tangent, point location."""

import numpy as np
import pytest
import skfem
from skfem.helpers import dot

from dfpde.ansatz import (
    FiniteElement,
    Frozen,
    GaussianMixture,
    Known,
    Masked,
    Polynomial,
    Product,
    Stack,
    Sum,
    check_ansatz,
)
from dfpde.errors import MissingDerivative, ParameterError

rng = np.random.default_rng(8)

BASES = {
    "line P2": lambda: skfem.Basis(skfem.MeshLine(np.linspace(-1, 1, 6)), skfem.ElementLineP2()),
    "line Hermite": lambda: skfem.Basis(skfem.MeshLine(np.linspace(-1, 1, 6)), skfem.ElementLineHermite()),
    "triangles P2": lambda: skfem.Basis(skfem.MeshTri().refined(2), skfem.ElementTriP2()),
    "triangles Morley": lambda: skfem.Basis(skfem.MeshTri(), skfem.ElementTriMorley()),
    "quadrilaterals": lambda: skfem.Basis(skfem.MeshQuad().refined(2), skfem.ElementQuad2()),
    "tetrahedra": lambda: skfem.Basis(skfem.MeshTet().refined(1), skfem.ElementTetP2()),
    "hexahedra": lambda: skfem.Basis(skfem.MeshHex().refined(1), skfem.ElementHex1()),
    "vector": lambda: skfem.Basis(skfem.MeshTri().refined(1), skfem.ElementVector(skfem.ElementTriP1())),
}


def inside(basis, n=4):
    """Points well inside cells: interior quadrature points, in no order."""
    x = np.asarray(basis.global_coordinates()).reshape(basis.mesh.dim(), -1)
    return x[:, rng.choice(x.shape[1], n, replace=False)]


@pytest.mark.parametrize("name", BASES)
def test_check_ansatz(name):
    basis = BASES[name]()
    ansatz = FiniteElement(basis)
    assert ansatz.shape == ((2,) if name == "vector" else ())
    second = name in ("line Hermite", "triangles Morley")
    report = check_ansatz(ansatz, inside(basis), order=2 if second else 1, step=1e-4)
    assert set(report.missing) <= {"hessian", "laplacian"}
    if second:
        assert not report.missing
    else:
        with pytest.raises(MissingDerivative, match="order 2"):
            ansatz.laplacian(np.zeros(ansatz.size), inside(basis))


@pytest.mark.parametrize("name", BASES)
def test_equals_interpolation_of_scikit_fem(name):
    basis = BASES[name]()
    ansatz, theta = FiniteElement(basis), rng.normal(size=basis.N)
    field = basis.interpolate(theta)
    x = np.asarray(basis.global_coordinates()).reshape(basis.mesh.dim(), -1)
    np.testing.assert_allclose(ansatz.value(theta, x), np.asarray(field).reshape(*ansatz.shape, -1), atol=1e-12)
    gradient = np.moveaxis(field.grad.reshape(*ansatz.shape, ansatz.dim, -1), -2, 0)
    np.testing.assert_allclose(ansatz.gradient(theta, x), gradient, atol=1e-10)


@pytest.mark.parametrize("name", BASES)
def test_own_points_need_no_search(name, monkeypatch):
    basis = BASES[name]()
    x = np.asarray(basis.global_coordinates())
    theta = rng.normal(size=basis.N)
    searched = FiniteElement(basis)
    some = x[:, 1:3].reshape(basis.mesh.dim(), -1)  # a rank's block of cells
    shuffled = rng.permutation(some.shape[1])
    expected = searched.gradient(theta, some[:, shuffled])
    recognized = FiniteElement(basis)
    monkeypatch.setattr(FiniteElement, "_search", lambda self, x: pytest.fail("searched"))
    got = recognized.gradient(theta, some)
    np.testing.assert_allclose(got[..., shuffled], expected, atol=1e-11)
    assert recognized.value(theta, some[:, :0]).shape == (*recognized.shape, 0)


def test_each_set_of_points_is_located_once(monkeypatch):
    basis = BASES["triangles P2"]()
    ansatz, x = FiniteElement(basis), inside(basis)
    located = []
    original = FiniteElement._locate
    monkeypatch.setattr(FiniteElement, "_locate", lambda self, x: located.append(1) or original(self, x))
    for _ in range(3):
        ansatz.value(rng.normal(size=basis.N), x.copy())
        ansatz.gradient(rng.normal(size=basis.N), x)
    assert len(located) == 1
    assert ansatz.sparse_tangent(np.zeros(basis.N), x) is ansatz.sparse_tangent(np.ones(basis.N), x)
    x += 1e-3  # written to in place: other points
    ansatz.value(np.zeros(basis.N), x)
    assert len(located) == 2


def test_sparse_tangent_gives_the_mass_matrix():
    basis = skfem.Basis(skfem.MeshTri().refined(3), skfem.ElementTriP2(), intorder=4)
    ansatz = FiniteElement(basis)
    x = np.asarray(basis.global_coordinates()).reshape(2, -1)
    tangent = ansatz.sparse_tangent(np.zeros(basis.N), x)
    mass = skfem.BilinearForm(lambda u, v, _: u * v).assemble(basis)
    gram = tangent.T @ tangent.multiply(basis.dx.reshape(-1, 1))
    assert abs(gram - mass).max() < 1e-15 and tangent.nnz == 6 * x.shape[1]
    stiffness = skfem.BilinearForm(lambda u, v, _: dot(u.grad, v.grad)).assemble(basis)
    parts = [ansatz.sparse_tangent(np.zeros(basis.N), x, alpha) for alpha in [(1, 0), (0, 1)]]
    gram = sum(part.T @ part.multiply(basis.dx.reshape(-1, 1)) for part in parts)
    assert abs(gram - stiffness).max() < 1e-13


def test_points_on_faces_edges_and_outside():
    mesh = skfem.MeshTri().refined(3)
    ansatz = FiniteElement(skfem.Basis(mesh, skfem.ElementTriP1()))
    theta = mesh.p[0] - 2 * mesh.p[1]  # a linear function, continuous
    x = np.hstack([mesh.p, mesh.p[:, mesh.facets].mean(axis=1)])
    np.testing.assert_allclose(ansatz.value(theta, x), x[0] - 2 * x[1], atol=1e-14)
    with pytest.raises(ParameterError, match="outside the mesh"):
        ansatz.value(theta, np.array([[0.5, 1.5], [0.5, 0.5]]))


def test_slivers_are_found_although_other_centroids_are_nearer():
    p = np.array([[0.0, 100.0, 0.0, *np.linspace(0, 100, 40)], [0.0, 0.0, 1.0, *(40 * [-0.1])]])
    strip = np.array([[0, 1, 2]] + [[3 + i, 4 + i, 0 if i < 20 else 1] for i in range(39)]).T
    mesh = skfem.MeshTri(p, strip)
    ansatz = FiniteElement(skfem.Basis(mesh, skfem.ElementTriP1()))
    x = np.array([[90.0], [0.05]])  # in the first triangle, 57 away from its centroid
    np.testing.assert_allclose(ansatz.value(p[0], x), 90.0, rtol=1e-12)


def test_fixed_boundary_and_compositions():
    basis = BASES["triangles P2"]()
    whole = rng.normal(size=basis.N)
    boundary = basis.get_dofs().flatten()
    fixed = Frozen(FiniteElement(basis), whole, indices=boundary)
    theta, x = fixed.free(whole), inside(basis)
    assert fixed.size == basis.N - boundary.size and list(fixed.slices()) == ["dofs"]
    np.testing.assert_allclose(fixed.sparse_tangent(theta, x).toarray(), fixed.tangent(theta, x).T, rtol=1e-15)
    edge = np.array([[0.0, 1.0, 0.3], [0.7, 0.2, 0.0]])
    np.testing.assert_array_equal(fixed.value(rng.normal(size=fixed.size), edge), fixed.value(theta, edge))
    pair = Stack(FiniteElement(basis), fixed)
    theta = rng.normal(size=pair.size)
    np.testing.assert_allclose(
        pair.sparse_tangent(theta, x).toarray(), pair.tangent(theta, x).reshape(pair.size, -1).T, rtol=1e-15
    )
    complex_field = Sum(FiniteElement(basis), Product(Known(2, {(0, 0): lambda x: 1j}, dtype=complex), fixed))
    for ansatz in (
        pair,
        complex_field,
        Masked(Sum(fixed, GaussianMixture.isotropic(2, 2)), Polynomial.box([0, 0], [1, 1])),
    ):
        check_ansatz(ansatz, x[:, :3], order=0, step=1e-4)
    with pytest.raises(ParameterError, match="indices"):
        Frozen(FiniteElement(basis), whole, indices=[basis.N])


def test_several_fields_are_refused():
    element = skfem.ElementTriP2() * skfem.ElementTriP1()
    with pytest.raises(ParameterError, match="2 fields"):
        FiniteElement(skfem.Basis(skfem.MeshTri(), element))
