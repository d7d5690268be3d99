"""Viscous Burgers equation into a shock: u_t + u u_x = ν u_xx, u₀ = −sin πx on [−1, 1), ν = 0.01.

Ansatz: periodic Gaussians, which move into the shock by themselves.
Reference: the exact solution by Cole–Hopf, its integrals by the trapezoidal rule (spectral: the integrand is entire).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import arguments, equispaced, figure, fitted, march, profiles, report
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
    """Run, print, draw."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        n, until = (20, 0.35) if options.quick else (20, 0.5)
        ansatz = df.PeriodicGaussianMixture.isotropic([2.0], n)
        quadrature = df.Quadrature.periodic((-1, 1), 512 if options.quick else 1024, comm)

        def burgers(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
            return NU * df.dx(u, 2) - u.value * df.dx(u)

        problem = df.Problem(ansatz, quadrature, burgers)
        guess = ansatz.pack(amplitudes=np.zeros(n), centers=equispaced(-1, 1, n), scales=np.full(n, n / 2))
        start = fitted(problem, guess, lambda x: cole_hopf(0, x))
        run = march(problem, start, until, cole_hopf, options)
        line = np.linspace(-1, 1, 801)
        figure(options.out / "burgers.png", comm, lambda shown: profiles(shown, problem, run, line, cole_hopf))
        return report("burgers", run, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
