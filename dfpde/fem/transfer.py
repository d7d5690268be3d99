"""Fields both ways: finite-element functions at dfpde's points, dfpde's fields in finite-element spaces.

    u_h(x_k) = Σ_j U_j φ_j(x_k)        I_h u = Σ_j u(x_j) φ_j        (P_h u, φ_i) = (u, φ_i)

Interpolation of a field needs no function: ``u(space.nodes.x)`` are nodal values.  In scikit-fem: ``basis.project(u)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree
from skfem.models import mass

from .. import validation as check
from ..domain.places import CellPoints
from ..errors import ParameterError, ShapeError
from ..parallel.collective import collective_errors
from ..representation import represent
from .linear import LinearSolver
from .skfem_adapter import Space

Array = NDArray[Any]

NEAREST = 16  # cells tried in the order of the distance of their centroids, before all that could hold the point
INSIDE = 1e-9  # a point this far outside, in reference coordinates, belongs to the cell


@dataclass(frozen=True, eq=False)
@check.takes(space=check.space, nodal=check.numbers())
class Function:
    """u_h = Σ_j U_j φ_j in a space, or a vector of such functions.

    Attributes
    ----------
    space : Space
    nodal : (n,) or (components, n) array
        U at this rank's nodes.
    """

    space: Space
    nodal: Array

    __repr__ = represent

    @cached_property
    def value(self) -> Array:
        """u_h at this rank's points of ``space.quadrature``, (N,) or (components, N)."""
        values: Array = (self.space.evaluation[0] @ self.nodal.T).T
        return values

    @cached_property
    def gradient(self) -> Array:
        """∇u_h there, (dim, N) or (dim, components, N)."""
        return np.array([(part @ self.nodal.T).T for part in self.space.evaluation[1]])

    def at(self, points: CellPoints) -> Array:
        """u_h at points that know their cells, (N,) or (components, N): no search and no communication.

        Raises
        ------
        ParameterError
            Points in cells of another mesh than the space's.
        """
        values: Array = (self._at(points)[0] @ self.nodal.T).T
        return values

    def gradient_at(self, points: CellPoints) -> Array:
        """∇u_h there, (dim, N) or (dim, components, N)."""
        return np.array([(part @ self.nodal.T).T for part in self._at(points)[1:]])

    def _at(self, points: CellPoints) -> list[sparse.csr_array]:
        check.instance(CellPoints, "CellPoints: what MarkedCells gives to its equation")("points", points)
        if points.mesh is not self.space.mesh:
            raise ParameterError("points in cells of another mesh", "the mesh of this function's space")
        return _matrices(self.space, points.cells, points.inside)

    def __call__(self, x: Array) -> Array:
        """u_h at any points (dim, M) of this rank, (M,) or (components, M); collective.

        For points used again make an `Evaluation`.
        """
        return Evaluation(self.space, x).value(self.nodal)


class Projection:
    """P_h u, the L² projection on a space: the mass matrix is assembled once; collective."""

    __repr__ = represent

    @check.takes(space=check.space, prefix=check.text)
    def __init__(self, space: Space, prefix: str = "dfpde_fem_mass_") -> None:
        self.space = space
        with collective_errors(space.comm):
            local = space.matrix(mass)
        self.solver = LinearSolver(space.nodes, space.nodes.matrix(local), prefix)

    def apply(self, u: Callable[[Array], Array] | Array) -> Function:
        """Projection of a function of x (dim, N), or of its values (N,) at ``space.quadrature``.

        Raises
        ------
        ShapeError, SolverError
            On all ranks.
        """
        with collective_errors(self.space.comm):
            values = np.asarray(u(self.space.quadrature.x) if callable(u) else u)
            if values.shape != (self.space.quadrature.n,):
                raise ShapeError(f"values of shape {values.shape}", f"({self.space.quadrature.n},): one for each point")
        return Function(self.space, self.solver.solve(self.space.weighted(values)))


class Evaluation:
    """u_h and ∇u_h at fixed points anywhere in the mesh, on whatever rank their cells are.

    Made once for the points of a quadrature: finding cells costs more than evaluating.  Collective.

    Parameters
    ----------
    space : Space
        Scalar element on triangles, tetrahedra or intervals.
    x : (dim, M) array
        This rank's points; different on every rank.
    outside : float or None
        Value of u_h at points outside the mesh (∇u_h is zero there); None refuses such points.

    Raises
    ------
    ParameterError
        On all ranks: points outside the mesh, or cells that are not simplices.
    """

    __repr__ = represent

    @check.takes(space=check.space, outside=check.optional(check.real()))
    def __init__(self, space: Space, x: Array, outside: float | None = None) -> None:
        self.space, comm = space, space.comm
        with collective_errors(comm):
            check.numbers()("x", x)
            x = np.asarray(x, dtype=float)
            if x.ndim != 2 or len(x) != space.mesh.dim or not np.all(np.isfinite(x)):
                raise ShapeError(f"points of shape {x.shape}, or not finite", f"give x ({space.mesh.dim}, M)")
        boxes = comm.allgather(_box(space))
        asked = [np.flatnonzero(np.all((x >= low) & (x <= high), axis=0)) for low, high in boxes]
        received = comm.alltoall([x[:, points] for points in asked])
        with collective_errors(comm):
            found = [_locate(space, points) for points in received]
        replies = comm.alltoall([cells >= 0 for cells, _ in found])
        owner = np.full(x.shape[1], -1)
        for rank in range(comm.size - 1, -1, -1):
            owner[asked[rank][replies[rank]]] = rank
        self._lost, self._fill = np.flatnonzero(owner < 0), outside
        with collective_errors(comm):
            if outside is None and self._lost.size:
                first = x[:, self._lost[0]].tolist()
                raise ParameterError(
                    f"{self._lost.size} of {x.shape[1]} points of rank {comm.rank} lie outside the mesh, first {first}",
                    "evaluate inside the mesh, or say what the value outside is: outside=0.0",
                )
        # every owner keeps the points it answers for; the asking rank knows where answers go
        self._mine = [points[owner[points] == rank] for rank, points in enumerate(asked)]
        wanted = comm.alltoall([owner[points] == rank for rank, points in enumerate(asked)])
        pieces = [(cells[keep], inside[:, keep]) for (cells, inside), keep in zip(found, wanted, strict=True)]
        self._cuts = np.cumsum([cells.size for cells, _ in pieces])[:-1]
        self._matrices = _matrices(space, *(np.concatenate(part, axis=-1) for part in zip(*pieces, strict=True)))
        self._n = x.shape[1]

    def value(self, nodal: Array) -> Array:
        """u_h(x_k), (M,) or (components, M), from this rank's nodal values (n,) or (components, n); collective."""
        nodal = self._nodal(nodal)
        return self._back(self._matrices[0] @ nodal.T, 0.0 if self._fill is None else self._fill)

    def gradient(self, nodal: Array) -> Array:
        """∇u_h(x_k), (dim, M) or (dim, components, M); collective."""
        nodal = self._nodal(nodal)
        return np.array([self._back(part @ nodal.T, 0.0) for part in self._matrices[1:]])

    def _nodal(self, nodal: Array) -> Array:
        with collective_errors(self.space.comm):
            values: Array = check.values("nodal", nodal, self.space.nodes.n, kinds="fiu")
        return values

    def _back(self, answers: Array, fill: float) -> Array:
        out = np.full((self._n, *answers.shape[1:]), fill)
        for points, values in zip(self._mine, self.space.comm.alltoall(np.split(answers, self._cuts)), strict=True):
            out[points] = values
        return out.T


def _box(space: Space) -> tuple[Array, Array]:
    """Bounding box of this rank's cells, empty on a rank without."""
    local = space.mesh.local
    if local is None:
        return np.full((space.mesh.dim, 1), np.inf), np.full((space.mesh.dim, 1), -np.inf)
    low, high = local.p.min(axis=1, keepdims=True), local.p.max(axis=1, keepdims=True)
    margin = INSIDE * (high - low).max()
    return low - margin, high + margin


def _locate(space: Space, x: Array) -> tuple[Array, Array]:
    """Cell (−1: none of this rank's) and reference coordinates of points."""
    cells, inside = np.full(x.shape[1], -1), np.zeros_like(x)
    if space.basis is None or x.shape[1] == 0:
        return cells, inside
    local, mapping = space.mesh.local, space.basis.mapping
    if local.t.shape[0] != space.mesh.dim + 1 or not hasattr(mapping, "invA"):
        raise ParameterError(f"points in cells of {type(local).__name__}", "a mesh of straight triangles or tetrahedra")
    corners = local.p[:, local.t]
    centroids = corners.mean(axis=1)
    reach = float(np.sqrt(((corners - centroids[:, None]) ** 2).sum(axis=0).max())) * (1 + 1e-8)
    tree = cKDTree(centroids.T)

    def attempt(points: Array, guess: Array) -> None:
        at = mapping.invF(x[:, points, None], tind=guess)[:, :, 0]
        good = np.all(at >= -INSIDE, axis=0) & (at.sum(axis=0) <= 1 + INSIDE)
        cells[points[good]], inside[:, points[good]] = guess[good], at[:, good]

    distance, near = tree.query(x.T, min(NEAREST, local.t.shape[1]), distance_upper_bound=reach)
    near, distance = np.reshape(near, (x.shape[1], -1)), np.reshape(distance, (x.shape[1], -1))
    for guess, far in zip(near.T, ~np.isfinite(distance.T), strict=True):
        left = np.flatnonzero((cells < 0) & ~far)
        attempt(left, guess[left])
    for point in np.flatnonzero((cells < 0) & np.isfinite(distance[:, -1])):  # more cells in reach than were tried
        candidates = np.array(tree.query_ball_point(x[:, point], reach))
        for guess in candidates:
            if cells[point] < 0:
                attempt(np.array([point]), np.array([guess]))
    return cells, inside


def _matrices(space: Space, cells: Array, inside: Array) -> list[sparse.csr_array]:
    """Sparse (points, n): nodal values to values and to the components of the gradient."""
    shape = (cells.size, space.nodes.n)
    if cells.size == 0:
        return [sparse.csr_array(shape) for _ in range(1 + space.mesh.dim)]
    basis, data = space.basis, []
    for k in range(basis.Nbfun):
        phi = basis.elem.gbasis(basis.mapping, inside[:, :, None], k, tind=cells)[0]
        data.append(np.concatenate([np.asarray(phi)[None, :, 0], np.asarray(phi.grad)[..., 0]]))
    rows = np.tile(np.arange(cells.size), basis.Nbfun)
    columns = basis.element_dofs[:, cells].reshape(-1)
    stacked = np.concatenate(data, axis=1)
    return [sparse.csr_array((part, (rows, columns)), shape=shape) for part in stacked]

