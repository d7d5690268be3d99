"""Firedrake: its forms as a semi-discrete model.

Firedrake is installed from source with its own PETSc (firedrakeproject.org), in no package registry that the test suite
can use: its test is skipped where it is missing, and this file has never been run.  Its functions come to dfpde's
points by Firedrake's own ``u.at(points)``, a field goes into Firedrake by
``Function(V).dat.data[:] = field(nodes(V).x)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ansatz.base import Ansatz
from ..errors import MissingDependency
from .nodes import Nodes
from .semidiscrete import SemiDiscrete

Array = NDArray[Any]


def _firedrake() -> Any:
    try:
        import firedrake
    except ImportError as error:
        raise MissingDependency(f"firedrake: {error}", "https://www.firedrakeproject.org/install.html") from error
    return firedrake


def nodes(space: Any) -> Nodes:
    """The degrees of freedom that this rank owns, of a scalar Lagrange space; collective."""
    firedrake, mesh = _firedrake(), space.mesh()
    places = firedrake.Function(firedrake.VectorFunctionSpace(mesh, space.ufl_element()))
    places.interpolate(firedrake.SpatialCoordinate(mesh))
    x = np.reshape(places.dat.data_ro, (-1, mesh.geometric_dimension())).T
    return Nodes(np.ascontiguousarray(x), mesh.comm)


def semi_discrete(
    ansatz: Ansatz, u: Any, mass: Any, rhs: Any, update: Callable[[float], None] | None = None, **options: Any
) -> SemiDiscrete:
    """M U̇ = F(t, U) from Firedrake forms; arguments as of `dfpde.fem.dolfinx_adapter.semi_discrete`."""
    firedrake = _firedrake()
    matrix = firedrake.assemble(mass).petscmat
    mine = nodes(u.function_space())

    def load(t: float, values: Array) -> Array:
        if update is not None:
            update(t)
        u.dat.data[:] = values
        return np.array(firedrake.assemble(rhs).dat.data_ro, dtype=float)

    return SemiDiscrete(ansatz, matrix, load, mine, **options)
