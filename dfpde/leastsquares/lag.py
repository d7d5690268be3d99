"""When to replace a preconditioner that ages.

Costs are counted in iterations of the solver.  A factor built at cost B and used for m solves with k_0, …, k_{m−1}
iterations has cost (B + Σ k_i)/m for each; the average falls as long as the next solve costs less than it, so replace
the factor once k_m exceeds it.  k_m is predicted by what it was at the same age in the cycle before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .sampling import forgetful
from .system import LeastSquares

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class KeptFactor:
    """A preconditioner by what it was built from: (t, θ), ε, and the numbers of the replacement rule."""

    t: float
    theta: Array
    eps: float
    counts: tuple[float, ...]


@dataclass
class Lag:
    """Age and cost of the kept preconditioner.

    Attributes
    ----------
    build_cost : float
        B of the present factor.
    age : int
        Solves since it was built.
    spent : float
        Σ k_i of these solves.
    cycles : int
        Factors so far; 0: none.
    seen : dict
        Age -> iterations when a factor last had that age; ``inf`` where the solve was not finished with it.
    outdated : bool
        A better kind of factor is to be had.
    """

    build_cost: float = 0.0
    age: int = 0
    spent: float = 0.0
    cycles: int = 0
    seen: dict[int, float] = field(default_factory=dict)
    outdated: bool = False
    eps: float = math.nan
    scale: Array | None = None
    origin: tuple[float, Array] | None = None

    def built(self, system: LeastSquares, cost: float) -> None:
        """A fresh factor of this system."""
        self.build_cost, self.age, self.spent, self.outdated = cost, 0, 0.0, False
        self.cycles += 1
        if forgetful(self.cycles):
            self.seen.clear()
        self.origin = system.tangent.origin
        self.keep(system)

    def count(self, iterations: int) -> None:
        """A solve with the present factor."""
        self.seen[self.age] = iterations
        self.spent += iterations
        self.age += 1

    def failed(self) -> None:
        """The present factor is too old for the solve under way."""
        self.seen[self.age] = math.inf

    @property
    def due(self) -> bool:
        """Whether a fresh factor is the better choice for the next solve."""
        if self.cycles == 0 or self.outdated:
            return True
        if self.age == 0:
            return False
        expected = self.seen.get(self.age, self.seen.get(self.age - 1, 0.0))
        return expected > (self.build_cost + self.spent) / self.age

    @property
    def budget(self) -> int:
        """Iterations with an old factor before a fresh one is the better choice: the cost of having taken it at once.

        With that the worst case is twice the best (the ski-rental argument).
        """
        return max(2, math.ceil(self.build_cost + min(self.seen.get(0, 4.0), 40.0)))

    def keep(self, system: LeastSquares) -> None:
        """The factor now belongs to this ε and D."""
        self.eps, self.scale = system.eps, system.scale

    def moved(self, system: LeastSquares) -> bool:
        """Whether ε or D differ from those of the factor."""
        if system.eps != self.eps or system.scale is None or self.scale is None:
            return system.eps != self.eps or system.scale is not self.scale
        return not np.array_equal(system.scale, self.scale)

    @property
    def counts(self) -> tuple[float, ...]:
        """The numbers of the rule, for a restart."""
        pairs = [float(number) for item in sorted(self.seen.items()) for number in item]
        return (self.build_cost, float(self.age), self.spent, float(self.cycles), float(self.outdated), *pairs)

    def recall(self, counts: tuple[float, ...]) -> None:
        """Take up the numbers of a restart."""
        self.build_cost, age, self.spent, cycles, outdated, *pairs = counts
        self.age, self.cycles, self.outdated = int(age), int(cycles), bool(outdated)
        self.seen = {int(a): k for a, k in zip(pairs[::2], pairs[1::2], strict=True)}
