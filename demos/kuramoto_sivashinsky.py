"""Kuramoto–Sivashinsky equation: u_t + u u_x + u_xx + u_xxxx = 0 on a circle of length 22.

Long waves grow, short ones are damped, and the nonlinearity joins them to chaos; errors grow with the leading Lyapunov
exponent 0.043 (Cvitanović, Davidchack, Siminos, SIAM J. Appl. Dyn. Syst. 9, 2010), so the time here is short.
The equation is stiff: field steps (`df.FieldStep`), ETDRK4 on a periodic grid and then the parameters of its result.
With --eps Dirac–Frenkel stages of that ε instead.
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

LENGTH = 22.0


def initial(x: np.ndarray) -> np.ndarray:
    """u₀."""
    y = 2 * np.pi * x[0] / LENGTH
    return np.cos(2 * y) * (1 + np.sin(y)) + 0.5 * np.sin(3 * y)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run, print, draw."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        n, until = (16, 4.0) if options.quick else (20, 12.0)
        ansatz = df.PeriodicGaussianMixture.isotropic([LENGTH], n)
        grid = df.steppers.PeriodicGrid((0, LENGTH), 256, comm)

        def advection(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
            return -u.value * df.dx(u)

        def kuramoto_sivashinsky(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
            return advection(t, x, u) - df.dx(u, 2) - df.dx(u, 4)

        problem = df.Problem(ansatz, grid.quadrature, kuramoto_sivashinsky)
        stepper = df.steppers.ETDRK4(grid, lambda k: k[0] ** 2 - k[0] ** 4, advection)
        guess = ansatz.pack(amplitudes=np.zeros(n), centers=equispaced(0, LENGTH, n), scales=np.full(n, n / LENGTH))
        start = fitted(problem, guess, initial)
        exact = Spectral(
            lambda x: initial(x[None]),
            lambda k: k**2 - k**4,
            lambda u, k: -0.5j * k * np.fft.rfft(u**2),
            (0, LENGTH), 256, 1e-2, until,
        )  # fmt: skip
        how = {} if options.eps is not None else {"integrator": df.FieldStep(stepper, options.rtol)}
        run = march(problem, start, until, exact, options, **how)
        line = np.linspace(0, LENGTH, 801)
        name = options.out / "kuramoto_sivashinsky.png"
        figure(name, comm, lambda shown: profiles(shown, problem, run, line, exact))
        return report("kuramoto_sivashinsky", run, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
