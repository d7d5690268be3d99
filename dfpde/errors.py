"""What can go wrong, each with its remedy.

Every error of dfpde derives from `DfpdeError` and carries one message that says what happened, with the numbers, and
what to try.  The attribute ``collective`` is True once all ranks of the communicator raise it.  `Stopped`, which is no
error, is a `SystemExit`.
"""

from __future__ import annotations


class DfpdeError(Exception):
    """Base class of everything dfpde raises on purpose.

    Attributes
    ----------
    collective : bool
        True when every rank of the communicator raises this exception together.
    """

    collective: bool = False

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}\n  Try: {remedy}" if remedy else what)
        self.what = what
        self.remedy = remedy


class MeshError(DfpdeError, ValueError):
    """A mesh file or mesh that cannot be used; names cells or vertices by their ids."""


class QuadratureError(DfpdeError, ValueError):
    """Points or weights that do not form a quadrature."""


class ShapeError(DfpdeError, ValueError):
    """An array whose shape or dtype breaks the conventions (points last, float64)."""


class ParameterError(DfpdeError, ValueError):
    """A numerical argument outside its range, or a name that does not exist."""


class ArgumentTypeError(ParameterError, TypeError):
    """An argument of a wrong type; says what is expected."""


class MassError(DfpdeError, ArithmeticError):
    """A mass matrix that is singular, indefinite or not symmetric: it gives no norm."""


class NonFiniteError(DfpdeError, ArithmeticError):
    """NaN or infinity where a finite number is needed; found before it can spread."""


class MissingDerivative(DfpdeError, TypeError):
    """A derivative that the ansatz does not provide."""


class AnsatzError(DfpdeError, ValueError):
    """An ansatz whose methods contradict each other or the conventions; names the method that is wrong."""


class MissingDependency(DfpdeError, ImportError):
    """An optional package that is not installed."""


class OptionsError(DfpdeError, ValueError):
    """A PETSc option under the prefix ``dfpde_`` that nothing read (most often a typing mistake)."""


class SolverError(DfpdeError, ArithmeticError):
    """A linear solve that did not converge.

    Attributes
    ----------
    reason : int
        The KSP convergence reason (negative).
    iterations : int
        Iterations done.
    """

    def __init__(self, what: str, remedy: str = "", reason: int = 0, iterations: int = 0) -> None:
        super().__init__(what, remedy)
        self.reason = reason
        self.iterations = iterations


class StepError(DfpdeError, ArithmeticError):
    """A time step that cannot be done; names the cause (stiffness, lost rank, defect too large, ...).

    Attributes
    ----------
    state : State or None
        The last good state, to be saved or looked at.
    """

    def __init__(self, what: str, remedy: str = "", state: object = None) -> None:
        super().__init__(what, remedy)
        self.state = state


class ResolutionError(StepError):
    """A quadrature that does not resolve the tangent: a single point decides a direction of the parameters."""


class CheckpointError(DfpdeError, OSError):
    """A checkpoint or output file that cannot be written, or read back intact."""


class ReplicationError(DfpdeError, ValueError):
    """A value that all ranks must hold alike (θ, times, tolerances, methods) and do not."""


class RunError(DfpdeError, OSError):
    """A directory of a run that cannot be used: another job is in it, or it holds something else."""


class CaseError(DfpdeError, ValueError):
    """A case file that cannot be run; names the key.

    Attributes
    ----------
    key : str
        ``section.key``, as in the file.
    """

    def __init__(self, what: str, remedy: str = "", key: str = "") -> None:
        super().__init__(f"{key}: {what}" if key else what, remedy)
        self.key = key


class Stopped(SystemExit):
    """A run that was asked to stop (signal, time limit) and has kept its state; leaves the program with code 75.

    75 is EX_TEMPFAIL of sysexits.h: not finished, start it again.  It is no `Exception`, so that no ``except
    Exception`` of a script takes it for a failure.

    Attributes
    ----------
    reason : str
        ``SIGTERM``, ``max_seconds = 3600``, ...
    """

    CODE = 75

    def __init__(self, reason: str) -> None:
        super().__init__(self.CODE)
        self.reason = reason

    def __str__(self) -> str:
        return f"stopped by {self.reason}"


class RemoteError(DfpdeError, RuntimeError):
    """Another rank failed with an exception that dfpde does not define; its text is in the message.

    Attributes
    ----------
    trace : str
        That rank's traceback.
    """

    trace: str = ""


class DfpdeWarning(UserWarning):
    """Base class of the warnings of dfpde: nothing is wrong, but something is worth knowing."""
