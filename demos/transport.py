"""Transport through a cellular flow: u_t + c_x(x) u_x + c_y(y) u_y = 0 on the torus [−1, 1)².

    c_x = 1 − 0.6 sin 3πx,    c_y = 0.8 (1 + 0.3 cos 2πy)

A narrow Gaussian is stretched and compressed while it travels (Raviola and Peherstorfer, arXiv 2605.00284, B.2, whose
c_x = 1 + 0.6 sin 3π(x − x₀) leaves x₀ open: x₀ = −1 agrees with its pictures; they go to T = 20 with 3265 parameters).
Reference: characteristics of each direction, by a table of travel times (error below 1e-9).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import arguments, chosen, compare, figure, maps, output_times, report, with_bound
from mpi4py import MPI
from scipy.interpolate import CubicSpline

import dfpde as df

WIDTH = 8e-3 * np.pi
LIPSCHITZ = 0.5 * (0.6 * 3 * np.pi + 0.8 * 0.3 * 2 * np.pi)  # ℓ = ½ max div c, as ⟨−c·∇e, e⟩ = ½ ∫ (div c) e²


def speed_x(x: np.ndarray) -> np.ndarray:
    return 1 - 0.6 * np.sin(3 * np.pi * x)


def speed_y(y: np.ndarray) -> np.ndarray:
    return 0.8 * (1 + 0.3 * np.cos(2 * np.pi * y))


class Feet:
    """Where the characteristic through x at time t was at time 0: s(x) = ∫ dx/c is a clock, x₀ = s⁻¹(s(x) − t)."""

    def __init__(self, speed: Any) -> None:
        n = 4096  # trapezoidal sums of a periodic analytic function: Fourier series of 1/c, integrated
        x = -1 + 2 * np.arange(n) / n
        c = np.fft.rfft(1 / speed(x)) / n
        k = np.pi * np.arange(c.size)
        self.mean = c[0].real
        ripple = np.fft.irfft(np.concatenate([[0], c[1:] / (1j * k[1:])]) * n, n)
        self.knots = np.append(x, 1.0)
        clock = self.mean * (self.knots + 1) + np.append(ripple, ripple[0])
        self.clock, self.place = CubicSpline(self.knots, clock), CubicSpline(clock, self.knots)
        self.first, self.round = clock[0], 2 * self.mean

    def __call__(self, t: float, x: np.ndarray) -> np.ndarray:
        s = self.clock((x + 1) % 2 - 1) - t
        return self.place(self.first + (s - self.first) % self.round)


def initial(x: np.ndarray) -> np.ndarray:
    """u₀ with its nearest periodic images."""
    y = (x[0] + 0.2 + 1) % 2 - 1
    z = (x[1] + 1) % 2 - 1
    return np.exp(-(y**2 + z**2) / WIDTH)


def transport(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
    """f."""
    return -speed_x(x[0]) * u.gradient[0] - speed_y(x[1]) * u.gradient[1]


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, evolve, compare."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        side, until, points = (3, 0.2, 48) if options.quick else (4, 0.4, 80)
        ansatz = df.PeriodicGaussianMixture.diagonal([2.0, 2.0], side**2)
        problem = df.Problem(ansatz, df.Quadrature.periodic([(-1, 1)] * 2, points, comm), transport)

        begin = time.perf_counter()
        offsets = 0.08 * (np.arange(side) - (side - 1) / 2)
        centers = np.stack(np.meshgrid(offsets - 0.2, offsets), axis=-1).reshape(-1, 2)
        guess = ansatz.pack(amplitudes=0.0, centers=centers, scales=1.1 * np.sqrt(2 / WIDTH))
        start = df.fit(problem, initial, guess, linear="amplitudes", max_iterations=30)

        times = output_times(until, 10, options)
        bound = df.diagnostics.ErrorBound(problem, start, start.misfit, LIPSCHITZ)
        steps = df.evolve(problem, start, until=times[-1], times=times[1:], every_step=True, **chosen(options))
        states, bounds = with_bound(bound, start, start.misfit, steps, times)
        seconds = time.perf_counter() - begin

        feet = Feet(speed_x), Feet(speed_y)

        def exact(t: float, x: np.ndarray) -> np.ndarray:
            return initial(np.array([foot(t, axis) for foot, axis in zip(feet, x, strict=True)]))

        run = compare(problem, states, exact, seconds, bounds)
        figure(options.out / "transport.png", comm, lambda shown: maps(shown, problem, run, exact, (-1, 1)))
        return report("transport", run, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
