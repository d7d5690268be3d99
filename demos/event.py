"""An implicit scheme and an event: heat u_t = u_xx spreads until its maximum has fallen to half.

    u = (4πτ)^{−½} e^{−x²/4τ},   τ = τ₀ + t:     u(0) halves at t = 3 τ₀, whatever the step

Explicit schemes are bound to steps of the square of the width; SDIRK4 is not.  The event is found on a step of the
scheme itself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import arguments, say
from mpi4py import MPI

import dfpde as df

TAU = 0.01


def exact(t: float, x: np.ndarray) -> np.ndarray:
    """The kernel."""
    return np.exp(-(x[0] ** 2) / (4 * (TAU + t))) / np.sqrt(4 * np.pi * (TAU + t))


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, evolve to the event, compare."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        ansatz = df.GaussianMixture.isotropic(1, 1)
        heat = df.Problem(ansatz, df.Quadrature.gauss((-4.0, 4.0), 80, 7, comm), lambda t, x, u: df.dx(u, 2))
        start = df.fit(heat, lambda x: exact(0.0, x))

        half = 0.5 * heat.field(start)(np.zeros((1, 1)))[0]
        halved = df.Event(lambda t, state: heat.field(state)(np.zeros((1, 1)))[0] - half, direction=-1)
        how = {"integrator": df.integrators.SDIRK4, "controller": df.PI(rtol=options.rtol)}
        *_, end = df.evolve(heat, start, until=1.0, events=[halved], **how)

        q = heat.quadrature
        result = {
            "error": q.norm(heat.field(end) - exact(end.t, q.x)) / q.norm(exact(end.t, q.x)),
            "t": end.t,
            "error_t": abs(end.t / (3 * TAU) - 1),
            "misfit": start.relative_misfit,
            "steps": end.step,
        }
        return say("event", result, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
