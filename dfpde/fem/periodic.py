"""Spaces on periodic meshes: cells joined across a period have nodes of their own, and facets two numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import skfem
from numpy.typing import NDArray

from .nodes import Nodes

Array = NDArray[Any]

#: scikit-fem's classes of meshes whose cells have nodes of their own.
PERIODIC = {
    "line": skfem.MeshLine1DG, "triangle": skfem.MeshTri1DG, "quad": skfem.MeshQuad1DG, "hexahedron": skfem.MeshHex1DG,
}  # fmt: skip


class JoinedMapping:
    """The mapping of a periodic mesh's cells, asked by the numbers that facets have where cells are joined."""

    def __init__(self, local: Any, number: dict[int, int]) -> None:
        self._local, self._mapping, self._number = local, local.mapping(), number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mapping, name)

    def _own(self, find: Array) -> Array:
        return np.array([self._number[int(facet)] for facet in find])

    def G(self, X: Array, find: Array) -> Any:
        """See scikit-fem's mappings."""
        return self._mapping.G(X, find=self._own(find))

    def detDG(self, X: Array, find: Array) -> Any:
        """See scikit-fem's mappings."""
        return self._mapping.detDG(X, find=self._own(find))

    def normals(self, X: Array, tind: Array, find: Array, t2f: Array) -> Any:
        """See scikit-fem's mappings."""
        return self._mapping.normals(X, tind, self._own(find), self._local.t2f)


def agreed(nodes: Nodes) -> Nodes:
    """On a periodic mesh a node has several places: all ranks take that of the lowest rank."""
    owner = nodes.smallest(np.full(nodes.n, float(nodes.comm.rank)))
    x = [nodes.spread(nodes.sum(np.where(owner == nodes.comm.rank, axis, 0.0))) for axis in nodes.x]
    return Nodes(np.array(x), nodes.comm, nodes.numbers, kind=nodes.kind)
