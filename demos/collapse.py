"""Collapsing tangents: three solutions that pass a point where ∂Φ/∂θ loses rank.

    cubic      u = θ³ φ(x),  u_t = φ,  θ(0) = −1: at θ = 0 the tangent vanishes
    sines      u = sin θ₁ sin x + sin θ₂ cos x,  u_t = −u_x − u + s,  θ₁ = θ₂ = t: cos θ = 0 at t = π/2, 3π/2
    collision  p_t = q_x, q_t = p_x, two Gaussians each, that meet at t = 2: their tangents coincide

Sines and collision after Raviola and Peherstorfer, arXiv 2605.00284, A.2 and A.1; there u_tt = u_xx, written here for
(p, q) = (u_x, u_t).  References: closed forms.  Each is run with automatic inertia and step control, and at fixed steps
with inertia and with Tikhonov regularization of the same size; the difference is the point.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from common import Run, arguments, chosen, compare, figure, output_times, report, with_bound
from mpi4py import MPI

import dfpde as df

EPS, RHO = 0.1, 1.0


class Cubic(df.Ansatz):
    """u = θ³ exp(−x²)."""

    dim, size = 1, 1

    def value(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        return theta[0] ** 3 * np.exp(-x[0] ** 2)

    def tangent(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        return 3 * theta[0] ** 2 * np.exp(-x**2)


class Sines(df.Ansatz):
    """u = sin θ₁ sin x + sin θ₂ cos x."""

    dim, size = 1, 2

    def value(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.sin(theta[0]) * np.sin(x[0]) + np.sin(theta[1]) * np.cos(x[0])

    def gradient(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.sin(theta[0]) * np.cos(x) - np.sin(theta[1]) * np.sin(x)

    def tangent(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.array([np.cos(theta[0]) * np.sin(x[0]), np.cos(theta[1]) * np.cos(x[0])])


Case = tuple[df.Problem, df.State, float, Callable[[float, np.ndarray], np.ndarray]]


def cubic(comm: MPI.Comm) -> Case:
    """u = (t − 1) exp(−x²)."""
    problem = df.Problem(Cubic(), df.Quadrature.gauss((-5, 5), 40, 5, comm), lambda t, x, u: np.exp(-x[0] ** 2))
    return problem, df.State(0.0, np.array([-1.0])), 2.0, lambda t, x: (t - 1) * np.exp(-x[0] ** 2)


def sines(comm: MPI.Comm) -> Case:
    """u = sin t (sin x + cos x), plus the decay of a perturbed start: δ e^{−t} sin(x − t)."""
    delta = 0.01

    def source(t: float, x: np.ndarray) -> np.ndarray:
        s, c = np.sin(x[0]), np.cos(x[0])
        return np.cos(t) * (s + c) + np.sin(t) * (c - s) + np.sin(t) * (s + c)

    def exact(t: float, x: np.ndarray) -> np.ndarray:
        return np.sin(t) * (np.sin(x[0]) + np.cos(x[0])) + delta * np.exp(-t) * np.sin(x[0] - t)

    q = df.Quadrature.periodic((0, 2 * np.pi), 64, comm)
    problem = df.Problem(Sines(), q, lambda t, x, u: source(t, x) - u.value - u.gradient[0])
    return problem, df.State(0.0, np.array([np.arcsin(delta), 0.0])), 6.0, exact


def collision(comm: MPI.Comm) -> Case:
    """p = f(x − t) + f(x + t), q = −f(x − t) + f(x + t), f a Gaussian each from −2 and from 2."""
    pair = df.GaussianMixture.isotropic(1, 2)
    ansatz = df.Stack(pair, pair, names=("p", "q"))

    def exact(t: float, x: np.ndarray) -> np.ndarray:
        right, left = np.exp(-2 * (x[0] + 2 - t) ** 2), np.exp(-2 * (x[0] - 2 + t) ** 2)
        return np.array([right + left, left - right])

    problem = df.Problem(ansatz, df.Quadrature.gauss((-12, 12), 120, 5, comm), lambda t, x, u: u.gradient[0, ::-1])
    blocks = {"centers": np.array([[-2.0], [2.0]]), "scales": np.full(2, 2.0)}
    parts = [pair.pack(amplitudes=np.array(a), **blocks) for a in ([1.0, 1.0], [-1.0, 1.0])]
    return problem, df.State(0.0, np.concatenate(parts)), 4.0, exact


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Evolve and compare, each case in three ways."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        fixed = {"controller": df.Fixed(0.02 if options.quick else 0.0025), "integrator": df.RK4}
        ways = {
            "auto": chosen(options),
            "inertia": {"regularization": df.Inertia(EPS, RHO), **fixed},
            "tikhonov": {"regularization": df.Tikhonov(EPS), **fixed},
        }
        runs: dict[str, dict[str, Run]] = {}
        result: dict[str, Any] = {"seconds": 0.0}
        for case in (cubic, sines, collision):
            problem, start, until, exact = case(comm)
            name, rate, times = case.__name__, -1.0 if case is sines else 0.0, output_times(until, 40, options)
            runs[name] = {}
            for way, how in ways.items():
                begin = time.perf_counter()
                first = problem.quadrature.norm(problem.field(start).value - exact(0.0, problem.points))
                bound = df.diagnostics.ErrorBound(problem, start, first, rate)
                steps = df.evolve(problem, start, until=times[-1], times=times[1:], every_step=True, **how)
                states, bounds = with_bound(bound, start, first, steps, times)
                runs[name][way] = compare(problem, states, exact, time.perf_counter() - begin, bounds)
                full = report(f"collapse, {name}, {way}", runs[name][way], comm)
                keys = ("error", "error_end", "bound_end", "bound_holds", "steps", "rejected")
                result |= {f"{key}_{name}_{way}": full[key] for key in keys}
                result["seconds"] += full["seconds"]
        figure(options.out / "collapse.png", comm, lambda shown: draw(shown, runs), figsize=(10, 3.6))
        return result


def draw(shown: Any, runs: dict[str, dict[str, Run]]) -> None:
    """Errors over time, a panel for each case."""
    for axis, (name, each) in zip(shown.subplots(1, 3), runs.items(), strict=True):
        for way, run in each.items():
            axis.semilogy(run.times, run.errors / run.norms.max() + 1e-16, label=way)
        axis.set_title(name)
        axis.set_xlabel("t")
        axis.grid(alpha=0.3)
    axis.legend()
    shown.suptitle("error relative to the largest $\\Vert u \\Vert$", fontsize=9)


if __name__ == "__main__":
    main(sys.argv[1:])
