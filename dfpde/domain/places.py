"""Points that know their cells: where coefficients are evaluated without a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..errors import ParameterError
from ..representation import represent
from . import cells
from .mesh import Mesh

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class CellPoints:
    """x_k = F_c(X_k), c = c(k): points of a rule on some of this rank's cells, cell by cell.

    Attributes
    ----------
    mesh : Mesh
    x : (dim, N) array
    w : (N,) array
        Weights of ∫ dx over these cells.
    cells : (N,) array of int
        c(k), the number in ``mesh.local`` of each point's cell.
    inside : (dim, N) array
        X_k, in scikit-fem's reference cell.
    each : int
        Points of a cell.
    """

    mesh: Mesh
    x: Array
    w: Array
    cells: Array
    inside: Array
    each: int

    __repr__ = represent

    @classmethod
    def of(cls, mesh: Mesh, order: int, chosen: Array) -> CellPoints:
        """The rule of `Quadrature.from_mesh` on the chosen cells (numbers in ``mesh.local``); no communication.

        Raises
        ------
        ParameterError, ArgumentTypeError, ShapeError
            A number that is none of this rank's cells, an impossible order.
        MeshError
            A cell whose Jacobian vanishes or changes sign.
        """
        check.instance(Mesh, "a Mesh: read_mesh(path), Mesh.from_skfem(mesh)")("mesh", mesh)
        check.integer(0)("order", order)
        check.indices("chosen", chosen)
        chosen = np.asarray(chosen).reshape(-1).astype(np.int64)
        count = 0 if mesh.local is None else mesh.local.nelements
        if chosen.size and (chosen.min() < 0 or chosen.max() >= count):
            what = f"cells {chosen.min()} to {chosen.max()} of {count} on this rank"
            raise ParameterError(what, "numbers in mesh.local, from 0 on")
        if mesh.local is None:
            nowhere = np.zeros((mesh.dim, 0))
            return cls(mesh, nowhere, np.zeros(0), np.zeros(0, np.int64), nowhere, 1)
        x, w = cells.cell_points(mesh.local, order, chosen, mesh.first_cell)
        inside = cells.rule(mesh.local.refdom, order)[0]
        each = inside.shape[1]
        return cls(mesh, x, w, np.repeat(chosen, each), np.tile(inside, len(chosen)), each)
