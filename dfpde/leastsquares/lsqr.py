"""LSQR with one pair of products for each iteration, distributed over ranks.

Golub–Kahan bidiagonalization needs y = A z − α u and then Aᵀy.  Both are taken at once: one broadcast and one reduction
of p + 1 numbers, and a tangent that is formed by chunks is formed once, as a row of y depends on the same row of A
only.  The iterates are those of LSQR for A R⁻¹ with the preconditioner P ≈ AᵀA = RᵀR (Paige, Saunders, ACM TOMS 8,
1982).

The residual rows are carried along by r_k = s_k² r_{k−1} − c_k φ̄_{k+1} u_{k+1}, so the defect costs no product.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .preconditioner import Preconditioner
from .stacked import Stacked

Array = NDArray[Any]


class Reason(IntEnum):
    """Why an iteration ended, by PETSc's names; positive: converged, 0: it goes on."""

    CONVERGED_HAPPY_BREAKDOWN = 2
    CONVERGED_RTOL_NORMAL = 1
    CONVERGED_ITERATING = 0
    DIVERGED_MAX_IT = -1
    DIVERGED_INDEFINITE_PC = -2
    DIVERGED_NANORINF = -3


@dataclass(frozen=True, eq=False)
class End:
    """Where an iteration ended.

    Attributes
    ----------
    x : (p,) array or None
        The iterate on rank 0, None elsewhere.
    rows : (rows,) array or None
        This rank's rows of b − A x; None where the method does not know them.
    iterations : int
    reason : str
        A name of `Reason`, or another one of PETSc's.
    norm : float
        ‖b − A x‖.
    """

    x: Array | None
    rows: Array | None
    iterations: int
    reason: str
    norm: float


#: Numbers before the direction in a message: reason, keep, add, α/β, ‖residual‖.
HEAD = 5


@dataclass
class Bidiagonalization:
    """The recurrences of LSQR in parameter space, on rank 0 (Paige and Saunders' names).

    Attributes
    ----------
    precondition : callable
        P⁻¹ y, shapes (p,).
    target : float
        ‖R⁻ᵀAᵀ(Ax − b)‖ to be reached.
    x : (p,) array
        The iterate.
    keep, add : float
        The next residual is keep · residual + add · u.
    """

    precondition: Callable[[Array], Array]
    target: float
    x: Array
    keep: float = 1.0
    add: float = 0.0

    def start(self, gradient: Array, square: float) -> Reason:
        """From Aᵀr and ‖r‖² of the first residual r = u."""
        self.beta = self.phibar = math.sqrt(square)
        if self.beta == 0.0:
            self.z = np.zeros_like(gradient)
            return Reason.CONVERGED_HAPPY_BREAKDOWN
        reason = self._direction(gradient / self.beta)
        self.rhobar, self.w = self.alpha, self.z
        return self._judge(reason, self.phibar * self.alpha)

    def step(self, gradient: Array, square: float) -> Reason:
        """From Aᵀu and ‖u‖², u = A z − α u before: the next iterate."""
        self.beta = math.sqrt(square)
        rho = float(np.hypot(self.rhobar, self.beta))
        cosine, sine = self.rhobar / rho, self.beta / rho
        self.x = self.x + (cosine * self.phibar / rho) * self.w
        self.phibar *= sine
        self.keep, self.add = sine**2, 0.0
        if self.beta == 0.0:
            return Reason.CONVERGED_HAPPY_BREAKDOWN
        self.add = -cosine * self.phibar / self.beta
        reason = self._direction(gradient / self.beta - self.beta * self.vector)
        self.w = self.z - (sine * self.alpha / rho) * self.w
        self.rhobar = -cosine * self.alpha
        return self._judge(reason, abs(self.phibar * self.rhobar))

    def _direction(self, vector: Array) -> Reason:
        """z = P⁻¹v, both divided by α = (vᵀP⁻¹v)^½."""
        z = self.precondition(vector)
        square = float(vector @ z)
        self.alpha = math.sqrt(max(square, 0.0))
        scale = 1.0 / self.alpha if self.alpha > 0 else 0.0
        self.vector, self.z = scale * vector, scale * z
        if square < 0:
            return Reason.DIVERGED_INDEFINITE_PC
        return Reason.CONVERGED_ITERATING if math.isfinite(square) else Reason.DIVERGED_NANORINF

    def _judge(self, reason: Reason, normal: float) -> Reason:
        if reason == Reason.CONVERGED_ITERATING and normal <= self.target:
            return Reason.CONVERGED_RTOL_NORMAL if normal > 0 else Reason.CONVERGED_HAPPY_BREAKDOWN
        return reason

    def message(self, reason: Reason) -> Array:
        """What all ranks need for the next iteration."""
        ratio = self.alpha / self.beta if self.beta > 0 else 0.0
        message = np.empty(HEAD + self.z.size)
        message[:HEAD], message[HEAD:] = (reason, self.keep, self.add, ratio, self.phibar), self.z
        return message


def lsqr(
    operator: Stacked,
    preconditioner: Preconditioner,
    b: Array,
    guess: Array | None,
    rtol: float,
    limit: int,
    monitor: Callable[[int, float], None] | None = None,
) -> End:
    """x = argmin ‖A x − b‖, converged when ‖R⁻ᵀAᵀ(Ax − b)‖ ≤ rtol ‖b‖; collective.

    That is the error of the field, as A R⁻¹ is close to orthonormal.

    Parameters
    ----------
    operator : Stacked
        A, its rows distributed, parameter vectors on rank 0.
    preconditioner : Preconditioner
        P, applied on rank 0.
    b : (rows,) array
        This rank's rows.
    guess : (p,) array or None
        x to begin with, on rank 0 (something on the others); None on all ranks is zero.  One that is worse than zero
        is dropped.
    rtol : float
    limit : int
        Most iterations.
    monitor : callable or None
        Told (iteration, ‖b − A x‖) before every iteration and at the end.
    """
    x, u, total = _first(operator, b, guess)
    rows, iteration = u.copy(), 0
    recurrence, message = None, np.empty(HEAD + operator.p)
    if total is not None:
        gradient, first, square = total
        recurrence = Bidiagonalization(preconditioner.solve, rtol * math.sqrt(square), x)
        message = recurrence.message(recurrence.start(gradient, first))
    while True:
        reason, keep, add, ratio, norm = operator.share(message)[:HEAD].tolist()
        if iteration:
            rows *= keep
            rows += add * u
        if monitor is not None:
            monitor(iteration, norm)
        if reason != Reason.CONVERGED_ITERATING or iteration >= limit:
            break
        u, gradient = operator.sweep(message[HEAD:], ratio * u)
        total = operator.collect(gradient, float(u @ u))
        iteration += 1
        if recurrence is not None and total is not None:
            message = recurrence.message(recurrence.step(*total))
    end = Reason(int(reason)) or Reason.DIVERGED_MAX_IT
    return End(None if recurrence is None else recurrence.x, rows, iteration, end.name, norm)


def _first(operator: Stacked, b: Array, guess: Array | None) -> tuple[Array, Array, tuple[Any, ...] | None]:
    """x, its residual u; on rank 0 also Aᵀu, ‖u‖² and ‖b‖²."""
    square = float(b @ b)
    if guess is not None:
        x = operator.spread(guess)
        u, gradient = operator.sweep(-x, -b)
        total = operator.collect(gradient, float(u @ u), square)
        worse = operator.share(np.array([0.0 if total is None else float(not total[1] <= total[2])]))
        if not worse[0]:
            return x, u, total
    return np.zeros(operator.p), b, operator.collect(operator.backward(b), square, square)
