"""Allen–Cahn equation on a circle: u_t = 0.005 u_xx + u − u³, x ∈ [0, 2π).

Three bumps sharpen to phases ±1 with interfaces of width 0.1 (the problem of Berman and Peherstorfer, arXiv 2310.04867,
who report 1.7e-5 and 5.3e-5 for networks of 3393 parameters).
Field steps (`df.FieldStep`): ETDRK4 on a periodic grid, then the parameters of its result.  With --stages, or an
--eps, Dirac–Frenkel stages instead.  demos/network.py has a network on the same problem.
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

NU = 5e-3
BUMPS = ((-1, 23.5, np.pi / 2), (1, 27, 4.2), (1, 38, 5.4))  # a exp(−s (x − b)²)


def initial(x: np.ndarray) -> np.ndarray:
    """u₀."""
    y = x[0]
    return np.tanh(2 * np.sin(y)) / 3 + sum(a * np.exp(-s * (y - b) ** 2) for a, s, b in BUMPS)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, evolve, compare."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        n, until = (30, 1.0) if options.quick else (50, 4.0)
        ansatz = df.PeriodicGaussianMixture.isotropic([2 * np.pi], n)
        grid = df.steppers.PeriodicGrid((0, 2 * np.pi), 512, comm)
        stepper = df.steppers.ETDRK4(grid, lambda k: 1 - NU * k[0] ** 2, lambda t, x, u: -(u**3))
        problem = df.Problem(ansatz, grid.quadrature, lambda t, x, u: NU * df.dx(u, 2) + u - u**3)

        begin = time.perf_counter()
        centers = np.concatenate([equispaced(0, 2 * np.pi, n - 3), [[b] for _, _, b in BUMPS]])
        scales = np.concatenate([np.full(n - 3, n / 8), [np.sqrt(2 * s) for _, s, _ in BUMPS]])
        guess = ansatz.pack(amplitudes=0.0, centers=centers, scales=scales)
        start = df.fit(problem, initial, guess, linear="amplitudes", max_iterations=50)

        times = output_times(until, 20, options)
        how = chosen(options, stepper)
        states = [start, *df.evolve(problem, start, until=times[-1], times=times[1:], **how)]
        seconds = time.perf_counter() - begin

        exact = Spectral(
            lambda x: initial(x[None]), lambda k: 1 - NU * k**2, lambda u, k: -np.fft.rfft(u**3),
            (0, 2 * np.pi), 512, 5e-3, until,
        )  # fmt: skip
        run = compare(problem, states, exact, seconds)
        line = np.linspace(0, 2 * np.pi, 801)
        figure(options.out / "allen_cahn.png", comm, lambda shown: profiles(shown, problem, run, line, exact))
        return report("allen_cahn", run, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
