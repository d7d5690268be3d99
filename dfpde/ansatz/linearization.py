"""J(θ) at points as an operator, for ansätze whose tangent is better applied than stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

if TYPE_CHECKING:
    from .base import Ansatz

Array = NDArray[Any]


class Linearization(Protocol):
    """v ↦ J v and y ↦ Jᵀ y, J = ∂u/∂θ at the N points where it was made."""

    def jvp(self, v: Array) -> Array:
        """J v, shape (*shape, N)."""
        ...

    def vjp(self, y: Array) -> Array:
        """Jᵀ y for the real scalar product, shape (p,)."""
        ...

    def columns(self, points: slice) -> Array:
        """J at some of the points, shape (p, *shape, few)."""
        ...

    def sample(self, points: slice, root: Array) -> Any:
        """J at some of the points, row k times root_k, as a `leastsquares.Sample`; None where an array is as good."""
        ...


@dataclass(frozen=True, eq=False)
class Recomputed:
    """Products from the ansatz's own methods, which know nothing of each other."""

    ansatz: Ansatz
    theta: Array
    x: Array

    def jvp(self, v: Array) -> Array:
        """J v, shape (*shape, N)."""
        return self.ansatz.jvp(self.theta, self.x, v)

    def vjp(self, y: Array) -> Array:
        """Jᵀ y, shape (p,)."""
        return self.ansatz.vjp(self.theta, self.x, y)

    def columns(self, points: slice) -> Array:
        """J at some of the points, shape (p, *shape, few)."""
        return self.ansatz.tangent(self.theta, self.x[:, points])

    def sample(self, points: slice, root: Array) -> None:
        """Nothing better than `columns`."""
