"""Test ansatz with every derivative in closed form: u = Σ_j a_j sin(k_j·x + φ_j), or a_j exp(i(k_j·x + φ_j))."""

import numpy as np

from dfpde.ansatz.base import Ansatz


class Waves(Ansatz):
    """Blocks: amplitudes (n,), wave_vectors (n, dim), phases (n,)."""

    def __init__(self, count, dim, dtype=float):
        self.count, self.dim, self.dtype = count, dim, dtype
        self.size = count * (2 + dim)

    def slices(self):
        n, d = self.count, self.dim
        return {
            "amplitudes": (slice(0, n), (n,)),
            "wave_vectors": (slice(n, n + n * d), (n, d)),
            "phases": (slice(n + n * d, self.size), (n,)),
        }

    def _function(self, phase, order):
        if self.dtype is complex:
            return 1j**order * np.exp(1j * phase)
        return np.sin(phase + order * np.pi / 2)

    def _parts(self, theta, x):
        p = self.unpack(theta)
        return p["amplitudes"], p["wave_vectors"], p["wave_vectors"] @ x + p["phases"][:, None]

    def value(self, theta, x):
        return self.derivative(theta, x, (0,) * self.dim)

    def tangent(self, theta, x):
        return self.tangent_derivative(theta, x, (0,) * self.dim)

    def derivative(self, theta, x, alpha):
        a, k, phase = self._parts(theta, x)
        return (a * np.prod(k ** np.array(alpha), axis=1)) @ self._function(phase, sum(alpha))

    def tangent_derivative(self, theta, x, alpha):
        a, k, phase = self._parts(theta, x)
        alpha = np.array(alpha)
        factor = np.prod(k**alpha, axis=1)[:, None]
        f, df = self._function(phase, alpha.sum()), self._function(phase, alpha.sum() + 1)
        rows = np.empty((self.count, self.dim, x.shape[1]), self.dtype)
        for i in range(self.dim):
            lower = alpha - (np.arange(self.dim) == i)
            dfactor = alpha[i] * np.prod(k ** np.maximum(lower, 0), axis=1)[:, None] if alpha[i] else 0.0
            rows[:, i] = a[:, None] * (dfactor * f + factor * df * x[i])
        parts = [factor * f, rows.reshape(self.count * self.dim, x.shape[1]), a[:, None] * factor * df]
        return np.concatenate(parts)
