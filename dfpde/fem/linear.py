"""Linear systems of finite elements: PETSc KSP objects made once and used for every stage, every reason checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ParameterError, SolverError
from ..leastsquares.petsc import PETSc, refuse_unused_options
from ..parallel.collective import collective_errors
from ..representation import represent
from .nodes import Nodes

Array = NDArray[Any]

REASONS = {value: name for name, value in vars(PETSc.KSP.ConvergedReason).items() if isinstance(value, int)}


class LinearSolver:
    """A x = b with a fixed distributed matrix; the KSP and its preconditioner are set up once.

    With degrees of freedom D of known values x_D = g: A_II x_I = b_I − A_ID g.

    Parameters
    ----------
    nodes : Nodes
    matrix : PETSc.Mat
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

    Raises
    ------
    ParameterError
        Fixed numbers that this rank does not have.
    OptionsError
        An option under the prefix that nothing read.
    """

    __repr__ = represent

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
        if self._fixed is not None:
            first = self._fixed.getOwnershipRange()[0]
            rows = np.flatnonzero(self._fixed.getArray()).astype(PETSc.IntType) + first
            matrix = matrix.copy()
            matrix.zeroRowsColumns(rows, 1.0)
        self.ksp = PETSc.KSP().create(nodes.comm)
        self.ksp.setOptionsPrefix(prefix)
        self.ksp.setType(ksp)
        self.ksp.getPC().setType(pc)
        self.ksp.setTolerances(rtol=rtol, atol=1e-300, max_it=max_it)
        self.ksp.setOperators(matrix)
        self.ksp.setFromOptions()
        self.ksp.setUp()
        refuse_unused_options(prefix)

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
            The KSP did not converge: reason, norms, iterations, advice; on all ranks.
        """
        b = self.nodes.sum(load)
        if self._fixed is None:
            return self.nodes.spread(self._run(b))
        mark = self._fixed.getArray(readonly=True)
        lift = self.nodes.gather(np.zeros(self.nodes.n) if known is None else known)
        lift.getArray()[:] *= mark
        b -= self.whole * lift
        b.getArray()[:] *= 1.0 - mark
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
        total.getArray()[:] = total.getArray() > 0
        return total

    def _run(self, b: Any) -> Any:
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
            f"with {REASONS.get(reason, str(reason))} ({reason}) after {iterations} iterations: ‖b‖ = {norm:.3e}, "
            f"residual {self.ksp.getResidualNorm():.3e}",
            f"look at the matrix (singular? not positive definite? then -{self.prefix}ksp_type gmres) and at the "
            f"right-hand side, or raise -{self.prefix}ksp_max_it; -{self.prefix}ksp_monitor shows the convergence",
            reason,
            iterations,
        )
        error.collective = True
        raise error
