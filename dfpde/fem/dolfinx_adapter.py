"""dolfinx (FEniCSx): its forms as a semi-discrete model, its functions at dfpde's points and back.

Written for dolfinx 0.5 (Debian 12) and the same calls of later versions.  A field goes into dolfinx by its own
interpolation, ``u.interpolate(lambda x: field(x[:dim]))``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ansatz.base import Ansatz
from ..errors import MissingDependency, ParameterError
from ..parallel.collective import collective_errors
from .nodes import Nodes
from .semidiscrete import SemiDiscrete

Array = NDArray[Any]


def _dolfinx() -> Any:
    try:
        import dolfinx.fem.petsc
        import dolfinx.geometry
    except ImportError as error:
        raise MissingDependency(
            f"dolfinx: {error}", "Debian, Ubuntu: apt-get install --no-install-recommends python3-dolfinx"
        ) from error
    return dolfinx


def nodes(space: Any) -> Nodes:
    """The degrees of freedom that this rank owns, of a scalar Lagrange space; collective."""
    dim, comm = space.mesh.geometry.dim, space.mesh.comm
    with collective_errors(comm):
        if space.dofmap.index_map_bs != 1:
            raise ParameterError("a vector-valued dolfinx space", "one scalar space: components share its mass matrix")
        owned = space.dofmap.index_map.size_local
        x = np.ascontiguousarray(space.tabulate_dof_coordinates()[:owned, :dim].T)
    return Nodes(x, comm)


def semi_discrete(
    ansatz: Ansatz, u: Any, mass: Any, rhs: Any, update: Callable[[float], None] | None = None, **options: Any
) -> SemiDiscrete:
    """M U̇ = F(t, U) from dolfinx forms.

    Parameters
    ----------
    ansatz : Ansatz
    u : dolfinx.fem.Function
        The solution as it appears in `rhs`; overwritten by every evaluation.
    mass, rhs : ufl forms
        Bilinear form of M, and linear form of F in terms of `u`.
    update : callable, optional
        t -> None: sets time-dependent coefficients before an evaluation.
    **options
        Of `SemiDiscrete`: conditions, fixed, scale, prefix.

    Returns
    -------
    SemiDiscrete
        On dolfinx's own assembled matrix, distributed as its mesh is.
    """
    module, space = _dolfinx(), u.function_space
    from ..leastsquares.petsc import PETSc

    petsc = module.fem.petsc
    matrix = petsc.assemble_matrix(module.fem.form(mass))
    matrix.assemble()
    form = module.fem.form(rhs)
    mine = nodes(space)

    def load(t: float, values: Array) -> Array:
        if update is not None:
            update(t)
        u.x.array[: mine.n] = values
        u.x.scatter_forward()
        vector = petsc.assemble_vector(form)
        vector.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)  # to the owner
        found: Array = vector.getArray().copy()
        vector.destroy()
        return found

    return SemiDiscrete(ansatz, matrix, load, mine, **options)


def evaluate(u: Any, x: Array) -> Array:
    """u_h(x_k), (M,), of a scalar dolfinx function at this rank's points x (dim, M), on whatever rank their cells are.

    Every rank sees all points: for output and for the transfer of initial data, not for every stage.

    Raises
    ------
    ParameterError
        On all ranks: points outside the mesh.
    """
    geometry, mesh = _dolfinx().geometry, u.function_space.mesh
    comm, dim = mesh.comm, mesh.geometry.dim
    everyone = comm.allgather(np.asarray(x, dtype=float))
    with collective_errors(comm):
        answers = []
        for points in everyone:
            padded = np.zeros((points.shape[1], 3))
            padded[:, :dim] = points.T
            cells = _cells(geometry, mesh, padded)
            values = np.full(len(padded), np.nan)
            inside = cells >= 0
            if inside.any():
                values[inside] = np.reshape(u.eval(padded[inside], cells[inside]), -1)
            answers.append(values)
    mine = np.array(comm.alltoall(answers))
    found = ~np.isnan(mine)
    with collective_errors(comm):
        if not found.any(axis=0).all():
            lost = np.flatnonzero(~found.any(axis=0))
            raise ParameterError(
                f"{lost.size} of {mine.shape[1]} points of rank {comm.rank} lie outside the mesh", "points inside it"
            )
    first = np.argmax(found, axis=0)
    chosen: Array = mine[first, np.arange(mine.shape[1])]
    return chosen


def _cells(geometry: Any, mesh: Any, points: Array) -> Array:
    """A cell of this rank for each point, −1 for none."""
    if hasattr(geometry, "bb_tree"):  # dolfinx >= 0.7
        tree = geometry.bb_tree(mesh, mesh.topology.dim)
        candidates = geometry.compute_collisions_points(tree, points)
    else:
        tree = geometry.BoundingBoxTree(mesh, mesh.topology.dim)
        candidates = geometry.compute_collisions(tree, points)
    colliding = geometry.compute_colliding_cells(mesh, candidates, points)
    links = [colliding.links(i) for i in range(len(points))]
    return np.array([link[0] if len(link) else -1 for link in links], dtype=np.int32)
