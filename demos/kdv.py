"""Korteweg–de Vries equation: u_t + 6 u u_x + u_xxx = 0, a fast soliton overtakes a slow one.

Ansatz: five Gaussians for each soliton.  The equation is stiff and dispersive, and the parameters change fast while the
solitons overlap: field steps (`df.FieldStep`), ETDRK4 on a periodic grid and then the parameters of its result.
With --stages, or an --eps, Dirac–Frenkel stages instead.  With --quick the run ends before the solitons meet.
Reference: the exact two-soliton solution (Hirota 1971).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import arguments, chosen, compare, figure, output_times, profiles, report
from mpi4py import MPI

import dfpde as df

K1, K2 = 1.0, 1.6  # amplitudes k²/2, speeds k²
X1, X2 = 0.0, -6.0  # positions at t = 0, when far apart
WIDTHS = np.array([0.39, 0.5, 0.62, 0.8, 0.95])  # around those of Gaussians that fit sech²(y/2) best
SHIFTS = np.array([-0.3, 0.15, 0.0, -0.15, 0.3])  # apart from each other: equal centers would stay equal


def solitons(t: float, x: np.ndarray) -> np.ndarray:
    """u = 2 (log F)_xx, F a sum of four exponentials A_j exp(φ_j): twice the variance of φ_j' under the weights."""
    y = x[0]
    eta = [k * (y - x0) - k**3 * t for k, x0 in ((K1, X1), (K2, X2))]
    phi = np.array([0 * y, eta[0], eta[1], eta[0] + eta[1] + 2 * np.log((K2 - K1) / (K2 + K1))])
    slope = np.array([0, K1, K2, K1 + K2])[:, None]
    weight = np.exp(phi - phi.max(axis=0))
    weight /= weight.sum(axis=0)
    mean = (weight * slope).sum(axis=0)
    return 2 * (weight * (slope - mean) ** 2).sum(axis=0)


def advection(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
    """N of u_t = −u_xxx + N(u)."""
    return -6 * u * df.dx(u)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, evolve, compare."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        until = 2.0 if options.quick else 6.0
        ansatz = df.GaussianMixture.isotropic(1, 2 * WIDTHS.size)
        grid = df.steppers.PeriodicGrid((-24, 32), 512, comm)
        stepper = df.steppers.ETDRK4(grid, lambda k: 1j * k[0] ** 3, advection)
        problem = df.Problem(ansatz, grid.quadrature, lambda t, x, u: advection(t, x, u) - df.dx(u, 3))

        begin = time.perf_counter()
        line = np.linspace(-14, 20, 801)
        first = solitons(0.0, line[None])
        peaks = np.array([line[np.argmax(first * side)] for side in (line < -2, line > -2)])
        centers = (peaks[:, None] + SHIFTS).reshape(-1, 1)
        guess = ansatz.pack(amplitudes=0.0, centers=centers, scales=np.outer([K2, K1], WIDTHS).ravel())
        start = df.fit(problem, lambda x: solitons(0.0, x), guess, linear="amplitudes", max_iterations=60)

        times = output_times(until, 20, options)
        how = chosen(options, stepper)
        states = [start, *df.evolve(problem, start, until=times[-1], times=times[1:], **how)]
        seconds = time.perf_counter() - begin

        run = compare(problem, states, solitons, seconds)
        figure(options.out / "kdv.png", comm, lambda shown: profiles(shown, problem, run, line, solitons))
        mass = [float(grid.quadrature.integrate(problem.field(state).value)) for state in (states[0], states[-1])]
        return report("kdv", run, comm, mass_drift=abs(mass[1] - mass[0]) / mass[0])


if __name__ == "__main__":
    main(sys.argv[1:])
