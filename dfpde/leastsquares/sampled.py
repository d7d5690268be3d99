"""The preconditioner where none is given: a factor of as many sampled rows as pay."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ..representation import represent
from .dual import DualCholesky
from .gram import GramCholesky
from .preconditioner import Preconditioner
from .sampling import Sampling, dual
from .system import LeastSquares

Array = NDArray[Any]


class Sampled(Preconditioner):
    """Every k-th row, by `GramCholesky` where that leaves more rows than parameters, else by `DualCholesky`.

    What costs is the effective dimension n_ε = tr(G(G + ε²)⁻¹), not p: a sample of a few n_ε rows is enough.
    `Sampling` finds k by trying.
    """

    def __init__(self) -> None:
        self.sampling = Sampling()
        self._factor: Preconditioner = GramCholesky()
        self._patience = 0.0

    __repr__ = represent

    def build(self, system: LeastSquares) -> float:
        """See `Preconditioner`."""
        keep, rows, self._patience = self.sampling.choose(system.tangent)
        self._factor = DualCholesky(keep) if dual(rows, system.tangent.columns) else GramCholesky(keep)
        self._factor.build(system)
        return self._patience

    def shift(self, system: LeastSquares) -> float:
        """See `Preconditioner`."""
        self._factor.shift(system)
        return self._patience

    def solve(self, y: Array) -> Array:
        """See `Preconditioner`."""
        return self._factor.solve(y)

    def start(self, system: LeastSquares) -> Array | None:
        """See `Preconditioner`."""
        return self._factor.start(system)

    def learn(self, iterations: int) -> None:
        """See `Sampling`."""
        self.sampling.learn(iterations)

    @property
    def carry(self) -> tuple[float, ...]:
        """See `Sampling`."""
        return self.sampling.carry

    @carry.setter
    def carry(self, carry: tuple[float, ...]) -> None:
        self.sampling.carry = carry
