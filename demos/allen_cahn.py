"""Allen–Cahn equation on a circle: u_t = 0.005 u_xx + u − u³, x ∈ [0, 2π).

Three bumps sharpen to phases ±1 with interfaces of width 0.1 (the problem of Berman and Peherstorfer, arXiv 2310.04867,
who report 1.7e-5 and 5.3e-5 for networks of 3393 parameters).
Reference: Fourier series, ETDRK4.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import Spectral, arguments, equispaced, figure, fitted, march, profiles, report
from mpi4py import MPI

import dfpde as df

NU = 5e-3


BUMPS = ((-1, 23.5, np.pi / 2), (1, 27, 4.2), (1, 38, 5.4))  # a exp(−s (x − b)²)


def initial(x: np.ndarray) -> np.ndarray:
    """u₀."""
    y = x[0]
    return np.tanh(2 * np.sin(y)) / 3 + sum(a * np.exp(-s * (y - b) ** 2) for a, s, b in BUMPS)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run, print, draw."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        n, until = (30, 1.0) if options.quick else (50, 4.0)
        ansatz = df.PeriodicGaussianMixture.isotropic([2 * np.pi], n)
        quadrature = df.Quadrature.periodic((0, 2 * np.pi), 512, comm)

        def allen_cahn(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
            return NU * df.dx(u, 2) + u.value - u.value**3

        problem = df.Problem(ansatz, quadrature, allen_cahn)
        centers = np.concatenate([equispaced(0, 2 * np.pi, n - 3), [[b] for _, _, b in BUMPS]])
        scales = np.concatenate([np.full(n - 3, n / 8), [np.sqrt(2 * s) for _, s, _ in BUMPS]])
        guess = ansatz.pack(amplitudes=np.zeros(n), centers=centers, scales=scales)
        start = fitted(problem, guess, initial)
        exact = Spectral(
            lambda x: initial(x[None]),
            lambda k: 1 - NU * k**2,
            lambda u, k: -np.fft.rfft(u**3),
            (0, 2 * np.pi), 512, 5e-3, until,
        )  # fmt: skip
        run = march(problem, start, until, exact, options)
        line = np.linspace(0, 2 * np.pi, 801)
        figure(options.out / "allen_cahn.png", comm, lambda shown: profiles(shown, problem, run, line, exact))
        return report("allen_cahn", run, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
