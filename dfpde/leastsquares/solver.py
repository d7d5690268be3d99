"""The least-squares solver of dfpde: preconditioned LSQR in NumPy and mpi4py."""

from __future__ import annotations

import math
import weakref
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..errors import SolverError
from ..representation import represent
from .events import SOLVE
from .lsqr import End, Reason, lsqr
from .preconditioner import Preconditioner, refuse_tangent
from .sampled import Sampled
from .stacked import Stacked
from .system import LeastSquares, Solution, Tangent

Array = NDArray[Any]


class LSQR:
    """min ‖√W J δ − r‖² + ε²‖Dδ‖² by preconditioned LSQR (Paige & Saunders 1982).

    Parameters
    ----------
    rtol : float
        Relative tolerance of the field norm: ‖√W J(δ − δ*)‖ ≲ rtol ‖r‖ with a good preconditioner, because LSQR then
        measures the projected residual ‖R⁻ᵀAᵀ(Aδ − r)‖ itself.  It is relative to the increment's r, not to f: an error
        of rtol ‖f‖ would be up to rtol ‖f‖/ε in a weak direction, and inertia keeps it.
    max_it : int or None
        Most iterations; None is 2p + 100 (LSQR ends after p in exact arithmetic).
    preconditioner : Preconditioner or None
        None is `Sampled`.

    Notes
    -----
    Every tangent gets a preconditioner of its own; another ε or right-hand side with the same `Tangent` uses it again.
    A solve that takes longer than a finer preconditioner would have builds that and goes on.
    """

    #: What checkpoints and ranks must agree on.
    described: ClassVar[tuple[str, ...]] = ("rtol", "max_it", "preconditioner")

    @check.takes(
        rtol=check.real(above=0, below=1),
        max_it=check.optional(check.integer(1, 2**31 - 1)),
        preconditioner=check.optional(check.preconditioner),
    )
    def __init__(
        self, rtol: float = 1e-11, max_it: int | None = None, preconditioner: Preconditioner | None = None
    ) -> None:
        self.rtol, self.max_it = rtol, max_it
        self.preconditioner: Preconditioner = Sampled() if preconditioner is None else preconditioner
        self._built: weakref.ref[Tangent] | None = None
        self._shift, self._patience = math.nan, math.inf  # of the preconditioner as it is
        self._scale: Array | None = None

    __repr__ = represent

    @property
    def carry(self) -> tuple[float, ...]:
        """What the preconditioner has learnt, for a bitwise restart; () is nothing."""
        return self.preconditioner.carry

    @carry.setter
    def carry(self, carry: tuple[float, ...]) -> None:
        self.preconditioner.carry = carry

    @check.takes(system=check.system)
    def solve(self, system: LeastSquares) -> Solution:
        """The minimizer δ; collective.

        Raises
        ------
        NonFiniteError
            NaN or infinity in the right-hand side or the tangent.
        SolverError
            No convergence: reason, norms, iterations and advice.
        """
        norm, p = system.checked_norm(), system.tangent.columns
        if norm == 0.0:
            return Solution(np.zeros(p), 0.0, 0, "zero right-hand side", {"builds": 0})
        self._load(system)
        end, iterations, builds = self._iterate(system)
        if not end.reason.startswith("CONVERGED"):
            self._refuse(system, end, iterations, norm)
        value = self._operator.spread(np.empty(0) if end.x is None else end.x)
        rows = system.rhs - system.tangent.apply(value) if end.rows is None else end.rows[: system.tangent.rows]
        stats = {"builds": builds, "stored_bytes": system.tangent.stored_bytes}
        return Solution(value, system.tangent.norm(rows), iterations, end.reason, stats)

    def _load(self, system: LeastSquares) -> None:
        self._operator = Stacked(system)
        self._rows = self._operator.stack(system.rhs)

    @property
    def _tolerances(self) -> tuple[float, int]:
        """rtol and most iterations of the loaded system."""
        return self.rtol, 2 * self._operator.p + 100 if self.max_it is None else self.max_it

    def _run(self, guess: Array | None, limit: int) -> End:
        """At most `limit` iterations from a guess."""
        return lsqr(self._operator, self.preconditioner, self._rows, guess, self._tolerances[0], limit)

    def _iterate(self, system: LeastSquares) -> tuple[End, int, int]:
        """The end, and iterations and builds until then."""
        again = self._built is not None and self._built() is system.tangent
        if not (again and self._shift == system.eps and self._scale is system.scale):
            self._patience = self.preconditioner.shift(system) if again else self.preconditioner.build(system)
        patience, self._shift, self._scale = self._patience, system.eps, system.scale
        self._built = weakref.ref(system.tangent)
        guess, total, builds, most = self.preconditioner.start(system), 0, int(not again), self._tolerances[1]
        while True:
            with SOLVE:
                end = self._run(guess, math.ceil(min(patience, most - total)))
            total += end.iterations
            self.preconditioner.learn(end.iterations)
            if end.reason != Reason.DIVERGED_MAX_IT.name or total >= most:
                return end, total, builds
            patience, builds = self.preconditioner.build(system), builds + 1
            self._patience = patience
            start = self.preconditioner.start(system)
            guess = (np.empty(0) if end.x is None else end.x) if start is None else start

    def _refuse(self, system: LeastSquares, end: End, iterations: int, norm: float) -> None:
        if end.reason == Reason.DIVERGED_NANORINF.name:
            refuse_tangent(system.tangent)
        rtol, most = self._tolerances
        error = SolverError(
            f"{type(self).__name__} stopped with {end.reason} after {iterations} iterations: ‖r‖ = {norm:.3e}, "
            f"residual {end.norm:.3e}, ε = {system.eps:.1e}, p = {system.tangent.columns}",
            f"a larger ε (lost rank), a larger rtol (now {rtol:.1e}) or max_it (now {most})",
            -1,
            iterations,
        )
        error.collective = True
        raise error
