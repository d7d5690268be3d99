"""Particles in a harmonic trap, d = 8 or 10: points that follow the solution, and integrals in closed form.

u_t = Σ_i ∂_i[((x_i − a(t)) + α (x_i − x̄)) u] + D Δu, x̄ the mean of the x_i, a = 1.25 (sin πt + 1.5), α = 0.25,
D = 0.01, from a Gaussian of mean 0.9 … 3.0 and covariance 0.1 I (J. Bruna, B. Peherstorfer, E. Vanden-Eijnden,
arXiv 2203.01360).
Gaussians stay Gaussian: mean and covariance solve linear equations, the reference here.

identical  30 isotropic Gaussians, all the same at the start: the tangent has collapsed to one of them
split      the same, set apart by less than the tolerance (`dfpde.ansatz.split`)
full       2 full Gaussians, identical at the start, all integrals in closed form

The Gaussians of `identical` and `split` have positive amplitudes (`--signed`: of any sign), and their mass is kept by a
constraint; that of `full` is left to the equation; `--mass` changes it.  Amplitudes grow by four orders of magnitude,
so the metric of the parameters is taken at every step; half of the points go to all components alike, as those of
little mass get none otherwise, and leave.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from common import options_of, over_seeds, say
from mpi4py import MPI
from scipy.integrate import solve_ivp

import dfpde as df
from dfpde.ansatz.mixtures import moments
from dfpde.closed_form import ClosedForm, Operator
from dfpde.constraints import Conserving
from dfpde.diagnostics import ParameterFunctional
from dfpde.measures import Components, Draws, Moving, fisher, in_turn, present_metric

ALPHA, D, VARIANCE = 0.25, 0.01, 0.1


@dataclass(frozen=True)
class Trap:
    """The equation in d dimensions, with mean and covariance of its solution."""

    d: int
    until: float

    def __post_init__(self) -> None:
        d, eye = self.d, np.eye(self.d)
        rate = (1 + ALPHA) * eye - ALPHA / d * np.ones((d, d))

        def moments_of(t: float, y: np.ndarray) -> np.ndarray:
            mean, c = y[:d], y[d:].reshape(d, d)
            return np.append(center(t) - rate @ mean, (2 * D * eye - rate @ c - c @ rate.T).ravel())

        start = np.append(np.linspace(0.9, 3.0, d), VARIANCE * eye.ravel())
        solved = solve_ivp(moments_of, (0, self.until), start, rtol=1e-11, atol=1e-13, dense_output=True)
        object.__setattr__(self, "rate", rate)
        object.__setattr__(self, "solved", solved.sol)

    def operator(self, t: float) -> Operator:
        """Right-hand side at time t."""
        return Operator.ornstein_uhlenbeck(self.rate, center(t) * np.ones(self.d), D * np.eye(self.d))

    def rhs(self, t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
        """The same at points, with the Laplacian alone of the second derivatives."""
        return df.dot(self.rate @ x - center(t), df.grad(u)) + np.trace(self.rate) * u.value + D * df.laplacian(u)

    def exact(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance."""
        y = self.solved(t)
        return y[: self.d], y[self.d :].reshape(self.d, self.d)


def center(t: float) -> float:
    """a(t)."""
    return 1.25 * (np.sin(np.pi * t) + 1.5)


def sampled(trap: Trap, share: float | None, options: argparse.Namespace, seed: int, comm: MPI.Comm) -> tuple[Any, ...]:
    """Problem, start and adapt of n isotropic Gaussians, set apart by a share of the covariance."""
    d, n = trap.d, options.components
    ansatz = (df.GaussianMixture if options.signed else df.ansatz.PositiveMixture).isotropic(d, n)
    mean = trap.exact(0.0)[0]
    amplitude = (2 * np.pi * VARIANCE) ** (-d / 2) / n
    scales = ansatz.scales(VARIANCE * np.eye(d))
    theta = ansatz.pack(**ansatz.by_amplitudes(amplitude), centers=mean, scales=scales)
    if share is not None:
        theta = df.ansatz.split(ansatz, theta, share, seed)
    z = Draws(options.points, seed, 0, comm).normal(d)
    q = np.exp(-0.5 * np.sum(z**2, axis=0)) / (2 * np.pi * VARIANCE) ** (d / 2)
    first = df.Quadrature.samples(mean[:, None] + np.sqrt(VARIANCE) * z, q, comm)
    shape = Components(options.widen, options.even)
    moving = Moving(shape, options.points, seed, fisher, candidates=options.candidates)
    problem, state = moving.start(df.Problem(ansatz, first, trap.rhs), df.State(0.0, theta))
    return problem, state, in_turn(moving, present_metric)


def closed(trap: Trap, comm: MPI.Comm) -> tuple[Any, ...]:
    """Model and start of two identical full Gaussians."""
    ansatz = df.GaussianMixture.full(trap.d, 2)
    amplitude = (2 * np.pi * VARIANCE) ** (-trap.d / 2) / 2
    scales = ansatz.scales(VARIANCE * np.eye(trap.d))
    theta = ansatz.pack(amplitudes=amplitude, centers=trap.exact(0.0)[0], scales=scales)
    return ClosedForm(ansatz, trap.operator, comm=comm), df.State(0.0, theta), present_metric


def run(trap: Trap, case: str, options: argparse.Namespace, seed: int, comm: MPI.Comm) -> dict[str, float]:
    """Time means of the relative errors of mean and covariance, and the largest error of the mass."""
    begin = time.process_time()
    share = {"identical": None, "split": np.sqrt(0.5 * options.rtol)}
    problem, state, adapt = closed(trap, comm) if case == "full" else sampled(trap, share[case], options, seed, comm)
    rtol = min(options.rtol, 2e-9) if case == "full" else options.rtol
    times = np.linspace(0, trap.until, options.outputs + 1)[1:]
    errors, isotropic = [], []
    whole = moments.mass(problem.ansatz, state.theta)
    choices = {"adapt": adapt, "controller": df.PI(rtol=rtol)}
    if (options.mass or ("free" if case == "full" else "kept")) == "kept":
        mass = ParameterFunctional.mass(problem.ansatz)
        held = Conserving(problem, (mass,), df.AutoInertia(), state)
        choices |= {"regularization": held, "integrator": held.integrator(df.DormandPrince)}
    for now in df.evolve(problem, state, until=trap.until, times=times, **choices):
        mean, covariance = trap.exact(now.t)
        size = np.linalg.norm(covariance)
        errors.append([
            np.linalg.norm(moments.mean(problem.ansatz, now.theta) - mean) / np.linalg.norm(mean),
            np.linalg.norm(moments.covariance(problem.ansatz, now.theta) - covariance) / size,
            abs(moments.mass(problem.ansatz, now.theta) / whole - 1),
        ])  # fmt: skip
        isotropic.append(np.linalg.norm(covariance - np.trace(covariance) / trap.d * np.eye(trap.d)) / size)
        if options.verbose and comm.rank == 0:
            print(f"  t = {now.t:.3g}, step {now.step}: {errors[-1]}, {time.process_time() - begin:.0f} s", flush=True)
    found = np.array(errors)
    return {
        "mean_error": float(found[:, 0].mean()), "covariance_error": float(found[:, 1].mean()),
        "mass_drift": float(found[:, 2].max()), "best_isotropic": float(np.mean(isotropic)), "steps": now.step,
        "seconds": round(time.process_time() - begin, 2),
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the cases, print one line for each: means over the seeds, and standard deviations with several."""
    parser = options_of(__doc__)
    parser.set_defaults(rtol=1e-4)
    parser.add_argument("--d", type=int, default=8)
    parser.add_argument("--case", choices=("identical", "split", "full"), action="append")
    parser.add_argument("--seeds", type=int, default=1, help="runs, with seeds 0, 1, ...")
    parser.add_argument("--first", type=int, default=0, help="the first of these seeds")
    parser.add_argument("--points", type=int)
    parser.add_argument("--components", type=int, default=30)
    parser.add_argument("--widen", type=float, default=1.2)
    parser.add_argument("--even", type=float, default=0.5, help="share of the points that all components get alike")
    parser.add_argument("--candidates", type=int, default=1, help="points drawn for each that is chosen by leverage")
    parser.add_argument("--signed", action="store_true", help="amplitudes of any sign")
    parser.add_argument("--mass", choices=("kept", "free"), help="by a constraint, or left to the equation")
    parser.add_argument("--until", type=float, default=8.0)
    parser.add_argument("--outputs", type=int, default=32)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_known_args(argv)[0]
    if options.quick:
        options.d, options.until, options.outputs, options.components = 4, 0.25, 2, 10
    options.points = options.points or (512 if options.quick else 4096)
    comm, results = MPI.COMM_WORLD, {}
    with df.parallel.run(comm):
        trap, seeds = Trap(options.d, options.until), range(options.first, options.first + options.seeds)
        for case in options.case or ("identical", "split", "full"):
            runs = [run(trap, case, options, seed, comm) for seed in seeds[: 1 if case == "full" else None]]
            results[case] = say(f"trap, {case}", over_seeds(runs) | {"d": trap.d, "t": trap.until}, comm)
    return results


if __name__ == "__main__":
    warnings.simplefilter("once")
    main(sys.argv[1:])
