"""Any JAX function is an ansatz: a travelling wave of Fisher's equation u_t = u_xx + u (1 − u), to t = 2.

    u(x) = ½ (1 − tanh(a (x − b))) + Σ_i c_i exp(−(s_i (x − b) − q_i)²)

The front at b moves by the speed 5/√6, where u = (1 + e^{(x − 5t/√6)/√6})^{−2} is exact (Ablowitz, Zeppetella, Bull.
Math. Biol. 41 (1979) 835).  JAX differentiates the function in x and in its parameters; nothing else is written down.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import arguments, say
from mpi4py import MPI

import dfpde as df


def exact(t: float, x: np.ndarray) -> np.ndarray:
    """The wave."""
    return (1 + np.exp((x[0] - 5 * t / np.sqrt(6)) / np.sqrt(6))) ** -2


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, evolve, compare."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        import jax

        jax.config.update("jax_enable_x64", True)  # before anything is computed
        jnp = jax.numpy

        def wave(theta: dict[str, Any], x: Any) -> Any:
            y = x[0] - theta["b"]
            bumps = theta["c"] * jnp.exp(-((theta["s"] * y - theta["q"]) ** 2))
            return 0.5 * (1 - jnp.tanh(theta["a"] * y)) + jnp.sum(bumps)

        begin = {"a": np.array(0.3), "b": np.array(-1.0), "c": np.zeros(4), "s": np.full(4, 0.4)}
        ansatz = df.JaxFunction(wave, begin | {"q": np.linspace(-1.5, 1.5, 4)}, dim=1)
        quadrature = df.Quadrature.gauss((-20.0, 25.0), 30, 7, comm)
        fisher = df.Problem(ansatz, quadrature, lambda t, x, u: df.dx(u, 2) + u * (1 - u))

        start = df.fit(fisher, lambda x: exact(0.0, x), ansatz.theta0)
        until = 0.5 if options.quick else 2.0
        *_, end = df.evolve(fisher, start, until=until, controller=df.PI(rtol=options.rtol))

        q, u = quadrature, fisher.field(end)
        result = {
            "error": q.norm(u - exact(until, q.x)) / q.norm(exact(until, q.x)),
            "misfit": start.relative_misfit,
            "parameters": ansatz.size,
            "steps": end.step,
        }
        return say("jax_function", result, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
