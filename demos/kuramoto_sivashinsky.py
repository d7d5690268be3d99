"""Kuramoto–Sivashinsky equation: u_t + u u_x + u_xx + u_xxxx = 0 on a circle of length 22.

Long waves grow, short ones are damped, and the nonlinearity joins them to chaos; errors grow with the leading Lyapunov
exponent 0.043 (Cvitanović, Davidchack, Siminos, SIAM J. Appl. Dyn. Syst. 9, 2010), so the time here is short.
The equation is stiff: field steps (`df.FieldStep`), ETDRK4 on a periodic grid and then the parameters of its result.
With --stages, or an --eps, Dirac–Frenkel stages instead.
Reference: Fourier series, ETDRK4.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import arguments, chosen, compare, equispaced, figure, output_times, profiles, report
from mpi4py import MPI
from spectral import Spectral

import dfpde as df

LENGTH = 22.0


def initial(x: np.ndarray) -> np.ndarray:
    """u₀."""
    y = 2 * np.pi * x[0] / LENGTH
    return np.cos(2 * y) * (1 + np.sin(y)) + 0.5 * np.sin(3 * y)


def advection(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
    """N of u_t = −u_xx − u_xxxx + N(u)."""
    return -u * df.dx(u)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, evolve, compare."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        n, until = (16, 4.0) if options.quick else (20, 12.0)
        ansatz = df.PeriodicGaussianMixture.isotropic([LENGTH], n)
        grid = df.steppers.PeriodicGrid((0, LENGTH), 256, comm)
        stepper = df.steppers.ETDRK4(grid, lambda k: k[0] ** 2 - k[0] ** 4, advection)
        problem = df.Problem(
            ansatz, grid.quadrature, lambda t, x, u: advection(t, x, u) - df.dx(u, 2) - df.dx(u, 4)
        )  # fmt: skip

        begin = time.perf_counter()
        guess = ansatz.pack(amplitudes=0.0, centers=equispaced(0, LENGTH, n), scales=n / LENGTH)
        start = df.fit(problem, initial, guess, linear="amplitudes", max_iterations=50)

        times = output_times(until, 20, options)
        how = chosen(options, stepper)
        states = [start, *df.evolve(problem, start, until=times[-1], times=times[1:], **how)]
        seconds = time.perf_counter() - begin

        exact = Spectral(
            lambda x: initial(x[None]), lambda k: k**2 - k**4, lambda u, k: -0.5j * k * np.fft.rfft(u**2),
            (0, LENGTH), 256, 1e-2, until,
        )  # fmt: skip
        run = compare(problem, states, exact, seconds)
        line = np.linspace(0, LENGTH, 801)
        name = options.out / "kuramoto_sivashinsky.png"
        figure(name, comm, lambda shown: profiles(shown, problem, run, line, exact))
        return report("kuramoto_sivashinsky", run, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
