"""Meshes distributed over ranks in contiguous blocks of cells, without ghosts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import skfem
from mpi4py import MPI
from numpy.typing import NDArray
from skfem.generic_utils import OrientedBoundary

from . import cells
from .collective import together
from .errors import MeshError, ParameterError

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Mesh:
    """This rank's block of the cells of a mesh.

    Attributes
    ----------
    local : skfem.Mesh or None
        Cells ``first_cell, …`` of this rank with their vertices, compactly renumbered; None on a rank without cells.
        Its ``boundaries`` and ``subdomains`` hold this rank's part of the named ones; a named facet belongs to
        exactly one cell of exactly one rank.
    comm : MPI.Comm
    dim : int
        Space dimension, 1 to 3.
    n_cells, n_vertices : int
        Of the whole mesh (n_vertices counts all nodes of second-order cells).
    first_cell : int
        Number of this rank's first cell in the whole mesh.
    vertex_ids : ndarray of int64
        Number in the whole mesh of each local node, in the order of `local.doflocs` (first-order cells).
    boundaries, subdomains : tuple of str
        Names known on all ranks.
    """

    local: Any
    comm: MPI.Comm
    dim: int
    n_cells: int
    n_vertices: int
    first_cell: int
    vertex_ids: Ids
    boundaries: tuple[str, ...] = ()
    subdomains: tuple[str, ...] = ()

    @classmethod
    def from_skfem(cls, mesh: skfem.Mesh, comm: MPI.Comm, *, weights: NDArray[np.float64] | None = None) -> Mesh:
        """Split a scikit-fem mesh that every rank holds.

        Parameters
        ----------
        mesh : skfem.Mesh
            The same mesh on all ranks.
        comm : MPI.Comm
        weights : ndarray, optional
            Cost of each cell, (cells,); equal by default.
        """
        with together(comm):
            numbers = cells.nodes(mesh)
            cuts = blocks(numbers.shape[1], comm.size, weights)
            low, high = int(cuts[comm.rank]), int(cuts[comm.rank + 1])
            local, ids = _cut(mesh, numbers[:, low:high])
            named: dict[str, Any] = dict(mesh.boundaries or {})
            regions: dict[str, Any] = dict(mesh.subdomains or {})
            if local is not None:
                local = local.with_boundaries({k: _facets(mesh, v, local, low, high) for k, v in named.items()})
                local = local.with_subdomains({k: within(v, low, high) for k, v in regions.items()})
        return cls(
            local,
            comm,
            mesh.dim(),
            numbers.shape[1],
            mesh.doflocs.shape[1],
            low,
            ids,
            tuple(sorted(named)),
            tuple(sorted(regions)),
        )


def blocks(count: int, parts: int, weights: NDArray[np.float64] | None = None) -> Ids:
    """Cuts (parts + 1,) of 0 … count into contiguous blocks of equal total weight.

    Raises
    ------
    ParameterError
        If the weights are not `count` finite non-negative numbers with a positive sum.
    """
    if weights is None:
        equal: Ids = np.arange(parts + 1, dtype=np.int64) * count // parts
        return equal
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (count,) or not np.all(weights >= 0) or not 0 < np.sum(weights) < np.inf:
        raise ParameterError(
            f"cell weights of shape {weights.shape} for {count} cells, sum {np.sum(weights)}",
            "give one finite non-negative number per cell, not all zero",
        )
    total = np.cumsum(weights)
    cuts = np.searchsorted(total, total[-1] * np.arange(1, parts) / parts, side="left") + 1
    balanced: Ids = np.concatenate([[0], np.minimum(cuts, count), [count]]).astype(np.int64)
    return balanced


def within(ids: Any, low: int, high: int) -> Ids:
    """Those of the cell numbers `ids` in [low, high), counted from `low`."""
    ids = np.asarray(ids, dtype=np.int64)
    inside: Ids = ids[(ids >= low) & (ids < high)] - low
    return inside


def _cut(mesh: Any, numbers: NDArray[np.int32]) -> tuple[Any, Ids]:
    """Mesh of the cells with these node numbers, and the number of each of its nodes."""
    if numbers.shape[1] == 0:
        return None, np.zeros(0, dtype=np.int64)
    kind = type(mesh)
    if hasattr(kind, "periodic"):  # discontinuous (periodic) meshes of scikit-fem: every cell has its own vertices
        kind = kind.__bases__[-1]
    ids, compact = np.unique(numbers, return_inverse=True)
    local = kind(np.ascontiguousarray(mesh.doflocs[:, ids]), compact.reshape(numbers.shape).astype(np.int32))
    return local, ids.astype(np.int64)


def _facets(mesh: Any, named: Any, local: Any, low: int, high: int) -> OrientedBoundary:
    """The facets of a named boundary whose owning cell lies in [low, high), as facets of the local mesh."""
    owner, place = facet_cells(mesh, named)
    mine = (owner >= low) & (owner < high)
    return oriented(local, owner[mine] - low, place[mine])


def facet_cells(mesh: Any, named: Any) -> tuple[Ids, Ids]:
    """Owning cell of each facet of a named boundary, and the facet's place in that cell."""
    facets = np.asarray(named, dtype=np.int64)
    side = getattr(named, "ori", None)
    owner = mesh.f2t[0 if side is None else side, facets]
    if np.any(owner < 0):
        lost = facets[owner < 0]
        what = f"{lost.size} facets are oriented away from their only cell, first {lost[:5].tolist()}"
        raise MeshError(what, "give the boundary without orientation")
    return owner.astype(np.int64), np.argmax(mesh.t2f[:, owner] == facets, axis=0)


def oriented(local: Any, owner: Ids, place: Ids) -> OrientedBoundary:
    """Facets given as (cell, place in the cell), in scikit-fem's form."""
    facets = local.t2f[place, owner]
    return OrientedBoundary(facets.astype(np.int32), (local.f2t[0, facets] != owner).astype(np.int32))
