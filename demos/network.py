"""A network follows Allen–Cahn: u_t = 5e-3 u_xx + u − u³ on the circle, to t = 4 within 3e-6.

u₀ = ⅓ tanh(2 sin x) − e^{−23.5(x − π/2)²} + e^{−27(x − 4.2)²} + e^{−38(x − 5.4)²}   (Berman, Peherstorfer, 2310.04867)

A tanh network with a periodic embedding: fit it to u₀, evolve it, compare with a Fourier solution.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import figure, options_of, say
from mpi4py import MPI
from spectral import Spectral

import dfpde as df


def initial(x: np.ndarray) -> np.ndarray:
    """u₀."""
    bumps = ((-1, 23.5, np.pi / 2), (1, 27, 4.2), (1, 38, 5.4))
    return np.tanh(2 * np.sin(x[0])) / 3 + sum(a * np.exp(-s * (x[0] - b) ** 2) for a, s, b in bumps)


def allen_cahn(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
    """f."""
    return 5e-3 * df.dx(u, 2) + u - u**3


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, evolve, compare."""
    parser = options_of(__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the weights that the fit begins with (0)")
    options = parser.parse_known_args(argv)[0]
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        width, until, rtol, points = (8, 0.5, 1e-4, 400) if options.quick else (12, 4.0, 1e-6, 1000)
        begin = time.perf_counter()
        network = df.Network(1, (width,) * 3, embedding=df.PeriodicEmbedding((2 * np.pi,), frequencies=8))
        problem = df.Problem(network, df.Quadrature.periodic((0, 2 * np.pi), points, comm), allen_cahn)
        start = df.fit(problem, initial, seed=options.seed)

        times = np.linspace(0, until, 21)
        states = [start, *df.evolve(problem, start, until=until, times=times[1:], controller=df.PI(rtol=rtol))]
        seconds = time.perf_counter() - begin

        exact = Spectral(
            lambda x: initial(x[None]), lambda k: 1 - 5e-3 * k**2, lambda u, k: -np.fft.rfft(u**3),
            (0, 2 * np.pi), 1024, 2e-3, until,
        )  # fmt: skip
        q = problem.quadrature
        errors = np.array([q.norm(problem.field(state) - exact(state.t, q.x)) for state in states])
        norms = np.array([q.norm(exact(t, q.x)) for t in times])

        def draw(shown: Any) -> None:
            left, right = shown.subplots(1, 2)
            x = np.linspace(0, 2 * np.pi, 400)[None]
            for state in states[::5]:
                left.plot(x[0], problem.field(state, x), label=f"t = {state.t:g}")
            left.set(xlabel="x", title=f"u, a network of {network.size} parameters")
            left.legend(fontsize=8)
            right.semilogy(times, errors / norms, ".-")
            right.set(xlabel="t", title="relative $L^2$ error")

        figure(options.out / "network.png", comm, draw)
        result = {
            "error": float(np.linalg.norm(errors) / np.linalg.norm(norms)),
            "error_end": float(errors[-1] / norms[-1]),
            "misfit": start.relative_misfit,
            "parameters": network.size,
            "steps": states[-1].step,
            "seconds": round(seconds, 1),
        }
        return say("network", result, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
