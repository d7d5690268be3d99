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

    def scaled(self, scale: Array) -> Any:
        """B D⁻¹, D = diag(scale), as a sample of this kind; None where there is none."""
        ...

    def at(self, index: Array) -> Any:
        """Some of the rows, in this order."""
        ...

    def kernel(self) -> Array:
        """B Bᵀ (m, m), Fortran order, its lower triangle at least."""
        ...

    def cross(self, other: Any) -> Array:
        """B Cᵀ (m, few) with the rows C of another sample of this kind."""
        ...

    def squares(self) -> Array:
        """The diagonal of B Bᵀ, shape (m,)."""
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

    def scaled(self, scale: Array) -> StoredSample:
        """B D⁻¹."""
        return StoredSample(self.columns / scale[:, None])

    def at(self, index: Array) -> StoredSample:
        """Some of the rows."""
        return StoredSample(self.columns[:, index])

    def kernel(self) -> Array:
        """B Bᵀ: m² p flops."""
        return np.asarray(dsyrk(1.0, self.columns.T, lower=1))

    def cross(self, other: StoredSample) -> Array:
        """B Cᵀ: 2 m p flops for each row of C."""
        product: Array = self.columns.T @ other.columns
        return product

    def squares(self) -> Array:
        """Squared norms of the rows."""
        return np.asarray(np.einsum("ij,ij->j", self.columns, self.columns))

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


def divided(sample: Sample, scale: Array | None) -> Sample:
    """B D⁻¹, D = diag(scale) or the identity."""
    if scale is None:
        return sample
    found = sample.scaled(scale)
    return StoredSample(sample.array() / scale[:, None]) if found is None else found
