"""Tangents of compositions as operators: what they take from their components is evaluated once for all products.

    J = Σ_i factor_i · J_i,     each in its own rows of a stack of fields,     without the columns of fixed parameters
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..base import Ansatz, Array
from ..layout import Index
from ..linearization import Linearization


@dataclass(frozen=True, eq=False)
class Scaled:
    """One term of the tangent.

    Attributes
    ----------
    index : slice or array of int
        The component's parameters in θ.
    factor : float or array
        Broadcastable to (*shape, N).
    linear : Linearization
        Of the component.
    ansatz : Ansatz
        The component.
    rows : slice or int, optional
        Its components of the field; all of them without.
    """

    index: Index
    factor: Any
    linear: Linearization
    ansatz: Ansatz
    rows: Any = ...


@dataclass(frozen=True, eq=False)
class Composed:
    """Products with the tangent of a composition, see `Linearization`; ``shape`` is that of the field, (*shape, N)."""

    size: int
    shape: tuple[int, ...]
    dtype: type
    terms: Sequence[Scaled]

    def jvp(self, v: Array) -> Array:
        """J v, shape (*shape, N)."""
        out: Array = np.zeros(self.shape, self.dtype)
        for term in self.terms:
            out[term.rows] += term.factor * term.linear.jvp(v[term.index])
        return out

    def vjp(self, y: Array) -> Array:
        """Jᵀ y for the real scalar product, shape (p,)."""
        out = np.zeros(self.size)
        for term in self.terms:
            own = np.conj(term.factor) * y[term.rows]
            own = own.sum(0) if own.ndim > 1 and not term.ansatz.shape else own
            out[term.index] += term.linear.vjp(own if term.ansatz.dtype is complex else own.real)
        return out

    def columns(self, points: slice) -> Array:
        """J at some of the points, shape (p, *shape, few)."""
        few = len(range(*points.indices(self.shape[-1])))
        out: Array = np.zeros((self.size, *self.shape[:-1], few), self.dtype)
        for term in self.terms:
            factor, columns = np.asarray(term.factor), term.linear.columns(points)
            if len(self.shape) > 1 and not term.ansatz.shape and term.rows is ...:
                columns = columns[:, None]
            factor = factor[..., points] if factor.shape[-1:] == self.shape[-1:] else factor
            out[term.index, term.rows] += factor * columns
        return out

    def sample(self, points: slice, root: Array) -> Any:
        """That of the component where there is one alone, with rows times the factor; None else."""
        if len(self.terms) != 1 or len(self.shape) > 1 or self.terms[0].ansatz.size != self.size:
            return None
        factor = np.broadcast_to(self.terms[0].factor, self.shape)
        return self.terms[0].linear.sample(points, root * factor[points])


@dataclass(frozen=True, eq=False)
class Chosen:
    """Some columns of a tangent, see `Linearization`: those at ``places`` of ``size`` parameters."""

    linear: Linearization
    places: Array
    size: int

    def jvp(self, v: Array) -> Array:
        """J v, shape (*shape, N)."""
        whole = np.zeros(self.size)
        whole[self.places] = v
        return self.linear.jvp(whole)

    def vjp(self, y: Array) -> Array:
        """Jᵀ y for the real scalar product, shape (p,)."""
        return np.ascontiguousarray(self.linear.vjp(y)[self.places])

    def columns(self, points: slice) -> Array:
        """J at some of the points, shape (p, *shape, few)."""
        return np.ascontiguousarray(self.linear.columns(points)[self.places])

    def sample(self, points: slice, root: Array) -> None:
        """Nothing better than `columns`."""
