"""Rows of a tangent that is never stored: products of the ansatz, or chunks of points formed each time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .rows import CHUNK_BYTES, Rows, pieces, weighted
from .sample import Sample

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Products:
    """The tangent of an ansatz at fixed θ as functions, without weights; rows ordered (component, point, Re/Im).

    Attributes
    ----------
    columns_at : callable
        slice of points -> tangent restricted to them, real rows: (p, components · len · pair), C order.
    jvp, vjp : callables or None
        v (p,) -> (rows,), and y (rows,) -> (p,), where they are cheaper than forming the tangent by chunks.
    pair : int
        2 where the field is complex (rows Re, Im of each point), else 1.
    sample : callable or None
        (slice of points, root (few,)) -> those rows times root as an operator, where that is cheaper than an array, or
        None.
    """

    columns_at: Callable[[slice], Array]
    pair: int = 1
    jvp: Callable[[Array], Array] | None = None
    vjp: Callable[[Array], Array] | None = None
    sample: Callable[[slice, Array], Sample | None] | None = None


class MatrixFreeRows(Rows):
    """Tangent that is never stored: applied by the ansatz's own products, or formed chunk by chunk each time."""

    def __init__(self, products: Products, root: Array, points: int, columns: int) -> None:
        self.products = products
        self.root = root
        self.rows = int(root.size)
        self.columns = columns
        self.points = points
        self._per_point = self.rows // points if points else 0

    def apply(self, v: Array) -> Array:
        if self.products.jvp is not None:
            return self.products.jvp(v) * self.root
        result = np.empty(self.rows)
        for part, chunk in self._weighted():
            self._select(result, part)[...] = (v @ chunk).reshape(self._select(result, part).shape)
        return result

    def adjoint(self, y: Array) -> Array:
        if self.products.vjp is not None:
            return self.products.vjp(self.root * y)
        total = np.zeros(self.columns)
        for part, chunk in self._weighted():
            total += chunk @ self._select(y, part).reshape(-1)
        return total

    def sweep(self, v: Array, y: Array) -> Array:
        if self.products.jvp is not None or self.products.vjp is not None:
            return super().sweep(v, y)
        total = np.zeros(self.columns)
        for part, chunk in self._weighted():
            rows = self._select(y, part)
            np.subtract((v @ chunk).reshape(rows.shape), rows, out=rows)
            total += chunk @ rows.reshape(-1)
        return total

    def chunks(self, stride: int = 1, y: Array | None = None, size: int = CHUNK_BYTES) -> Iterator[Array]:
        factor = math.sqrt(stride)
        for part in pieces(self.points, 8 * self.columns * self._per_point, stride, size):
            root = factor * self._select(self.root, part).reshape(-1)
            last = None if y is None else factor * self._select(y, part).reshape(-1)
            yield weighted(self.products.columns_at(part), root, last)

    def sample(self, stride: int, y: Array) -> tuple[Sample, Array]:
        points, factor = slice(stride // 2, self.points, stride), math.sqrt(stride)
        if self.products.sample is not None:
            found = self.products.sample(points, factor * self._select(self.root, points).reshape(-1))
            if found is not None:
                return found, factor * self._select(y, points).reshape(-1)
        return super().sample(stride, y)

    def dense(self) -> Array:
        matrix = np.empty((self.columns, self.rows))
        if not self.points:
            return matrix.T
        by_point = matrix.reshape(self.columns, -1, self.points, self.products.pair)
        for part, chunk in self._weighted():
            by_point[:, :, part] = chunk.reshape(by_point[:, :, part].shape)
        return matrix.T

    def _weighted(self) -> Iterator[tuple[slice, Array]]:
        for part in pieces(self.points, 8 * self.columns * self._per_point):
            chunk = self.products.columns_at(part)
            chunk *= self._select(self.root, part).reshape(-1)
            yield part, chunk

    def _select(self, rows: Array, part: slice) -> Array:
        """Rows of some points as an array (components, len, pair): a view."""
        return rows.reshape(-1, self.points, self.products.pair)[:, part]
