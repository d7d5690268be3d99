"""Charged particles in a fixed potential (Vlasov): u_t = −v u_x + φ'(x) u_v on [−1, 1)².

    φ = −0.2 (1 + cos πx⁴) − 0.1 sin πx,    u₀ = exp(−((x − 0.1)² + v²)/0.15²)

The cloud turns in the well and is wound into a spiral (Raviola and Peherstorfer, arXiv 2605.00284, B.3; they go to
T = 10 with networks of 3265 parameters).  The cloud stays away from the boundary, so the ansatz lives on R².
Reference: characteristics backwards in time, by SciPy's DOP853 at rtol = 1e-10.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import arguments, chosen, compare, figure, maps, output_times, report, with_bound
from mpi4py import MPI
from scipy.integrate import solve_ivp

import dfpde as df

WIDTH = 0.15


def force(x: np.ndarray) -> np.ndarray:
    """φ'."""
    return 0.2 * np.sin(np.pi * x**4) * 4 * np.pi * x**3 - 0.1 * np.pi * np.cos(np.pi * x)


def initial(x: np.ndarray) -> np.ndarray:
    """u₀."""
    return np.exp(-((x[0] - 0.1) ** 2 + x[1] ** 2) / WIDTH**2)


def exact(t: float, x: np.ndarray) -> np.ndarray:
    """u₀ at the feet of the characteristics dx/dt = v, dv/dt = −φ'."""
    if t == 0 or x.size == 0:
        return initial(x)

    def back(_: float, y: np.ndarray) -> np.ndarray:
        x, v = y.reshape(2, -1)
        return np.concatenate([-v, force(x)])

    end = solve_ivp(back, (0, t), x.ravel(), method="DOP853", rtol=1e-10, atol=1e-10, t_eval=[t]).y[:, -1]
    return initial(end.reshape(2, -1))


def vlasov(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
    """f."""
    return -x[1] * u.gradient[0] + force(x[0]) * u.gradient[1]


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, evolve, compare."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        until, cells = (0.5, 20) if options.quick else (1.0, 30)
        ansatz = df.GaussianMixture.full(2, 4)
        problem = df.Problem(ansatz, df.Quadrature.gauss([(-1, 1)] * 2, cells, 3, comm), vlasov)

        begin = time.perf_counter()
        centers = [[0.1 + a, b] for b in (-0.045, 0.045) for a in (-0.045, 0.045)]
        guess = ansatz.pack(amplitudes=0.0, centers=centers, scales=ansatz.scales(np.eye(2) * 0.4 * WIDTH**2))
        start = df.fit(problem, initial, guess, linear="amplitudes", max_iterations=30)

        times = output_times(until, 10, options)
        bound = df.diagnostics.ErrorBound(problem, start, start.misfit, rate=0.0)  # the flow keeps areas
        steps = df.evolve(problem, start, until=times[-1], times=times[1:], every_step=True, **chosen(options))
        states, bounds = with_bound(bound, start, start.misfit, steps, times)
        seconds = time.perf_counter() - begin

        run = compare(problem, states, exact, seconds, bounds)
        figure(options.out / "vlasov.png", comm, lambda shown: maps(shown, problem, run, exact, (-1, 1)))
        return report("vlasov", run, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
