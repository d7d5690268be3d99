"""Boundary values, hard and weak: heat u_t = u_xx on [0, 1] between walls at u = 0 and u = 1.

    u = x + e^{−π²t} sin πx + ½ e^{−4π²t} sin 2πx

Hard: u = x + x (1 − x) v holds the walls for every θ.  Weak: rows of the least squares pull u there, at a rate.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import arguments, say
from mpi4py import MPI

import dfpde as df
from dfpde.ansatz import Masked, Polynomial


def exact(t: float, x: np.ndarray) -> np.ndarray:
    """Two modes above the steady state."""
    first, second = np.exp(-(np.pi**2) * t), 0.5 * np.exp(-4 * np.pi**2 * t)
    return x[0] + first * np.sin(np.pi * x[0]) + second * np.sin(2 * np.pi * x[0])


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, evolve, compare, both ways."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        interval = df.Quadrature.gauss((0.0, 1.0), 20, 7, comm)
        walls = df.Quadrature(np.array([[0.0, 1.0]]), np.ones(2), comm, replicated=True)
        mixture = df.GaussianMixture.isotropic(1, 6)
        guess = mixture.guess(np.linspace(0, 1, 101)[None])

        def heat(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
            return df.dx(u, 2)

        hard = Masked(mixture, Polynomial({(1,): 1.0, (2,): -1.0}), Polynomial({(1,): 1.0}))
        weak = df.Dirichlet(walls, lambda t, x: x[0], weight=10.0, decay=20.0)
        problems = {
            "hard": df.Problem(hard, interval, heat),
            "weak": df.Problem(mixture, interval, heat, conditions=(weak,)),
        }
        until, result = 0.02 if options.quick else 0.1, {}
        for name, problem in problems.items():
            start = df.fit(problem, lambda x: exact(0.0, x), guess, linear="amplitudes")
            *_, end = df.evolve(problem, start, until=until, controller=df.PI(rtol=options.rtol))
            u = exact(until, interval.x)
            error = interval.norm(problem.field(end) - u) / interval.norm(u)
            at_walls = walls.norm(problem.field(end, walls.x) - walls.x[0])
            result[name] = {"error": error, "at_walls": at_walls, "misfit": start.relative_misfit, "steps": end.step}
        return say("boundary", result, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
