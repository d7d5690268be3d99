"""Porous-medium equation u_t = (u²)_xx: a front that moves at finite speed.

Exact: Barenblatt's solution U = t^(−1/3) (1 − x² t^(−2/3)/12)₊, from t = 1.  Two ansätze: a parabola cut at zero, which
contains U (the error is that of time steps and of quadrature at the kink), and the square of a sum of Gaussians,
which is smooth where U is not, and cannot be better than the kink allows.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import arguments, chosen, compare, equispaced, figure, output_times, profiles, report
from mpi4py import MPI

import dfpde as df


class Parabolas(df.Ansatz):
    """u = Σ_i (a_i − b_i (x − c_i)²)₊, derivatives in the sense of functions."""

    dim = 1

    def __init__(self, n: int) -> None:
        self.n, self.size = n, 3 * n

    def slices(self) -> dict[str, tuple[slice, tuple[int, ...]]]:
        n = self.n
        return {name: (slice(i * n, (i + 1) * n), (n,)) for i, name in enumerate(("heights", "curvatures", "centers"))}

    def _parts(self, theta: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, ...]:
        a, b, c = theta.reshape(3, self.n, 1)
        y = x - c
        u = a - b * y**2
        return u, b, y, u > 0

    def value(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.maximum(self._parts(theta, x)[0], 0).sum(axis=0)

    def gradient(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        _, b, y, inside = self._parts(theta, x)
        return (-2 * b * y * inside).sum(axis=0)[None]

    def laplacian(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        _, b, _, inside = self._parts(theta, x)
        return (-2 * b * inside).sum(axis=0)

    def tangent(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        _, b, y, inside = self._parts(theta, x)
        return np.concatenate([inside * 1.0, -(y**2) * inside, 2 * b * y * inside])


def barenblatt(t: float, x: np.ndarray) -> np.ndarray:
    """U(1 + t, x)."""
    s = 1 + t
    return s ** (-1 / 3) * np.maximum(1 - x[0] ** 2 * s ** (-2 / 3) / 12, 0)


def porous_medium(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
    """(u²)_xx = 2 u u_xx + 2 u_x²; a distribution at a kink only if u does not vanish there."""
    return 2 * u.value * df.laplacian(u) + 2 * u.gradient[0] ** 2


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, evolve, compare, with both ansätze."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        until, n = (1.0, 8) if options.quick else (3.0, 8)
        quadrature = df.Quadrature.gauss((-8, 8), 400, 3, comm)
        mixture = df.GaussianMixture.isotropic(1, n)
        cut = df.Problem(Parabolas(1), quadrature, porous_medium)
        squared = df.ansatz.Transform(mixture, df.ansatz.square)  # u >= 0: the equation is ill posed where u < 0
        smooth = df.Problem(squared, quadrature, porous_medium)

        guess = mixture.pack(amplitudes=0.0, centers=equispaced(-3.4, 3.4, n), scales=n / 9)
        root = df.Problem(mixture, quadrature, porous_medium)
        near = df.fit(root, lambda x: np.sqrt(barenblatt(0.0, x)), guess, linear="amplitudes", max_iterations=0)
        starts = {
            "cut parabola": (cut, df.State(0.0, np.array([1.0, 1 / 12, 0.0]))),
            "Gaussians": (smooth, df.fit(smooth, lambda x: barenblatt(0.0, x), near.theta, max_iterations=40)),
        }
        times, runs = output_times(until, 20, options), {}
        for name, (problem, start) in starts.items():
            begin = time.perf_counter()
            states = [start, *df.evolve(problem, start, until=times[-1], times=times[1:], **chosen(options))]
            runs[name] = compare(problem, states, barenblatt, time.perf_counter() - begin)

        results = [report(f"barenblatt, {name}", run, comm) for name, run in runs.items()]
        line, gaussians = np.linspace(-8, 8, 801), runs["Gaussians"]
        figure(options.out / "barenblatt.png", comm, lambda shown: profiles(shown, smooth, gaussians, line, barenblatt))
        ends = (runs["cut parabola"].states[0], runs["cut parabola"].states[-1])
        before, after = (quadrature.integrate(cut.field(state).value) for state in ends)
        return results[0] | {
            "mass_drift": float(abs(after - before) / before),
            "error_gaussians": results[1]["error"],
            "seconds": results[0]["seconds"] + results[1]["seconds"],
        }


if __name__ == "__main__":
    main(sys.argv[1:])
