"""Gray–Scott reaction and diffusion of two spots in the plane, by finite elements and Gaussians.

    u_t = D_u Δu − u v² + F (1 − u),    v_t = D_v Δv + u v² − (F + k) v,    unknowns (w, v) with w = 1 − u

P2 elements on a gmsh mesh step the field, diffusion implicitly and reactions explicitly (`df.fem.ImplicitExplicit`);
`df.FieldStep` finds the Gaussians for w and v that are nearest to the nodal values.  With --stages, or
an --eps, Dirac–Frenkel stages instead.
Reference: values of fine finite elements (scikit-fem) at 300 points, made by gray_scott_reference.py.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skfem
from common import arguments, chosen, compare, errors, figure, report
from gray_scott_reference import DIFFUSION, FEED, KILL, RADIUS, SPOTS, initial
from mpi4py import MPI
from skfem.models import laplace, mass

import dfpde as df
from dfpde import fem


def centers(rings: int) -> np.ndarray:
    """Around each spot: its center and rings of six."""
    angles = np.pi / 3 * np.arange(6)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    around = np.concatenate([np.zeros((1, 2)), *(0.25 * (k + 1) * circle for k in range(rings))])
    return np.concatenate([np.array([a, b]) + around for a, b, _ in SPOTS])


def reactions(t: float, values: np.ndarray) -> np.ndarray:
    """What is not diffusion, at the nodes."""
    w, v = values
    gain = (1 - w) * v**2
    return np.array([gain - FEED * w, gain - (FEED + KILL) * v])


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, evolve, compare."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        folder = Path(__file__).resolve().parent
        saved = np.load(folder / "gray_scott.npz")
        times, points, values = saved["times"], saved["points"], saved["values"]
        times = times[: 2 if options.quick else options.stop and options.stop + 1]
        middle = centers(1 if options.quick else 2)
        rtol = max(options.rtol, 1e-3)  # no finer than the ansatz
        part = df.GaussianMixture.isotropic(2, len(middle))
        ansatz = df.Stack(part, part, names=("w", "v"))

        disk = None
        if comm.rank == 0:
            disk = skfem.Mesh.load(folder.parent / "meshes" / "disk.msh").scaled(RADIUS)
        if comm.rank == 0 and options.quick:
            disk = skfem.MeshTri.init_circle(4).scaled(2.0)  # the spots stay within 1.6 for that long
        space = fem.Space(fem.partition(disk, comm), skfem.ElementTriP2())
        m, k = space.matrix(mass), space.matrix(laplace)
        load = lambda t, u: reactions(t, u) @ m.T  # noqa: E731
        model = fem.StiffModel(space.nodes, m, [d * k for d in DIFFUSION], load)
        problem = fem.SemiDiscrete(ansatz, m, lambda t, u: load(t, u) - model.apply_stiffness(u), space.nodes)

        begin = time.perf_counter()
        guess = np.tile(part.pack(amplitudes=0.0, centers=middle, scales=4.5), 2)
        linear = [name for name in ansatz.slices() if name.endswith("amplitudes")]
        start = df.fit(problem, initial, guess, linear=linear, max_iterations=20)
        stepper = fem.ImplicitExplicit(model)
        how = chosen(options, stepper, substeps=1) | {"controller": df.PI(rtol=rtol)}
        states = [start, *df.evolve(problem, start, until=times[-1], times=times[1:], **how)]
        seconds = time.perf_counter() - begin

        mine = slice(comm.rank * len(points.T) // comm.size, (comm.rank + 1) * len(points.T) // comm.size)
        probes = df.Quadrature(points[:, mine], np.ones(points[:, mine].shape[1]), comm)
        exact = lambda t, x: values[np.argmin(abs(saved["times"] - t))][:, mine]  # noqa: E731
        run = compare(problem, states, exact, seconds, where=probes)

        def draw(shown: Any) -> None:
            axes = shown.subplots(1, 4)
            side = np.linspace(-1.6, 1.6, 121)
            plane = np.stack(np.meshgrid(side, side)).reshape(2, -1)
            for axis, state in zip(axes, (states[0], states[-1]), strict=False):
                axis.contourf(side, side, problem.field(state, plane).value[1].reshape(121, 121), 20)
                axis.set_title(f"v, t = {state.t:g}", fontsize=9)
                axis.set_aspect("equal")
            last = states[-1]
            axes[2].plot(exact(last.t, points).T, problem.field(last, points[:, mine]).value.T, ".")
            axes[2].set_title("solution against reference", fontsize=9)
            errors(axes[3], run)

        figure(options.out / "gray_scott.png", comm, draw, figsize=(12, 3.2))
        return report("gray_scott", run, comm, rtol=rtol)


if __name__ == "__main__":
    main(sys.argv[1:])
