"""The inverse of a mass matrix on loads, with essential conditions: the velocity of a finite-element model.

    U̇ = M⁻¹F,        or with U_D = g(t):    U̇_D = ġ,   U̇_I = M_II⁻¹ (F_I − M_ID ġ)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..parallel.collective import collective_errors, require_finite
from ..representation import represent
from .linear import LinearSolver
from .nodes import Nodes

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
@check.takes(nodes=check.indices, rate=check.optional(check.function))
class FixedNodes:
    """Essential conditions U_D = g(t) of the finite-element model: the rows D of M U̇ = F are replaced by U̇_D = ġ.

    Attributes
    ----------
    nodes : (d,) array of int
        This rank's local numbers of the degrees of freedom D, for example `Space.boundary_nodes`.
    rate : callable or None
        (t, x (dim, d)) -> ġ, shape (*shape, d); None is zero (values constant in time).
    """

    nodes: Array
    rate: Callable[[float, Array], Array] | None = None

    __repr__ = represent


class MassInverse:
    """F ↦ M⁻¹F, one solve for each component."""

    def __init__(self, matrix: Any, nodes: Nodes, fixed: FixedNodes | None, prefix: str) -> None:
        self.nodes, self.fixed = nodes, fixed
        self.solver = LinearSolver(nodes, matrix, prefix, None if fixed is None else fixed.nodes)

    def apply(self, t: float, loads: Array) -> Array:
        """M⁻¹F (k, n) of sub-assembled loads (k, m), m ≤ n: zero where none is given."""
        padded = np.zeros((len(loads), self.nodes.n), loads.dtype)
        padded[:, : loads.shape[1]] = loads
        rates = self._rates(t, padded)
        if np.iscomplexobj(loads):
            both: Array = self._solve(padded.real, rates.real) + 1j * self._solve(padded.imag, rates.imag)
            return both
        return self._solve(padded, rates)

    def _solve(self, loads: Array, rates: Array) -> Array:
        return np.array([self.solver.solve(load, rate) for load, rate in zip(loads, rates, strict=True)])

    def _rates(self, t: float, loads: Array) -> Array:
        rates = np.zeros_like(loads)
        if self.fixed is not None and self.fixed.rate is not None:
            with collective_errors(self.nodes.comm):
                chosen = np.asarray(self.fixed.nodes, dtype=int)
                rates[:, chosen] = self.fixed.rate(t, self.nodes.x[:, chosen])
            require_finite(self.nodes.comm, "look at the rate of the fixed values", rate=rates)
        return rates
