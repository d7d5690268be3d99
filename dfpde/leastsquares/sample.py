"""A sample of rows S √W J (m × p) as an operator, for a factor of the rows' own Gram matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk

Array = NDArray[Any]


class Sample(Protocol):
    """B = S √W J, m rows."""

    @property
    def rows(self) -> int:
        """m."""
        ...

    def apply(self, v: Array) -> Array:
        """B v, shape (m,)."""
        ...

    def adjoint(self, a: Array) -> Array:
        """Bᵀ a, shape (p,)."""
        ...

    def kernel(self, scale: Array | None) -> Array:
        """B D⁻² Bᵀ (m, m), Fortran order, its lower triangle at least; D = diag(scale) or the identity."""
        ...

    def joined(self, others: Sequence[Any]) -> Sample:
        """This sample and others of the same kind, one after another."""
        ...

    def array(self) -> Array:
        """Bᵀ, shape (p, m), C order."""
        ...


class StoredSample:
    """B as an array, `columns` its transpose (p, m) in C order."""

    def __init__(self, columns: Array) -> None:
        self.columns = columns

    @property
    def rows(self) -> int:
        """m."""
        return int(self.columns.shape[1])

    def apply(self, v: Array) -> Array:
        """B v: m p products."""
        product: Array = v @ self.columns
        return product

    def adjoint(self, a: Array) -> Array:
        """Bᵀ a: m p products."""
        product: Array = self.columns @ a
        return product

    def kernel(self, scale: Array | None) -> Array:
        """B D⁻² Bᵀ: m² p flops."""
        columns = self.columns if scale is None else self.columns / scale[:, None]
        return np.asarray(dsyrk(1.0, columns.T, lower=1))

    def joined(self, others: Sequence[StoredSample]) -> StoredSample:
        """All in one array."""
        return StoredSample(np.concatenate([self.columns, *(other.columns for other in others)], axis=1))

    def array(self) -> Array:
        """Bᵀ."""
        return self.columns


def join(samples: Sequence[Sample]) -> Sample:
    """One sample of several; of different kinds as an array."""
    if len({type(sample) for sample in samples}) > 1:
        samples = [StoredSample(sample.array()) for sample in samples]
    return samples[0].joined(samples[1:]) if len(samples) > 1 else samples[0]
