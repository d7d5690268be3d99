"""Fokker–Planck equation of a double well: u_t = ∇·(u ∇V) + D Δu on a disk, read from a gmsh mesh.

V = (ξ² − 1)² + 3/2 η² in axes (ξ, η) turned by 30°; a Gaussian near the ridge splits into the two wells.
Reference: in its own axes the solution is a product; the factor in η is an Ornstein–Uhlenbeck Gaussian in closed form,
the one in ξ comes from quadratic finite elements in scikit-fem and a matrix exponential.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skfem
from common import arguments, chosen, compare, figure, maps, output_times, report
from mpi4py import MPI
from scipy.linalg import expm

import dfpde as df

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


def fokker_planck(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
    """f."""
    slope, curvature = drift(x)
    return df.dot(slope, df.grad(u)) + u.value * curvature + D * df.laplacian(u)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, evolve, compare; the time series for ParaView is out/fokker_planck.pvd."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        n, until, outputs = (7, 0.15, 3) if options.quick else (9, 1.0, 10)
        disk = df.read_mesh(Path(__file__).resolve().parent.parent / "meshes" / "disk.msh", comm)
        unit = df.Quadrature.from_mesh(disk, 1 if options.quick else 2, comm)
        quadrature = df.Quadrature(RADIUS * unit.x, RADIUS**2 * unit.w, comm)
        ansatz = df.GaussianMixture.full(2, n)
        problem = df.Problem(ansatz, quadrature, fokker_planck)
        exact = Reference(until, outputs)

        begin = time.perf_counter()
        angles = 2 * np.pi * np.arange(n - 1) / (n - 1)  # one in the middle, the others around it
        ring = 0.35 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        centers = TURN.T @ MEAN + np.concatenate([np.zeros((1, 2)), ring])
        guess = ansatz.pack(amplitudes=0.0, centers=centers, scales=ansatz.scales(np.eye(2) * 0.8 * VARIANCE))
        start = df.fit(problem, lambda x: exact(0.0, x), guess, linear="amplitudes", max_iterations=20)

        times = output_times(until, outputs, options)
        rate = lambda t, state: df.diagnostics.growth_rate(problem, state)  # noqa: E731
        bound = df.diagnostics.ErrorBound(problem, start, start.misfit, rate)
        writer = df.ParaViewWriter(options.out / "fokker_planck", disk)
        states, bounds = [start], [start.misfit]
        for state in df.evolve(problem, start, until=times[-1], times=times[1:], every_step=True, **chosen(options)):
            bound = bound.after(state)
            if state.t in times:
                writer.write(state.t, u=problem.field(state)(RADIUS * writer.x))
                states.append(state)
                bounds.append(bound.bound)
        seconds = time.perf_counter() - begin

        run = compare(problem, states, exact, seconds, bounds)
        figure(options.out / "fokker_planck.png", comm, lambda shown: maps(shown, problem, run, exact, (-2.2, 2.2)))
        mass = [float(quadrature.integrate(problem.field(state).value)) for state in (start, states[-1])]
        return report("fokker_planck", run, comm, mass_drift=abs(mass[1] - mass[0]) / mass[0])


if __name__ == "__main__":
    main(sys.argv[1:])
