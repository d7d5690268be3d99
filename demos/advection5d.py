"""Advection in five dimensions: 50 isotropic Gaussians, fitted in closed form, and points that move with them.

u_t + c(t)·∇u = 0, c_i = i (sin(ω_i πt) + 1.25), ω_i = 2 + (i − 1)/2, T = 1.8; u₀ is the sum of two normalized Gaussians
with diagonal covariances (J. Bruna, B. Peherstorfer, E. Vanden-Eijnden, arXiv 2203.01360).  Exact by translation,
which every mixture follows: what is left is the error of the fit, and that of the steps, which falls with rtol.

50 components start from the best fit that `benchmarks/gaussian_terms.py` has found; other numbers, or with --fit, from
one that is made here.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import scipy.optimize
from common import options_of, over_seeds, say
from mpi4py import MPI

import dfpde as df
from dfpde.ansatz.mixtures.moments import squared_norm
from dfpde.measures import Blend, Components, Moving, sampling
from dfpde.measures.proposals import Cloud

DIM = 5
AXES = np.arange(1, DIM + 1)
OMEGA = np.pi * (2 + (AXES - 1) / 2)
MEANS = np.array([np.full(DIM, 1.1), 0.75 * (1.5 - (-1.0) ** AXES * AXES / 6)])
VARIANCES = np.array([0.01 * AXES, [0.03, 0.025, 0.02, 0.015, 0.01]])

#: δ of the fit: bounds the amplitudes of components that are nearly equal and cancel.
RIDGE = 1e-12

#: θ of 50 components, by `benchmarks/gaussian_terms.py --save`.
STORED = Path(__file__).parent / "references" / "advection5d.npy"

#: u₀ itself, a diagonal mixture: what points for the error are drawn from.
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


def overlaps(c: np.ndarray, v: np.ndarray, m: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """⟨g_j, h_k⟩ of Gaussians of norm one, g_j isotropic, and its logarithm's derivatives by c_j and log v_j.

    Centers c (n, d), m (k, d), variances v (n,), s (k, d): (n, k), (n, k, d), (n, k).
    """
    v, apart = v[:, None, None], c[:, None] - m
    share, square = v / (v + s), apart**2 / (v + s)
    value = np.exp(np.sum(np.log(4 * share * (1 - share)) / 4 - square / 2, axis=-1))
    return value, -apart / (v + s), np.sum(0.25 - share * (1 - square) / 2, axis=-1)


def split(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centers (n, d) and variances (n,) of z, the centers and the logarithms of the variances."""
    n = len(z) // (DIM + 1)
    return z[: DIM * n].reshape(n, DIM), np.exp(z[DIM * n :])


def projected(c: np.ndarray, v: np.ndarray, s: np.ndarray) -> tuple[Any, Any, np.ndarray]:
    """Overlaps among g_j, overlaps with g, and argmin_a ‖g − Σ_j a_j g_j‖² + δ|a|²; g has mean 0 and variances s."""
    among = overlaps(c, v, c, np.repeat(v[:, None], DIM, axis=1))
    with_g = tuple(part[:, 0] for part in overlaps(c, v, np.zeros((1, DIM)), s[None]))
    return among, with_g, scipy.linalg.solve(among[0] + RIDGE * np.eye(len(v)), with_g[0], assume_a="pos")


def misfit(z: np.ndarray, s: np.ndarray) -> tuple[float, np.ndarray]:
    """min_a ‖g − Σ_j a_j g_j‖² + δ|a|², and its gradient by z."""
    (gram, gram_c, gram_v), (b, b_c, b_v), a = projected(*split(z), s)
    by_c = a[:, None] * (np.einsum("jk,jki->ji", gram * a, gram_c) - b[:, None] * b_c)
    by_v = a * ((gram * a * gram_v).sum(axis=1) - b * b_v)
    return 1 - a @ b, 2 * np.concatenate([by_c.ravel(), by_v])


def nearest(s: np.ndarray, n: int, options: argparse.Namespace, rng: np.random.Generator) -> np.ndarray:
    """z of n components near the Gaussian of variances s, Π s_i = 1: BFGS, the best of several starts, then trials.

    A start is a cluster about the Gaussian of variance 1, nearly the best single one: with amplitudes of either sign
    its members span derivatives, the first terms of Hermite's series.  A trial puts one to five components elsewhere,
    near others, and is kept if its minimum is the smaller one (basin hopping).
    """
    size = np.repeat([0.15, 0.1], [DIM * n, n])
    how = {"args": (s,), "jac": True, "method": "BFGS", "options": {"maxiter": options.iterations}}
    ends = [scipy.optimize.minimize(misfit, size * rng.normal(size=size.size), **how) for _ in range(options.starts)]
    best = min(ends, key=lambda end: end.fun)
    for _ in range(options.trials):
        c, log_v = best.x[: DIM * n].reshape(n, DIM).copy(), best.x[DIM * n :].copy()
        some = rng.choice(n, rng.integers(1, min(6, n)), replace=False)
        others = rng.choice(n, some.size)
        c[some] = c[others] + 0.3 * rng.normal(size=(some.size, DIM))
        log_v[some] = log_v[others] + 0.2 * rng.normal(size=some.size)
        end = scipy.optimize.minimize(misfit, np.concatenate([c.ravel(), log_v]), **how)
        best = min(best, end, key=lambda end: end.fun)
    return best.x


def assembled(fits: Sequence[np.ndarray]) -> np.ndarray:
    """θ of fits of the two Gaussians of u₀, of norm one, mean 0, Π s_i = 1: rows of amplitude, center, log v."""
    parts: dict[str, list[np.ndarray]] = {"amplitudes": [], "centers": [], "scales": []}
    for mean, variance, z in zip(MEANS, VARIANCES, fits, strict=True):
        unit, v = np.prod(variance) ** (1 / DIM), np.exp(z[:, -1])
        norm = np.prod(4 * np.pi * variance) ** -0.25
        parts["amplitudes"].append(norm * z[:, 0] * (np.pi * unit * v) ** (-DIM / 4))
        parts["centers"].append(mean + unit**0.5 * z[:, 1:-1])
        parts["scales"].append((unit * v) ** -0.5)
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    return df.GaussianMixture.isotropic(DIM, sum(map(len, fits))).pack(**joined)


def fitted(n: int, options: argparse.Namespace, seed: int) -> np.ndarray:
    """θ of n components near the two Gaussians of u₀; the rounder one needs fewer."""
    few, fits = round(0.44 * n), []
    for number, (variance, some) in enumerate(zip(VARIANCES, (n - few, few), strict=True)):
        s = variance / np.prod(variance) ** (1 / DIM)
        c, v = split(nearest(s, some, options, np.random.default_rng([seed, number])))
        fits.append(np.column_stack([projected(c, v, s)[2], c, np.log(v)]))
    return assembled(fits)


def error(ansatz: df.GaussianMixture, state: df.State) -> float:
    """‖u − u_exact‖/‖u_exact‖ in closed form: the difference is a diagonal mixture."""
    both, exact = df.GaussianMixture.diagonal(DIM, ansatz.n + 2), moved(state.t)
    u, v = ansatz.unpack(state.theta), EXACT.unpack(exact)
    apart = both.pack(
        amplitudes=np.concatenate([u["amplitudes"], -v["amplitudes"]]),
        centers=np.concatenate([u["centers"], v["centers"]]),
        scales=np.concatenate([np.repeat(u["scales"].reshape(-1, 1), DIM, axis=1), v["scales"]]),
    )
    return float(np.sqrt(squared_norm(both, apart) / squared_norm(EXACT, exact)))


def run(options: argparse.Namespace, seed: int, comm: MPI.Comm) -> dict[str, float]:
    """Errors at the start and at the end, relative in L²: in closed form, and measured at points of their own."""
    begin = time.process_time()
    ansatz = df.GaussianMixture.isotropic(DIM, options.components)
    stored = ansatz.n == 50 and not options.fit
    theta = (np.load(STORED) if stored else fitted(ansatz.n, options, seed)) if comm.rank == 0 else None
    start = df.State(0.0, comm.bcast(theta))
    spent = time.process_time() - begin
    moving = Moving(Components(even=1.0), options.points, seed)  # amplitudes cancel: masses say nothing
    problem, state = moving.start(df.Problem(ansatz, drawn(0.0, options.points, seed, comm), rhs), start)
    choices = {"times": (options.until,), "adapt": moving, "controller": df.PI(rtol=options.rtol)}
    (end,) = df.evolve(problem, state, until=options.until, **choices)
    seconds = time.process_time() - begin
    found: dict[str, float] = {"seconds": round(seconds, 2), "seconds_fit": round(spent, 2), "steps": end.step}
    for name, now in (("error_start", start), ("error", end)):
        q = drawn(now.t, 1 << 15, 1000 + seed, comm)
        exact = EXACT.value(moved(now.t), q.x)
        apart = sampling(q, ansatz.value(now.theta, q.x) - exact)
        found |= {name: error(ansatz, now), f"{name}_sampled": apart.norm / q.norm(exact)}
        found[f"{name}_sampling"] = apart.error
    return found


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run and print: means over the seeds, and standard deviations with several."""
    parser = options_of(__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="runs, with seeds 0, 1, ...")
    parser.add_argument("--points", type=int)
    parser.add_argument("--components", type=int)
    parser.add_argument("--fit", action="store_true", help="50 components too are fitted here, with a seed of its own")
    parser.add_argument("--starts", type=int)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--trials", type=int, default=0, help="of the fit, for each of the two Gaussians")
    parser.add_argument("--until", type=float)
    parser.set_defaults(rtol=1e-6)  # at 1e-4 the defect adds to the error of the fit
    options = parser.parse_known_args(argv)[0]
    quick = {"points": 2048, "components": 8, "starts": 1, "iterations": 200, "until": 0.2}
    long = {"points": 2048, "components": 50, "starts": 6, "iterations": 2000, "until": 1.8}
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
