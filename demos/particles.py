"""Interacting particles in an anharmonic trap: a positive density, Gaussians or a Gaussian times exp(network).

u_t = −Σ_i ∂_i(u h_i) + D Δu, h_i = (a(t) − x_i)³ + α (x̄ − x_i), x̄ the mean of the x_i, α = −½, D = 0.01,
a = 1.25 (sin πt + 1.5); start: mean 0.9 + 2.1 (i − 1)/(d − 1), covariance 0.1 I (M. Raviola, B. Peherstorfer,
arXiv 2605.00284, who do not state the mean).  On all of R^d.

mixture  Gaussians, set apart at the start by less than the tolerance (`dfpde.ansatz.split`).  Points from the
         components, Fisher metric, moments in closed form.
network  exp(network) times the unit Gaussian, in standardized coordinates z = (x − m(t))/s(t): m and s are the mean
         and the deviations of a Gaussian of independent components that follows the moments of the equation. These
         are coordinates only, as far from the truth as `frame_mean_error` and `frame_covariance_error` say.
         Its output is bounded (`--bound`): where no point is drawn, the exponential of an unbounded one finds mass that
         is not there.  Points from the Gaussian fitted to the density, Fisher metric; moments by importance sampling.

Reference: paths by Heun's method, mean and covariance with their standard errors.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from common import options_of, over_seeds, say
from mpi4py import MPI
from scipy.integrate import solve_ivp

import dfpde as df
from dfpde.ansatz import Frozen, Product, Transform, exp
from dfpde.ansatz.mixtures import moments
from dfpde.measures import Cloud, Components, Draws, FittedGaussian, Moving, fisher, in_turn, present_metric

ALPHA, D, VARIANCE = -0.5, 0.01, 0.1
#: Paths that are advanced together: they stay in the cache.
TOGETHER = 5000
Moments = tuple[np.ndarray, np.ndarray]
Start = tuple[df.Problem, df.State, Any, Callable[[df.State], tuple[np.ndarray, np.ndarray, float]]]


def center(t: float) -> float:
    """a(t)."""
    return float(1.25 * (np.sin(np.pi * t) + 1.5))


def drift(t: float, x: np.ndarray) -> np.ndarray:
    """h, (d, N)."""
    y = center(t) - x
    return y * y * y + ALPHA * (x.mean(axis=0) - x)


def rhs(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
    """−∇·(u h) + D Δu."""
    divergence = -3 * ((center(t) - x) ** 2).sum(axis=0) + ALPHA * (1 - len(x))
    return -df.dot(drift(t, x), df.grad(u)) - divergence * u.value + D * df.laplacian(u)


def start_mean(d: int) -> np.ndarray:
    """0.9 … 3.0."""
    return np.linspace(0.9, 3.0, d)


def paths(d: int, times: np.ndarray, n: int, longest: float = 0.01) -> list[Moments]:
    """Mean and covariance at the times, of n paths by Heun's method, of weak order two as the noise is additive."""
    rng = np.random.default_rng(1)
    sums = [(np.zeros(d), np.zeros((d, d))) for _ in times]
    for first in range(0, n, TOGETHER):
        size = min(TOGETHER, n - first)
        x, t = start_mean(d)[:, None] + np.sqrt(VARIANCE) * rng.normal(size=(d, size)), 0.0
        for number, until in enumerate(times):
            steps = max(1, int(np.ceil((until - t) / longest)))
            dt = (until - t) / steps
            for k in range(steps):
                h, noise = drift(t + k * dt, x), np.sqrt(2 * D * dt) * rng.normal(size=(d, size))
                x = x + dt / 2 * (h + drift(t + (k + 1) * dt, x + dt * h + noise)) + noise
            t = float(until)
            sums[number] = (sums[number][0] + x.sum(axis=1), sums[number][1] + x @ x.T)
    return [(one / n, two / n - np.outer(one / n, one / n)) for one, two in sums]


def standard_errors(exact: list[Moments], n: int) -> tuple[float, float]:
    """Time means of the relative standard errors of mean and covariance of n paths, as if these were Gaussian."""
    squares = [(np.trace(c) / (m @ m), 1 + np.trace(c) ** 2 / np.sum(c**2)) for m, c in exact]
    mean, covariance = np.mean(np.sqrt(np.array(squares) / n), axis=0)
    return float(mean), float(covariance)


def first_points(options: argparse.Namespace, seed: int, comm: MPI.Comm) -> df.Quadrature:
    """Points from the density at the start."""
    z = Draws(options.points, seed, 0, comm).normal(options.d)
    q = np.exp(-0.5 * np.sum(z**2, axis=0)) / (2 * np.pi * VARIANCE) ** (options.d / 2)
    return df.Quadrature.samples(start_mean(options.d)[:, None] + np.sqrt(VARIANCE) * z, q, comm)


def mixture(options: argparse.Namespace, seed: int, comm: MPI.Comm) -> Start:
    """Problem, start, adapt and moments of Gaussians that are set apart."""
    d, n = options.d, options.components
    ansatz = getattr(df.GaussianMixture, options.shape)(d, n)
    amplitude = (2 * np.pi * VARIANCE) ** (-d / 2) / n
    theta = ansatz.pack(amplitudes=amplitude, centers=start_mean(d), scales=ansatz.scales(VARIANCE * np.eye(d)))
    theta = df.ansatz.split(ansatz, theta, np.sqrt(0.5 * options.rtol), seed)
    moving = Moving(Components(1.2, even=0.5), options.points, seed, fisher)
    problem, state = moving.start(df.Problem(ansatz, first_points(options, seed, comm), rhs), df.State(0.0, theta))

    def known(now: df.State) -> tuple[np.ndarray, np.ndarray, float]:
        return moments.mean(ansatz, now.theta), moments.covariance(ansatz, now.theta), np.inf

    return problem, state, in_turn(moving, present_metric), known


@dataclass(frozen=True)
class Standardized:
    """z = (x − m(t))/s(t), with m_i and s_i² the moments of independent Gaussians under the same drift and diffusion.

    With y = a − m: ṁ = y³ + 3 y s² + α (m̄ − m), (s²)˙ = 2 s² (−3 (y² + s²) + α (1/d − 1)) + 2 D.
    """

    d: int
    until: float

    def __post_init__(self) -> None:
        start = np.append(start_mean(self.d), np.full(self.d, VARIANCE))
        solved = solve_ivp(self.rates, (0, self.until), start, rtol=1e-9, atol=1e-12, dense_output=True)
        object.__setattr__(self, "solved", solved.sol)

    def rates(self, t: float, moments: np.ndarray) -> np.ndarray:
        """(ṁ, (s²)˙)."""
        m, v = np.split(moments, 2)
        y = center(t) - m
        narrowing = ALPHA * (1 / self.d - 1) - 3 * (y**2 + v)
        return np.append(y**3 + 3 * y * v + ALPHA * (m.mean() - m), 2 * v * narrowing + 2 * D)

    def at(self, t: float) -> tuple[np.ndarray, ...]:
        """m, s, ṁ, ṡ, each (d,)."""
        moments = self.solved(t)
        (m, v), (m_rate, v_rate) = np.split(moments, 2), np.split(self.rates(t, moments), 2)
        return m, np.sqrt(v), m_rate, v_rate / (2 * np.sqrt(v))

    def rhs(self, t: float, z: np.ndarray, u: df.Field) -> np.ndarray:
        """−∇·(u b) + D Σ_i ∂_i² u/s_i² with the drift b = (h − ṁ − ṡ z)/s of z."""
        m, s, m_rate, s_rate = (part[:, None] for part in self.at(t))
        x = m + s * z
        b = (drift(t, x) - m_rate - s_rate * z) / s
        divergence = (ALPHA * (1 / self.d - 1) - 3 * (center(t) - x) ** 2 - s_rate / s).sum(axis=0)
        second = [u.derivative(*alpha) for alpha in 2 * np.eye(self.d, dtype=int)]
        return -df.dot(b, df.grad(u)) - divergence * u.value + D * sum(second / s**2)

    def back(self, t: float, mean: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Moments of x from those of z."""
        m, s, *_ = self.at(t)
        return m + s * mean, covariance * np.outer(s, s)


def frame_errors(options: argparse.Namespace, times: np.ndarray, exact: list[Moments]) -> np.ndarray:
    """Time means of the relative errors of the moments that the standardized coordinates have by themselves."""
    frame = Standardized(options.d, options.until)
    own = [frame.back(t, np.zeros(options.d), np.eye(options.d)) for t in times]
    size = np.linalg.norm
    pairs = [[size(a - b) / size(b) for a, b in zip(*both, strict=True)] for both in zip(own, exact, strict=True)]
    return np.mean(pairs, axis=0)


def bounded(c: float) -> Callable[[np.ndarray, int], np.ndarray]:
    """exp(c tanh(s/c)) and its derivatives up to the third, for `Transform`: a factor of e^−c to e^c; exp for c = ∞."""

    def derivative(s: np.ndarray, k: int) -> np.ndarray:
        tau = np.tanh(s / c)
        g = 1 - tau**2
        first = -2 * tau * g / c
        second = -2 / c * (g * g / c + tau * first)
        factor = (1.0, g, g * g + first, g**3 + 3 * g * first + second)[k]
        return np.exp(c * tau) * factor

    return exp if np.isinf(c) else derivative


def network(options: argparse.Namespace, seed: int, comm: MPI.Comm) -> Start:
    """Problem, start, adapt and moments of exp(network) times the unit Gaussian, the Gaussian itself at the start."""
    d, frame = options.d, Standardized(options.d, options.until)
    gaussian, exponent = df.GaussianMixture.full(d, 1), df.Network(d, (options.width,) * 2)
    unit = gaussian.pack(amplitudes=(2 * np.pi) ** (-d / 2), centers=0.0, scales=gaussian.scales(np.eye(d)))
    fixed = Frozen(gaussian, unit, ("amplitudes", "centers", "scales"))
    ansatz = Product(fixed, Transform(exponent, bounded(options.bound)))
    z = Draws(options.points, seed, 0, MPI.COMM_SELF).normal(d)
    blocks = dict(exponent.unpack(exponent.guess(0.5 * z, seed)))  # neurons that bend within two deviations
    theta = exponent.pack(**blocks | {"weights2": 0.0})
    first = df.Quadrature.samples(z, gaussian.value(unit, z), comm, replicated=True)
    moving = Moving(FittedGaussian(1.2), options.points, seed, fisher)
    problem, state = moving.start(df.Problem(ansatz, first, frame.rhs), df.State(0.0, theta))

    def known(now: df.State) -> tuple[np.ndarray, np.ndarray, float]:
        _, _, *fitted, _ = now.measure_carry
        rule, cloud = FittedGaussian(1.2), Cloud(ansatz, now.theta, *fitted)
        x = rule.points(cloud, Draws(options.samples, seed, now.step, MPI.COMM_SELF).uniform(d + 1))
        w = ansatz.value(now.theta, x) / rule.density(cloud, x)
        mean = x @ w / w.sum()
        y = x - mean[:, None]
        return *frame.back(now.t, mean, (w * y) @ y.T / w.sum()), float(w.sum() ** 2 / np.sum(w**2))

    return problem, state, in_turn(moving, present_metric), known


def run(options: argparse.Namespace, seed: int, exact: list[Moments], comm: MPI.Comm) -> dict[str, float]:
    """Time means of the relative errors of mean and covariance, and the smallest effective sample of the moments."""
    begin = time.process_time()
    problem, state, adapt, known = {"network": network, "mixture": mixture}[options.ansatz](options, seed, comm)
    errors = []
    times = np.linspace(0, options.until, options.outputs + 1)[1:]
    choices = {"times": times, "adapt": adapt, "controller": df.PI(rtol=options.rtol)}
    states = df.evolve(problem, state, until=options.until, **choices)
    for now, (mean, covariance) in zip(states, exact, strict=True):
        found_mean, found_covariance, samples = known(now)
        errors.append([
            np.linalg.norm(found_mean - mean) / np.linalg.norm(mean),
            np.linalg.norm(found_covariance - covariance) / np.linalg.norm(covariance),
            now.statistics.relative_defect, samples,
        ])  # fmt: skip
        if options.verbose and comm.rank == 0:
            print(f"  t = {now.t:.3g}, step {now.step}: {errors[-1]}, {time.process_time() - begin:.0f} s", flush=True)
    found = np.array(errors)
    result = {
        "mean_error": float(found[:, 0].mean()), "covariance_error": float(found[:, 1].mean()),
        "relative_defect": float(found[:, 2].mean()), "steps": now.step, "parameters": problem.ansatz.size,
        "seconds": round(time.process_time() - begin, 2),
    }  # fmt: skip
    return result | ({"least_samples": float(found[:, 3].min())} if options.ansatz == "network" else {})


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run and print: means over the seeds, and standard deviations with several."""
    parser = options_of(__doc__)
    parser.set_defaults(rtol=1e-3)
    parser.add_argument("--ansatz", choices=("mixture", "network"), default="mixture")
    parser.add_argument("--d", type=int)
    parser.add_argument("--seeds", type=int, default=1, help="runs, with seeds 0, 1, ...")
    parser.add_argument("--first", type=int, default=0, help="the first of these seeds")
    parser.add_argument("--points", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--bound", type=float, default=8.0, help="of the exponent, network; inf for none")
    parser.add_argument("--samples", type=int, default=2**16, help="points for the moments of the network")
    parser.add_argument("--components", type=int, help="Gaussians, an even number, by default 2 d")
    parser.add_argument("--shape", choices=("full", "diagonal", "isotropic"), default="full")
    parser.add_argument("--paths", type=int)
    parser.add_argument("--until", type=float)
    parser.add_argument("--outputs", type=int)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_known_args(argv)[0]
    quick = {"d": 2, "points": 512, "width": 6, "paths": 200_000, "until": 0.2, "outputs": 2}
    long = {"d": 5, "points": 4096, "width": 12, "paths": 1_000_000, "until": 8.0, "outputs": 32}
    for name, value in (quick if options.quick else long).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    options.components = options.components or 2 * options.d
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        times = np.linspace(0, options.until, options.outputs + 1)[1:]
        exact = paths(options.d, times, options.paths)
        seeds = range(options.first, options.first + options.seeds)
        result = over_seeds([run(options, seed, exact, comm) for seed in seeds])
        if options.ansatz == "network":
            result["frame_mean_error"], result["frame_covariance_error"] = frame_errors(options, times, exact)
        result["paths_mean_error"], result["paths_covariance_error"] = standard_errors(exact, options.paths)
        result |= {"d": options.d, "t": options.until, "paths": options.paths}
        return say(f"particles, {options.ansatz}", result, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
