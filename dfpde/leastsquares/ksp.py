"""PETSc KSP on the stacked operator [√W J; ε D], with a preconditioner kept across solves.

Everything is reachable from the options database under one prefix: ``-dfpde_ksp_type cgls``, ``-dfpde_ksp_monitor``,
``-dfpde_pc_type none``.  The default type is "python", dfpde's LSQR of one sweep (`dfpde.leastsquares.lsqr`);
``-dfpde_ksp_type lsqr`` is PETSc's, taken also where another preconditioner is chosen.  Rectangular methods
(lsqr, cgls) see the stacked operator; all others (cg, minres, ...) the normal matrix JᵀWJ + ε²D².  ``-log_view`` shows
the events "dfpde tangent", "dfpde rhs", "dfpde gram", "dfpde factor" and "dfpde solve".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..errors import SolverError
from ..representation import represent
from .events import FACTOR, GRAM, SOLVE
from .gram import GramCholesky, Preconditioner, refuse_tangent
from .lag import KeptFactor, Lag
from .lsqr import OneSweepLSQR
from .nystrom import Nystrom
from .operators import Apply, Normal, Stacked, fill, python_matrix
from .petsc import PETSc, refuse_unused_options
from .system import LeastSquares, Solution

Array = NDArray[Any]

#: KSP types that take a rectangular operator.
RECTANGULAR = ("python", "lsqr", "cgls")

#: Memory of a Gram matrix and its factor (p = 4096) up to which they are the default; beyond it a build takes seconds
#: (n p² + p³/3 flops), a Nyström sketch of rank k a fraction 4k/p of that.
GRAM_BYTES = 256 << 20

OUT_OF_ITERATIONS = int(PETSc.KSP.ConvergedReason.DIVERGED_MAX_IT)

REASONS = {value: name for name, value in vars(PETSc.KSP.ConvergedReason).items() if isinstance(value, int)}


class KSP:
    """min ‖√W J δ − r‖² + ε²‖Dδ‖² by PETSc's Krylov methods, objects and preconditioner reused between solves.

    Parameters
    ----------
    rtol : float
        Relative tolerance of the field norm: ‖√W J(δ − δ*)‖ ≲ rtol ‖r‖ with a good preconditioner, because LSQR then
        measures the projected residual ‖R⁻ᵀAᵀ(Aδ − r)‖ itself.  It is relative to the increment's r, not to f: an error
        of rtol ‖f‖ would be up to rtol ‖f‖/ε in a weak direction, and inertia keeps it.
    max_it : int or None
        Most iterations with a fresh preconditioner; None is 2p + 100 (LSQR ends after p in exact arithmetic).
    prefix : str
        Prefix in PETSc's options database; options on the command line win over the arguments here.
    preconditioner : Preconditioner or None
        None is `GramCholesky` while its two p × p arrays fit `GRAM_BYTES`, `Nystrom` beyond.
    verify : bool
        Check the end of every solve by a sweep.  Otherwise a start that is nearly there may be finished by a last step
        whose remainder is predicted (reason CONVERGED_ITS, `dfpde.leastsquares.lsqr`).

    Notes
    -----
    The preconditioner is kept across solves and replaced by the rule in `dfpde.leastsquares.lag`; a solve that the old
    one cannot finish within the cost of a new one builds it and starts again from its rows, so sudden changes are safe.
    """

    __repr__ = represent

    def __init__(
        self,
        rtol: float = 1e-11,
        max_it: int | None = None,
        prefix: str = "dfpde_",
        preconditioner: Preconditioner | None = None,
        verify: bool = False,
    ) -> None:
        self.rtol = rtol
        self.verify = verify
        self.max_it = max_it
        self.prefix = prefix
        self._given = preconditioner
        self.preconditioner: Preconditioner = GramCholesky() if preconditioner is None else preconditioner
        self._work: _Work | None = None
        self._lag = Lag()

    def solve(self, system: LeastSquares) -> Solution:
        """The minimizer δ; collective.

        Raises
        ------
        NonFiniteError
            NaN or infinity in the right-hand side or the tangent.
        SolverError
            The KSP did not converge: reason, norms, iterations and advice.
        OptionsError
            A ``-dfpde_*`` option that nothing read.
        """
        norm = system.checked_norm()
        p = system.tangent.columns
        if norm == 0.0:
            return Solution(np.zeros(p), 0.0, 0, "zero right-hand side", {"rebuilt": False})
        work = self._workspace(system)
        work.load(system)
        fresh = self._prepare(system, work)
        reason, iterations, fresh = self._iterate(system, work, fresh)
        if reason == PETSc.KSP.ConvergedReason.DIVERGED_BREAKDOWN and work.own_pc:
            reason = work.finish(system, self.preconditioner, norm)
        self._require(reason, iterations, norm, work, system)
        return self._solution(system, work, iterations, reason, fresh)

    def reset(self) -> None:
        """Forget the preconditioner: the next solve builds a fresh one."""
        self._lag = Lag()

    @property
    def memory(self) -> KeptFactor | None:
        """What a restart needs to form the kept preconditioner again; None without one."""
        if self._lag.origin is None:
            return None
        (t, theta), counts = self._lag.origin, self.preconditioner.counts
        return KeptFactor(t, theta, self._lag.eps, (float(len(counts)), *counts, *self._lag.counts))

    def restore(self, system: LeastSquares, kept: KeptFactor) -> None:
        """Take up a kept preconditioner: `system` is the one of (kept.t, kept.theta) with ε = kept.eps; collective."""
        self._workspace(system)
        own = 1 + int(kept.counts[0])
        self.preconditioner.counts = kept.counts[1:own]
        self._rebuild(system)
        self._lag.recall(kept.counts[own:])

    # -- pieces ---------------------------------------------------------------------------------------------
    def _workspace(self, system: LeastSquares) -> _Work:
        key = (system.tangent.rows, system.tangent.columns)
        same = self._work is not None and self._work.key == key and self._work.comm == system.comm
        if system.comm.size > 1:
            same = bool(system.comm.allreduce(int(same), op=MPI.MIN))
        if not same or self._work is None:
            if self._given is None:
                small = 16 * system.tangent.columns**2 <= GRAM_BYTES
                self.preconditioner = GramCholesky() if small else Nystrom()
            self._work = _Work(system, self)
            self._lag = Lag()
        return self._work

    def _prepare(self, system: LeastSquares, work: _Work) -> bool:
        """Make the preconditioner fit; True when it is fresh."""
        if not work.own_pc:
            return False
        if self._lag.due:
            self._rebuild(system)
            return True
        if self._lag.moved(system):
            with FACTOR:
                self.preconditioner.shift(system)
            self._lag.keep(system)
        return False

    def _rebuild(self, system: LeastSquares) -> None:
        with GRAM:
            self.preconditioner.build(system)
        self._lag.built(system, self.preconditioner.build_cost(system.tangent))

    def _iterate(self, system: LeastSquares, work: _Work, fresh: bool) -> tuple[int, int, bool]:
        """Run the KSP; where the factor turns out too old or too coarse, build a better one and go on.

        Returns reason, iterations and whether the factor at the end is fresh.
        """
        if not work.own_pc:
            return *work.run(work.max_it), False
        total, again = 0, fresh and work.start(self.preconditioner)
        while True:
            budget = self.preconditioner.patience(system.tangent) if fresh else self._lag.budget
            limit = min(work.max_it - total, budget)
            reason, last = work.run(max(0, math.ceil(limit)), again)  # PETSc's LSQR may count one more
            total += last
            if reason > 0:
                break
            better = fresh and self.preconditioner.refine(system.tangent, 2 * last + 1)
            if not fresh:
                self._lag.failed()
            again = reason == OUT_OF_ITERATIONS  # otherwise the iterate may be spoilt
            if fresh and not better:  # the best factor there is
                if again and total < work.max_it:
                    reason, last = work.run(work.max_it - total, again)
                    total += last
                break
            self._rebuild(system)
            again, fresh = work.start(self.preconditioner) or again, True
        self._lag.count(last)
        if fresh and total == last:  # the whole solve with one factor
            self._lag.outdated = self.preconditioner.refine(system.tangent, last)
        return reason, total, fresh

    def _require(self, reason: int, iterations: int, norm: float, work: _Work, system: LeastSquares) -> None:
        if reason > 0:
            return
        if reason == PETSc.KSP.ConvergedReason.DIVERGED_NANORINF:
            refuse_tangent(system.tangent)
        name = REASONS.get(reason, str(reason))
        error = SolverError(
            f"KSP {work.ksp.getType()} stopped with {name} ({reason}) after {iterations} iterations: ‖r‖ = {norm:.3e}, "
            f"residual {work.ksp.getResidualNorm():.3e}, ε = {system.eps:.1e}, p = {system.tangent.columns}",
            f"a larger ε (lost rank), a larger -{self.prefix}ksp_rtol (now {work.rtol:.1e}) or "
            f"-{self.prefix}ksp_max_it (now {work.max_it}), -{self.prefix}ksp_monitor to see the convergence",
            reason,
            iterations,
        )
        error.collective = True
        raise error

    def _solution(self, system: LeastSquares, work: _Work, iterations: int, reason: int, rebuilt: bool) -> Solution:
        value, gain = work.solution(), 0.0
        if work.one_sweep is None:
            rows = system.rhs - system.tangent.apply(value)
        else:
            rows, gain = work.one_sweep.residual[: system.tangent.rows], work.one_sweep.gain
        defect = system.tangent.norm(rows)
        if gain:
            defect = math.sqrt(max(0.0, defect**2 - gain))
        stats = {"rebuilt": rebuilt, "age": self._lag.age, "stored_bytes": system.tangent.stored_bytes}
        return Solution(value, defect, iterations, REASONS.get(reason, str(reason)), stats)


class _Work:
    """PETSc objects for one shape of system: created once, loaded before each solve."""

    def __init__(self, system: LeastSquares, config: KSP) -> None:
        comm, rows, p = system.comm, system.tangent.rows, system.tangent.columns
        self.key, self.comm = (rows, p), comm
        first = comm.rank == 0
        self.operator = Stacked(comm, rows, p)
        columns, stacked = (p if first else 0, p), (rows + (p if first else 0), PETSc.DETERMINE)
        ksp = self.ksp = PETSc.KSP().create(MPI.Intracomm(comm))  # petsc4py takes no subclass
        ksp.setOptionsPrefix(config.prefix)
        ksp.setType("python")
        one_sweep = OneSweepLSQR(self.operator, lambda: config.preconditioner)
        ksp.setPythonContext(one_sweep)
        ksp.getPC().setType("python")
        ksp.getPC().setPythonContext(Apply(lambda: config.preconditioner))
        ksp.setTolerances(rtol=config.rtol, atol=1e-300, divtol=1e30, max_it=config.max_it or 2 * p + 100)
        normal = python_matrix(comm, columns, columns, Normal(self.operator))
        wide = python_matrix(comm, stacked, columns, self.operator)
        ksp.setOperators(wide, normal)
        ksp.setFromOptions()
        self.own_pc = ksp.getPC().getType() == "python"
        if ksp.getType() == "python" and not self.own_pc:  # the own LSQR knows the own preconditioner only
            ksp.setType("lsqr")
        self.one_sweep = one_sweep if ksp.getType() == "python" else None
        self.rectangular = ksp.getType() in RECTANGULAR
        if not self.rectangular:
            ksp.setOperators(normal, normal)
        rtol, _, _, max_it = ksp.getTolerances()  # the command line has had its say
        self.rtol, self.max_it = float(rtol), int(max_it)
        self.b = wide.createVecLeft() if self.rectangular else normal.createVecLeft()
        self.x = normal.createVecRight()
        self.verify = config.verify
        self._options_checked = False
        self._prefix = config.prefix

    def load(self, system: LeastSquares) -> None:
        self.operator.load(system)
        local = self.b.getArray()
        if self.rectangular:
            local[: system.rhs.size] = system.rhs
            local[system.rhs.size :] = 0.0
        else:
            total = self.operator.reduce(system.tangent.local_adjoint(system.rhs))
            if total is not None:
                local[:] = total

    def start(self, preconditioner: Preconditioner) -> bool:
        """Put the solution from the rows of a fresh factor into x, if there is one; the same answer on all ranks."""
        gradient = preconditioner.gradient
        if gradient is None or self.one_sweep is None:
            return False
        fill(self.x, preconditioner.solve(gradient) if self.comm.rank == 0 else None)
        self.one_sweep.sampled = not self.verify
        return True

    def run(self, max_it: int, again: bool = False) -> tuple[int, int]:
        self.ksp.setTolerances(max_it=max_it)
        self.ksp.setInitialGuessNonzero(again)
        with SOLVE:
            self.ksp.solve(self.b, self.x)
        if not self._options_checked:
            self._options_checked = True
            refuse_unused_options(self._prefix)
        return int(self.ksp.getConvergedReason()), int(self.ksp.getIterationNumber())

    def finish(self, system: LeastSquares, preconditioner: Preconditioner, norm: float) -> int:
        """Iterative refinement from the KSP's iterate, where LSQR has broken down; returns a reason.

        PETSc's LSQR stops with DIVERGED_BREAKDOWN when its next direction vanishes exactly, which means that the
        Krylov space holds the solution (a single parameter, a right-hand side orthogonal to the tangent), but before
        it updates x.  With a fresh factor refinement converges at once.
        """
        x = self.solution()
        for _ in range(4):
            rows = system.rhs - system.tangent.apply(x)
            gradient = system.tangent.adjoint(rows) - self.operator.diagonal**2 * x
            correction = preconditioner.solve(gradient) if self.comm.rank == 0 else np.empty(0)
            if self.comm.size > 1:
                correction = self.comm.bcast(correction, root=0)
            square = float(gradient @ correction)
            if 0 <= square <= (self.rtol * norm) ** 2:
                fill(self.x, x if self.comm.rank == 0 else None)
                return int(PETSc.KSP.ConvergedReason.CONVERGED_HAPPY_BREAKDOWN)
            x = x + correction
        return int(PETSc.KSP.ConvergedReason.DIVERGED_BREAKDOWN)

    def solution(self) -> Array:
        value = np.empty(self.key[1])
        if self.comm.rank == 0:
            value[:] = self.x.getArray(readonly=True)
        if self.comm.size > 1:
            self.comm.Bcast(value, root=0)
        return value
