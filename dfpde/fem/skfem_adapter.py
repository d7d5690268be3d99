"""scikit-fem spaces on distributed meshes: forms assembled by each rank on its own cells, summed by PETSc."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import skfem
from mpi4py import MPI
from numpy.typing import NDArray
from scipy import sparse
from skfem.generic_utils import OrientedBoundary

from .. import validation as check
from ..domain.cells import rule
from ..domain.decomposition import shared_numbers
from ..domain.mesh import Mesh
from ..domain.quadrature import Quadrature
from ..domain.raw import MESH_TYPES
from ..domain.skfem_mesh import cell_type_of
from ..errors import MeshError, NonFiniteError, ParameterError, ShapeError
from ..parallel.collective import collective_errors
from ..representation import represent
from .nodes import VALUES, Nodes
from .periodic import PERIODIC, JoinedMapping, agreed

Array = NDArray[Any]

CELLS = {kind.elem.refdom.name: kind for kind in reversed(list(MESH_TYPES.values()))}  # the first-order class of each


def has_point_values(element: skfem.Element) -> bool:
    """Whether the degrees of freedom are values at their locations, φ_i(x_j) = δ_ij, measured on the reference cell."""
    mesh = CELLS[element.refdom.name].init_refdom()
    places = np.asarray(element.doflocs).T
    if not np.all(np.isfinite(places)):
        return False
    basis = skfem.CellBasis(mesh, element, quadrature=(places, np.ones(places.shape[1])))
    values = [np.asarray(phi[0]) for phi in basis.basis]  # (1, places), or a component more for vectors
    if len(values[0].shape) > 2 or len(basis.basis[0]) > 1 or len(values) != places.shape[1]:
        return False
    return bool(np.allclose(np.array(values)[:, 0], np.eye(len(values)), atol=1e-9))


@dataclass(frozen=True, eq=False)
@check.takes(
    mesh=check.having("a Mesh: read_mesh(path), Mesh.from_skfem(mesh)", "comm", "local", "vertex_ids"),
    element=check.having("an element of scikit-fem", "maxdeg", "refdom"),
    intorder=check.optional(check.integer(0)),
)
class Space:
    """A scikit-fem element on a distributed mesh.

    Creating one is collective.  Any element whose degrees of freedom sit at vertices, edges, facets and in cells (P1,
    P2, Q1, Q2, …) on straight cells.  On a periodic mesh (scikit-fem's Mesh…DG) cells are joined across the period, and
    `nodes.x` has one of the places of a node there.

    Parameters
    ----------
    mesh : Mesh
        From `partition` (short borders) or `Mesh.from_skfem`, `read_mesh` (contiguous blocks).
    element : skfem.Element
    intorder : int, optional
        Degree to which forms are integrated exactly, by default twice the polynomial degree; with dfpde's rules
        (`dfpde.domain.cells.rule`), because some of scikit-fem's have negative weights.

    Attributes
    ----------
    basis : skfem.CellBasis or None
        Of this rank's cells; None on a rank without cells.
    nodes : Nodes
        This rank's degrees of freedom, in the order of `basis`.
    quadrature : Quadrature
        The points of `basis`, cell by cell.

    Raises
    ------
    MeshError
        On all ranks: curved cells; several degrees of freedom on a facet or edge of a periodic mesh.
    """

    mesh: Mesh
    element: skfem.Element
    intorder: int | None = None
    basis: Any = field(init=False)
    nodes: Nodes = field(init=False)
    quadrature: Quadrature = field(init=False)

    __repr__ = represent

    def __post_init__(self) -> None:
        mesh, local, basis = self.mesh, self.mesh.local, None
        with collective_errors(mesh.comm):
            if local is not None and local.t.max(initial=-1) + 1 != local.doflocs.shape[1]:
                raise MeshError(f"{type(local).__name__} has curved cells", "use first-order cells")
            if local is not None and local.elem.refdom is not self.element.refdom:
                what = f"{type(self.element).__name__} on cells of type {local.elem.refdom.name}"
                raise ParameterError(what, "an element of these cells: ElementTri..., ElementQuad..., ...")
            if local is not None:
                inside = rule(self.element.refdom, self._order)
                basis = skfem.CellBasis(self._topology, self.element, local.mapping(), quadrature=inside)
            keys, x = self._keys(basis)
        numbers = shared_numbers(keys, mesh.comm)
        object.__setattr__(self, "basis", basis)
        kind = VALUES if has_point_values(self.element) else type(self.element).__name__
        nodes = Nodes(x, mesh.comm, numbers, kind=kind)
        if mesh.comm.allreduce(int(mesh.corners is not None)):
            nodes = agreed(nodes)
        object.__setattr__(self, "nodes", nodes)
        points, w = np.zeros((mesh.dim, 0)), np.zeros(0)
        if basis is not None:
            points, w = np.asarray(basis.global_coordinates()).reshape(mesh.dim, -1), basis.dx.ravel()
        object.__setattr__(self, "quadrature", Quadrature(points, w, mesh.comm))

    @classmethod
    def serial(cls, mesh: skfem.Mesh, element: skfem.Element, intorder: int | None = None) -> Space:
        """On one rank (``MPI.COMM_SELF``): degrees of freedom are numbered as by ``skfem.Basis(mesh, element)``."""
        return cls(Mesh.from_skfem(mesh, MPI.COMM_SELF), element, intorder)

    def _keys(self, basis: Any) -> tuple[Array, Array]:
        """Name of each local degree of freedom: its kind, and the sorted vertices (or the cell) it sits on."""
        width = 1 + 4
        if basis is None:
            return np.zeros((width, 0), np.int64), np.zeros((self.mesh.dim, 0))
        local, ids, dofs = self._topology, self._vertices, basis.dofs
        keys = np.full((width, basis.N), -1, dtype=np.int64)
        own = (self.mesh.first_cell + np.arange(local.nelements))[None]
        tables = [(dofs.nodal_dofs, ids[None]), (dofs.interior_dofs, own)]
        for table, corners in ((dofs.edge_dofs, "edges"), (dofs.facet_dofs, "facets")):
            if table is not None and table.size:
                tables.append((table, np.sort(ids[getattr(local, corners)], axis=0)))
        rows = [(numbers, where) for table, where in tables for numbers in table]
        for kind, (numbers, where) in enumerate(rows):
            keys[0, numbers] = kind
            keys[1 : 1 + len(where), numbers] = where
        return keys, np.nan_to_num(basis.doflocs)  # bubbles have no location

    @cached_property
    def _topology(self) -> Any:
        """This rank's cells joined as the mesh joins them: `mesh.local`, on a periodic mesh a discontinuous one."""
        local, corners = self.mesh.local, self.mesh.corners
        if local is None or corners is None:
            return local
        dofs = self.element
        if max(np.size(dofs.facet_dofs) and dofs.facet_dofs, np.size(dofs.edge_dofs) and dofs.edge_dofs) > 1:
            raise MeshError(
                f"{type(dofs).__name__} has several degrees of freedom on a facet or edge of a periodic mesh",
                "an element with at most one there: their order is not defined across the period",
            )
        joined = np.searchsorted(self._vertices, corners).astype(np.int32)
        return PERIODIC[cell_type_of(type(local))](local.doflocs, joined, sort_t=False)

    @property
    def _vertices(self) -> Array:
        """Numbers in the whole mesh of the vertices of `_topology`."""
        return self.mesh.vertex_ids if self.mesh.corners is None else np.unique(self.mesh.corners)

    @property
    def _order(self) -> int:
        return 2 * int(self.element.maxdeg) if self.intorder is None else self.intorder

    @property
    def comm(self) -> MPI.Comm:
        """Communicator of the mesh."""
        return self.mesh.comm

    # -- forms -------------------------------------------------------------------------------------------------
    def facet_basis(self, name: str, intorder: int | None = None) -> Any:
        """``skfem.FacetBasis`` on a named boundary, None on a rank without facets of it.

        Raises
        ------
        ParameterError
            The mesh has no boundary of this name; no communication, the names are known on all ranks.
        """
        facets = self._facets(name)
        if facets.size == 0:
            return None
        points = rule(self.element.refdom.brefdom, self._order if intorder is None else intorder)
        local, mapping = self.mesh.local, None
        if self.mesh.corners is not None:
            cell, place = self.mesh.facets[name]
            mapping = JoinedMapping(local, dict(zip(facets.tolist(), local.t2f[place, cell].tolist(), strict=True)))
        return skfem.FacetBasis(self._topology, self.element, mapping, quadrature=points, facets=facets)

    @check.takes(form=check.form)
    def matrix(self, form: Any, boundary: str | None = None, **fields: Any) -> sparse.csr_array:
        """Sub-assembled matrix (n, n) of a bilinear form on this rank's cells, or on a named boundary.

        `fields` go to the form: nodal values are interpolated first, as by ``basis.interpolate``.
        """
        basis = self.basis if boundary is None else self.facet_basis(boundary)
        if basis is None:
            return sparse.csr_array((self.nodes.n, self.nodes.n))
        return sparse.csr_array(self._assembled(form, basis, fields))

    @check.takes(form=check.form)
    def vector(self, form: Any, boundary: str | None = None, **fields: Any) -> Array:
        """Sub-assembled vector (n,) of a linear form on this rank's cells, or on a named boundary."""
        basis = self.basis if boundary is None else self.facet_basis(boundary)
        if basis is None:
            return np.zeros(self.nodes.n)
        return np.asarray(self._assembled(form, basis, fields))

    @check.takes(form=check.form)
    def integral(self, form: Any, boundary: str | None = None, **fields: Any) -> float:
        """Value of a functional over all ranks; collective."""
        with collective_errors(self.comm):
            basis = self.basis if boundary is None else self.facet_basis(boundary)
            part = 0.0 if basis is None else float(form.assemble(basis, **self._interpolated(basis, fields)))
        return float(self.comm.allreduce(part))

    def boundary_nodes(self, *names: str) -> Array:
        """This rank's local numbers of the degrees of freedom on named boundaries; collective.

        Raises
        ------
        ParameterError
            On all ranks, for an unknown name.
        """
        mark = np.zeros(self.nodes.n)
        with collective_errors(self.comm):
            for name in names:
                facets = self._facets(name)
                if facets.size:
                    mark[self.basis.get_dofs(np.asarray(facets)).flatten()] = 1.0
        # a node of the boundary can belong to a rank none of whose facets lie on it
        return np.flatnonzero(self.nodes.spread(self.nodes.sum(mark)))

    def _assembled(self, form: Any, basis: Any, fields: dict[str, Any]) -> Any:
        if np.dtype(getattr(form, "dtype", float)).kind == "c":
            raise ShapeError("a complex form", "a real one: systems have real and imaginary parts as components")
        try:
            found = form.assemble(basis, **self._interpolated(basis, fields))
        except ValueError as error:
            if self.nodes.kind == VALUES:
                raise
            raise ShapeError(
                f"a form that does not fit {type(self.element).__name__}: {error}",
                "dot(u, v) for the vectors of this element, or a scalar element",
            ) from error
        entries: Any = found
        bad = np.sum(~np.isfinite(entries.data if sparse.issparse(found) else entries))
        if bad:
            raise NonFiniteError(f"{bad} entries of an assembled form are not finite", "look at its coefficients")
        return found

    def _interpolated(self, basis: Any, fields: dict[str, Any]) -> dict[str, Any]:
        arrays = {k: v for k, v in fields.items() if isinstance(v, np.ndarray) and v.shape == (self.nodes.n,)}
        return {**fields, **{k: basis.interpolate(v) for k, v in arrays.items()}}

    def _facets(self, name: str) -> Any:
        """This rank's facets of a named boundary, normals out of the owning cell."""
        if name not in self.mesh.boundaries:
            known = ", ".join(self.mesh.boundaries) or "none"
            raise ParameterError(f"the mesh has no boundary {name!r}", f"use one it has: {known}")
        cell, place = self.mesh.facets[name]
        if cell.size == 0:
            return np.zeros(0, dtype=np.int32)
        facets = self._topology.t2f[place, cell].astype(np.int32)
        return OrientedBoundary(facets, (self._topology.f2t[0, facets] != cell).astype(np.int32))

    # -- points ------------------------------------------------------------------------------------------------
    @cached_property
    def evaluation(self) -> tuple[sparse.csr_array, tuple[sparse.csr_array, ...]]:
        """Sparse (N, n): nodal values to values, and to ∂/∂x_i, at the points of `quadrature` (scalar elements)."""
        n, count = self.nodes.n, self.quadrature.n
        if self.basis is None:
            empty = sparse.csr_array((0, n))
            return empty, (empty,) * self.mesh.dim
        shape = self.basis.dx.shape
        if np.asarray(self.basis.basis[0][0]).ndim > 2:
            raise ParameterError(f"values of {type(self.element).__name__} at points", "a space with a scalar element")
        rows = np.arange(count).reshape(shape)
        data: list[list[Array]] = [[] for _ in range(1 + self.mesh.dim)]
        where: list[list[Array]] = [[], []]
        for i in range(self.basis.Nbfun):
            phi = self.basis.basis[i][0]
            where[0].append(rows.ravel())
            where[1].append(np.repeat(self.basis.element_dofs[i], shape[1]))
            for out, values in zip(data, [np.asarray(phi), *phi.grad], strict=True):
                out.append(np.broadcast_to(values, shape).ravel())
        place = (np.concatenate(where[0]), np.concatenate(where[1]))
        made = [sparse.csr_array((np.concatenate(part), place), shape=(count, n)) for part in data]
        return made[0], tuple(made[1:])

    @cached_property
    def integrals(self) -> Array:
        """Sub-assembled ∫ φ_i, (n,)."""
        return self.weighted(np.ones(self.quadrature.n))

    def weighted(self, values: Array) -> Array:
        """Sub-assembled ∫ u φ_i, (n,), of values (N,) at the points of `quadrature`."""
        load: Array = self.evaluation[0].T @ (self.quadrature.w * values)
        return load
