"""Linear advection u_t + b(x)·∇u = 0 in one, two and three dimensions.

    1D  b = 1 + ½ sin x on a circle        2D  rigid rotation with shear        3D  rigid rotation about (1, 1, 1)

Ansatz: Gaussians, with full precision matrices in 2D and 3D, where b is linear: they stay Gaussians, so that only time
steps make errors there.  Reference: characteristics, in closed form.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from common import Run, arguments, chosen, compare, equispaced, errors, figure, output_times, report, with_bound
from mpi4py import MPI
from scipy.linalg import expm

import dfpde as df

Case = tuple[df.Problem, df.State, Callable[[float, np.ndarray], np.ndarray]]
KEYS = ("error", "error_end", "bound_end", "bound_holds", "steps", "rejected")
FLOW = {2: np.array([[0.0, -1.0], [2.0, 0.0]]), 3: np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)}


def on_circle(n: int, comm: MPI.Comm) -> Case:
    """dx/dt = 1 + ½ sin x: (sin x/2, cos x/2) is, up to a factor, the solution of a linear equation."""
    ansatz = df.PeriodicGaussianMixture.isotropic([2 * np.pi], n)
    problem = df.Problem(
        ansatz, df.Quadrature.periodic((0, 2 * np.pi), 400, comm), lambda t, x, u: -(1 + 0.5 * np.sin(x[0])) * df.dx(u)
    )

    def initial(x: np.ndarray) -> np.ndarray:
        return np.exp(2 * np.cos(x[0] - 2) - 2) + 0.3 * np.sin(x[0]) ** 2

    def exact(t: float, x: np.ndarray) -> np.ndarray:
        # tan(x/2) obeys y' = ½ (1 + y + y²), which (s, c) with y = s/c turns into s' = s/4 + c/2, c' = −s/2 − c/4
        matrix = expm(-t * np.array([[0.25, 0.5], [-0.5, -0.25]]))
        s, c = matrix @ [np.sin(x[0] / 2), np.cos(x[0] / 2)]
        return initial(2 * np.arctan2(s, c)[None])

    guess = ansatz.pack(amplitudes=0.0, centers=equispaced(0, 2 * np.pi, n), scales=n / 6)
    return problem, df.fit(problem, initial, guess, linear="amplitudes"), exact


def in_space(dim: int, cells: int, comm: MPI.Comm) -> Case:
    """b = A x: u(t, x) = u₀(e^{−tA} x); two Gaussians."""
    flow = FLOW[dim]
    ansatz = df.GaussianMixture.full(dim, 2)
    box = [(-4.5, 4.5)] * dim
    problem = df.Problem(
        ansatz, df.Quadrature.gauss(box, cells, 3, comm), lambda t, x, u: -df.dot(flow @ x, df.grad(u))
    )
    covariances = np.array([np.diag([0.3, 0.6, 0.4][:dim]), np.diag([0.5, 0.2, 0.3][:dim])])
    centers = np.array([[1.5, 0.3, 0.0], [-1.0, 0.8, 0.5]])[:, :dim]
    amplitudes = np.array([1.0, -0.7])
    theta = ansatz.pack(amplitudes=amplitudes, centers=centers, scales=ansatz.scales(covariances))

    def exact(t: float, x: np.ndarray) -> np.ndarray:
        y = (expm(-t * flow) @ x)[None] - centers[:, :, None]
        return amplitudes @ np.exp(-0.5 * np.einsum("ikn,ikl,iln->in", y, np.linalg.inv(covariances), y))

    return problem, df.State(0.0, theta), exact


def draw(shown: Any, cases: dict[str, Case], runs: dict[str, Run]) -> None:
    """The ends in 1D and 2D, errors over time."""
    left, middle, right = shown.subplots(1, 3)
    problem, _, exact = cases["1D"]
    line, state = np.linspace(0, 2 * np.pi, 401), runs["1D"].states[-1]
    left.plot(line, problem.field(state, line[None]).value, label=f"1D, t = {state.t:.3g}")
    left.plot(line, exact(state.t, line[None]), "--", color="black", lw=0.8, label="exact")
    left.legend(fontsize=8)
    state, side = runs["2D"].states[-1], np.linspace(-4, 4, 161)
    u = cases["2D"][0].field(state, np.stack(np.meshgrid(side, side)).reshape(2, -1)).value.reshape(161, 161)
    middle.contourf(side, side, u, 21, cmap="RdBu_r", vmin=-1, vmax=1)
    middle.set_aspect("equal")
    middle.set_title(f"2D, t = {state.t:.3g}", fontsize=9)
    for name, run in runs.items():
        errors(right, run)
        right.lines[-2].set_label(name)
    right.legend(fontsize=8)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, evolve, compare, in each dimension."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        until, n, flat, deep = (1.0, 10, 18, 9) if options.quick else (2 * np.pi, 16, 40, 16)
        cases = {"1D": on_circle(n, comm), "2D": in_space(2, flat, comm), "3D": in_space(3, deep, comm)}
        times = output_times(until, 10, options)
        runs: dict[str, Run] = {}
        result: dict[str, Any] = {"seconds": 0.0}
        for name, (problem, start, exact) in cases.items():
            begin = time.perf_counter()
            rate = 0.25 if name == "1D" else 0.0  # ℓ = ½ max div b, as ⟨−b·∇e, e⟩ = ½ ∫ (div b) e²
            first = problem.quadrature.norm(problem.field(start).value - exact(0.0, problem.points))
            bound = df.diagnostics.ErrorBound(problem, start, first, rate)
            steps = df.evolve(problem, start, until=times[-1], times=times[1:], every_step=True, **chosen(options))
            states, bounds = with_bound(bound, start, first, steps, times)
            runs[name] = compare(problem, states, exact, time.perf_counter() - begin, bounds)
            full = report(f"advection, {name}", runs[name], comm)
            result |= {f"{key}_{name}": full[key] for key in KEYS}
            result["seconds"] += full["seconds"]
        figure(options.out / "advection.png", comm, lambda shown: draw(shown, cases, runs), figsize=(10, 3.4))
        return result | {"error": max(result[f"error_{name}"] for name in cases)}


if __name__ == "__main__":
    main(sys.argv[1:])
