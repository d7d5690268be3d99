"""What a run is watched for: limits, steps that no longer move t, a defect or an instability that the user must know.

    ∫‖J θ̇ − f‖ dt > ‖u‖/100          what the ansatz does not follow of u_t comes to that, whatever the tolerance
    h λ > 2, and ‖f‖ grows           fixed explicit steps beyond their bound of stability, λ the fastest rate
    t moved by 1e-6 (T − t₀) or less in 2000 accepted steps      the run will not end
    300 accepted steps of less than 1/50 of the mean before      the run may not end, and the user should know why
"""

from __future__ import annotations

import time
import warnings
from collections import deque

from mpi4py import MPI

from ..errors import DfpdeWarning, ParameterError, StepError
from .diagnosis import STABLE, fastest, stalled
from .setting import Run
from .state import State

#: Steps over which t must move, and by which part of the run.
STALL, MOVED = 2000, 1e-6

#: Steps over which they have become small, and small beside the mean of the steps before.
SMALL, FELL = 300, 1 / 50

#: Loss so far, relative to the largest ‖u‖, from which on there is a warning.  Steps are chosen by rtol, the loss is
#: not: it is what is left of the error when rtol is made smaller.
MATTERS = 1e-2

#: Growth of ‖f‖ at which fixed steps are looked at.
GROWN = 4.0


class Guard:
    """Watches the accepted steps of one run; all ranks come to the same verdict.

    Parameters
    ----------
    comm : MPI.Comm
    state : State
        Start.
    until : float
    max_steps, max_seconds : int, float or None

    Raises
    ------
    ParameterError
        Limits that are not positive.
    """

    def __init__(
        self, comm: MPI.Comm, state: State, until: float, max_steps: int | None, max_seconds: float | None
    ) -> None:
        for name, limit in (("max_steps", max_steps), ("max_seconds", max_seconds)):
            if limit is not None and not limit > 0:
                raise ParameterError(f"{name} = {limit}", f"a positive {name}, or None")
        self.comm, self.start, self.until = comm, state, until
        self.max_steps, self.max_seconds = max_steps, max_seconds
        self._begin = time.monotonic()
        self._times: deque[float] = deque([state.t], STALL + 1)
        self._f: float | None = None
        self._lost, self._size = 0.0, -1.0
        self._said: set[str] = set()

    def check(self, run: Run, state: State) -> None:
        """After an accepted step; collective.

        Raises
        ------
        StepError
            A limit is reached before `until`, or the run is stalled.
        """
        self._times.append(state.t)
        self._warn_of_defect(run, state)
        if not run.controller.adaptive and not run.integrator.implicit:
            self._warn_of_instability(run, state)
        if state.t >= self.until:
            return
        self._warn_of_small_steps(run, state)
        if len(self._times) > STALL and state.t - self._times[0] <= MOVED * (self.until - self.start.t):
            cause, remedy = stalled(run, state)
            what = f"stalled at t = {state.t:.9g}: {STALL} steps moved t by {state.t - self._times[0]:.1e}; {cause}"
            raise self._ended(what, remedy, state)
        steps = state.step - self.start.step
        if self.max_steps is not None and steps >= self.max_steps:
            raise self._ended(f"max_steps = {self.max_steps} at t = {state.t:.9g}", "more steps, or go on", state)
        if self.max_seconds is not None:
            seconds = time.monotonic() - self._begin
            seconds = self.comm.bcast(seconds) if self.comm.size > 1 else seconds
            if seconds >= self.max_seconds:
                what = f"max_seconds = {self.max_seconds:g} after {steps} steps at t = {state.t:.9g}"
                raise self._ended(what, "more seconds, or go on from the state of this error", state)

    def _ended(self, what: str, remedy: str, state: State) -> StepError:
        error = StepError(what, remedy, state)
        error.collective = True
        return error

    def _warn_of_defect(self, run: Run, state: State) -> None:
        statistics = state.statistics
        if self._size < 0:
            self._size = run.problem.norm(state.theta)
        if "defect" in self._said:
            return
        self._lost += statistics.defect * statistics.dt
        self._size = max(self._size, run.problem.norm(state.theta))
        if self._size == 0 or self._lost <= MATTERS * self._size:
            return
        self._say(
            "defect",
            f"at t = {state.t:.4g} the ansatz does not follow {100 * statistics.relative_defect:.2g} % of u_t: "
            f"‖J θ̇ − f‖ = {statistics.defect:.1e} of ‖f‖ = {statistics.rhs_norm:.1e}; what was lost so far comes to "
            f"{100 * self._lost / self._size:.0f} % of ‖u‖, which smaller steps do not mend\n"
            "  Try: more parameters, another ansatz, a smaller ε",
        )

    def _warn_of_small_steps(self, run: Run, state: State) -> None:
        before = state.step - self.start.step - SMALL
        if "small steps" in self._said or before < SMALL or not run.controller.adaptive:
            return
        middle = self._times[-1 - SMALL]
        pace, mean = (state.t - middle) / SMALL, (middle - self.start.t) / before
        if pace >= FELL * mean:
            return
        cause, remedy = stalled(run, state)
        self._say(
            "small steps",
            f"at t = {state.t:.4g} steps have fallen from {mean:.1e} to {pace:.1e}, "
            f"{(self.until - state.t) / pace:.1g} more of them to the end: {cause}\n  Try: {remedy}",
        )

    def _warn_of_instability(self, run: Run, state: State) -> None:
        f, dt = state.statistics.rhs_norm, state.statistics.dt
        if self._f is None or f < self._f:
            self._f = f
        if "instability" in self._said or not f > GROWN * self._f:
            return
        self._f = f
        rate = fastest(run, state, run.velocity(state, dt), dt)
        if dt * rate > STABLE:
            self._say(
                "instability",
                f"at t = {state.t:.4g} fixed steps of {dt:.1e} are beyond the bound of stability, and the field grows: "
                f"the fastest rate is about {rate:.1e}\n"
                f"  Try: dt below {STABLE / rate:.1e}, step control (PI), an implicit integrator",
            )

    def _say(self, what: str, text: str) -> None:
        self._said.add(what)
        warnings.warn(text, DfpdeWarning, stacklevel=2)
