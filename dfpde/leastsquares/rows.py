"""Rows of the tangent: blocks of √W J that can be applied, transposed and squared.

A block maps parameters (p,) to its local rows: one real row for each component and point, two (Re, Im) where the
field is complex.  Weights are square roots √w of the quadrature weights; they are applied on the fly, so an array
that an ansatz returned is used as it is, without a copy.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk
from scipy.sparse import csr_array

from .sample import Sample, StoredSample

Array = NDArray[Any]

#: Bytes of one chunk of rows of a Gram matrix.  The time is flat in it, so it is small enough for a cache.
CHUNK_BYTES = 2 << 20


def real_rows(values: Array, leading: int = 0) -> Array:
    """(k..., *shape, N) as (k..., rows): complex numbers become pairs (Re, Im); a view of a C-ordered array."""
    values = np.ascontiguousarray(values)
    if np.iscomplexobj(values):
        values = values.view(np.float64)
    elif values.dtype != np.float64:
        values = values.astype(np.float64)
    return values.reshape(*values.shape[:leading], int(np.prod(values.shape[leading:])))


def root_weights(w: Array, shape: tuple[int, ...], dtype: type) -> Array:
    """√w repeated for each component and for Re and Im: one entry for each real row."""
    pair = 2 if np.dtype(dtype).kind == "c" else 1
    return np.tile(np.repeat(np.sqrt(w), pair), int(np.prod(shape)))


class Rows(ABC):
    """A block of rows of √W J on this rank; no method communicates.

    Attributes
    ----------
    rows, columns : int
        Local real rows, and parameters p.
    line : int
        1 where the rows follow points on a line, 2 where pairs (Re, Im) of rows do, else 0.
    """

    rows: int
    columns: int
    line: int = 0

    @abstractmethod
    def apply(self, v: Array) -> Array:
        """√W J v, shape (rows,), owned by the caller."""

    @abstractmethod
    def adjoint(self, y: Array) -> Array:
        """(√W J)ᵀ y, shape (p,): this rank's contribution."""

    def sweep(self, v: Array, y: Array) -> Array:
        """y <- √W J v − y in place, and (√W J)ᵀ of it, shape (p,): one iteration of LSQR."""
        np.subtract(self.apply(v), y, out=y)
        return self.adjoint(y)

    @abstractmethod
    def chunks(self, stride: int = 1, y: Array | None = None, size: int = CHUNK_BYTES) -> Iterator[Array]:
        """√W J transposed, by blocks of rows: arrays (p, few), C order, not views of the tangent.

        With stride k > 1 every k-th row (or point) only, times √k: a coarser quadrature of the same norm.  With y
        (rows,) arrays (p + 1, few): below √W J the entries of y, times √k too.  A block is at most about `size` bytes.
        """

    def sample(self, stride: int, y: Array) -> tuple[Sample, Array]:
        """The rows of `chunks` as an operator, and the entries of y (rows,) that go with them."""
        parts = list(self.chunks(stride, y, sys.maxsize))
        both = parts[0] if len(parts) == 1 else np.concatenate([np.empty((self.columns + 1, 0)), *parts], axis=1)
        return StoredSample(both[:-1]), both[-1]

    @abstractmethod
    def dense(self) -> Array:
        """√W J as an array (rows, p), freshly allocated: for diagnostics."""

    @property
    def stored_bytes(self) -> int:
        """Bytes held for the tangent (0 when it is never stored)."""
        return 0

    def add_gram(self, gram: Array, y: Array | None = None, stride: int = 1) -> None:
        """gram += AᵀA in the lower triangle of a Fortran-ordered array, A = √W J or, with y, [√W J, y].

        The rows of A are those of `chunks`.
        """
        for chunk in self.chunks(stride, y):
            dsyrk(1.0, chunk.T, beta=1.0, c=gram, trans=1, lower=1, overwrite_c=1)

    def squared_norms(self) -> Array:
        """Squared norms of the columns of √W J, shape (p,): this rank's contribution."""
        total = np.zeros(self.columns)
        for chunk in self.chunks():
            total += np.einsum("ij,ij->i", chunk, chunk)
        return total


def stride(rows: int, keep: float, line: int = 0) -> int:
    """The largest k for which every k-th of `rows` rows leaves at least `keep`; 1 keeps all.

    Odd, so that pairs Re, Im are mixed, and grids of more dimensions are thinned along all axes.  On a line a divisor
    of the number of rows comes first, where one lies within a factor of two: equispaced points of a periodic problem
    stay equispaced, and the coarser quadrature keeps its spectral accuracy.
    """
    k = max(1, int(rows / keep)) if keep > 0 else 1
    if line:
        for divisor in range(k, k // 2, -1):
            if rows % divisor == 0 and (line == 1 or divisor % 2):
                return divisor
    return k - 1 + k % 2


def pieces(count: int, bytes_each: int, stride: int = 1, size: int = CHUNK_BYTES) -> Iterator[slice]:
    """Slices of every k-th of `count` rows, about `size` bytes at a time."""
    step = stride * max(8, size // max(1, bytes_each) // 8 * 8)
    for start in range(stride // 2, count, step):
        yield slice(start, min(start + step, count), stride)


def weighted(tangent: Array, root: Array, y: Array | None) -> Array:
    """tangent (p, few) times root (few,) in C order; y (few,) below it, if given."""
    p = len(tangent)
    chunk = np.empty((p if y is None else p + 1, root.size))
    np.multiply(tangent, root, out=chunk[:p])
    if y is not None:
        chunk[p] = y
    return chunk


class DenseRows(Rows):
    """Stored tangent: `tangent` (p, rows), C order, as an ansatz returned it, and `root` (rows,) = √w."""

    def __init__(self, tangent: Array, root: Array, line: int = 0) -> None:
        self.tangent = tangent
        self.root = root
        self.line = line
        self.columns, self.rows = tangent.shape

    @property
    def stored_bytes(self) -> int:
        return int(self.tangent.nbytes)

    def apply(self, v: Array) -> Array:
        product: Array = v @ self.tangent
        product *= self.root
        return product

    def adjoint(self, y: Array) -> Array:
        product: Array = self.tangent @ (self.root * y)
        return product

    def chunks(self, stride: int = 1, y: Array | None = None, size: int = CHUNK_BYTES) -> Iterator[Array]:
        factor = math.sqrt(stride)
        for part in pieces(self.rows, 8 * self.columns, stride, size):
            root = factor * self.root[part]
            last = None if y is None else factor * y[part]
            yield weighted(self.tangent[:, part], root, last)

    def dense(self) -> Array:
        return (self.tangent * self.root).T


class SparseRows(Rows):
    """Sparse tangent (rows × p, CSR), for example of a linear finite-element ansatz."""

    def __init__(self, tangent: csr_array, root: Array) -> None:
        self.tangent = csr_array(tangent.multiply(root[:, None]))
        self.rows, self.columns = self.tangent.shape

    @property
    def stored_bytes(self) -> int:
        return int(self.tangent.data.nbytes + self.tangent.indices.nbytes + self.tangent.indptr.nbytes)

    def apply(self, v: Array) -> Array:
        product: Array = self.tangent @ v
        return product

    def adjoint(self, y: Array) -> Array:
        product: Array = self.tangent.T @ y
        return product

    def chunks(self, stride: int = 1, y: Array | None = None, size: int = CHUNK_BYTES) -> Iterator[Array]:
        for part in pieces(self.rows, 8 * self.columns, stride, size):
            columns = self.tangent[part].toarray().T
            root = np.full(columns.shape[1], math.sqrt(stride))
            yield weighted(columns, root, None if y is None else root * y[part])

    def dense(self) -> Array:
        return np.asarray(self.tangent.toarray())

    def add_gram(self, gram: Array, y: Array | None = None, stride: int = 1) -> None:
        """Sparse products are cheap: all rows, whatever the stride."""
        gram[: self.columns, : self.columns] += np.tril((self.tangent.T @ self.tangent).toarray())
        if y is not None:
            gram[self.columns, : self.columns] += self.adjoint(y)

    def squared_norms(self) -> Array:
        return np.asarray(self.tangent.power(2).sum(axis=0)).reshape(-1)


class MetricRows(Rows):
    """R J with RᵀR = M, a mass matrix that is not diagonal: `tangent` (p, n) at nodes, `root` R (rows × n), sparse.

    R J is never stored: products go through the nodes, and the Gram matrix is Jᵀ M J with `mass` M (n × n), sparse.
    """

    def __init__(self, tangent: Array, root: csr_array, mass: csr_array) -> None:
        self.tangent, self.root, self.mass = tangent, root, mass
        self.columns, self.rows = tangent.shape[0], root.shape[0]

    @property
    def stored_bytes(self) -> int:
        return int(self.tangent.nbytes)

    def apply(self, v: Array) -> Array:
        product: Array = self.root @ (v @ self.tangent)
        return product

    def adjoint(self, y: Array) -> Array:
        product: Array = self.tangent @ (self.root.T @ y)
        return product

    def chunks(self, stride: int = 1, y: Array | None = None, size: int = CHUNK_BYTES) -> Iterator[Array]:
        for part in pieces(self.rows, 8 * self.columns, stride, size):
            columns = (self.root[part] @ self.tangent.T).T
            root = np.full(columns.shape[1], math.sqrt(stride))
            yield weighted(columns, root, None if y is None else root * y[part])

    def dense(self) -> Array:
        return np.asarray(self.root @ self.tangent.T)

    def add_gram(self, gram: Array, y: Array | None = None, stride: int = 1) -> None:
        """Jᵀ M J from all nodes, whatever the stride: R alone has no coarser quadrature."""
        p = self.columns
        for part in pieces(self.mass.shape[0], 8 * p):
            gram[:p, :p] += self.tangent[:, part] @ (self.mass[part] @ self.tangent.T)
        if y is not None:
            gram[p, :p] += self.adjoint(y)
