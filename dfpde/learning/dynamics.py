"""Learning dynamics: a loss as potential energy, parameters with inertia, friction and noise.

    μ θ̈ + κ θ̇ = −∇L(θ) + σ Ẇ,      H = μ/2 |θ̇|² + L(θ)
    κ = σ = 0:   H is conserved, the *computational inertia* of Karagöz (arXiv 2505.19171)
    else:        dE[H]/dt = −κ E|θ̇|² + σ² p/(2μ)                        (Itô; derived here)

integrated by splitting into exact flows: kick (θ̇ from ∇L), drift (θ from θ̇), Ornstein–Uhlenbeck (friction and noise).
Without friction and noise every scheme is symplectic and symmetric, so the error of H stays bounded for times
exponentially long in 1/h (Hairer, Lubich, Wanner, Geometric Numerical Integration, Section IX.8).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..errors import NonFiniteError, ParameterError
from ..representation import represent
from .losses import Loss

Array = NDArray[Any]


@dataclass(frozen=True)
@check.takes(
    loss=check.having("a loss: Given(value, gradient), Misfit(...)", "value", "gradient"),
    mass=check.real(above=0),
    friction=check.real(0),
    noise=check.real(0),
    seed=check.integer(0),
)
class Newtonian:
    """The dynamics: loss L, mass μ > 0, friction κ ≥ 0, noise σ ≥ 0.

    Parameters
    ----------
    loss : Loss
    mass : float
        μ, units of L · time²/θ².
    friction : float
        κ, units of L · time/θ².
    noise : float
        σ, of a force σ dW: units of L/θ · time^½.  With κ > 0 the stationary density is exp(−2κH/σ²).
    seed : int
        The noise of step n is a function of (seed, n): the same on all ranks and after a restart.

    Raises
    ------
    ParameterError
        Numbers out of range.
    """

    loss: Loss
    mass: float = 1.0
    friction: float = 0.0
    noise: float = 0.0
    seed: int = 0

    __repr__ = represent

    @check.takes(motion=check.having("a Motion", "t", "theta", "velocity"))
    def kinetic(self, motion: Motion) -> float:
        """μ/2 |θ̇|²."""
        return 0.5 * self.mass * float(motion.velocity @ motion.velocity)

    @check.takes(motion=check.having("a Motion", "t", "theta", "velocity"))
    def energy(self, motion: Motion) -> float:
        """H = μ/2 |θ̇|² + L(θ); collective where the loss is."""
        return self.kinetic(motion) + self.loss.value(motion.theta)

    @check.takes(motion=check.having("a Motion", "t", "theta", "velocity"))
    def power(self, motion: Motion) -> float:
        """−κ |θ̇|² + σ² p/(2μ), the rate of E[H]."""
        p = motion.theta.size
        return -self.friction * float(motion.velocity @ motion.velocity) + self.noise**2 * p / (2 * self.mass)


@dataclass(frozen=True, eq=False)
@check.takes(
    t=check.real(), theta=check.numbers(1), velocity=check.numbers(1), step=check.integer(0), lost=check.real()
)
class Motion:
    """State of the learning dynamics.

    Attributes
    ----------
    t : float
    theta, velocity : (p,) arrays
        θ and θ̇.
    step : int
        Steps so far; key of the next noise.
    lost : float
        ∫ κ |θ̇|² dt so far, by the trapezoidal rule on the friction substeps.
    """

    t: float
    theta: Array
    velocity: Array
    step: int = 0
    lost: float = 0.0

    __repr__ = represent


@dataclass(frozen=True)
class Splitting:
    """Symmetric composition of kicks b_i h and drifts a_i h: B(b₁) A(a₁) B(b₂) … A(a_s) B(b_{s+1}).

    Attributes
    ----------
    name : str
    kicks : tuple of float
        b, s + 1 numbers, symmetric, sum 1.
    drifts : tuple of float
        a, s numbers, symmetric, sum 1.
    order : int
    """

    name: str
    kicks: tuple[float, ...]
    drifts: tuple[float, ...]
    order: int

    __repr__ = represent


def _compose(name: str, weights: tuple[float, ...], order: int) -> Splitting:
    """Velocity Verlet with steps w_1 h, …, w_s h."""
    ends = (0.0, *weights, 0.0)
    kicks = tuple(0.5 * (a + b) for a, b in pairwise(ends))
    return Splitting(name, kicks, weights, order)


VERLET = Splitting("velocity Verlet", (0.5, 0.5), (1.0,), 2)
"""Velocity Verlet (Störmer 1907; Verlet 1967), kick–drift–kick, order 2."""

_Z = 1 / (2 - 2 ** (1 / 3))
YOSHIDA4 = _compose("Yoshida 4", (_Z, 1 - 2 * _Z, _Z), 4)
"""Triple jump (Yoshida, Phys. Lett. A 150, 1990), order 4, three forces for each step."""

_S = 1 / (4 - 4 ** (1 / 3))
SUZUKI4 = _compose("Suzuki 4", (_S, _S, 1 - 4 * _S, _S, _S), 4)
"""Five Verlet steps (Suzuki, Phys. Lett. A 146, 1990), order 4."""

_B = (0.0829844064174052, 0.396309801498368, -0.0390563049223486)
_A = (0.245298957184271, 0.604872665711080)
BLANES_MOAN4 = Splitting(
    "Blanes–Moan 4",
    (*_B, 1 - 2 * sum(_B), *_B[::-1]),
    (*_A, 0.5 - sum(_A), 0.5 - sum(_A), *_A[::-1]),
    4,
)
"""Runge–Kutta–Nyström method of six stages and order 4, SRKN₆ᵇ of Blanes & Moan, J. Comput. Appl. Math. 142 (2002)."""


@check.takes(
    dynamics=check.instance(Newtonian, "Newtonian(loss)"),
    dt=check.real(above=0),
    steps=check.integer(0),
    scheme=check.instance(Splitting, "a Splitting: VERLET, ..."),
    every=check.integer(1),
)
def learn(
    dynamics: Newtonian,
    start: Motion | Array,
    *,
    dt: float,
    steps: int,
    scheme: Splitting = VERLET,
    every: int = 1,
) -> Iterator[Motion]:
    """Integrate μ θ̈ + κ θ̇ = −∇L + σ Ẇ with fixed steps.

    With friction or noise, the flow of θ̇ alone, exact in law, is put in the middle of the step: B A O A B, "BAOAB"
    (Leimkuhler, Matthews, Appl. Math. Res. Express 2013), which is of order 2, and whose averages over long times are
    often more accurate than that.

    Parameters
    ----------
    dynamics : Newtonian
    start : Motion or (p,) array
        θ alone starts from rest.
    dt : float
        Step h; without friction and noise, stable for h √(λ/μ) < 2 (Verlet), λ the largest curvature of L.
    steps : int
        Number of steps.
    scheme : Splitting
        `VERLET`, `YOSHIDA4`, `SUZUKI4`, `BLANES_MOAN4`; with friction or noise only `VERLET`.
    every : int
        Yield every so many steps (and the last).

    Yields
    ------
    Motion

    Raises
    ------
    ParameterError
        Step, counts or scheme out of range.
    NonFiniteError
        θ is lost: the step is too large.
    """
    damped = dynamics.friction > 0 or dynamics.noise > 0
    if damped and scheme is not VERLET:
        raise ParameterError(f"{scheme.name} with friction or noise", "VERLET: BAOAB is of order 2 anyway")
    if not isinstance(start, Motion):
        check.numbers(1)("start", start)
        start = Motion(0.0, np.array(start, float), np.zeros(len(start)))
    return _learn(dynamics, start, dt, steps, scheme, every, damped)


def _learn(
    dynamics: Newtonian, start: Motion, dt: float, steps: int, scheme: Splitting, every: int, damped: bool
) -> Iterator[Motion]:
    theta, v, lost = start.theta.copy(), start.velocity.copy(), start.lost
    gradient, push = dynamics.loss.gradient, -dt / dynamics.mass
    force = gradient(theta)
    pairs = list(zip(scheme.drifts, scheme.kicks[1:], strict=True))
    for n in range(1, steps + 1):
        v += scheme.kicks[0] * push * force
        for drift, kick in pairs:
            if damped:
                theta += 0.5 * dt * v
                v, gone = _ornstein_uhlenbeck(dynamics, v, dt, start.step + n - 1)
                lost += gone
                theta += 0.5 * dt * v
            else:
                theta += drift * dt * v
            force = gradient(theta)
            v += kick * push * force
        if n % every == 0 or n == steps:
            if not np.isfinite(v @ v):
                error = NonFiniteError(f"θ is lost after {n} steps of {dt:.3e}", "a smaller step dt, or a larger mass")
                error.collective = True
                raise error
            yield Motion(start.t + n * dt, theta.copy(), v.copy(), start.step + n, lost)


def _ornstein_uhlenbeck(dynamics: Newtonian, v: Array, dt: float, step: int) -> tuple[Array, float]:
    """Exact flow of μ dv = −κ v dt + σ dW over dt, and κ|v|² dt by the trapezoidal rule."""
    mass, kappa, sigma = dynamics.mass, dynamics.friction, dynamics.noise
    rate = kappa / mass
    later = math.exp(-rate * dt) * v
    if sigma > 0:
        width = -math.expm1(-2 * rate * dt) / (2 * rate) if rate > 0 else dt
        random = np.random.default_rng((dynamics.seed, step)).standard_normal(v.size)
        later = later + sigma / mass * math.sqrt(width) * random
    return later, 0.5 * dt * kappa * float(v @ v + later @ later)
