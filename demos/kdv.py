"""Korteweg–de Vries equation: u_t + 6 u u_x + u_xxx = 0, a fast soliton overtakes a slow one.

Ansatz: five Gaussians for each soliton.  The equation is stiff and dispersive, and the parameters change fast while the
solitons overlap: field steps (`df.FieldStep`), ETDRK4 on a periodic grid and then the parameters of its result.
With --eps Dirac–Frenkel stages of that ε instead.  With --quick the run ends before the solitons meet.
Reference: the exact two-soliton solution (Hirota 1971).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import arguments, figure, fitted, march, profiles, report
from mpi4py import MPI

import dfpde as df

K1, K2 = 1.0, 1.6  # amplitudes k²/2, speeds k²
X1, X2 = 0.0, -6.0  # positions at t = 0, when far apart


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


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run, print, draw."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        until = 2.0 if options.quick else 6.0
        widths = np.array([0.39, 0.5, 0.62, 0.8, 0.95])  # around those of Gaussians that fit sech²(y/2) best
        ansatz = df.GaussianMixture.isotropic(1, 2 * widths.size)
        grid = df.steppers.PeriodicGrid((-24, 32), 512, comm)
        quadrature = grid.quadrature
        line = np.linspace(-14, 20, 801)

        def advection(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
            return -6 * u.value * df.dx(u)

        stepper = df.steppers.ETDRK4(grid, lambda k: 1j * k[0] ** 3, advection)
        problem = df.Problem(ansatz, quadrature, lambda t, x, u: advection(t, x, u) - df.dx(u, 3))
        first = solitons(0.0, line[None])
        peaks = [line[np.argmax(first * side)] for side in (line < -2, line > -2)]
        shifts = np.array([-0.3, 0.15, 0.0, -0.15, 0.3])  # apart from each other: equal centers would stay equal
        centers = (np.array(peaks)[:, None] + shifts).reshape(-1, 1)
        scales = np.outer([K2, K1], widths).ravel()
        guess = ansatz.pack(amplitudes=np.zeros(2 * widths.size), centers=centers, scales=scales)
        start = fitted(problem, guess, lambda x: solitons(0.0, x), iterations=60)
        how = {} if options.eps is not None else {"integrator": df.FieldStep(stepper, options.rtol)}
        run = march(problem, start, until, solitons, options, **how)
        figure(options.out / "kdv.png", comm, lambda shown: profiles(shown, problem, run, line, solitons))
        mass = [float(quadrature.integrate(problem.field(state).value)) for state in (run.states[0], run.states[-1])]
        return report("kdv", run, comm, mass_drift=abs(mass[1] - mass[0]) / mass[0])


if __name__ == "__main__":
    main(sys.argv[1:])
