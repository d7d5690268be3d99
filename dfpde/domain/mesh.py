"""Meshes distributed over ranks in contiguous blocks of cells, without ghosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import skfem
from mpi4py import MPI
from numpy.typing import NDArray

from .. import validation as check
from ..errors import ParameterError
from ..parallel.collective import collective_errors, raise_on_all
from ..parallel.communicator import communicator
from ..parallel.replicated import same_on_all_ranks
from ..representation import represent
from . import cells, skfem_mesh
from . import check as mesh_check
from . import facets as mesh_facets
from . import file as mesh_file
from .raw import RawMesh
from .splitting import blocks, within

Array = NDArray[Any]
Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Mesh:
    """This rank's block of the cells of a mesh.

    Attributes
    ----------
    local : skfem.Mesh or None
        Cells ``first_cell, …`` of this rank with their vertices, compactly renumbered; None on a rank without cells.
        Its ``subdomains`` hold this rank's part of the named ones.
    comm : MPI.Comm
    dim : int
        Space dimension, 1 to 3.
    n_cells, n_vertices : int
        Of the whole mesh; n_vertices counts all nodes of second-order cells.
    first_cell : int
        Number of this rank's first cell in the whole mesh.
    vertex_ids : ndarray of int64
        Number in the whole mesh of each local node, in the order of ``local.doflocs``.
    boundaries, subdomains : tuple of str
        Names, the same on all ranks.
    facets : mapping
        Name → this rank's facets of that boundary, (2, n): cell of `local`, and place of the facet in the cell.
        A facet belongs to exactly one cell of exactly one rank.  None → the boundary of the whole mesh.
    corners : ndarray of int64 or None
        On a periodic mesh, whose cells in `local` have nodes of their own: number in the whole mesh of the corners of
        this rank's cells, (corners, cells), equal where cells are joined.
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
    facets: Mapping[str | None, Ids] = field(default_factory=dict)
    corners: Ids | None = None

    __repr__ = represent

    @classmethod
    def from_skfem(cls, mesh: skfem.Mesh, comm: MPI.Comm | None = None, *, weights: Array | None = None) -> Mesh:
        """Split a scikit-fem mesh that every rank holds.

        Parameters
        ----------
        mesh : skfem.Mesh
            The same mesh on all ranks; lines, triangles, quadrilaterals, tetrahedra, hexahedra of any order; periodic
            ones too (``MeshTri1DG.periodic`` and its like).
        comm : MPI.Comm, optional
            May be left out in a job of one process.
        weights : ndarray, optional
            Cost of each cell, (cells,); equal by default.

        Raises
        ------
        MeshError
            On all ranks, if a coordinate is not finite, a cell has zero volume or is folded (scikit-fem's own
            ``is_valid`` accepts these), or a period has fewer than three cells.
        """
        comm = communicator(comm)
        same_on_all_ranks(comm, mesh=[getattr(mesh, name, None) for name in ("doflocs", "t")], weights=weights)
        with collective_errors(comm):
            check.instance(skfem.Mesh, "a scikit-fem mesh")("mesh", mesh)
            check.optional(check.numbers(1))("weights", weights)
            whole = skfem_mesh.whole(mesh)
            cuts = blocks(whole.cells.shape[1], comm.size, weights)
            facets = skfem_mesh.facets_of(mesh, whole.cell_type)
            part = _cut(whole, facets, int(cuts[comm.rank]), int(cuts[comm.rank + 1]))
            skfem_mesh.require_shapes(part.raw, part.first, part.ids)
            built = _build(part, comm, _Whole.of(whole, tuple(sorted(mesh.boundaries or {}))))
        return built

    def cells_of(self, subdomain: str | None) -> Any:
        """Numbers of this rank's cells in a named subdomain; all of them for None.

        Raises
        ------
        ParameterError
            The mesh has no subdomain of this name; lists those it has.
        """
        if subdomain is None:
            return slice(None)
        check.text("subdomain", subdomain)
        if subdomain not in self.subdomains:
            known = ", ".join(self.subdomains) or "none"
            raise ParameterError(f"the mesh has no subdomain {subdomain!r}", f"use one it has: {known}")
        return slice(None) if self.local is None else np.asarray(self.local.subdomains[subdomain])

    def facets_of(self, boundary: str | None) -> Ids:
        """This rank's facets (2, n) of a named boundary, as in `facets`; of the whole boundary for None.

        Raises
        ------
        ParameterError
            The mesh has no boundary of this name; lists those it has.
        """
        check.optional(check.text)("boundary", boundary)
        if boundary is not None and boundary not in self.boundaries:
            known = ", ".join(self.boundaries) or "none"
            raise ParameterError(f"the mesh has no boundary {boundary!r}", f"use one it has: {known}")
        return self.facets.get(boundary, np.zeros((2, 0), dtype=np.int64))


def distributed(mesh: Mesh | skfem.Mesh, comm: MPI.Comm | None) -> Mesh:
    """A mesh as it is, or a scikit-fem mesh split over the ranks; collective.

    Raises
    ------
    ParameterError
        A communicator of another size than that of a `Mesh`, which has its own.
    """
    check.instance((Mesh, skfem.Mesh), "a Mesh (read_mesh) or a scikit-fem mesh")("mesh", mesh)
    if not isinstance(mesh, Mesh):
        return Mesh.from_skfem(mesh, comm)
    if comm is not None and comm.size != mesh.comm.size:
        what = f"a mesh split over {mesh.comm.size} ranks, a communicator of {comm.size}"
        raise ParameterError(what, "leave comm out: the mesh has its own")
    return mesh


_FILE = {
    "path": check.path,
    "dim": check.optional(check.integer(1, 3)),
    "repair": check.truth,
    "weights": check.optional(check.numbers(1)),
}


def read_mesh(
    path: str | Path,
    comm: MPI.Comm | None = None,
    *,
    dim: int | None = None,
    repair: bool = False,
    weights: Array | None = None,
) -> Mesh:
    """Read a mesh file on rank 0, check it, and scatter its cells in contiguous blocks.

    gmsh's .msh files (1, 2, 4.0, 4.1, text and binary), SU2, Exodus, and anything meshio reads (.vtu, .xdmf, MED, …)
    with lines, triangles, quadrilaterals, tetrahedra or hexahedra, or second-order triangles, quadrilaterals (9 nodes),
    tetrahedra, hexahedra (27 nodes).  Groups of cells and facets become `Mesh.subdomains` and `Mesh.boundaries`; one
    without a name is called by its number.  Rank 0 sends one block after the other: beside the whole mesh it holds one
    block at a time.

    What no integral depends on is mended and said: inverted cells, unused vertices, vertices twice at one place.

    Parameters
    ----------
    path : str or Path
    comm : MPI.Comm, optional
        May be left out in a job of one process.
    dim : int, optional
        Dimension the mesh must have; by default that of its highest-dimensional cells.
    repair : bool
        Also drop duplicate cells, and close slits: vertices at one place are merged on named boundaries too.
    weights : ndarray, optional
        Cost of each cell, (cells,), needed on rank 0 only; equal by default.

    Raises
    ------
    MeshError
        On all ranks: the file cannot be read, or the mesh has a fault.  All faults found are listed, with numbers.
    MissingDependency
        On all ranks: the format needs a package that is not installed.
    ParameterError
        On all ranks, if the weights do not fit.

    Warns
    -----
    DfpdeWarning
        On rank 0: what was mended; names in the file that were not read.
    """
    comm = communicator(comm)
    raw: Any = None
    cuts: Any = None
    facets: dict[str | None, Ids] = {}
    error: Exception | None = None
    if comm.rank == 0:
        try:
            check.require(_FILE, {"path": path, "dim": dim, "repair": repair, "weights": weights})
            raw = mesh_check.accept(mesh_file.load(path, dim), str(path), repair)
            cuts = blocks(raw.cells.shape[1], comm.size, weights)
            facets.update(mesh_facets.locate_facets(raw))
            facets[None] = mesh_facets.outer_facets(raw)
        except Exception as caught:
            error = caught
    raise_on_all(comm, error)
    return scatter(raw, facets, cuts, comm)


# -- splitting -----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Whole:
    """What every rank knows of the whole mesh."""

    cell_type: str
    n_cells: int
    n_vertices: int
    boundaries: tuple[str, ...]
    subdomains: tuple[str, ...]

    @classmethod
    def of(cls, raw: RawMesh, boundaries: tuple[str, ...]) -> _Whole:
        return cls(raw.cell_type, raw.cells.shape[1], raw.points.shape[1], boundaries, tuple(sorted(raw.subdomains)))


@dataclass(frozen=True, eq=False)
class _Part:
    """Cells `first`, … with their nodes compactly renumbered, the nodes' old numbers, and their facets."""

    raw: RawMesh
    first: int
    ids: Ids
    facets: Mapping[str | None, Ids]


def _cut(raw: RawMesh, facets: Mapping[str | None, Ids], low: int, high: int) -> _Part:
    ids, compact = np.unique(raw.cells[:, low:high], return_inverse=True)
    renumbered = compact.reshape(len(raw.cells), high - low).astype(np.int32)
    regions = {name: within(np.asarray(numbers)[None], low, high)[0] for name, numbers in raw.subdomains.items()}
    mine = {name: within(pairs, low, high) for name, pairs in facets.items()}
    points = np.ascontiguousarray(raw.points[:, ids])
    corners = None if raw.corners is None else raw.corners[:, low:high].astype(np.int64)
    return _Part(RawMesh(points, renumbered, raw.cell_type, {}, regions, corners), low, ids.astype(np.int64), mine)


def _build(part: _Part, comm: MPI.Comm, whole: _Whole) -> Mesh:
    raw, ids, local = part.raw, part.ids, None
    if ids.size:
        # places of facets refer to this order of the nodes, so scikit-fem must not sort them
        local = raw.mesh_type(raw.points, raw.cells, sort_t=False).with_subdomains(dict(raw.subdomains))
        ids = np.empty_like(part.ids)
        ids[cells.nodes(local)] = part.ids[raw.cells]  # second-order nodes were renumbered by scikit-fem
    counts = (whole.n_cells, whole.n_vertices, part.first)
    return Mesh(local, comm, raw.dim, *counts, ids, whole.boundaries, whole.subdomains, part.facets, raw.corners)


def scatter(raw: Any, facets: Mapping[str | None, Ids], cuts: Any, comm: MPI.Comm) -> Mesh:
    """One block after the other from rank 0 to its rank."""
    error: Exception | None = None
    if comm.rank == 0:
        whole = comm.bcast(_Whole.of(raw, tuple(sorted(name for name in facets if name is not None))))
        for rank in range(comm.size - 1, -1, -1):
            try:
                part: Any = None if error else _cut(raw, facets, int(cuts[rank]), int(cuts[rank + 1]))
            except MemoryError as caught:
                part, error = None, caught
            if rank > 0:
                comm.send(part, dest=rank)
    else:
        whole = comm.bcast(None)
        part = comm.recv(source=0)
    raise_on_all(comm, error)
    with collective_errors(comm):
        built = _build(part, comm, whole)
    return built
