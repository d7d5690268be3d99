"""The preconditioner where none is given: a factor of as many sampled rows as pay."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ..representation import represent
from .dual import DualCholesky
from .factor_cost import CUT, Kind, cheapest
from .gram import GramCholesky
from .pivoted import PivotedCholesky
from .preconditioner import Preconditioner
from .sampling import Sampling
from .system import LeastSquares

Array = NDArray[Any]


KINDS = {Kind.DUAL: DualCholesky, Kind.GRAM: GramCholesky, Kind.PIVOTED: PivotedCholesky}


class Sampled(Preconditioner):
    """Every k-th row, by `GramCholesky` where that leaves more rows than parameters, else by `DualCholesky`.

    With thousands of parameters by `PivotedCholesky` where few directions are informed.

    What costs is the effective dimension n_ε = tr(G(G + ε²)⁻¹), not p: a sample of a few n_ε rows is enough.
    `Sampling` finds k by trying.
    """

    def __init__(self) -> None:
        self.sampling = Sampling()
        self._factor: DualCholesky | GramCholesky | PivotedCholesky = GramCholesky()
        self._patience = 0.0

    __repr__ = represent

    def build(self, system: LeastSquares) -> float:
        """See `Preconditioner`."""
        keep, self._patience = self.sampling.choose(system.tangent)
        kind, *_ = cheapest(keep, system.tangent.columns, system.comm.size, self.sampling.rank)
        if not isinstance(self._factor, KINDS[kind]):
            self._factor = KINDS[kind]()
        self._factor.keep = keep
        self._factor.build(system)
        return self._settled(system)

    def shift(self, system: LeastSquares) -> float:
        """See `Preconditioner`."""
        self._factor.shift(system)
        return self._settled(system)

    def _settled(self, system: LeastSquares) -> float:
        """Another kind of factor where pivots did not reach all informed directions."""
        if isinstance(self._factor, PivotedCholesky):
            self.sampling.rank = self._factor.rank if self._factor.complete else CUT
            if not self._factor.complete:
                return self.build(system)
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
