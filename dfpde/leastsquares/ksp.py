"""The least-squares solve by PETSc: its options, monitors, log and Krylov methods around the same iteration.

Everything is reachable from the options database under one prefix: ``-dfpde_ksp_type cgls``, ``-dfpde_ksp_monitor``,
``-dfpde_pc_type none``.  The default type is "python", dfpde's own LSQR; ``-dfpde_ksp_type lsqr`` is PETSc's, taken
also where another preconditioner is chosen.  Rectangular methods (lsqr, cgls) see the stacked operator; all others (cg,
minres, ...) the normal matrix JᵀWJ + ε²D².  ``-log_view`` shows the events "dfpde tangent", "dfpde rhs", "dfpde gram",
"dfpde factor" and "dfpde solve".
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from mpi4py import MPI
from numpy.typing import NDArray

from .. import validation as check
from .lsqr import End
from .operators import Method, Normal, Wide, fill, python_matrix
from .petsc import PETSc, petsc_errors, refuse_unused_options
from .preconditioner import Preconditioner
from .solver import LSQR
from .stacked import Stacked
from .system import LeastSquares

Array = NDArray[Any]

#: KSP types that take a rectangular operator.
RECTANGULAR = ("python", "lsqr", "cgls")

REASONS = {value: name for name, value in vars(PETSc.KSP.ConvergedReason).items() if isinstance(value, int)}


class KSP(LSQR):
    """`LSQR` as a PETSc KSP, or any other Krylov method that PETSc's options name.

    Parameters
    ----------
    rtol, max_it, preconditioner
        See `LSQR`; options on the command line win.
    prefix : str
        Prefix in PETSc's options database.

    Raises
    ------
    MissingDependency
        petsc4py is not installed.
    OptionsError
        At the first solve: a ``-dfpde_*`` option that nothing read.
    """

    described = ("rtol", "max_it", "preconditioner", "prefix")

    @check.takes(prefix=check.text)
    def __init__(
        self,
        rtol: float = 1e-11,
        max_it: int | None = None,
        prefix: str = "dfpde_",
        preconditioner: Preconditioner | None = None,
    ) -> None:
        super().__init__(rtol, max_it, preconditioner)
        self.prefix = prefix
        self._work: _Work | None = None

    def _load(self, system: LeastSquares) -> None:
        work = self._work
        same = work is not None and work.serves(system)
        if system.comm.size > 1:
            same = bool(system.comm.allreduce(int(same), op=MPI.MIN))
        if work is None or not same:
            if work is not None:
                work.destroy()
            work = self._work = _Work(system, self)
        work.load(system, self.preconditioner)
        self._operator = work.operator

    @property
    def _tolerances(self) -> tuple[float, int]:
        return super()._tolerances if self._work is None else self._work.tolerances

    def _run(self, guess: Array | None, limit: int) -> End:
        if self._work is None:
            return super()._run(guess, limit)
        return self._work.run(guess, limit)

    def _iterate(self, system: LeastSquares) -> tuple[End, int, int]:
        if self._work is None or self._work.own_pc:
            return super()._iterate(system)
        end = self._run(None, self._tolerances[1])
        return end, end.iterations, 0


class _Work:
    """PETSc objects for one shape of system: created once, loaded before each solve."""

    def __init__(self, system: LeastSquares, config: KSP) -> None:
        comm, rows, p = system.comm, system.tangent.rows, system.tangent.columns
        PETSc.garbage_cleanup(MPI.Intracomm(comm))  # what solvers that are gone had: petsc4py leaves it to a collective
        first = comm.rank == 0
        self.comm, self.operator = comm, Stacked(system)
        self.method = Method(self.operator, config.preconditioner)
        columns, stacked = (p if first else 0, p), (rows + (p if first else 0), PETSc.DETERMINE)
        ksp = self.ksp = PETSc.KSP().create(MPI.Intracomm(comm))  # petsc4py takes no subclass
        ksp.setOptionsPrefix(config.prefix)
        ksp.setType("python")
        ksp.setPythonContext(self.method)
        ksp.getPC().setType("python")
        ksp.getPC().setPythonContext(self.method)
        max_it = 2 * p + 100 if config.max_it is None else config.max_it
        ksp.setTolerances(rtol=config.rtol, atol=1e-300, divtol=1e30, max_it=max_it)
        normal = python_matrix(comm, columns, columns, Normal(self.operator))
        wide = python_matrix(comm, stacked, columns, Wide(self.operator))
        ksp.setOperators(wide, normal)
        with petsc_errors(config.prefix):
            ksp.setFromOptions()
        self.own_pc = ksp.getPC().getType() == "python"
        if ksp.getType() == "python" and not self.own_pc:  # the own LSQR knows the own preconditioner only
            ksp.setType("lsqr")
        self.rectangular = ksp.getType() in RECTANGULAR
        if not self.rectangular:
            ksp.setOperators(normal, normal)
        rtol, _, _, most = ksp.getTolerances()  # the command line has had its say
        self.tolerances = float(rtol), int(most)
        self.b = wide.createVecLeft() if self.rectangular else normal.createVecLeft()
        self.x = normal.createVecRight()
        self._prefix, self._checked = config.prefix, False
        self.destroy = weakref.finalize(self, _free, weakref.ref(self), ksp, normal, wide, self.b, self.x)

    def serves(self, system: LeastSquares) -> bool:
        """Whether the objects have this system's shape."""
        shape = (self.operator.rows, self.operator.p)
        return bool(shape == (system.tangent.rows, system.tangent.columns) and self.comm == system.comm)

    def load(self, system: LeastSquares, preconditioner: Preconditioner) -> None:
        """The next system."""
        self.operator.load(system)
        self.method.preconditioner = preconditioner
        local = self.b.getArray()
        if self.rectangular:
            rows = system.tangent.rows
            local[:rows], local[rows:] = system.rhs, 0.0
        else:
            fill(self.b, self.operator.reduce(system.tangent.local_adjoint(system.rhs)))

    def run(self, guess: Array | None, limit: int) -> End:
        """At most `limit` iterations from a guess."""
        ksp, self.method.end = self.ksp, None
        fill(self.x, guess if self.operator.first else None)
        with petsc_errors(self._prefix):
            ksp.setTolerances(max_it=limit)
            ksp.setInitialGuessNonzero(guess is not None)
            ksp.solve(self.b, self.x)
        if not self._checked:
            self._checked = True
            refuse_unused_options(self._prefix)
        if self.method.end is not None:
            return self.method.end
        reason, x = int(ksp.getConvergedReason()), self.x.getArray(readonly=True).copy()
        name, norm = REASONS.get(reason, str(reason)), float(ksp.getResidualNorm())
        return End(x if self.operator.first else None, None, int(ksp.getIterationNumber()), name, norm)


def _free(owner: Callable[[], Any], ksp: Any, normal: Any, wide: Any, *vectors: Any) -> None:
    """Free PETSc's objects; where the owner is gone on several ranks, what they hold of Python.

    Freeing is collective there, and owners need not go at the same time: `garbage_cleanup` does the rest.
    """
    if ksp.comm.size == 1 or owner() is not None:  # asked for, or the end of the program
        for thing in (ksp, normal, wide, *vectors):
            thing.destroy()
        return
    if ksp.getType() == "python":
        ksp.setPythonContext(None)
    if ksp.getPC().getType() == "python":
        ksp.getPC().setPythonContext(None)
    for matrix in (normal, wide):
        matrix.setPythonContext(None)
