"""Finite elements of scikit-fem as a linear ansatz."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from .. import validation as check
from ..errors import ParameterError
from .base import Alpha, Ansatz, Array, multi_index
from .mixtures.exponential import check_alpha

NEAREST = 12  # cells tried by distance of their centroids before all cells are searched
KEPT = 8  # sets of points whose matrices are remembered
ORDERS = {1: "grad", 2: "hess", 3: "grad3", 4: "grad4", 5: "grad5", 6: "grad6"}  # of scikit-fem's DiscreteField
INSIDE = 1e-10  # a point this far outside (in reference coordinates) still belongs to the cell


class FiniteElement(Ansatz):
    """u(x) = Σ_j θ_j φ_j(x), the basis functions of a scikit-fem basis; θ is scikit-fem's vector of degrees of freedom.

    The tangent ∂u/∂θ_j = φ_j does not depend on θ and is sparse: `sparse_tangent`.  Derivatives are those that
    the element provides, inside the cells (on a face, those of one of its cells).

    Parameters
    ----------
    basis : skfem.CellBasis
        Scalar or vector-valued (``ElementVector``), one field.  Boundary values: ``Frozen(u, theta,
        indices=basis.get_dofs())``.

    Raises
    ------
    ParameterError
        A basis of several fields (use `Stack`), or, at evaluation, a point outside the mesh.

    Notes
    -----
    The matrices of the last 8 sets of points are kept, so the points of a quadrature are located once.  Points of
    ``Quadrature.from_basis(basis)`` are recognized and not searched for at all.
    """

    @check.takes(basis=check.having("a basis of scikit-fem", "elem", "mesh", "N"))
    def __init__(self, basis: Any) -> None:
        fields = basis.elem.gbasis(basis.mapping, basis.quadrature[0][:, :1], 0, tind=np.zeros(1, int))
        if len(fields) != 1:
            raise ParameterError(f"a basis of {len(fields)} fields", "make a FiniteElement of each and Stack them")
        self.basis = basis
        self.element, self.nodes = type(basis.elem).__name__, basis.doflocs  # what a checkpoint knows it by
        self.dim, self.size = int(basis.mesh.dim()), int(basis.N)
        self.shape = tuple(np.shape(fields[0])[:-2])
        self._tree: cKDTree | None = None
        self._located: OrderedDict[bytes, tuple[Array, Array, dict[Alpha, csr_array]]] = OrderedDict()

    def value(self, theta: Array, x: Array) -> Array:
        return self.derivative(theta, x, multi_index(self.dim))

    def tangent(self, theta: Array, x: Array) -> Array:
        return self.tangent_derivative(theta, x, multi_index(self.dim))

    def sparse_tangent(self, theta: Array, x: Array, alpha: Alpha | None = None) -> csr_array:
        """∂^alpha φ_j(x_k), shape (m N, p): rows of the first component, then the next; kept, not to be written to."""
        return self._matrix(self.check_points(x), multi_index(self.dim) if alpha is None else check_alpha(self, alpha))

    def derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        matrix = self.sparse_tangent(theta, x, alpha)
        values: Array = matrix @ self.check_theta(theta)
        return values.reshape(*self.shape, np.shape(x)[1])

    def tangent_derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        matrix = self.sparse_tangent(theta, x, alpha)
        dense: Array = matrix.T.toarray(order="C")
        return dense.reshape(self.size, *self.shape, np.shape(x)[1])

    def jvp(self, theta: Array, x: Array, v: Array) -> Array:
        return self.value(v, x)

    def vjp(self, theta: Array, x: Array, y: Array) -> Array:
        product: Array = self.sparse_tangent(theta, x).T @ np.real(y).reshape(-1)
        return product

    def slices(self) -> Mapping[str, tuple[slice, tuple[int, ...]]]:
        """One block, ``dofs`` (p,)."""
        return {"dofs": (slice(0, self.size), (self.size,))}

    def _matrix(self, x: Array, alpha: Alpha) -> csr_array:
        key = np.ascontiguousarray(x).tobytes()
        if key not in self._located:
            self._located[key] = (*self._locate(x), {})
            if len(self._located) > KEPT:
                self._located.popitem(last=False)
        self._located.move_to_end(key)
        cells, inside, matrices = self._located[key]
        if alpha not in matrices:
            matrices[alpha] = self._assemble(cells, inside, alpha)
        return matrices[alpha]

    def _assemble(self, cells: Array, inside: Array, alpha: Alpha) -> csr_array:
        """Rows of ∂^alpha φ at reference points `inside` (dim, N) of `cells` (N,)."""
        basis, n = self.basis, cells.size
        rows_of_field = int(np.prod(self.shape))
        axes = [axis for axis, order in enumerate(alpha) for _ in range(order)]
        data = np.zeros((basis.Nbfun, rows_of_field, n))
        for k in range(basis.Nbfun if n else 0):
            field = basis.elem.gbasis(basis.mapping, inside[:, :, None], k, tind=cells)[0]
            derivatives = field if not axes else getattr(field, ORDERS.get(len(axes), ""), None)
            if derivatives is None:
                raise self._missing(
                    f"derivatives of order {len(axes)}", "derivative(theta, x, alpha), or another element"
                )
            entries: Any = np.asarray(derivatives).reshape(rows_of_field, *(self.dim,) * len(axes), n)
            data[k] = entries[:, *axes]
        rows = np.broadcast_to(np.arange(rows_of_field * n).reshape(rows_of_field, n), data.shape)
        columns = np.broadcast_to(basis.element_dofs[:, cells][:, None], data.shape)
        shape = (rows_of_field * n, self.size)
        return csr_array((data.reshape(-1), (rows.reshape(-1), columns.reshape(-1))), shape=shape)

    def _locate(self, x: Array) -> tuple[Array, Array]:
        """Cells (N,) and reference coordinates (dim, N) of points."""
        found = self._own_points(x)
        if found is None:
            cells = self._search(x)
            found = cells, self.basis.mapping.invF(x[:, :, None], tind=cells)[:, :, 0]
        return found

    def _own_points(self, x: Array) -> tuple[Array, Array] | None:
        """For points that are the quadrature points of consecutive cells of the basis."""
        own, rule = np.asarray(self.basis.global_coordinates()), self.basis.quadrature[0]
        if rule.ndim != 2 or x.shape[1] % own.shape[2] or own.shape[1] != self.basis.mesh.t.shape[1]:
            return None
        count = x.shape[1] // own.shape[2]
        for start in np.flatnonzero(np.all(own[:, :, 0] == x[:, :1], axis=0)) if count else [0]:
            if np.array_equal(own[:, start : start + count].reshape(self.dim, -1), x):
                return np.repeat(np.arange(start, start + count), own.shape[2]), np.tile(rule, count)
        return None

    def _search(self, x: Array) -> Array:
        """A cell for each point: the nearest centroids, then scikit-fem's search."""
        mesh, mapping = self.basis.mesh, self.basis.mapping
        cells = np.full(x.shape[1], -1)
        if mesh.t.shape[0] == self.dim + 1 and hasattr(mapping, "invA"):  # affine simplices
            if self._tree is None:
                self._tree = cKDTree(mesh.p[:, mesh.t].mean(axis=1).T)
            near = np.reshape(self._tree.query(x.T, min(NEAREST, mesh.t.shape[1]))[1], (x.shape[1], -1))
            for guess in near.T:
                left = np.flatnonzero(cells < 0)
                inside = mapping.invF(x[:, left, None], tind=guess[left])[:, :, 0]
                good = np.all(inside >= -INSIDE, axis=0) & (inside.sum(axis=0) <= 1.0 + INSIDE)
                cells[left[good]] = guess[left[good]]
        left = np.flatnonzero(cells < 0)
        for part in np.array_split(left, -(-left.size // 64)) if left.size else []:  # its memory: points × cells
            try:
                cells[part] = mesh.element_finder(mapping=mapping)(*x[:, part])
            except ValueError as error:
                raise ParameterError(
                    f"of {part.size} points near {x[:, part[0]].tolist()} one is outside the mesh ({error})",
                    "evaluate finite elements inside their mesh only",
                ) from error
        return cells
