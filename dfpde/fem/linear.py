"""Linear systems of finite elements, set up once and used for every stage: PETSc's KSP, every reason checked.

On one rank without petsc4py SciPy's SuperLU takes its place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from .. import validation as check
from ..errors import ParameterError, SolverError
from ..parallel.collective import collective_errors
from ..representation import represent
from .nodes import Nodes

Array = NDArray[Any]


class LinearSolver:
    """A x = b with a fixed distributed matrix; the KSP and its preconditioner, or a factor of A, are set up once.

    With degrees of freedom D of known values x_D = g: A_II x_I = b_I − A_ID g.

    Parameters
    ----------
    nodes : Nodes
    matrix : PETSc.Mat, or scipy sparse on one rank without petsc4py
        From `Nodes.matrix`, or the user's own.
    prefix : str
        Options prefix: ``-dfpde_fem_mass_ksp_monitor`` for the prefix ``dfpde_fem_mass_``.  Options win over the
        arguments.
    fixed : (d,) array of int, optional
        This rank's local numbers of D; those on a border may be given by one or several of their ranks.
    ksp, pc : str
        Types by default.
    rtol : float
        Relative tolerance of the preconditioned residual.
    max_it : int
        Most iterations.  These four and the options are PETSc's; SuperLU is a direct solver.

    Raises
    ------
    ParameterError
        Fixed numbers that this rank does not have.
    OptionsError
        An option under the prefix that nothing read.
    """

    __repr__ = represent

    @check.takes(
        nodes=check.nodes,
        matrix=check.matrix,
        prefix=check.text,
        fixed=check.optional(check.indices),
        ksp=check.text,
        pc=check.text,
        rtol=check.real(above=0, below=1),
        max_it=check.integer(1, 2**31 - 1),
    )
    def __init__(
        self,
        nodes: Nodes,
        matrix: Any,
        prefix: str,
        fixed: Array | None = None,
        ksp: str = "cg",
        pc: str = "jacobi",
        rtol: float = 1e-13,
        max_it: int = 1000,
    ) -> None:
        self.nodes, self.whole, self.prefix = nodes, matrix, prefix
        self._fixed = None if fixed is None else self._mark(fixed)
        self._factor: Any = None
        if nodes.serial:
            self._factor = _factor(matrix, np.zeros(nodes.size) if self._fixed is None else self._fixed)
        else:
            self._create(matrix, ksp, pc, rtol, max_it)

    def _create(self, matrix: Any, ksp: str, pc: str, rtol: float, max_it: int) -> None:
        from ..leastsquares.petsc import PETSc, petsc_errors, refuse_unused_options

        if self._fixed is not None:
            first = self._fixed.getOwnershipRange()[0]
            rows = np.flatnonzero(self._fixed.getArray()).astype(PETSc.IntType) + first
            matrix = matrix.copy()
            matrix.zeroRowsColumns(rows, 1.0)
        self.ksp = PETSc.KSP().create(self.nodes.comm)
        with petsc_errors(self.prefix):
            self.ksp.setOptionsPrefix(self.prefix)
            self.ksp.setType(ksp)
            self.ksp.getPC().setType(pc)
            self.ksp.setTolerances(rtol=rtol, atol=1e-300, max_it=max_it)
            self.ksp.setOperators(matrix)
            self.ksp.setFromOptions()
        self.ksp.setUp()
        self._reasons = {int(v): name for name, v in vars(PETSc.KSP.ConvergedReason).items() if isinstance(v, int)}
        refuse_unused_options(self.prefix)

    def solve(self, load: Array, known: Array | None = None) -> Array:
        """x at this rank's nodes (n,); collective, from the initial guess zero (so a run can be repeated exactly).

        Parameters
        ----------
        load : (n,) array
            Sub-assembled right-hand side.
        known : (n,) array, optional
            Values g; read at the fixed nodes, the same on all ranks that share one; None is zero.

        Raises
        ------
        SolverError
            The KSP did not converge: reason, norms, iterations, advice; on all ranks.  Or SuperLU's solution
            is not finite.
        """
        b = self.nodes.sum(load)
        if self._fixed is None:
            return self.nodes.spread(self._run(b))
        lift = self.nodes.gather(np.zeros(self.nodes.n) if known is None else known)
        mark = _values(self._fixed)
        _values(lift)[:] *= mark
        b -= self.whole @ lift if self.nodes.serial else self.whole * lift
        _values(b)[:] *= 1.0 - mark
        return self.nodes.spread(self._run(b) + lift)

    def _mark(self, fixed: Array) -> Any:
        nodes, mark = self.nodes, np.zeros(self.nodes.n)
        with collective_errors(nodes.comm):
            chosen = np.asarray(fixed)
            if chosen.size:
                if chosen.dtype.kind not in "iu" or chosen.ndim != 1 or chosen.min() < 0 or chosen.max() >= nodes.n:
                    raise ParameterError(
                        f"fixed nodes of type {chosen.dtype} and shape {chosen.shape} on rank {nodes.comm.rank}",
                        f"give local numbers 0 … {nodes.n - 1}",
                    )
                mark[chosen] = 1.0
        total = nodes.sum(mark)
        _values(total)[:] = _values(total) > 0
        return total

    def _run(self, b: Any) -> Any:
        if self._factor is not None:
            return _finite(self._factor.solve(b), b)
        x = b.duplicate()
        self.ksp.solve(b, x)
        reason = int(self.ksp.getConvergedReason())
        if reason < 0:
            self._refuse(reason, float(b.norm()))
        return x

    def _refuse(self, reason: int, norm: float) -> None:
        iterations = int(self.ksp.getIterationNumber())
        error = SolverError(
            f"finite-element solve ({self.ksp.getType()}, {self.ksp.getPC().getType()}, n = {self.nodes.size}) stopped "
            f"with {self._reasons.get(reason, str(reason))} ({reason}) after {iterations} iterations: ‖b‖ = {norm:.3e},"
            f" residual {self.ksp.getResidualNorm():.3e}",
            f"look at the matrix (singular? not positive definite? then -{self.prefix}ksp_type gmres) and at the "
            f"right-hand side, or raise -{self.prefix}ksp_max_it; -{self.prefix}ksp_monitor shows the convergence",
            reason,
            iterations,
        )
        error.collective = True
        raise error


def _values(vector: Any) -> Array:
    """This rank's numbers of a distributed vector, to be written too."""
    values: Array = vector if isinstance(vector, np.ndarray) else vector.getArray()
    return values


def _factor(matrix: Any, fixed: Array) -> Any:
    """SuperLU of A with the rows and columns of fixed nodes replaced by the identity."""
    free = sparse.diags_array(1.0 - fixed)
    try:
        return splu(sparse.csc_array(free @ matrix @ free + sparse.diags_array(fixed)))
    except RuntimeError as error:
        raise SolverError(
            f"finite-element solve (SuperLU, n = {len(fixed)}): {error}", "look at the matrix: it is singular"
        ) from error


def _finite(x: Array, b: Array) -> Array:
    """What SuperLU found; it tells nobody of NaN."""
    if not np.isfinite(x).all():
        raise SolverError(
            f"finite-element solve (SuperLU, n = {len(b)}): the solution is not finite, ‖b‖ = {np.linalg.norm(b):.3e}",
            "look at the right-hand side (NaN, infinity?) and at the matrix (nearly singular?)",
        )
    return x
