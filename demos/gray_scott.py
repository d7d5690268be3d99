"""Gray–Scott reaction and diffusion of two spots in the plane, on a gmsh mesh.

    u_t = D_u Δu − u v² + F (1 − u),    v_t = D_v Δv + u v² − (F + k) v,    unknowns (w, v) with w = 1 − u

Ansatz: Gaussians for w and v; both vanish towards the rim, so there is no boundary condition.
Reference: values of fine finite elements (scikit-fem) at 300 points, made by gray_scott_reference.py.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, errors, figure, fitted, march, report
from gray_scott_reference import DIFFUSION, FEED, KILL, RADIUS, SPOTS, initial
from mpi4py import MPI

import dfpde as df


def centers(rings: int) -> np.ndarray:
    """Around each spot: its center and rings of six."""
    angles = np.pi / 3 * np.arange(6)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    around = np.concatenate([np.zeros((1, 2)), *(0.25 * (k + 1) * circle for k in range(rings))])
    return np.concatenate([np.array([a, b]) + around for a, b, _ in SPOTS])


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run, print, draw."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        folder = Path(__file__).resolve().parent
        saved = np.load(folder / "gray_scott.npz")
        times, points, values = saved["times"], saved["points"], saved["values"]
        outputs = 1 if options.quick else len(times) - 1
        middle = centers(1 if options.quick else 2)
        n = len(middle)

        disk = df.read_mesh(folder.parent / "meshes" / "disk.msh", comm)
        unit = df.Quadrature.from_mesh(disk, 1 if options.quick else 2, comm)
        quadrature = df.Quadrature(RADIUS * unit.x, RADIUS**2 * unit.w, comm)
        part = df.GaussianMixture.isotropic(2, n)
        ansatz = df.Stack(part, part, names=("w", "v"))

        def gray_scott(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
            w, v = u.value
            lap_w, lap_v = df.laplacian(u)
            reaction = (1 - w) * v**2
            return np.array(
                [DIFFUSION[0] * lap_w + reaction - FEED * w, DIFFUSION[1] * lap_v + reaction - (FEED + KILL) * v]
            )

        problem = df.Problem(ansatz, quadrature, gray_scott)
        guess = np.tile(part.pack(amplitudes=np.zeros(n), centers=middle, scales=np.full(n, 4.5)), 2)
        start = fitted(problem, guess, initial, iterations=20)
        mine = slice(comm.rank * len(points.T) // comm.size, (comm.rank + 1) * len(points.T) // comm.size)
        probes = df.Quadrature(points[:, mine], np.full(points[:, mine].shape[1], 1.0), comm)

        def exact(t: float, x: np.ndarray) -> np.ndarray:
            return values[np.argmin(abs(times - t))][:, mine]

        run = march(problem, start, times[outputs], exact, options, outputs, where=probes)

        def draw(shown: Any) -> None:
            axes = shown.subplots(1, 4)
            side = np.linspace(-1.6, 1.6, 121)
            plane = np.stack(np.meshgrid(side, side)).reshape(2, -1)
            for axis, state in zip(axes, (run.states[0], run.states[-1]), strict=False):
                axis.contourf(side, side, problem.field(state, plane).value[1].reshape(121, 121), 20)
                axis.set_title(f"v, t = {state.t:g}", fontsize=9)
                axis.set_aspect("equal")
            last = run.states[-1]
            axes[2].plot(exact(last.t, points).T, problem.field(last, points[:, mine]).value.T, ".")
            axes[2].set_title("solution against reference", fontsize=9)
            errors(axes[3], run)

        figure(options.out / "gray_scott.png", comm, draw, figsize=(12, 3.2))
        return report("gray_scott", run, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
