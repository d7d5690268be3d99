"""What is due after a step: a checkpoint, the end of the run.  One clock and the signals of all ranks decide."""

from __future__ import annotations

import time

import numpy as np
from mpi4py import MPI

from ..evolution.state import State
from .signals import StopSignals


class Due:
    """Checkpoints after so many steps or seconds, a stop after `limit` seconds or a signal on any rank."""

    def __init__(
        self,
        comm: MPI.Comm,
        signals: StopSignals,
        every_steps: int | None,
        every_seconds: float | None,
        limit: float | None,
    ) -> None:
        self.comm, self.signals = comm, signals
        self.every_steps, self.every_seconds = every_steps or np.inf, every_seconds or np.inf
        self.limit = np.inf if limit is None else float(limit)
        self.begin()

    def begin(self) -> None:
        """The clock of the limit starts."""
        self._begun = self._saved_at = time.monotonic()
        self._step = 0

    def resume(self, state: State) -> None:
        """The run goes on from this state on disk."""
        self._step = state.step

    def saved(self, state: State) -> None:
        """This state is on disk now."""
        self._step, self._saved_at = state.step, time.monotonic()

    def agree(self, state: State) -> tuple[bool, int]:
        """(checkpoint due, signal number or −1 for the time limit, else 0): one reduction, the same on all ranks."""
        now, wanted = time.monotonic(), np.zeros(3, dtype=np.int64)
        if self.comm.rank == 0:  # one clock decides
            due = state.step - self._step >= self.every_steps or now - self._saved_at >= self.every_seconds
            wanted[:2] = due, now - self._begun >= self.limit
        wanted[2] = self.signals.number
        if self.comm.size > 1:
            self.comm.Allreduce(MPI.IN_PLACE, wanted, op=MPI.MAX)
        return bool(wanted[0]), int(wanted[2]) or -int(wanted[1])
