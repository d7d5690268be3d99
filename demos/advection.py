"""Linear advection u_t + b(x)·∇u = 0 in one, two and three dimensions.

    1D  b = 1 + ½ sin x on a circle        2D  rigid rotation with shear        3D  rigid rotation about (1, 1, 1)

Ansatz: Gaussians, with full precision matrices in 2D and 3D, where b is linear: they stay Gaussians, so that only time
steps make errors there.  Reference: characteristics, in closed form.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from common import arguments, equispaced, errors, figure, fitted, march, report
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

    guess = ansatz.pack(amplitudes=np.zeros(n), centers=equispaced(0, 2 * np.pi, n), scales=np.full(n, n / 6))
    return problem, fitted(problem, guess, initial), exact


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


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run, print, draw."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        until = 1.0 if options.quick else 2 * np.pi
        cells = (18, 9) if options.quick else (40, 16)
        cases = {
            "1D": on_circle(10 if options.quick else 16, comm),
            "2D": in_space(2, cells[0], comm),
            "3D": in_space(3, cells[1], comm),
        }
        result: dict[str, Any] = {}
        runs = {}
        for name, (problem, start, exact) in cases.items():
            growth = 0.25 if name == "1D" else 0.0  # ℓ = ½ max div b, as ⟨−b·∇e, e⟩ = ½ ∫ (div b) e²
            runs[name] = march(problem, start, until, exact, options, outputs=10, growth=growth)
            full = report(f"advection, {name}", runs[name], comm)
            result |= {f"{key}_{name}": full[key] for key in KEYS}
            result["seconds"] = result.get("seconds", 0.0) + full["seconds"]

        def draw(shown: Any) -> None:
            axes = shown.subplots(1, 3)
            problem, _, exact = cases["1D"]
            line, state = np.linspace(0, 2 * np.pi, 401), runs["1D"].states[-1]
            axes[0].plot(line, problem.field(state, line[None]).value, label=f"1D, t = {state.t:.3g}")
            axes[0].plot(line, exact(state.t, line[None]), "--", color="black", lw=0.8, label="exact")
            axes[0].legend(fontsize=8)
            problem, state = cases["2D"][0], runs["2D"].states[-1]
            side = np.linspace(-4, 4, 161)
            plane = np.stack(np.meshgrid(side, side)).reshape(2, -1)
            value = problem.field(state, plane).value.reshape(161, 161)
            axes[1].contourf(side, side, value, 21, cmap="RdBu_r", vmin=-1, vmax=1)
            axes[1].set_aspect("equal")
            axes[1].set_title(f"2D, t = {state.t:.3g}", fontsize=9)
            for name, run in runs.items():
                errors(axes[2], run)
                axes[2].lines[-2].set_label(name)
            axes[2].legend(fontsize=8)

        figure(options.out / "advection.png", comm, draw, figsize=(10, 3.4))
        return result | {"error": max(result[f"error_{name}"] for name in cases)}


if __name__ == "__main__":
    main(sys.argv[1:])
