"""Linear systems of finite elements: PETSc KSP objects made once and used for every stage, every reason checked."""

from __future__ import annotations

from typing import Any

from ..collective import together
from ..errors import SolverError
from ..leastsquares.petsc import PETSc, refuse_unused_options

REASONS = {value: name for name, value in vars(PETSc.KSP.ConvergedReason).items() if isinstance(value, int)}


class LinearSolver:
    """A x = b with a fixed distributed matrix; the KSP and its preconditioner are set up once.

    Parameters
    ----------
    matrix : PETSc.Mat
    prefix : str
        Options prefix: ``-dfpde_fem_mass_ksp_monitor`` for the prefix ``dfpde_fem_mass_``.  Options win over the
        arguments.
    ksp, pc : str
        Types by default.
    rtol : float
        Relative tolerance of the preconditioned residual.
    max_it : int

    Raises
    ------
    OptionsError
        An option under the prefix that nothing read.
    """

    def __init__(
        self, matrix: Any, prefix: str, ksp: str = "cg", pc: str = "jacobi", rtol: float = 1e-13, max_it: int = 1000
    ) -> None:
        self.matrix, self.prefix = matrix, prefix
        self.ksp = PETSc.KSP().create(matrix.getComm())
        self.ksp.setOptionsPrefix(prefix)
        self.ksp.setType(ksp)
        self.ksp.getPC().setType(pc)
        self.ksp.setTolerances(rtol=rtol, atol=1e-300, max_it=max_it)
        self.ksp.setOperators(matrix)
        self.ksp.setFromOptions()
        self.ksp.setUp()
        refuse_unused_options(prefix)

    def solve(self, b: Any) -> Any:
        """x, a new vector; collective, from the initial guess zero (so a run can be repeated exactly).

        Raises
        ------
        SolverError
            The KSP did not converge: reason, norms, iterations, advice; on all ranks.
        """
        x = b.duplicate()
        self.ksp.solve(b, x)
        reason = int(self.ksp.getConvergedReason())
        if reason < 0:
            self._refuse(reason, float(b.norm()))
        return x

    def _refuse(self, reason: int, norm: float) -> None:
        iterations = int(self.ksp.getIterationNumber())
        with together(self.matrix.getComm().tompi4py()):
            raise SolverError(
                f"finite-element solve ({self.ksp.getType()} with {self.ksp.getPC().getType()}, {self.matrix.getSize()[0]} "
                f"unknowns) stopped with {REASONS.get(reason, str(reason))} ({reason}) after {iterations} iterations: "
                f"‖b‖ = {norm:.3e}, residual {self.ksp.getResidualNorm():.3e}",
                f"look at the matrix (singular? not positive definite? then -{self.prefix}ksp_type gmres), at the right-hand "
                f"side (finite?), or raise -{self.prefix}ksp_max_it; -{self.prefix}ksp_monitor shows the convergence",
                reason,
                iterations,
            )
