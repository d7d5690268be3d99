"""Schrödinger equation of a quartic oscillator: i u_t = −½ u_xx + (½ x² + λ x⁴) u, λ = 0.05.

A displaced coherent state loses its shape in the anharmonic well; several thawed Gaussian packets follow it.
Reference: fourth-order split steps (Yoshida) with the fast Fourier transform, on a periodic grid far larger than u.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import arguments, chosen, compare, errors, figure, output_times, report, with_bound
from mpi4py import MPI

import dfpde as df

LAMBDA, SHIFT = 0.05, 1.5


def potential(x: np.ndarray) -> np.ndarray:
    """V."""
    return 0.5 * x**2 + LAMBDA * x**4


def initial(x: np.ndarray) -> np.ndarray:
    """Coherent state at x = SHIFT, norm one."""
    return np.pi**-0.25 * np.exp(-0.5 * (x[0] - SHIFT) ** 2) + 0j


class SplitStep:
    """u at equal intervals of time, and by its Fourier series anywhere."""

    def __init__(self, until: float, outputs: int, n: int = 256, half: float = 12.0, dt: float = 5e-3) -> None:
        self.half, self.interval = half, until / outputs
        x = -half + 2 * half * np.arange(n) / n
        self.k = np.pi / half * np.fft.fftfreq(n, 1 / n)
        steps = int(np.ceil(self.interval / dt))
        third = 1 / (2 - 2 ** (1 / 3))
        factors = []
        for share in (third, 1 - 2 * third, third):
            h = share * self.interval / steps
            factors.append((np.exp(-0.5j * h * potential(x)), np.exp(-0.5j * h * self.k**2)))
        u = initial(x[None])
        self.saved = [np.fft.fft(u)]
        for _ in range(outputs):
            for _ in range(steps):
                for half_kick, fly in factors:
                    u = half_kick * np.fft.ifft(fly * np.fft.fft(half_kick * u))
            self.saved.append(np.fft.fft(u))

    def __call__(self, t: float, x: np.ndarray) -> np.ndarray:
        v = self.saved[round(t / self.interval)] / self.k.size
        return np.exp(1j * np.outer(x[0] + self.half, self.k)) @ v


def packets(ansatz: df.WavePackets, q: df.Quadrature) -> np.ndarray:
    """Packets around the initial one; their complex weights by linear least squares with a ridge."""
    centers = SHIFT + np.linspace(-0.9, 0.9, ansatz.n)[:, None]
    parts = [np.exp(-0.5 * (q.x[0] - c) ** 2) for c in centers[:, 0]]
    gram = np.array([[q.integrate(a * b) for a in parts] for b in parts])
    weights = np.linalg.solve(gram + 1e-4 * np.eye(ansatz.n), [q.integrate(part * initial(q.x)) for part in parts])
    zeta = -1j * np.log(weights)
    return ansatz.pack(
        centers=centers, momenta=0.0, zeta=np.stack([zeta.real, zeta.imag], axis=1), **ansatz.widths(np.array([[1j]]))
    )


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, evolve, compare."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        n, until = (3, 1.0) if options.quick else (5, 3.0)
        ansatz, quadrature = df.WavePackets(1, n), df.Quadrature.gauss((-7, 7), 60, 7, comm)

        def schroedinger(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
            return 0.5j * df.dx(u, 2) - 1j * potential(x[0]) * u.value

        problem = df.Problem(ansatz, quadrature, schroedinger)
        begin = time.perf_counter()
        start = df.fit(problem, initial, packets(ansatz, quadrature), max_iterations=40)

        times = output_times(until, 20, options)
        bound = df.diagnostics.ErrorBound(problem, start, start.misfit, rate=0.0)  # the flow is unitary
        steps = df.evolve(problem, start, until=times[-1], times=times[1:], every_step=True, **chosen(options))
        states, bounds = with_bound(bound, start, start.misfit, steps, times)
        seconds = time.perf_counter() - begin

        exact = SplitStep(until, 20)
        run = compare(problem, states, exact, seconds, bounds)
        norms = np.array([quadrature.norm(problem.field(state).value) for state in states])

        def draw(shown: Any) -> None:
            left, right = shown.subplots(1, 2)
            line = np.linspace(-5, 5, 401)
            for state in states[:: max(1, len(states) // 4)]:
                left.plot(line, abs(problem.field(state, line[None]).value) ** 2, label=f"t = {state.t:.3g}")
                left.plot(line, abs(exact(state.t, line[None])) ** 2, "--", color="black", lw=0.8)
            left.set_title("$|u|^2$, dashed: reference", fontsize=9)
            left.legend(fontsize=8)
            errors(right, run)

        figure(options.out / "schroedinger.png", comm, draw)
        return report("schroedinger", run, comm, norm_drift=max(abs(norms / norms[0] - 1)))


if __name__ == "__main__":
    main(sys.argv[1:])
