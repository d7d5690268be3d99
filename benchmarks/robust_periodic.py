"""Periodic problems in one dimension of benchmarks/robustness.py, for mixtures and networks alike.

References are closed forms or Fourier series in plain NumPy; none is computed by dfpde.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from mpi4py import MPI
from study_problems import cole_hopf

import dfpde as df
from dfpde.steppers import ETDRK4, PeriodicGrid

COMM = MPI.COMM_SELF
Array = np.ndarray
OUTPUTS = 10


@dataclass(frozen=True, eq=False)
class Row:
    """u_t = f(t, u) until T for one ansatz.

    Attributes
    ----------
    name : str
    problem : df.Problem
    initial : callable or array
        u₀ to be fitted, or the parameters of the start themselves.
    until : float
    exact : callable
        (t, x) -> u at the `OUTPUTS` equal times.
    stepper : Stepper or None
        For field steps.
    guess : (p,) array or None
        Of the fit; None asks the ansatz.
    """

    name: str
    problem: df.Problem
    initial: Any
    until: float
    exact: Callable[[float, Array], Array]
    stepper: Any = None
    guess: Array | None = None


def network(period: float, width: int, outputs: int | None = None) -> df.Network:
    """tanh network of three hidden layers on eight periodic features."""
    return df.Network(1, (width,) * 3, embedding=df.PeriodicEmbedding((period,), 2, 4), outputs=outputs)


# -- periodic in one dimension -------------------------------------------------------------------------------
@dataclass(frozen=True)
class Periodic:
    """u_t = Σ_m c_m ∂^m u + reaction(t, x, u, u_x) on [a, a + L) until T, `linear` = {m: c_m}."""

    initial: Callable[[Array], Array]
    linear: Mapping[int, float]
    reaction: Callable[..., Array]
    bounds: tuple[float, float]
    until: float
    steps: int = 4000
    modes: int = 512
    exact: Any = None
    made: dict[str, Any] = field(default_factory=dict)

    def symbol(self, k: Array) -> Array:
        """Σ_m c_m (ik)^m."""
        return sum(c * (1j * k) ** m for m, c in self.linear.items())

    def rhs(self, t: float, x: Array, u: df.Field) -> Array:
        """f."""
        return sum(c * df.dx(u, m) for m, c in self.linear.items()) + self.slow(t, x, u)

    def slow(self, t: float, x: Array, u: df.Field) -> Array:
        """f without its linear part."""
        return self.reaction(t, x[0], u.value, df.dx(u))

    def reference(self, t: float, x: Array) -> Array:
        """Fourier series in space, RK4 in the interaction picture in time, products dealiased."""
        if "saved" not in self.made:
            self.made["saved"] = self._march()
        hat = self.made["saved"][round(t / self.until * OUTPUTS)]
        k = self._waves()
        phase = np.exp(1j * np.outer(k, x[0] - self.bounds[0]))
        phase[1:] *= 2
        values = (hat @ phase).real / self.modes
        return values

    def _waves(self) -> Array:
        return 2 * np.pi / (self.bounds[1] - self.bounds[0]) * np.arange(self.modes // 2 + 1)

    def _march(self) -> list[Array]:
        n, k, h = self.modes, self._waves(), self.until / self.steps
        x = self.bounds[0] + (self.bounds[1] - self.bounds[0]) * np.arange(n) / n
        half, keep = np.exp(self.symbol(k) * h / 2), np.arange(n // 2 + 1) < n // 3

        def react(t: float, hat: Array) -> Array:
            return keep * np.fft.rfft(self.reaction(t, x, np.fft.irfft(hat, n), np.fft.irfft(1j * k * hat, n)))

        hat = np.fft.rfft(self.initial(x[None]))
        saved = [hat]
        for i in range(self.steps):
            t = i * h
            a = react(t, hat)
            b = react(t + h / 2, half * (hat + h / 2 * a))
            c = react(t + h / 2, half * hat + h / 2 * b)
            d = react(t + h, half * (half * hat + h * c))
            hat = half * (half * (hat + h / 6 * a) + h / 3 * (b + c)) + h / 6 * d
            if (i + 1) % (self.steps // OUTPUTS) == 0:
                saved.append(hat)
        return saved

    def row(self, name: str, ansatz: df.Ansatz, points: int, guess: Array | None = None) -> Row:
        """With an ansatz, on so many points."""
        grid = PeriodicGrid(self.bounds, points, COMM)
        shape = (*ansatz.shape, 1) if ansatz.shape else ()
        symbol = lambda k: np.broadcast_to(self.symbol(k[0]), (*shape[:-1], points))  # noqa: E731
        stepper = ETDRK4(grid, symbol, self.slow)
        problem = df.Problem(ansatz, grid.quadrature, self.rhs)
        return Row(name, problem, self.initial, self.until, self.exact or self.reference, stepper, guess)

    def mixture(self, name: str, n: int, points: int, sharpness: float = 1.0) -> Row:
        """n equispaced periodic Gaussians."""
        a, length = self.bounds[0], self.bounds[1] - self.bounds[0]
        ansatz = df.PeriodicGaussianMixture.isotropic((length,), n)
        centers = a + length * (np.arange(n)[:, None] + 0.5) / n
        scales = np.full(n, sharpness * n / length)
        guess = ansatz.pack(amplitudes=np.zeros(n), centers=centers, scales=scales)
        return self.row(name, ansatz, points, guess)


def p1_initial(x: Array) -> Array:
    """Start of Berman and Peherstorfer, arXiv 2310.04867."""
    x = x[0]
    bumps = -np.exp(-23.5 * (x - np.pi / 2) ** 2) + np.exp(-27 * (x - 4.2) ** 2) + np.exp(-38 * (x - 5.4) ** 2)
    return np.tanh(2 * np.sin(x)) / 3 + bumps


def bump(x: Array, b: float) -> Array:
    """exp(−10 sin²((x − b)/2))."""
    return np.exp(-10 * np.sin((x[0] - b) / 2) ** 2)


def detonate(t: float, x: Array, u: Array, u_x: Array) -> Array:
    """Reactions and advection of demos/detonation.py."""
    gain = (1 - u[1]) * np.exp((u[0] - 1.1) / 0.3)
    return np.stack([gain - 0.11 * u[0] - u[0] * u_x[0], gain - 3.5 / (1 + np.exp(5 * (u[0] - 0.5))) * u[1]])


def solitons(t: float, x: Array, k: tuple[float, float] = (1.0, 1.6), at: tuple[float, float] = (0.0, -6.0)) -> Array:
    """Two solitons of KdV, 2 (log F)_xx (Hirota 1971): twice the variance of the slopes under the weights of F."""
    first, second = (a * (x[0] - b) - a**3 * t for a, b in zip(k, at, strict=True))
    phi = np.array([0 * x[0], first, second, first + second + 2 * np.log((k[1] - k[0]) / (k[1] + k[0]))])
    slope = np.array([0, k[0], k[1], k[0] + k[1]])[:, None]
    weight = np.exp(phi - phi.max(axis=0))
    weight /= weight.sum(axis=0)
    return 2 * (weight * (slope - (weight * slope).sum(axis=0)) ** 2).sum(axis=0)


CIRCLE = (0.0, 2 * np.pi)
P1 = Periodic(p1_initial, {2: 5e-3}, lambda t, x, u, u_x: u - u**3, CIRCLE, 4.0)
P1B = Periodic(
    lambda x: bump(x, 0.5) - bump(x, 4.4), {2: 5e-2}, lambda t, x, u, u_x: (1.05 + t * np.sin(x)) * (u - u**3), CIRCLE,
    12.0, 12000,
)  # fmt: skip
P2 = Periodic(
    lambda x: (1 - x[0] ** 2) * np.exp(-30 * (x[0] + 0.5) ** 2), {2: 1e-3}, lambda t, x, u, u_x: -u * u_x, (-1.0, 1.0),
    1.0, 4000, 2048,
)  # fmt: skip
P3 = Periodic(
    lambda x: np.array([1 + 0.4 * np.exp(-2.25 * (x[0] - np.pi) ** 2), np.full_like(x[0], 0.75)]), {2: 1e-2}, detonate,
    CIRCLE, 2.0,
)  # fmt: skip
BURGERS = Periodic(
    lambda x: -np.sin(np.pi * x[0]), {2: 1e-2}, lambda t, x, u, u_x: -u * u_x, (-1.0, 1.0), 0.5,
    exact=partial(cole_hopf, 0.01),
)  # fmt: skip
KDV2 = Periodic(
    partial(solitons, 0.0), {3: -1.0}, lambda t, x, u, u_x: -6 * u * u_x, (-25.0, 35.0), 4.0, exact=solitons
)
KS = Periodic(
    lambda x: np.cos(x[0] / 4) * (1 + np.sin(x[0] / 4)), {2: -1.0, 4: -1.0}, lambda t, x, u, u_x: -u * u_x,
    (0.0, 8 * np.pi), 3.0,
)  # fmt: skip
FISHER = Periodic(
    lambda x: 0.5 * np.exp(-6 * (x[0] - 2.0) ** 2) + 0.3 * np.exp(-6 * (x[0] - 4.2) ** 2), {2: 0.02},
    lambda t, x, u, u_x: 4 * u * (1 - u), CIRCLE, 0.6,
)  # fmt: skip
ADVECTION = Periodic(
    lambda x: np.exp(-20 * np.sin(np.pi * x[0] / 2) ** 2), {1: -1.0}, lambda t, x, u, u_x: 0 * u, (-1.0, 1.0), 0.5,
    exact=lambda t, x: np.exp(-20 * np.sin(np.pi * (x[0] - t) / 2) ** 2),
)  # fmt: skip


def two_solitons() -> Row:
    """Five Gaussians for each soliton, apart from each other: equal centers would stay equal."""
    widths, shifts = np.array([0.39, 0.5, 0.62, 0.8, 0.95]), np.array([-0.3, 0.15, 0.0, -0.15, 0.3])
    ansatz = df.PeriodicGaussianMixture.isotropic([60.0], 10)
    line = np.linspace(-14, 20, 801)
    first = solitons(0.0, line[None])
    peaks = np.array([line[np.argmax(first * side)] for side in (line < -2, line > -2)])
    centers, scales = (peaks[:, None] + shifts).reshape(-1, 1), np.outer([1.6, 1.0], widths).ravel()
    amplitudes = np.outer([1.6**2, 1.0], np.full(5, 0.1)).ravel()
    return KDV2.row("KdV2", ansatz, 512, ansatz.pack(amplitudes=amplitudes, centers=centers, scales=scales))


def detonation(part: df.Ansatz, guess: Array | None) -> Row:
    """Two ansätze of one kind, stacked."""
    return P3.row("P3", df.Stack(part, part), 512, guess)


def detonation_mixture(n: int = 20) -> Row:
    """Twice 20 Gaussians."""
    part = df.PeriodicGaussianMixture.isotropic([2 * np.pi], n)
    centers = 2 * np.pi * (np.arange(n)[:, None] + 0.5) / n
    return detonation(part, np.tile(part.pack(amplitudes=np.zeros(n), centers=centers, scales=np.full(n, n / 8)), 2))


def detonation_network() -> Row:
    """Two networks of 231 parameters."""
    part = df.Network(1, (8, 8, 8), df.ansatz.Swish(), df.PeriodicEmbedding((2 * np.pi,), 2, 4))
    return detonation(part, np.concatenate([part.initial(0), part.initial(1)]))
