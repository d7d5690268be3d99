"""Charged particles in a fixed potential (Vlasov): u_t = −v u_x + φ'(x) u_v on [−1, 1)².

    φ = −0.2 (1 + cos πx⁴) − 0.1 sin πx,    u₀ = exp(−((x − 0.1)² + v²)/0.15²)

The cloud turns in the well and is wound into a spiral (Raviola and Peherstorfer, arXiv 2605.00284, B.3; they go to
T = 10 with networks of 3265 parameters).  The cloud stays away from the boundary, so the ansatz lives on R².
Reference: characteristics backwards in time, by SciPy's DOP853 at rtol = 1e-10.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import arguments, errors, figure, fitted, march, report
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


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run, print, draw."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        n, until, points = (4, 0.5, 40) if options.quick else (4, 1.0, 60)
        ansatz = df.GaussianMixture.full(2, n)
        quadrature = df.Quadrature.gauss([(-1, 1)] * 2, points // 2, 3, comm)

        def vlasov(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
            return -x[1] * u.gradient[0] + force(x[0]) * u.gradient[1]

        problem = df.Problem(ansatz, quadrature, vlasov)
        side = round(np.sqrt(n))
        offsets = 0.09 * (np.arange(side) - (side - 1) / 2)
        centers = np.stack(np.meshgrid(offsets + 0.1, offsets), axis=-1).reshape(n, 2)
        scales = np.broadcast_to(ansatz.scales(np.eye(2) * 0.4 * WIDTH**2), (n, 3))
        guess = ansatz.pack(amplitudes=np.zeros(n), centers=centers, scales=scales)
        start = fitted(problem, guess, initial, iterations=30)
        run = march(problem, start, until, exact, options, outputs=10, growth=0.0)

        def draw(shown: Any) -> None:
            axes = shown.subplots(1, 3)
            side = np.linspace(-1, 1, 161)
            plane = np.stack(np.meshgrid(side, side)).reshape(2, -1)
            last = run.states[-1]
            pictures = {f"u, t = {last.t:g}": problem.field(last, plane).value, "exact": exact(last.t, plane)}
            for axis, (name, u) in zip(axes, pictures.items(), strict=False):
                axis.contourf(side, side, u.reshape(161, 161), 20)
                axis.set_title(name, fontsize=9)
            errors(axes[2], run)

        figure(options.out / "vlasov.png", comm, draw, figsize=(10, 3.2))
        return report("vlasov", run, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
