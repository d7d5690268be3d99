"""Viscous Burgers equation into a shock: u_t + u u_x = ν u_xx, u₀ = −sin πx on [−1, 1), ν = 0.01.

Ansatz: periodic Gaussians, which move into the shock by themselves.
Field steps (`df.FieldStep`): ETDRK4 on a periodic grid, then the parameters of its result.  With --stages, or an
--eps, Dirac–Frenkel stages instead.
Reference: the exact solution by Cole–Hopf, its integrals by the trapezoidal rule (spectral: the integrand is entire).
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

NU = 0.01


def cole_hopf(t: float, x: np.ndarray) -> np.ndarray:
    """u = −2ν φ_x/φ, φ the solution of the heat equation (Basdevant et al., Comput. Fluids 14, 1986)."""
    if t == 0:
        return -np.sin(np.pi * x[0])
    eta = np.linspace(-9, 9, 400) * np.sqrt(4 * NU * t)
    y = x[0] - eta[:, None]
    exponent = -np.cos(np.pi * y) / (2 * np.pi * NU) - (eta**2 / (4 * NU * t))[:, None]
    weight = np.exp(exponent - exponent.max(axis=0))
    return -(weight * np.sin(np.pi * y)).sum(axis=0) / weight.sum(axis=0)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, evolve, compare."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        n, until = 20, 0.35 if options.quick else 0.5
        ansatz = df.PeriodicGaussianMixture.isotropic([2.0], n)
        grid = df.steppers.PeriodicGrid((-1, 1), 512 if options.quick else 1024, comm)
        stepper = df.steppers.ETDRK4(grid, lambda k: -NU * k[0] ** 2, lambda t, x, u: -u * df.dx(u))
        problem = df.Problem(ansatz, grid.quadrature, lambda t, x, u: NU * df.dx(u, 2) - u * df.dx(u))

        begin = time.perf_counter()
        guess = ansatz.pack(amplitudes=0.0, centers=equispaced(-1, 1, n), scales=n / 2)
        start = df.fit(problem, lambda x: cole_hopf(0.0, x), guess, linear="amplitudes", max_iterations=50)

        times = output_times(until, 20, options)
        how = chosen(options, stepper)
        states = [start, *df.evolve(problem, start, until=times[-1], times=times[1:], **how)]
        seconds = time.perf_counter() - begin

        run = compare(problem, states, cole_hopf, seconds)
        line = np.linspace(-1, 1, 801)
        figure(options.out / "burgers.png", comm, lambda shown: profiles(shown, problem, run, line, cole_hopf))
        return report("burgers", run, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
