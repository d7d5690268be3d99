"""Advection in five dimensions: 50 isotropic Gaussians, points that move with them.

u_t + c(t)·∇u = 0, c_i = i (sin(ω_i πt) + 1.25), ω_i = 2 + (i − 1)/2, T = 1.8; u₀ is the sum of two normalized Gaussians
with diagonal covariances (J. Bruna, B. Peherstorfer, E. Vanden-Eijnden, arXiv 2203.01360).  Exact by translation,
which every mixture follows: what is left is the error of the fit and that of the steps.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import options_of, over_seeds, say
from mpi4py import MPI

import dfpde as df
from dfpde.measures import Blend, Components, Moving, sampling
from dfpde.measures.proposals import Cloud

DIM = 5
AXES = np.arange(1, DIM + 1)
OMEGA = np.pi * (2 + (AXES - 1) / 2)
MEANS = np.array([np.full(DIM, 1.1), 0.75 * (1.5 - (-1.0) ** AXES * AXES / 6)])
VARIANCES = np.array([0.01 * AXES, [0.03, 0.025, 0.02, 0.015, 0.01]])

#: u₀ itself, a diagonal mixture: what points for the fit and for the error are drawn from.
EXACT = df.GaussianMixture.diagonal(DIM, 2)


def moved(t: float) -> np.ndarray:
    """θ of the exact solution."""
    way = AXES * ((1 - np.cos(OMEGA * t)) / OMEGA + 1.25 * t)
    amplitudes = np.prod(2 * np.pi * VARIANCES, axis=1) ** -0.5
    return EXACT.pack(amplitudes=amplitudes, centers=MEANS + way, scales=VARIANCES**-0.5)


def rhs(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
    """−c·∇u."""
    c = AXES * (np.sin(OMEGA * t) + 1.25)
    return -np.tensordot(c, df.grad(u), 1)


def drawn(t: float, n: int, seed: int, comm: MPI.Comm) -> df.Quadrature:
    """Points of the exact solution, and wider ones."""
    proposal = Blend((Components(0.8), Components(1.3)), (0.5, 0.5))
    cloud = Cloud(EXACT, moved(t), np.zeros(DIM), np.eye(DIM))
    x = proposal.points(cloud, df.measures.Draws(n, seed, 0, comm).uniform(DIM + 1))
    return df.Quadrature.samples(x, proposal.density(cloud, x), comm)


def spread(ansatz: df.GaussianMixture, seed: int) -> np.ndarray:
    """Guess: components of the least variance σ², centers drawn from the deconvolved Gaussians, N(m, C − σ² I)."""
    half, centers, scales = ansatz.n // 2, [], []
    for number, (mean, variance) in enumerate(zip(MEANS, VARIANCES, strict=True)):
        z = df.measures.Draws(half, 2 * seed + number, 0, MPI.COMM_SELF).normal(DIM)
        centers.append(mean + (np.sqrt(variance - variance.min())[:, None] * z).T)
        scales.append(np.full(half, variance.min() ** -0.5))
    return ansatz.pack(amplitudes=0.0, centers=np.concatenate(centers), scales=np.concatenate(scales))


def run(options: argparse.Namespace, seed: int, comm: MPI.Comm) -> dict[str, float]:
    """Errors at the start and at the end, relative in L², measured at points of their own."""
    begin = time.process_time()
    ansatz = df.GaussianMixture.isotropic(DIM, options.components)
    problem = df.Problem(ansatz, drawn(0.0, options.points, seed, comm), rhs)
    initial, guess = (lambda x: EXACT.value(moved(0.0), x)), spread(ansatz, seed)
    start = df.fit(problem, initial, guess, linear="amplitudes", max_iterations=options.iterations)
    fitted = time.process_time() - begin
    moving = Moving(Components(), max(1024, options.points // 4), seed)  # the residual vanishes: few points will do
    problem, state = moving.start(problem, start)
    choices = {"times": (options.until,), "adapt": moving, "controller": df.PI(rtol=options.rtol)}
    (end,) = df.evolve(problem, state, until=options.until, **choices)
    seconds = time.process_time() - begin
    found: dict[str, float] = {"seconds": round(seconds, 2), "seconds_fit": round(fitted, 2), "steps": end.step}
    for name, now in (("error_start", start), ("error", end)):
        q = drawn(now.t, 1 << 15, 1000 + seed, comm)
        exact = EXACT.value(moved(now.t), q.x)
        apart = sampling(q, ansatz.value(now.theta, q.x) - exact)
        found |= {name: apart.norm / q.norm(exact), f"{name}_sampling": apart.error}
    return found


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run and print: means over the seeds, and standard deviations with several."""
    parser = options_of(__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="runs, with seeds 0, 1, ...")
    parser.add_argument("--points", type=int)
    parser.add_argument("--components", type=int)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--until", type=float)
    options = parser.parse_known_args(argv)[0]
    quick = {"points": 1024, "components": 8, "iterations": 30, "until": 0.2}
    long = {"points": 8192, "components": 50, "iterations": 150, "until": 1.8}
    for name, value in (quick if options.quick else long).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        runs = [run(options, seed, comm) for seed in range(options.seeds)]
        result = over_seeds(runs) | {"parameters": 7 * options.components, "t": options.until, "d": DIM}
        return say("advection5d", result, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
