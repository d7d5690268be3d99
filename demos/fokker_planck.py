"""Fokker–Planck equation of a double well: u_t = ∇·(u ∇V) + D Δu on a disk, read from a gmsh mesh.

V = (ξ² − 1)² + 3/2 η² in axes (ξ, η) turned by 30°; a Gaussian near the ridge splits into the two wells.
Reference: in its own axes the solution is a product; the factor in η is an Ornstein–Uhlenbeck Gaussian in closed form,
the one in ξ comes from quadratic finite elements in scikit-fem and a matrix exponential.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skfem
from common import arguments, errors, figure, fitted, march, report
from mpi4py import MPI
from scipy.linalg import expm

import dfpde as df
from dfpde.diagnostics import growth_rate

D = 0.4
RADIUS = 2.6  # of the domain; at its rim u is below 1e-8
MEAN, VARIANCE = np.array([0.3, 0.5]), 0.15
TURN = np.array([[np.cos(np.pi / 6), np.sin(np.pi / 6)], [-np.sin(np.pi / 6), np.cos(np.pi / 6)]])


def drift(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """∇V, (2, N), and ΔV, (N,)."""
    xi, eta = TURN @ x
    return TURN.T @ [4 * xi * (xi**2 - 1), 3 * eta], 12 * xi**2 - 4 + 3


class Reference:
    """Product solution at equal intervals of time."""

    def __init__(self, until: float, outputs: int) -> None:
        self.basis = skfem.Basis(skfem.MeshLine(np.linspace(-2.4, 2.4, 161)), skfem.ElementLineP2())
        mass = skfem.BilinearForm(lambda u, v, w: u * v).assemble(self.basis)
        flux = skfem.BilinearForm(lambda u, v, w: -(u * 4 * w.x[0] * (w.x[0] ** 2 - 1) + D * u.grad[0]) * v.grad[0])
        generator = np.linalg.solve(mass.toarray(), flux.assemble(self.basis).toarray())
        propagator = expm(until / outputs * generator)
        self.interval = until / outputs
        self.saved = [np.exp(-((self.basis.doflocs[0] - MEAN[0]) ** 2) / (2 * VARIANCE))]
        for _ in range(outputs):
            self.saved.append(propagator @ self.saved[-1])

    def __call__(self, t: float, x: np.ndarray) -> np.ndarray:
        xi, eta = TURN @ x
        first = np.zeros(x.shape[1])
        inside = abs(xi) < 2.4
        if inside.any():
            first[inside] = self.basis.probes(xi[None, inside]) @ self.saved[round(t / self.interval)]
        variance = VARIANCE * np.exp(-6 * t) + D / 3 * (1 - np.exp(-6 * t))
        second = np.exp(-((eta - MEAN[1] * np.exp(-3 * t)) ** 2) / (2 * variance)) * np.sqrt(VARIANCE / variance)
        return first * second


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run, print, draw; the time series for ParaView is out/fokker_planck.pvd."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        (rings, each, until, outputs) = (1, 6, 0.15, 3) if options.quick else (1, 8, 1.0, 10)
        file = Path(__file__).resolve().parent.parent / "meshes" / "disk.msh"
        disk = df.read_mesh(file, comm)
        unit = df.Quadrature.from_mesh(disk, 1 if options.quick else 2, comm)
        quadrature = df.Quadrature(RADIUS * unit.x, RADIUS**2 * unit.w, comm)
        angles = 2 * np.pi * np.arange(each) / each
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        centers = TURN.T @ MEAN + np.concatenate([np.zeros((1, 2)), *(0.35 * (k + 1) * circle for k in range(rings))])
        n = len(centers)
        ansatz = df.GaussianMixture.full(2, n)

        def fokker_planck(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
            slope, curvature = drift(x)
            return df.dot(slope, df.grad(u)) + u.value * curvature + D * df.laplacian(u)

        problem = df.Problem(ansatz, quadrature, fokker_planck)
        scales = ansatz.scales(np.eye(2) * 0.8 * VARIANCE)
        guess = ansatz.pack(amplitudes=np.zeros(n), centers=centers, scales=np.broadcast_to(scales, (n, 3)))
        exact = Reference(until, outputs)
        start = fitted(problem, guess, lambda x: exact(0.0, x), iterations=20)
        run = march(problem, start, until, exact, options, outputs, growth=lambda t, state: growth_rate(problem, state))
        writer = df.ParaViewWriter(options.out / "fokker_planck", disk)
        for state in run.states:
            writer.write(state.t, u=problem.field(state)(RADIUS * writer.x))
        mass = [float(quadrature.integrate(problem.field(state).value)) for state in (run.states[0], run.states[-1])]

        def draw(shown: Any) -> None:
            axes = shown.subplots(1, 4)
            side = np.linspace(-2.2, 2.2, 121)
            plane = np.stack(np.meshgrid(side, side)).reshape(2, -1)
            last = run.states[-1]
            pictures = {
                "u, t = 0": problem.field(start, plane).value,
                f"u, t = {last.t:g}": problem.field(last, plane).value,
                "reference": exact(last.t, plane),
            }
            for axis, (name, values) in zip(axes, pictures.items(), strict=False):
                axis.contourf(side, side, values.reshape(121, 121), 20)
                axis.set_aspect("equal")
                axis.set_title(name, fontsize=9)
            errors(axes[3], run)

        figure(options.out / "fokker_planck.png", comm, draw, figsize=(12, 3.2))
        return report("fokker_planck", run, comm, mass_drift=abs(mass[1] - mass[0]) / mass[0])


if __name__ == "__main__":
    main(sys.argv[1:])
