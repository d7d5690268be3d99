"""Quadratures distributed over ranks: the discrete L² space everything else lives in.

∫ g dx ≈ Σ_k w_k g(x_k),        ⟨u, v⟩ = Σ_k w_k Re(conj u(x_k) · v(x_k)),        ‖u‖ = ⟨u, u⟩^½
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any

import numpy as np
import skfem
from mpi4py import MPI
from numpy.typing import NDArray

from .. import validation as check
from ..errors import ShapeError
from ..parallel.collective import collective_errors
from ..parallel.communicator import communicator
from ..representation import represent
from . import cells, grids
from .grids import Bounds
from .mesh import Mesh, distributed
from .points import Share, agreed, check_local, check_ranks, frozen, own_block, sample_weights, sum_over_ranks

Array = NDArray[np.float64]

_BASIS = {"basis": check.having("a basis of scikit-fem", "dx", "global_coordinates"), "split": check.truth}
_ARGUMENTS = {"offset": check.integer(), "replicated": check.truth}


@dataclass(frozen=True, eq=False)
class Quadrature:
    """Points and positive weights, a block of them on each rank.

    Creating one is collective.  A rank may have no points.

    Parameters
    ----------
    x : ndarray
        This rank's points, (dim, N); with `replicated` all points.
    w : ndarray
        Their weights, (N,), non-negative: a negative weight would make ‖u‖² negative for some u.
    comm : MPI.Comm, optional
        May be left out in a job of one process.
    offset : int
        Number of this rank's first point among all points; counted over the ranks when negative (the default).
    normals : ndarray, optional
        Unit outward normals, (dim, N), of a boundary quadrature.
    replicated : bool
        False: each rank brings points of its own.  True: all ranks bring the same points, and each keeps a contiguous
        block of them.
    density : ndarray, optional
        Of random points the density q(x_k) that they were drawn with, (N,); see `samples`.
    rule : object, optional
        What the points follow, where they move: a checkpoint then belongs to the rule, and not to the points.

    Attributes
    ----------
    size : int
        Points on all ranks.
    measure : float
        Σ w over all ranks: length, area or volume.

    Raises
    ------
    ShapeError, NonFiniteError, QuadratureError
        On all ranks, if shapes or dimensions disagree, a number is not finite, a weight is negative, or all are zero;
        if all ranks bring the same points and `replicated` is False.
    ReplicationError
        On all ranks, if `replicated` points are not the same on all ranks.
    ParameterError
        No communicator in a job of several processes.
    """

    x: Array
    w: Array
    comm: MPI.Comm = None  # type: ignore[assignment]  # becomes a communicator in __post_init__
    offset: int = -1
    normals: Array | None = None
    replicated: InitVar[bool] = False
    density: Array | None = None
    rule: object = None
    size: int = field(init=False)
    measure: float = field(init=False)

    __repr__ = represent

    def __post_init__(self, replicated: bool) -> None:
        comm = communicator(self.comm)
        with collective_errors(comm):
            check.require(_ARGUMENTS, {"offset": self.offset, "replicated": replicated})
            points, weights = frozen("x", self.x, 2), frozen("w", self.w, 1)
            normals = None if self.normals is None else frozen("normals", self.normals, 2)
            check_local(points, weights, normals)
        if replicated:
            points, weights, normals = own_block(points, weights, normals, comm)
        shares = comm.allgather(Share.of(points, weights, normals))
        with collective_errors(comm):
            check_ranks(shares)
        offset = sum(share.n for share in shares[: comm.rank]) if self.offset < 0 else self.offset
        derived = {"x": points, "w": weights, "normals": normals, "offset": offset, "comm": comm}
        derived["size"] = sum(share.n for share in shares)
        derived["measure"] = float(sum(share.weight for share in shares))
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @property
    def dim(self) -> int:
        """Space dimension."""
        return len(self.x)

    @property
    def n(self) -> int:
        """Points on this rank."""
        return self.w.size

    # -- sums over all points, one reduction each ------------------------------------------------------------
    def integrate(self, values: Any) -> Any:
        """Σ_k w_k g(x_k).

        Parameters
        ----------
        values : ndarray
            g at this rank's points, (\\*shape, N), real or complex.

        Returns
        -------
        float, complex or ndarray of shape `shape`
            The same on all ranks.

        Raises
        ------
        ShapeError, NonFiniteError
            On all ranks, if the last axis is not N on some rank, or the sum is not finite.
        """
        values = check.array("values", values)
        error = None if self._fits(values) else self._misfit("values", values)
        return sum_over_ranks(values @ self.w if error is None else np.zeros(values.shape[:-1]), error, self.comm)

    def inner(self, u: Any, v: Any) -> float:
        """⟨u, v⟩ = Σ_k w_k Re(conj u · v), all components; u and v of shape (\\*shape, N)."""
        u, v = check.array("u", u), check.array("v", v)
        error = None if self._fits(u) else self._misfit("u", u)
        if error is None and v.shape != u.shape:
            error = ShapeError(f"u of shape {u.shape} and v of shape {v.shape}", "give fields of equal shape")
        return float(sum_over_ranks(np.vdot(u, v * self.w).real if error is None else 0.0, error, self.comm))

    def norm(self, u: Any) -> float:
        """‖u‖ = ⟨u, u⟩^½."""
        return float(np.sqrt(self.inner(u, u)))

    def _fits(self, values: NDArray[Any]) -> bool:
        return values.ndim > 0 and values.shape[-1] == self.n and values.dtype.kind in "fiucb"

    def _misfit(self, name: str, values: NDArray[Any]) -> ShapeError:
        given = f"{name} of shape {values.shape} and dtype {values.dtype}"
        what = f"{given} on rank {self.comm.rank}, which has {self.n} points"
        return ShapeError(what, "give one number for each local point, points last: (*shape, N)")

    # -- where points and weights come from ------------------------------------------------------------------
    @classmethod
    def from_mesh(
        cls, mesh: Mesh | skfem.Mesh, order: int, comm: MPI.Comm | None = None, *, subdomain: str | None = None
    ) -> Quadrature:
        """Rule on every cell of a mesh, exact where g∘F · det J has degree `order` in the reference coordinates.

        So g of degree k is integrated exactly for `order` ≥ k on lines, triangles, tetrahedra and parallelograms;
        k + 1 on quadrilaterals, k + 2 on hexahedra; 2k + 2 on second-order triangles, 2k + 3 on second-order
        quadrilaterals and tetrahedra, 2k + 5 on hexahedra of 27 nodes.

        Parameters
        ----------
        mesh : Mesh or skfem.Mesh
            A scikit-fem mesh must be the same on all ranks; its cells are split in contiguous blocks.
        order : int
            Polynomial degree.
        comm : MPI.Comm, optional
            Of a scikit-fem mesh; may be left out in a job of one process.
        subdomain : str, optional
            Only the cells of this named subdomain.

        Raises
        ------
        MeshError, ParameterError
            On all ranks: a cell whose Jacobian vanishes or changes sign, an unknown name, an impossible order.
        """
        mesh = distributed(mesh, comm)
        agreed(mesh.comm, order=order, subdomain=subdomain)
        with collective_errors(mesh.comm):
            x, w = np.zeros((mesh.dim, 0)), np.zeros(0)
            chosen = mesh.cells_of(subdomain)
            if mesh.local is not None:
                x, w = cells.cell_points(mesh.local, order, chosen, mesh.first_cell)
        return cls(x, w, mesh.comm)

    @classmethod
    def boundary(
        cls, mesh: Mesh | skfem.Mesh, name: str | None, order: int, comm: MPI.Comm | None = None
    ) -> Quadrature:
        """∮ g dS on a named boundary or interface, or on the whole boundary (name None).

        A rule on every facet, each facet once.  Normals point out of the facet's owning cell.  In one
        dimension facets are points of weight 1.

        Raises
        ------
        ParameterError
            On all ranks, if the mesh has no boundary of this name; lists those it has.
        """
        mesh = distributed(mesh, comm)
        agreed(mesh.comm, order=order, name=name)
        with collective_errors(mesh.comm):
            facets = mesh.facets_of(name)
            x, w, normals = np.zeros((mesh.dim, 0)), np.zeros(0), np.zeros((mesh.dim, 0))
            if mesh.local is not None:
                x, w, normals = cells.facet_points(mesh.local, facets, order)
        return cls(x, w, mesh.comm, normals=normals)

    @classmethod
    def from_basis(cls, basis: Any, comm: MPI.Comm | None = None, *, split: bool = True) -> Quadrature:
        """Points and weights of a scikit-fem basis, flattened cell by cell: (cells, Q) → cells · Q.

        Parameters
        ----------
        basis : skfem.CellBasis or skfem.FacetBasis
            A facet basis brings its normals.
        split : bool
            True: every rank holds the same basis, and takes its block of the cells.  False: every rank brings
            the basis of its own cells.
        """
        comm = communicator(comm)
        with collective_errors(comm):
            check.require(_BASIS, {"basis": basis, "split": split})
            x, w, normals = cells.basis_points(basis, *((comm.rank, comm.size) if split else (0, 1)))
        return cls(x, w, comm, normals=normals)

    @classmethod
    def periodic(cls, bounds: Bounds, n: int | Sequence[int], comm: MPI.Comm | None = None) -> Quadrature:
        """Trapezoidal rule on a periodic interval or box: x = a + (b − a) k / n, k = 0 … n − 1, equal weights.

        Exact for trigonometric polynomials of degree < n in each direction; spectral for smooth periodic g.

        Parameters
        ----------
        bounds : (a, b) or sequence of (a, b)
        n : int or sequence of int
            Points in each direction.
        """
        comm = agreed(comm, bounds=bounds, n=n)
        with collective_errors(comm):
            x, w = grids.periodic(bounds, n, comm.rank, comm.size)
        return cls(x, w, comm)

    @classmethod
    def samples(
        cls, x: Any, density: Any, comm: MPI.Comm | None = None, *, weight: Any = None, replicated: bool = False
    ) -> Quadrature:
        """∫ g ω dx ≈ (1/N) Σ_k g(x_k) ω(x_k)/q(x_k) of points drawn with density q: unbiased where q > 0 if g ω ≠ 0.

        Parameters
        ----------
        x : (dim, N) array
            This rank's points; with `replicated` all points, the same on all ranks.
        density : (N,) array
            q(x_k) > 0, normalized: ∫ q dx = 1.
        weight : (N,) array, optional
            ω(x_k) ≥ 0; 1 by default, which is L²(dx).

        Raises
        ------
        ShapeError, NonFiniteError, QuadratureError
            On all ranks: sizes that differ, or a density that is not positive where a point is.
        """
        comm = communicator(comm)
        with collective_errors(comm):
            check.truth("replicated", replicated)
            points, ratio, q = sample_weights(x, density, weight)
        if replicated:
            points, ratio, q = own_block(points, ratio, q, comm)
        return cls(points, ratio / comm.allreduce(ratio.size), comm, density=q[0])

    @classmethod
    def gauss(cls, bounds: Bounds, cells: int | Sequence[int], order: int, comm: MPI.Comm | None = None) -> Quadrature:
        """Gauss–Legendre rule on equal cells of an interval or box, exact for degree `order` in each direction.

        Parameters
        ----------
        bounds : (a, b) or sequence of (a, b)
        cells : int or sequence of int
            Cells in each direction.
        order : int
            Polynomial degree; max(2, order // 2 + 1) points per cell and direction.
        """
        comm = agreed(comm, bounds=bounds, cells=cells, order=order)
        with collective_errors(comm):
            x, w = grids.gauss(bounds, cells, order, comm.rank, comm.size)
        return cls(x, w, comm)
