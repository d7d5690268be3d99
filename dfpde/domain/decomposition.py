"""Meshes cut by METIS into parts with short borders, and numbers for what parts share.

`dfpde.Mesh` takes contiguous blocks of cells, which is all a global ansatz needs.  Matrices of finite elements couple
neighbouring cells: there short borders pay.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import skfem
from mpi4py import MPI
from numpy.typing import NDArray

from .. import validation as check
from ..errors import MeshError, MissingDependency
from ..parallel.collective import raise_on_all
from . import check as mesh_check
from . import facets as mesh_facets
from . import file as mesh_file
from .mesh import Mesh, scatter
from .raw import RawMesh
from .skfem_mesh import cell_type_of

Array = NDArray[Any]
Ids = NDArray[np.int64]


def partition(mesh: skfem.Mesh | str | Path | None, comm: MPI.Comm) -> Mesh:
    """Cut a mesh into connected parts of nearly equal size with short borders, one for each rank.

    Rank 0 reads the mesh, computes the parts (METIS on the dual graph: cells are neighbours when they share a facet),
    orders the cells part after part and sends each rank its own.  Ranks beyond the number of cells get none.

    Parameters
    ----------
    mesh : skfem.Mesh, str, Path or None
        A scikit-fem mesh or a file that `read_mesh` reads; used on rank 0 only.
    comm : MPI.Comm

    Returns
    -------
    Mesh
        Cells numbered part after part; `vertex_ids` are the numbers of the given mesh.

    Raises
    ------
    MeshError
        On all ranks: no mesh on rank 0, or one that `read_mesh` would refuse.
    MissingDependency
        pymetis is not installed (one rank does not need it).
    """
    raw: Any = None
    cuts: Any = None
    facets: dict[str | None, Ids] = {}
    error: Exception | None = None
    check.instance(MPI.Comm, "a communicator of mpi4py")("comm", comm)
    if comm.rank == 0:
        try:
            raw, facets = _whole(mesh)
            raw, facets, cuts = _ordered(raw, facets, partition_cells(raw, comm.size), comm.size)
        except Exception as caught:
            error = caught
    raise_on_all(comm, error)
    return scatter(raw, facets, cuts, comm)


def _whole(mesh: Any) -> tuple[RawMesh, dict[str | None, Ids]]:
    if mesh is None:
        raise MeshError("no mesh on rank 0", "give rank 0 a scikit-fem mesh or a file name")
    if isinstance(mesh, str | Path):
        raw = mesh_check.accept(mesh_file.load(mesh), str(mesh))
        facets: dict[str | None, Ids] = {None: mesh_facets.outer_facets(raw)}
        facets.update(mesh_facets.locate_facets(raw))
        return raw, facets
    local = Mesh.from_skfem(mesh, MPI.COMM_SELF)  # checks, and sorts out periodic meshes
    cell_type = cell_type_of(type(local.local))
    regions = dict(local.local.subdomains or {})
    raw = RawMesh(local.local.doflocs, local.local.t, cell_type, {}, regions, local.corners)
    if local.local.t.max() + 1 != local.n_vertices or not np.array_equal(local.vertex_ids, np.arange(local.n_vertices)):
        raise MeshError(f"{type(mesh).__name__} has curved cells or loose vertices", "give its file, or straight cells")
    return raw, dict(local.facets)


def _ordered(
    raw: RawMesh, facets: dict[str | None, Ids], owner: Array, count: int
) -> tuple[RawMesh, dict[str | None, Ids], Ids]:
    """Cells part after part, and the cuts between parts."""
    order = np.argsort(owner, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    cuts = np.searchsorted(owner[order], np.arange(count + 1)).astype(np.int64)
    regions = {name: np.sort(place[np.asarray(ids)]) for name, ids in raw.subdomains.items()}
    moved = {name: np.stack([place[pairs[0]], pairs[1]]) for name, pairs in facets.items()}
    corners = None if raw.corners is None else raw.corners[:, order]
    return replace(raw, cells=raw.cells[:, order], subdomains=regions, corners=corners), moved, cuts


def partition_cells(mesh: RawMesh, count: int) -> Array:
    """METIS: the part 0 … count − 1 of every cell; parts beyond the number of cells are empty."""
    n_cells = mesh.cells.shape[1]
    if count == 1 or count >= n_cells:
        return np.arange(n_cells, dtype=np.int32) if count > 1 else np.zeros(n_cells, dtype=np.int32)
    pymetis = _pymetis()
    start, neighbours = dual_graph(mesh)
    _, part = pymetis.part_graph(
        count, pymetis.CSRAdjacency(start, neighbours), options=pymetis.Options(seed=0), recursive=count <= 8
    )
    return np.asarray(part, dtype=np.int32)


def _pymetis() -> Any:
    """pymetis, bound to its own METIS: other libraries (dolfinx through Scotch) bring functions of the same names."""
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_NOW | os.RTLD_LOCAL | getattr(os, "RTLD_DEEPBIND", 0))
    try:
        import pymetis
        import pymetis._internal
    except ImportError as error:
        raise MissingDependency("pymetis is not installed", "pip install pymetis, or dfpde.Mesh.from_skfem") from error
    finally:
        sys.setdlopenflags(flags)
    return pymetis


def dual_graph(mesh: RawMesh) -> tuple[Array, Array]:
    """Neighbours of every cell through facets, as (cells + 1,) offsets and numbers of cells."""
    facets = mesh.refdom.facets
    n = mesh.cells.shape[1]
    cells = mesh.cells if mesh.corners is None else mesh.corners
    corners = np.sort(np.stack([cells[facet] for facet in facets], axis=1).reshape(len(facets[0]), -1), axis=0)
    order = np.lexsort(corners)
    same = np.all(corners[:, order[1:]] == corners[:, order[:-1]], axis=0)
    one, other = (order[:-1][same] % n).astype(np.int32), (order[1:][same] % n).astype(np.int32)
    del corners, order
    source, target = np.concatenate([one, other]), np.concatenate([other, one])
    by_cell = np.argsort(source, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=n))]).astype(np.int32)
    return start, np.ascontiguousarray(target[by_cell])


def shared_numbers(keys: Ids, comm: MPI.Comm) -> Ids:
    """Numbers 0 … of things that ranks share, the same on all ranks that bring the same key; collective.

    Those of the lowest rank that brings them come first, so that numbers are local to ranks.

    Parameters
    ----------
    keys : (k, n) array of int64
        Columns name the things, none twice on a rank (for example the sorted vertices of an edge).

    Returns
    -------
    (n,) array of int64
    """
    home = (keys.sum(axis=0) if keys.size else np.zeros(0, np.int64)) % comm.size
    order = np.argsort(home, kind="stable")
    cuts = np.searchsorted(home[order], np.arange(comm.size + 1))
    asked = comm.alltoall([keys[:, order[a:b]] for a, b in pairwise(cuts)])
    answers = _directory(asked, comm)
    numbers = np.empty(keys.shape[1], dtype=np.int64)
    numbers[order] = np.concatenate(comm.alltoall(answers))
    return numbers


def _directory(asked: list[Ids], comm: MPI.Comm) -> list[Ids]:
    """This rank's share of the directory: number each key once, by owner."""
    everything = np.concatenate(asked, axis=1)
    source = np.repeat(np.arange(comm.size), [part.shape[1] for part in asked])
    _, first, inverse = np.unique(everything, axis=1, return_index=True, return_inverse=True)
    owner = source[first]  # the first appearance is the lowest rank: asked is in the order of ranks
    mine = np.bincount(owner, minlength=comm.size).astype(np.int64)
    counts = np.array(comm.allgather(mine))  # (directory, owner)
    offset = np.cumsum(counts.sum(axis=0)) - counts.sum(axis=0) + counts[: comm.rank].sum(axis=0)
    by_owner = np.argsort(owner, kind="stable")
    number = np.empty(owner.size, dtype=np.int64)
    within = np.arange(owner.size) - np.repeat(np.cumsum(mine) - mine, mine)
    number[by_owner] = offset[owner[by_owner]] + within
    cuts = np.cumsum([part.shape[1] for part in asked])[:-1]
    return np.split(number[inverse.reshape(-1)], cuts)
