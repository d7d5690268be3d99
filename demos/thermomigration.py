"""Droplets in a temperature gradient: a Cahn–Hilliard equation with thermal drift, followed by two droplets.

    u_t = ∇·(∇μ + β ρ(u) ∇T),   μ = u³ − u − ε²Δu,   ρ = (1 + u)/2,   T = T₀ + G x,   no flux through the walls

ρ is the droplets' volume fraction; their heat of transport drives them to the cold side.  The ansatz is a background
and two circular droplets, 11 parameters; the equation is taken in the mixed weak form on P2 elements,

    (μ, φ) = (u³ − u, φ) + ε²(∇u, ∇φ),   (u_t, φ) = −(∇μ, ∇φ) − β(ρ ∇T, ∇φ),

so the ansatz is never differentiated, although the equation is of fourth order.  Known without dfpde: ∫ρ is constant,
and a droplet moves as a whole with the speed −βG/2 (in the plane an equilibrium profile is a travelling solution;
between walls, the sharp-interface limit changes this by a factor 1 + δ, δ = u + 1 the supersaturation around it: 4 %).

    python demos/thermomigration.py [--quick]
    mpirun -n 2 python -m mpi4py demos/thermomigration.py
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skfem
from mpi4py import MPI
from skfem.models import laplace, mass

import dfpde as df
from dfpde import fem

ROOT = Path(__file__).resolve().parent.parent
EPS, BETA, GRADIENT = 0.04, 1.0, 0.8
SPEED = -BETA * GRADIENT / 2
LENGTH, HEIGHT = 2.0, 1.0
DROPLETS = ((1.45, 0.5, 0.25), (0.75, 0.48, 0.23))  # centre, radius
DELTA = 2 * np.sqrt(2) / 3 * EPS / (4 * 0.24)  # supersaturation in equilibrium with radius 0.24 (Gibbs–Thomson)


class Droplets(df.Ansatz):
    """u = b + Σ_i h_i (1 + tanh((R_i − |x − c_i|)/w_i)): background b, centers c, radii R, widths w, heights h."""

    dim = 2

    def __init__(self, n: int) -> None:
        self.n, self.size = n, 1 + 5 * n

    def slices(self) -> dict[str, tuple[slice, tuple[int, ...]]]:
        """Places of the blocks."""
        n = self.n
        stops = np.cumsum([0, 1, 2 * n, n, n, n]).tolist()
        shapes = [(), (n, 2), (n,), (n,), (n,)]
        names = ("background", "centers", "radii", "widths", "heights")
        return {name: (slice(stops[i], stops[i + 1]), shapes[i]) for i, name in enumerate(names)}

    def _parts(self, theta: np.ndarray, x: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
        part = self.unpack(theta)
        away = x[:, None, :] - part["centers"].T[:, :, None]
        distance = np.sqrt(np.sum(away**2, axis=0) + 1e-12)  # smooth at the centre, where tanh is 1 anyway
        step = np.tanh((part["radii"][:, None] - distance) / part["widths"][:, None])
        return part, away, distance, step

    def value(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        """u."""
        part, _, _, step = self._parts(theta, x)
        return part["background"] + part["heights"] @ (1 + step)

    def tangent(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        """∂u/∂θ."""
        part, away, distance, step = self._parts(theta, x)
        slope = (part["heights"] / part["widths"])[:, None] * (1 - step**2)
        centers = np.stack([slope * away[k] / distance for k in range(2)], axis=1).reshape(2 * self.n, -1)
        widths = -slope * (part["radii"][:, None] - distance) / part["widths"][:, None]
        return np.concatenate([np.ones((1, x.shape[1])), centers, slope, widths, 1 + step])


def model(space: fem.Space, ansatz: df.Ansatz) -> fem.SemiDiscrete:
    """The mixed weak form: one solve with the mass matrix for μ inside F."""
    stiffness, matrix = space.matrix(laplace), space.matrix(mass)
    value, (along, _) = space.evaluation
    w = space.quadrature.w
    project = fem.LinearSolver(space.nodes, space.nodes.matrix(matrix), "dfpde_fem_potential_")

    def rhs(t: float, u: np.ndarray) -> np.ndarray:
        at = value @ u
        mu = project.solve(value.T @ (w * (at**3 - at)) + EPS**2 * (stiffness @ u))
        return -(stiffness @ mu) - BETA * GRADIENT * (along.T @ (w * (1 + at) / 2))

    return fem.SemiDiscrete(ansatz, matrix, rhs, space.nodes)


def main(argv: Sequence[str] | None = None, comm: MPI.Comm = MPI.COMM_WORLD) -> dict[str, Any]:
    """Run; returns the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="coarse mesh, until t = 0.05")
    parser.add_argument("--out", type=Path, default=ROOT / "out")
    options = parser.parse_known_args(argv)[0]  # what is left is PETSc's
    with df.parallel.run(comm):
        return job(options, comm)


def job(options: argparse.Namespace, comm: MPI.Comm) -> dict[str, Any]:
    """Two droplets; the table; the picture."""
    cells, until = (32, 0.05) if options.quick else (48, 0.4)
    mesh = skfem.MeshTri.init_tensor(np.linspace(0, LENGTH, cells + 1), np.linspace(0, HEIGHT, cells // 2 + 1))
    space = fem.Space(fem.partition(mesh if comm.rank == 0 else None, comm), skfem.ElementTriP2())
    ansatz = Droplets(len(DROPLETS))
    start = df.State(0.0, ansatz.pack(
        background=DELTA - 1.0, centers=[d[:2] for d in DROPLETS], radii=[d[2] for d in DROPLETS],
        widths=np.sqrt(2) * EPS, heights=1.0,
    ))  # fmt: skip
    problem = model(space, ansatz).scaled(start)
    x, w = space.quadrature.x, space.quadrature

    def volume(state: df.State) -> float:
        return float(w.integrate((1 + ansatz.value(state.theta, x)) / 2))

    times = until * np.arange(1, 9) / 8
    how = {"regularization": df.Inertia(1e-3, 0.97), "controller": df.PI(rtol=1e-4)}
    states = [start, *df.evolve(problem, start, until=until, times=times, **how)]
    volumes, t = np.array([volume(state) for state in states]), np.array([state.t for state in states])
    places = np.array([ansatz.unpack(state.theta)["centers"][:, 0] for state in states])
    speeds = np.polyfit(t, places, 1)[0]
    figures = {
        "parameters": ansatz.size, "unknowns": space.nodes.size, "steps": states[-1].step, "speeds": speeds,
        "speed_exact": SPEED, "error": float(np.abs(speeds / SPEED - 1).max()),
        "volume_drift": float(np.ptp(volumes) / volumes[0]),
        "radii": [ansatz.unpack(s.theta)["radii"].tolist() for s in (states[0], states[-1])],
        "centers": ansatz.unpack(states[-1].theta)["centers"].tolist(), "theta": states[-1].theta,
    }  # fmt: skip
    if comm.rank == 0:
        print(f"{figures['parameters']} parameters for {figures['unknowns']} nodes, {figures['steps']} steps")
        print(f"speeds of the droplets {np.round(speeds, 4)}, −βG/2 = {SPEED:.4f}: within {figures['error']:.1e}")
        print(f"volume drift {figures['volume_drift']:.1e}, radii {np.round(figures['radii'], 4).tolist()}")
        draw(options.out, ansatz, states)
    return figures


def draw(out: Path, ansatz: Droplets, states: list[df.State]) -> None:
    """u at the start, half-way and at the end."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    a, b = np.meshgrid(np.linspace(0, LENGTH, 161), np.linspace(0, HEIGHT, 81))
    figure, axes = plt.subplots(1, 3, figsize=(12, 2.4), layout="constrained")
    for axis, state in zip(axes, (states[0], states[len(states) // 2], states[-1]), strict=True):
        values = ansatz.value(state.theta, np.stack([a.ravel(), b.ravel()])).reshape(a.shape)
        drawn = axis.pcolormesh(a, b, values, cmap="RdBu_r", vmin=-1.1, vmax=1.1, shading="gouraud")
        axis.set_aspect("equal")
        axis.set_title(f"u, t = {state.t:g} (cold left, hot right)", fontsize=9)
    figure.colorbar(drawn, ax=axes)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "thermomigration.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main(sys.argv[1:])
