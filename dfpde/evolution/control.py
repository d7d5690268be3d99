"""Step controllers: from the field error of a step to the size of the next one.

Controllers see only reduced numbers, so all ranks decide alike.  Sources: Gustafsson, ACM TOMS 17 (1991); Hairer,
Nørsett, Wanner I, Section II.4; Söderlind, ACM TOMS 29 (2003).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from .. import validation as check
from ..errors import ParameterError

#: Safety factor and bounds of a step-size change (Hairer, Nørsett, Wanner I, II.4: 0.9, between 0.2 and 5).
SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0


@dataclass(frozen=True)
class Decision:
    """Verdict on a tried step: accepted or not, the next step size, what the controller carries to the next one."""

    accept: bool
    dt: float
    carry: tuple[float, ...]


class Controller(Protocol):
    """Chooses step sizes."""

    @property
    def adaptive(self) -> bool:
        """Whether it needs an error estimate."""
        ...

    @property
    def first(self) -> float | None:
        """The first step size; None asks for an automatic one."""
        ...

    @property
    def dt_min(self) -> float:
        """Smallest step it may take."""
        ...

    @property
    def dt_max(self) -> float:
        """Largest step it may take."""
        ...

    def tolerance(self, norm: float) -> float:
        """Tolerated field error of one step when ‖u‖ = norm."""
        ...

    def decide(self, ratio: float, dt: float, order: int, carry: tuple[float, ...]) -> Decision:
        """Judge a step of size dt whose error is ratio · tolerance, with an embedded scheme of that order."""
        ...


@dataclass(frozen=True)
@check.takes(dt=check.real(above=0))
class Fixed:
    """Steps of one size (shortened only to hit output times).

    Raises
    ------
    ParameterError
        dt not positive.
    """

    dt: float

    adaptive = False
    dt_min = 0.0
    dt_max = math.inf

    @property
    def first(self) -> float | None:
        """dt."""
        return self.dt

    def tolerance(self, norm: float) -> float:
        """Everything is tolerated."""
        return math.inf

    def decide(self, ratio: float, dt: float, order: int, carry: tuple[float, ...]) -> Decision:
        """Always accepts."""
        return Decision(True, self.dt, carry)


@dataclass(frozen=True)
@check.takes(
    rtol=check.real(0),
    atol=check.real(0),
    first=check.optional(check.real(above=0)),
    dt_min=check.real(0),
    dt_max=check.real(infinite=True),
)
class PI:
    """PI controller: h ← h · 0.9 · E_n^(−0.7/q) · E_{n−1}^(0.4/q), E = ‖error‖/(atol + rtol ‖u‖), q = order + 1.

    A rejected step is tried again with h · max(0.2, 0.9 E^(−1/q)).

    Parameters
    ----------
    rtol, atol : float
        Tolerances of the error of one step, in the field norm; atol in units of ‖u‖.
    first : float or None
        First step; None computes it from the size of u, u_t and u_tt.
    dt_min, dt_max : float
        Bounds of the step size; reaching dt_min with a rejected step ends the run with a diagnosis.

    Raises
    ------
    ParameterError
        Tolerances negative or both zero, or bounds that exclude every step.
    """

    rtol: float
    atol: float = 0.0
    first: float | None = None
    dt_min: float = 0.0
    dt_max: float = math.inf

    def __post_init__(self) -> None:
        if not (self.rtol >= 0 and self.atol >= 0 and 0 < self.rtol + self.atol < math.inf):
            raise ParameterError(f"rtol = {self.rtol}, atol = {self.atol}", "non-negative, not both zero")
        if not 0 <= self.dt_min < self.dt_max or (self.first is not None and not self.first > 0):
            raise ParameterError(
                f"dt_min = {self.dt_min}, dt_max = {self.dt_max}, first = {self.first}",
                "0 <= dt_min < dt_max, first > 0",
            )

    adaptive = True

    @property
    def gains(self) -> tuple[float, ...]:
        """Exponents of the newest and of older error ratios, times q."""
        return (0.7, -0.4)

    def tolerance(self, norm: float) -> float:
        """atol + rtol ‖u‖, at least the smallest normal double."""
        return max(self.atol + self.rtol * norm, 2.3e-308)

    def decide(self, ratio: float, dt: float, order: int, carry: tuple[float, ...]) -> Decision:
        """See `Controller`; carry = (1 after a rejection, ratios of the last accepted steps, newest first)."""
        ratio = max(ratio, 1e-10)  # an error of zero grows the step by the largest factor anyway
        q = order + 1
        rejected, *before = carry or (0.0,)
        if not ratio <= 1.0:
            factor = max(SHRINK, SAFETY * ratio ** (-1.0 / q))
            return Decision(False, self._clip(dt * factor), (1.0, *before))
        gains = self.gains
        factor = SAFETY * ratio ** (-gains[0] / q)
        for gain, old in zip(gains[1:], before, strict=False):
            factor *= old ** (-gain / q)
        largest = 1.0 if rejected else GROW
        kept = (0.0, max(ratio, 1e-4), *before[: len(gains) - 2])
        return Decision(True, self._clip(dt * min(largest, max(SHRINK, factor))), kept)

    def _clip(self, dt: float) -> float:
        return min(self.dt_max, max(self.dt_min, dt))


@dataclass(frozen=True)
class PID(PI):
    """PID controller H312PID of Söderlind (2003): gains (1/18, 1/9, 1/18), slow and smooth; parameters as `PI`."""

    @property
    def gains(self) -> tuple[float, ...]:
        """Exponents of the newest and of older error ratios, times q."""
        return (1 / 18, 1 / 9, 1 / 18)
