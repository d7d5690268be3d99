"""Reference of `plume.py`: advection and diffusion past a sphere, Fourier method in a box that goes with the plume.

    c_t + (v(X + y) − X')·∇c = D Δc,   X' = v(X),   y in a periodic box of side 1 in which c has nearly bounded support
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy import fft
from scipy.ndimage import map_coordinates, spline_filter

RADIUS, HALF, D = 0.3, np.array([1.2, 0.9, 0.9]), 5e-4
SIGMA = 0.045
CENTERS = np.array([-0.85, 0.5, 0.0]) + 0.03 * np.random.default_rng(1).normal(size=(8, 3))


def initial(x: np.ndarray) -> np.ndarray:
    """Eight round puffs."""
    return sum(np.exp(-0.5 * np.sum((x - c[:, None]) ** 2, axis=0) / SIGMA**2) for c in CENTERS)


def stream(x: np.ndarray) -> np.ndarray:
    """Potential flow past the sphere, of speed 1 far away; inside the sphere that of its surface."""
    square = np.maximum(np.sum(x**2, axis=0), RADIUS**2)
    k = 0.5 * RADIUS**3 * square**-1.5
    v = -3 * k * x[0] * x / square
    v[0] += 1 + k
    return v


class Reference:
    """c at the time `until`, n³ modes, steps of the classical Runge–Kutta method."""

    def __init__(self, until: float, n: int = 48, dt: float = 0.02) -> None:
        self.n, self.center = n, CENTERS.mean(axis=0)
        k = 2 * np.pi * fft.fftfreq(n, 1 / n)
        self._k = np.array(np.meshgrid(k, k, np.abs(k[: n // 2 + 1]), indexing="ij"))
        self._coefficients = fft.rfftn(initial(self._box(n) + self.center[:, None]).reshape(n, n, n))
        steps = int(np.ceil(until / dt))
        dt = until / steps
        for _ in range(steps):
            c, x, slopes = self._coefficients, self.center, []
            for ahead in (0.0, 0.5, 0.5, 1.0):
                last = slopes[-1] if slopes else (0.0, 0.0)
                slopes.append(self._rate(c + ahead * dt * last[0], x + ahead * dt * last[1]))
            a, b = (sum(w * slope[i] for w, slope in zip((1, 2, 2, 1), slopes, strict=True)) / 6 for i in range(2))
            self._coefficients, self.center = c + dt * a, x + dt * b

    @staticmethod
    def _box(n: int) -> np.ndarray:
        side = np.arange(n) / n - 0.5
        return np.array(np.meshgrid(side, side, side, indexing="ij")).reshape(3, -1)

    def _rate(self, c: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape, speed = (self.n,) * 3, stream(x[:, None])
        v = (stream(self._box(self.n) + x[:, None]) - speed).reshape(3, *shape)
        advected = sum(v[i] * fft.irfftn(1j * self._k[i] * c, s=shape) for i in range(3))
        return -fft.rfftn(advected) - D * np.sum(self._k**2, axis=0) * c, speed[:, 0]

    @cached_property
    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Points (3, N) with half the distance, and c there."""
        n, half = self.n, self.n // 2
        fine = np.zeros((2 * n, 2 * n, n + 1), dtype=complex)
        low, high = (slice(0, half),) * 2, (slice(half + 1, n), slice(n + half + 1, 2 * n))
        for here, there in (low, high):
            for also, target in (low, high):
                fine[there, target, :half] = self._coefficients[here, also, :half]
        return self._box(2 * n) + self.center[:, None], 8 * fft.irfftn(fine, s=(2 * n,) * 3).ravel()

    @cached_property
    def norm(self) -> float:
        """‖c‖."""
        values = self.grid[1]
        return float(np.sqrt(np.mean(values**2)))

    @cached_property
    def _spline(self) -> np.ndarray:
        return spline_filter(self.grid[1].reshape((2 * self.n,) * 3), 3, mode="grid-wrap")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """c at points (3, N) by cubic splines, zero outside of the box."""
        places = (x - self.center[:, None] + 0.5) * 2 * self.n
        inside, c = np.all((places >= 0) & (places <= 2 * self.n - 1), axis=0), np.zeros(x.shape[1])
        c[inside] = map_coordinates(self._spline, places[:, inside], order=3, mode="grid-wrap", prefilter=False)
        return c
