"""Interacting particles in an anharmonic trap: a positive density, Gaussian times exp(network), followed by walkers.

u_t = −Σ_i ∂_i(u h_i) + D Δu, h_i = (a(t) − x_i)³ + α (x̄ − x_i), x̄ the mean of the x_i, α = −½, D = 0.01,
a = 1.25 (sin πt + 1.5); start: mean 0.9 + 2.1 (i − 1)/(d − 1), covariance 0.1 I (M. Raviola, B. Peherstorfer,
arXiv 2605.00284, who do not state the mean).  On all of R^d: the Gaussian factor gives the tails, the network all else.
Reference: Euler–Maruyama paths, mean and covariance with their standard errors.
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
from dfpde.ansatz import Product, Transform, exp
from dfpde.measures import Draws, Walkers

ALPHA, D, VARIANCE = -0.5, 0.01, 0.1
Moments = tuple[np.ndarray, np.ndarray]


def center(t: float) -> float:
    """a(t)."""
    return float(1.25 * (np.sin(np.pi * t) + 1.5))


def drift(t: float, x: np.ndarray) -> np.ndarray:
    """h, (d, N)."""
    return (center(t) - x) ** 3 + ALPHA * (x.mean(axis=0) - x)


def rhs(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
    """−∇·(u h) + D Δu."""
    divergence = -3 * ((center(t) - x) ** 2).sum(axis=0) + ALPHA * (1 - len(x))
    return -df.dot(drift(t, x), df.grad(u)) - divergence * u.value + D * df.laplacian(u)


def paths(d: int, times: np.ndarray, n: int, dt: float) -> list[Moments]:
    """Mean and covariance at the times, of n paths."""
    rng = np.random.default_rng(1)
    x, t, found = start_mean(d)[:, None] + np.sqrt(VARIANCE) * rng.normal(size=(d, n)), 0.0, []
    for until in times:
        steps = max(1, int(np.ceil((until - t) / dt)))
        h = (until - t) / steps
        for k in range(steps):
            x = x + h * drift(t + k * h, x) + np.sqrt(2 * D * h) * rng.normal(size=(d, n))
        t = float(until)
        found.append((x.mean(axis=1), np.cov(x)))
    return found


def start_mean(d: int) -> np.ndarray:
    """0.9 … 3.0."""
    return np.linspace(0.9, 3.0, d)


def run(options: argparse.Namespace, seed: int, exact: list[Moments], comm: MPI.Comm) -> dict[str, float]:
    """Time means of the relative errors of mean and covariance of the walkers."""
    begin, d = time.process_time(), options.d
    gaussian, network = df.GaussianMixture.full(d, 1), df.Network(d, (options.width,) * 2)
    ansatz = Product(gaussian, Transform(network, exp))
    first = gaussian.pack(amplitudes=1.0, centers=start_mean(d), scales=gaussian.scales(VARIANCE * np.eye(d)))
    points = start_mean(d)[:, None] + np.sqrt(VARIANCE) * Draws(options.points, seed, 0, MPI.COMM_SELF).normal(d)
    blocks = dict(network.unpack(network.guess(points, seed)))
    blocks["weights2"] = np.zeros_like(blocks["weights2"])  # u is the Gaussian itself at the start
    theta = np.concatenate([first, network.pack(**blocks)])
    density = np.ones(options.points)
    problem = df.Problem(ansatz, df.Quadrature.samples(points, density, comm, replicated=True), rhs)
    walkers = Walkers(steps=options.walks, seed=seed)
    problem, state = walkers.start(problem, df.State(0.0, theta), points)
    errors = []
    times = np.linspace(0, options.until, options.outputs + 1)[1:]
    choices = {"times": times, "adapt": walkers, "controller": df.PI(rtol=options.rtol)}
    states = df.evolve(problem, state, until=options.until, **choices)
    for now, (mean, covariance) in zip(states, exact, strict=True):
        x = now.measure_carry[2]
        errors.append([
            np.linalg.norm(x.mean(axis=1) - mean) / np.linalg.norm(mean),
            np.linalg.norm(np.cov(x) - covariance) / np.linalg.norm(covariance), now.statistics.relative_defect,
        ])  # fmt: skip
        if options.verbose and comm.rank == 0:
            print(f"  t = {now.t:.3g}, step {now.step}: {errors[-1]}, {time.process_time() - begin:.0f} s", flush=True)
    mean_error, covariance_error, defect = np.mean(errors, axis=0)
    return {
        "mean_error": float(mean_error), "covariance_error": float(covariance_error), "relative_defect": float(defect),
        "steps": now.step, "parameters": ansatz.size, "seconds": round(time.process_time() - begin, 2),
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run and print: means over the seeds, and standard deviations with several."""
    parser = options_of(__doc__)
    parser.set_defaults(rtol=1e-3)
    parser.add_argument("--d", type=int)
    parser.add_argument("--seeds", type=int, default=1, help="runs, with seeds 0, 1, ...")
    parser.add_argument("--points", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--walks", type=int, default=5, help="Markov steps after each step")
    parser.add_argument("--paths", type=int)
    parser.add_argument("--until", type=float)
    parser.add_argument("--outputs", type=int)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_known_args(argv)[0]
    quick = {"d": 2, "points": 500, "width": 6, "paths": 20_000, "until": 0.2, "outputs": 2}
    long = {"d": 5, "points": 4000, "width": 34, "paths": 1_000_000, "until": 8.0, "outputs": 32}
    for name, value in (quick if options.quick else long).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        times = np.linspace(0, options.until, options.outputs + 1)[1:]
        exact = paths(options.d, times, options.paths, 5e-3)
        runs = [run(options, seed, exact, comm) for seed in range(options.seeds)]
        result = over_seeds(runs) | {"d": options.d, "t": options.until, "paths": options.paths}
        return say("particles", result, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
