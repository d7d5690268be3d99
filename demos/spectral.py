"""Reference solutions on periodic intervals: Fourier series in space, ETDRK4 in time, in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray


class Spectral:
    """u_t = L u + N(u) on a periodic interval: Fourier series in space, ETDRK4 in time, plain NumPy.

    S. M. Cox, P. C. Matthews, J. Comput. Phys. 176 (2002); φ-functions by contour integrals: A.-K. Kassam,
    L. N. Trefethen, SIAM J. Sci. Comput. 26 (2005).

    Parameters
    ----------
    initial : callable
        x (n,) -> (m, n), m components.
    linear : callable
        Wave numbers k (n/2 + 1,) -> symbols of L, (m, n/2 + 1).
    nonlinear : callable
        (u (m, n), k) -> transform of N(u), (m, n/2 + 1); use `fft` and `ifft` over the last axis.
    bounds : (a, b)
    n : int
        Modes; products are dealiased by the 2/3 rule.
    dt : float
        Step size.
    until : float
        Final time; solutions are kept at `saves` equal intervals.
    """

    def __init__(
        self,
        initial: Callable[[Array], Array],
        linear: Callable[[Array], Array],
        nonlinear: Callable[[Array, Array], Array],
        bounds: tuple[float, float],
        n: int,
        dt: float,
        until: float,
        saves: int = 20,
    ) -> None:
        self.a, self.period = bounds[0], bounds[1] - bounds[0]
        x = self.a + self.period * np.arange(n) / n
        self.k = 2 * np.pi / self.period * np.arange(n // 2 + 1)
        self.keep = self.k < 2 / 3 * self.k[-1]
        steps = max(1, int(np.ceil(until / saves / dt)))
        scheme = _etdrk4(np.atleast_2d(linear(self.k)).astype(complex), until / saves / steps)
        v = np.fft.rfft(np.atleast_2d(initial(x)))
        self.times, self.saved = np.linspace(0.0, until, saves + 1), [v]

        def f(v: Array) -> Array:
            return np.where(self.keep, nonlinear(np.fft.irfft(v, n), self.k), 0)

        for _ in range(saves):
            for _ in range(steps):
                v = scheme(v, f)
            self.saved.append(v)

    def __call__(self, t: float, x: Array) -> Array:
        """The solution at a saved time t, at points x (1, N): (N,) or (m, N)."""
        v = self.saved[int(np.argmin(abs(self.times - t)))]
        if min(abs(self.times - t)) > 1e-9:
            raise ValueError(f"no reference at t = {t}")
        used = np.max(abs(v), axis=0) > 1e-14 * np.max(abs(v))  # only modes that matter
        last = int(np.max(np.flatnonzero(used), initial=0)) + 1
        phase = np.exp(1j * np.outer(self.k[:last], x[0] - self.a))
        n = 2 * (len(self.k) - 1)
        weights = np.where(np.arange(last) == 0, 1.0, 2.0) / n
        u = (weights * v[:, :last] @ phase).real
        return u if len(u) > 1 else u[0]


def _etdrk4(symbols: Array, h: float) -> Callable[[Array, Callable[[Array], Array]], Array]:
    """One step v -> v of ETDRK4 for v' = L v + f(v), L diagonal."""
    nodes = np.exp(1j * np.pi * (np.arange(32) + 0.5) / 16)  # a whole circle, as symbols may be complex
    z = h * symbols[..., None] + nodes
    e, half = np.exp(h * symbols), np.exp(h * symbols / 2)
    q = h * np.mean((np.exp(z / 2) - 1) / z, axis=-1)
    f1 = h * np.mean((-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3, axis=-1)
    f2 = h * np.mean((2 + z + np.exp(z) * (-2 + z)) / z**3, axis=-1)
    f3 = h * np.mean((-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3, axis=-1)

    def step(v: Array, f: Callable[[Array], Array]) -> Array:
        n1 = f(v)
        a = half * v + q * n1
        n2 = f(a)
        b = half * v + q * n2
        n3 = f(b)
        c = half * a + q * (2 * n3 - n1)
        return e * v + f1 * n1 + 2 * f2 * (n2 + n3) + f3 * f(c)

    return step
