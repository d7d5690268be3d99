"""A run that stops half way and goes on from its checkpoint, bit for bit: Burgers to t = 0.5.

    u_t = 0.01 u_xx − u u_x on [−1, 1),  u₀ = −sin πx;     Cole–Hopf gives u exactly
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from burgers import cole_hopf
from common import arguments, say
from mpi4py import MPI

import dfpde as df


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, evolve, save, load, evolve; compare with the run that did not stop, and with the solution."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        u = df.PeriodicGaussianMixture(n=20, periods=2.0)
        quadrature = df.Quadrature.periodic((-1, 1), 400, comm)
        burgers = df.Problem(u, quadrature, lambda t, x, u: 0.01 * df.dx(u, 2) - u * df.dx(u))
        start = df.fit(burgers, lambda x: cole_hopf(0.0, x), linear="amplitudes")
        burgers = burgers.scaled(start)
        half, until = (0.05, 0.1) if options.quick else (0.25, 0.5)
        how = {"times": [half, until], "controller": df.PI(rtol=options.rtol)}

        states = df.evolve(burgers, start, until=until, **how)
        file = options.out / "resume.npz"
        df.save(file, next(states), comm, problem=burgers)
        *_, through = states

        again = df.load(file, comm, problem=burgers)  # another day, on any number of ranks
        *_, resumed = df.evolve(burgers, again, until=until, times=[until], controller=df.PI(rtol=options.rtol))

        exact = cole_hopf(until, quadrature.x)
        result = {
            "error": quadrature.norm(burgers.field(resumed) - exact) / quadrature.norm(exact),
            "same_bits": bool(np.array_equal(resumed.theta, through.theta)),
            "steps": resumed.step,
        }
        return say("resume", result, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
