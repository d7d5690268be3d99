"""LSQR with one sweep over the tangent for each iteration, as a PETSc KSP of type "python".

Golub–Kahan bidiagonalization needs y = A z − α u and then Aᵀy.  A row of y depends on the same row of A only, so one
sweep over blocks of rows gives both: half the memory traffic of two products (and half the tangent's evaluations where
it is not stored), with one broadcast and one reduction of p + 1 numbers.  The iterates are those of PETSc's ``lsqr``
with the same preconditioner P ≈ AᵀA = RᵀR, that is of LSQR for A R⁻¹ (Paige, Saunders, ACM TOMS 8, 1982).

The residual rows are carried along by r_k = s_k² r_{k−1} − c_k φ̄_{k+1} u_{k+1}, so the defect costs no product.

A start that is nearly there is finished by one step x + P⁻¹Aᵀ(b − Ax), which needs no sweep: see `last`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .gram import Preconditioner
from .operators import Stacked, fill
from .petsc import PETSc

Array = NDArray[Any]
Reason = PETSc.KSP.ConvergedReason

GOING_ON = int(Reason.CONVERGED_ITERATING)

#: Numbers before the direction in a message: reason, keep, add, α/β, ‖residual‖, gain.
HEAD = 6

#: The step `last` is taken where θ^POWER times what it starts from is below TRUST times the target.  Where the error of
#: a quadrature at wave number k falls like e^(−ak), θ is that of a product of balanced factors and the contraction, of
#: a product of one of them with its like, θ^½.  Measured exponents: 0.41 and more (benchmarks/last_step.py).
POWER, TRUST = 1.0 / 3.0, 0.1


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
    """

    precondition: Callable[[Array], Array]
    target: float
    x: Array

    #: The next residual is keep · residual + add · u.
    keep: float = 1.0
    add: float = 0.0
    #: What `last` took off ‖√W J x − r‖².
    gain: float = 0.0

    def start(self, gradient: Array, square: float) -> int:
        """From Aᵀr and ‖r‖² of the first residual r = u; returns a KSP reason."""
        self.beta = self.phibar = math.sqrt(square)
        if self.beta == 0.0:
            self.z = np.zeros_like(gradient)
            return int(Reason.CONVERGED_HAPPY_BREAKDOWN)
        reason = self._direction(gradient / self.beta)
        self.rhobar, self.w = self.alpha, self.z
        return self._judge(reason, self.phibar * self.alpha)

    def near(self, reached: float) -> bool:
        """Whether a start from a sample of the rows is so near that the step `last` ends below the target.

        The step d = P⁻¹Aᵀ(b − Ax) leaves F R d, F = I − R⁻ᵀAᵀA R⁻¹ the error of the coarser quadrature on products of
        tangent functions.  The start shows that error on products with its residual and its own change of b: it left
        q = ‖R d‖ of ‖b − Ax‖ and of `reached` = ‖Ax‖, θ = q / min(‖b − Ax‖, ‖Ax‖).
        """
        q = self.phibar * self.alpha
        least = min(reached, self.phibar)
        return q < least and (q / least) ** POWER * q <= TRUST * self.target

    def last(self, diagonal: Array) -> int:
        """x + P⁻¹Aᵀ(b − Ax) without a sweep, `diagonal` = ε D (p,); returns a KSP reason."""
        q = self.phibar * self.alpha
        step = q * self.z
        moved = diagonal * step
        self.gain = q**2 + float(moved @ (2.0 * diagonal * self.x + moved))  # ‖Ad‖² = q² to a factor 1 + O(θ^POWER)
        self.x = self.x + step
        return int(Reason.CONVERGED_ITS)

    def step(self, gradient: Array, square: float) -> int:
        """From Aᵀu and ‖u‖², u = A z − α u before: the next iterate; returns a KSP reason."""
        self.beta = math.sqrt(square)
        rho = float(np.hypot(self.rhobar, self.beta))
        cosine, sine = self.rhobar / rho, self.beta / rho
        self.x = self.x + (cosine * self.phibar / rho) * self.w
        self.phibar *= sine
        self.keep, self.add = sine**2, 0.0
        if self.beta == 0.0:
            return int(Reason.CONVERGED_HAPPY_BREAKDOWN)
        self.add = -cosine * self.phibar / self.beta
        reason = self._direction(gradient / self.beta - self.beta * self.vector)
        self.w = self.z - (sine * self.alpha / rho) * self.w
        self.rhobar = -cosine * self.alpha
        return self._judge(reason, abs(self.phibar * self.rhobar))

    def _direction(self, vector: Array) -> int:
        """z = P⁻¹v, both divided by α = (vᵀP⁻¹v)^½."""
        z = self.precondition(vector)
        square = float(vector @ z)
        self.alpha = math.sqrt(max(square, 0.0))
        scale = 1.0 / self.alpha if self.alpha > 0 else 0.0
        self.vector, self.z = scale * vector, scale * z
        if square < 0:
            return int(Reason.DIVERGED_INDEFINITE_PC)
        return GOING_ON if math.isfinite(square) else int(Reason.DIVERGED_NANORINF)

    def _judge(self, reason: int, normal: float) -> int:
        if reason == GOING_ON and normal <= self.target:
            return int(Reason.CONVERGED_RTOL_NORMAL if normal > 0 else Reason.CONVERGED_HAPPY_BREAKDOWN)
        return reason

    def message(self, reason: int) -> Array:
        """What all ranks need for the next sweep."""
        ratio = self.alpha / self.beta if self.beta > 0 else 0.0
        numbers = np.empty(HEAD + self.z.size)
        numbers[:HEAD] = reason, self.keep, self.add, ratio, self.phibar, self.gain
        numbers[HEAD:] = self.z
        return numbers


class OneSweepLSQR:
    """Context of the PETSc KSP: converged when ‖R⁻ᵀAᵀ(Ax − b)‖ ≤ rtol ‖b‖, or predicted to be (`near`).

    That is the error of the field, as A R⁻¹ is close to orthonormal.

    Parameters
    ----------
    operator : Stacked
        A, its rows distributed, parameter vectors on rank 0.
    preconditioner : callable
        () -> P, applied on rank 0.

    Attributes
    ----------
    sampled : bool
        The next guess is the solution of the same problem on those rows that P was made of.
    residual : (rows,) array
        b − Ax but for a step `last`, which takes `gain` off the squared norm of its rows of √W J.
    """

    def __init__(self, operator: Stacked, preconditioner: Callable[[], Preconditioner]) -> None:
        self.operator, self.preconditioner = operator, preconditioner
        self.sampled = False
        self.residual, self.gain = np.empty(0), 0.0

    def solve(self, ksp: Any, b: Any, x: Any) -> None:
        """x = argmin ‖A x − b‖ (called by PETSc); collective."""
        operator, inverse, iteration = self.operator, self.preconditioner(), 0
        rtol, _, _, limit = ksp.getTolerances()
        u, total = self._first(b, x, bool(ksp.getInitialGuessNonzero()))
        self.residual = u.copy()
        recurrence, message = None, np.empty(HEAD + operator.p)
        if total is not None:
            gradient, first, square = total
            recurrence = Bidiagonalization(inverse.solve, rtol * math.sqrt(square), x.getArray().copy())
            reason, reached = recurrence.start(gradient, first), math.sqrt(max(0.0, square - first))
            if reason == GOING_ON and self.sampled and recurrence.near(reached) and inverse.resolved:
                reason = recurrence.last(operator.diagonal)
            message = recurrence.message(reason)
        while self._report(ksp, operator.share(message), iteration, u) == GOING_ON and iteration < limit:
            u, gradient = operator.sweep(message[HEAD:], message[3] * u)
            total = operator.collect(gradient, float(u @ u))
            iteration += 1
            if recurrence is not None and total is not None:
                message = recurrence.message(recurrence.step(*total))
        fill(x, None if recurrence is None else recurrence.x)
        reason, self.gain, self.sampled = int(message[0]), float(message[5]), False
        ksp.setConvergedReason(int(Reason.DIVERGED_MAX_IT) if reason == GOING_ON else reason)

    def _first(self, b: Any, x: Any, guessed: bool) -> tuple[Array, tuple[Any, ...] | None]:
        """The first residual u; on rank 0 also Aᵀu, ‖u‖² and ‖b‖².  A guess worse than x = 0 is dropped."""
        operator = self.operator
        rows: Array = b.getArray(readonly=True)
        square = float(rows @ rows)
        if guessed:
            u, gradient = operator.sweep(-operator.spread(x), -rows)
            total = operator.collect(gradient, float(u @ u), square)
            worse = operator.share(np.array([0.0 if total is None else float(not total[1] <= total[2])]))
            if not worse[0]:
                return u, total
            fill(x, None if total is None else np.zeros(operator.p))
        return rows, operator.collect(operator.backward(rows), square, square)

    def _report(self, ksp: Any, message: Array, iteration: int, u: Array) -> int:
        """Move the residual rows, tell PETSc; returns the KSP reason so far."""
        reason, keep, add, _, norm, _ = message[:HEAD].tolist()
        if iteration:
            self.residual *= keep
            self.residual += add * u
        ksp.setIterationNumber(iteration)
        ksp.setResidualNorm(norm)
        ksp.logConvergenceHistory(norm)
        ksp.monitor(iteration, norm)
        return int(reason)
