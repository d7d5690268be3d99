"""Reference cells: quadrature rules that do what they promise, and the map to physical cells.

    x = F(X) = Σ_i x_i φ_i(X),    J = ∂F/∂X,    dx = |det J| dX,    n dS from the tangents J t_k of a facet

X is a point of scikit-fem's reference cell and φ_i the shape functions of its mesh element.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import roots_jacobi
from skfem.quadrature import get_quadrature
from skfem.refdom import RefLine

from .. import validation as check
from ..errors import MeshError, ParameterError
from .splitting import blocks

Array = NDArray[np.float64]
Ids = NDArray[np.int64]
CHUNK = 1 << 16  # points mapped at a time: temporaries of a few MB whatever the mesh


@lru_cache(maxsize=128)
def rule(refdom: Any, order: int) -> tuple[Array, Array]:
    """Points X (dim, Q) and weights W (Q,) > 0 of a rule exact for all polynomials of degree `order` on a cell.

    Lines, quadrilaterals, hexahedra: Gauss–Legendre products.  Triangles, tetrahedra: scikit-fem's tables of
    labels `order` and `order` + 1, the first that is *measured* to be positive and exact, else Gauss–Jacobi
    products on collapsed coordinates (Stroud, Approximate calculation of multiple integrals, 1971), which exist
    for every order.  Measured because in scikit-fem 12 the tetrahedral rules 5 to 9 are exact only to the degree
    below their label, and the triangular rules 3, 7 and the tetrahedral 3, 4, 8, 9 have negative weights.

    Raises
    ------
    ParameterError
        If `order` is negative or not an integer.
    MeshError
        If the cell is none of line, triangle, quadrilateral, tetrahedron, hexahedron.
    """
    if not isinstance(order, int | np.integer) or order < 0:
        raise ParameterError(f"quadrature order {order!r}", "give the polynomial degree to integrate, 0, 1, …")
    names = ("Zero-dimensional", "One-dimensional", "Quadrilateral", "Hexahedral", "Triangular", "Tetrahedral")
    if refdom.name not in names:
        raise MeshError(f"cells of type {refdom.name}", "use lines, triangles, quadrilaterals, tetrahedra or hexahedra")
    if refdom.name not in ("Triangular", "Tetrahedral"):
        return _gauss(refdom, order)
    for label in (order, order + 1):
        try:
            points, weights = get_quadrature(refdom, label)
        except NotImplementedError:
            break
        # right tables have defects below 1e-13, wrong ones above 1e-3
        if weights.min() > 0 and monomial_defect(points, weights, order) < 1e-11:
            return points, weights
    return _collapsed(refdom.dim(), order)


def line_rule(order: int) -> tuple[Array, Array]:
    """`rule` on [0, 1]: points (Q,) and weights (Q,)."""
    check.integer(0)("quadrature order", order)
    points, weights = rule(RefLine, order)
    return points[0], weights


def _gauss(refdom: Any, order: int) -> tuple[Array, Array]:
    if refdom.name == "Zero-dimensional":
        return np.zeros((0, 1)), np.ones(1)
    points, weights = get_quadrature(refdom, order)
    return np.ascontiguousarray(points), np.ascontiguousarray(weights)


def monomial_defect(points: Array, weights: Array, degree: int) -> float:
    """Largest relative error over the monomials up to `degree` on the unit simplex, ∫ X^k = k! / (|k| + dim)!."""
    dim, worst = len(points), 0.0
    powers = points[:, None, :] ** np.arange(degree + 1)[None, :, None]
    for k in product(range(degree + 1), repeat=dim):
        if sum(k) <= degree:
            exact = np.prod([float(factorial(j)) for j in k]) / factorial(sum(k) + dim)
            integral = weights @ np.prod([powers[axis, j] for axis, j in enumerate(k)], axis=0)
            worst = max(worst, abs(float(integral) / float(exact) - 1.0))
    return worst


def _collapsed(dim: int, order: int) -> tuple[Array, Array]:
    """X_i = t_i Π_{j<i} (1 − t_j) with t_i Gauss–Jacobi for the weight (1 − t)^(dim−1−i)."""
    n = order // 2 + 1
    axes = [roots_jacobi(n, dim - 1 - i, 0) for i in range(dim)]
    t = np.array([g.ravel() for g in np.meshgrid(*[(1 + s) / 2 for s, _ in axes], indexing="ij")])
    factors = [w / 2.0 ** (dim - i) for i, (_, w) in enumerate(axes)]
    weights = np.prod([g.ravel() for g in np.meshgrid(*factors, indexing="ij")], axis=0)
    left = np.vstack([np.ones(t.shape[1]), np.cumprod(1 - t[:-1], axis=0)])
    return t * left, weights


def nodes(mesh: Any) -> NDArray[np.int32]:
    """Numbers (n, cells) of the nodes x_i of every cell of a scikit-fem mesh, in the order of its shape functions."""
    element = mesh.elem
    at_vertices = not (element.interior_dofs or element.facet_dofs or element.edge_dofs)
    numbers: NDArray[np.int32] = mesh.t if at_vertices else mesh.dofs.element_dofs
    return numbers


def shape_functions(element: Any, points: Array) -> tuple[Array, Array]:
    """φ (n, Q) and ∂φ/∂X (n, dim, Q) of a scikit-fem element at reference points (dim, Q)."""
    dim, count = points.shape
    pairs = [element.lbasis(points, i) for i in range(len(element.doflocs))]
    values = np.array([np.broadcast_to(phi, (count,)) for phi, _ in pairs])
    slopes = np.array([np.broadcast_to(dphi, (dim, count)) for _, dphi in pairs])
    return values, slopes


def positions(corners: Array, phi: Array) -> Array:
    """x = F(X), shape (dim, cells, Q), from node coordinates (dim, n, cells) and φ (n, Q)."""
    x: Array = np.tensordot(corners, phi, axes=(1, 0))
    return x


def jacobians(corners: Array, dphi: Array) -> Array:
    """J = ∂F/∂X, shape (dim, dim, cells, Q): first index of x, second of X."""
    jacobian: Array = np.tensordot(corners, dphi, axes=(1, 0)).transpose(0, 2, 1, 3)
    return jacobian


def determinants(jacobian: Array) -> Array:
    """det J, shape (cells, Q), of matrices (dim, dim, cells, Q), dim ≤ 3."""
    a = jacobian
    det: Array = a[0, 0]
    if len(a) == 2:
        det = a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0]
    elif len(a) == 3:
        det = (
            a[0, 0] * (a[1, 1] * a[2, 2] - a[1, 2] * a[2, 1])
            - a[0, 1] * (a[1, 0] * a[2, 2] - a[1, 2] * a[2, 0])
            + a[0, 2] * (a[1, 0] * a[2, 1] - a[1, 1] * a[2, 0])
        )
    return det


def facet_frame(refdom: Any, facet: int, order: int) -> tuple[Array, Array, Array, Array]:
    """Rule on one facet of the reference cell.

    Returns
    -------
    points (dim, Q), weights (Q,), tangents (dim, dim − 1) and outward direction (dim,) : arrays
        The facet is the image of its own reference cell under X₀ + tangents · Y.
    """
    facet_points, weights = rule(refdom.brefdom, order)
    corners = refdom.p[:, refdom.facets[facet]]
    neighbours = {1: [], 2: [1], 3: [1, 2], 4: [1, 3]}[corners.shape[1]]  # of corner 0; a quadrilateral is cyclic
    tangents = corners[:, neighbours] - corners[:, :1]
    return corners[:, :1] + tangents @ facet_points, weights, tangents, refdom.normals[facet]


def facet_normals(jacobian: Array, tangents: Array, outward: Array) -> Array:
    """n dS/dY, shape (dim, cells, Q): outward normals whose length is the surface element."""
    leave = np.einsum("ij...,j->i...", jacobian, outward)
    along = np.einsum("ij...,jk->ik...", jacobian, tangents)
    if len(jacobian) == 1:
        normal = np.ones_like(leave)
    elif len(jacobian) == 2:
        normal = np.stack([along[1, 0], -along[0, 0]])
    else:
        normal = np.cross(along[:, 0], along[:, 1], axis=0)
    pointing: Array = normal * np.sign(np.sum(normal * leave, axis=0))
    return pointing


def cell_points(mesh: Any, order: int, chosen: Any = slice(None), first: int = 0) -> tuple[Array, Array]:
    """Points x (dim, N) and weights w (N,) > 0 on the `chosen` cells of a scikit-fem mesh, a chunk of cells at a time.

    Raises
    ------
    MeshError
        If det J vanishes or changes sign within a cell; names cells, the mesh's first one being number `first`.
    """
    check.integer(0)("quadrature order", order)
    points, weights = rule(mesh.refdom, order)
    phi, dphi = shape_functions(mesh.elem(), points)
    numbers, ids = nodes(mesh)[:, chosen], first + np.arange(mesh.nelements)[chosen]
    dim, count, step = len(points), len(ids), max(1, CHUNK // weights.size)
    x, w = np.empty((dim, count, weights.size)), np.empty((count, weights.size))
    for low in range(0, count, step):
        part = slice(low, low + step)
        corners = mesh.doflocs[:, numbers[:, part]]
        x[:, part] = positions(corners, phi)
        w[part] = _same_sign(determinants(jacobians(corners, dphi)), ids[part]) * weights
    return x.reshape(dim, -1), w.ravel()


def _same_sign(det: Array, ids: Ids) -> Array:
    """|det J|, where it keeps its sign within each cell."""
    wrong = ~((det > 0).all(axis=1) | (det < 0).all(axis=1))
    if wrong.any():
        raise MeshError(
            f"det J vanishes, changes sign or is not finite in {wrong.sum()} cells, first {ids[wrong][:5].tolist()}",
            "mend these cells: they are flat, folded or not convex",
        )
    return np.abs(det)


def facet_points(mesh: Any, facets: Ids, order: int) -> tuple[Array, Array, Array]:
    """Points (dim, N), weights (N,) and outward unit normals (dim, N) on facets (cell, place in it)."""
    check.integer(0)("quadrature order", order)
    element, numbers, refdom, (owner, place) = mesh.elem(), nodes(mesh), mesh.refdom, facets
    dim, count = refdom.dim(), rule(refdom.brefdom, order)[1].size
    x, normals = np.empty((dim, owner.size, count)), np.empty((dim, owner.size, count))
    w = np.empty((owner.size, count))
    for facet in range(refdom.nfacets):
        mine = np.flatnonzero(place == facet)
        points, weights, tangents, outward = facet_frame(refdom, facet, order)
        phi, dphi = shape_functions(element, points)
        corners = mesh.doflocs[:, numbers[:, owner[mine]]]
        x[:, mine] = positions(corners, phi)
        scaled = facet_normals(jacobians(corners, dphi), tangents, outward)
        length = np.linalg.norm(scaled, axis=0)
        normals[:, mine], w[mine] = scaled / length, length * weights
    return x.reshape(dim, -1), w.ravel(), normals.reshape(dim, -1)


def basis_points(basis: Any, part: int, parts: int) -> tuple[Array, Array, Array | None]:
    """Points, weights and normals (of facets) of one of so many blocks of the cells of a scikit-fem basis."""
    cuts = blocks(len(basis.dx), parts)
    mine = slice(cuts[part], cuts[part + 1])
    x = np.asarray(basis.global_coordinates())[:, mine]
    normals = np.asarray(basis.normals)[:, mine].reshape(len(x), -1) if hasattr(basis, "normals") else None
    return x.reshape(len(x), -1), basis.dx[mine].ravel(), normals
