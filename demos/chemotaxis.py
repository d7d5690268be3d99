"""Cells that follow a signal they make themselves, on a ring: a mixture for the cells, finite elements for the signals.

    n_t = Δn − ∇·(n∇c),   ε c_t = Δc − c + w,   ε w_t = τΔw − w + n,   no flux through the boundaries

(Keller–Segel with indirect signal production.)  n is a sum of Gaussians with images behind both circles, followed in
the weak form (n_t, v) = (n∇c − ∇n, ∇v) on P2 elements, which needs no derivative of the ansatz and conserves mass up to
the defect.  c and w are P2 functions on the same mesh: for ε = 0 two elliptic solves in every stage, for ε > 0 BDF2.
The reference is demos/references/chemotaxis_reference.py, plain scikit-fem on a finer mesh.

    python demos/chemotaxis.py [--quick]
    mpirun -n 2 python -m mpi4py demos/chemotaxis.py
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skfem
from mirrored import Mirrored, inversion
from mpi4py import MPI
from skfem.helpers import dot, grad
from skfem.models import laplace, mass

import dfpde as df
from dfpde import fem
from dfpde.leastsquares import default_solver

ROOT = Path(__file__).resolve().parent.parent
MESH = ROOT / "meshes" / "annulus.msh"
REFERENCE = ROOT / "demos" / "references" / "chemotaxis.npz"
TAU = 0.1
DROPS = ((120.0, 0.62, 0.0, 0.12), (75.0, -0.2, 0.6, 0.14))  # height, centre, width
IMAGES = [inversion((0, 0), 1.0), inversion((0, 0), 0.3)]
EPS = 3e-5  # of a step, relative to ‖n‖; the best of 3e-4, 1e-4, …, 3e-6 for both errors and the mass
EPSILONS = (0.0125, 0.00625, 0.003125)


def initial(x: np.ndarray) -> np.ndarray:
    """Two drops of cells."""
    return sum(a * np.exp(-0.5 * ((x[0] - p) ** 2 + (x[1] - q) ** 2) / s**2) for a, p, q, s in DROPS)


class Signals:
    """w and c on the space: the elliptic limit for ε = 0, BDF2 with a fixed step h for ε > 0."""

    def __init__(self, space: fem.Space, eps: float, h: float) -> None:
        self.space, self.eps, self.h = space, eps, h
        weak = skfem.BilinearForm(lambda u, v, w: dot(grad(u), grad(v)) + u * v)
        slow = skfem.BilinearForm(lambda u, v, w: TAU * dot(grad(u), grad(v)) + u * v)
        self.limit = [fem.Elliptic(space, form) for form in (slow, weak)]
        self.mass = space.matrix(mass)
        self.steppers = [
            [fem.LinearSolver(space.nodes, space.nodes.matrix(space.matrix(form) + lead * eps / h * self.mass),
                              "dfpde_fem_signal_", pc="gamg", rtol=1e-11) for form in (slow, weak)]
            for lead in (1.0, 1.5)
        ] if eps else []  # fmt: skip
        self.history: list[list[np.ndarray]] = []

    def steady(self, n: np.ndarray) -> list[np.ndarray]:
        """(w, c) of the limit for nodal values n."""
        value = self.space.evaluation[0]
        w = self.limit[0].solve(value @ n)
        return [w.nodal, self.limit[1].solve(w.value).nodal]

    def start(self, n: np.ndarray) -> None:
        """Well-prepared: the limit's w and c."""
        self.history = [self.steady(n)]

    def advance(self, n: np.ndarray) -> None:
        """One step of w, then of c, with n at its end."""
        now = self.history[-1]
        if len(self.history) == 1:
            old, solvers = now, self.steppers[0]
        else:
            old = [2 * a - 0.5 * b for a, b in zip(now, self.history[-2], strict=True)]
            solvers = self.steppers[1]
        rate = self.eps / self.h
        w = solvers[0].solve(self.mass @ (rate * old[0] + n))
        c = solvers[1].solve(self.mass @ (rate * old[1] + w))
        self.history = [now, [w, c]]

    def ahead(self, s: float) -> np.ndarray:
        """c at s steps after the last one, extrapolated linearly."""
        now = self.history[-1][1]
        return now if len(self.history) == 1 else now + s * (now - self.history[-2][1])


def cells(space: fem.Space, drops: int) -> tuple[fem.SemiDiscrete, df.State, dict[str, Any]]:
    """The model of n for a signal c that is set from outside (key "c": a function of t and n), and its start."""
    gaussians = df.GaussianMixture.full(2, 2 * drops)
    stiffness, (value, slopes), w = space.matrix(laplace), space.evaluation, space.quadrature.w
    signal: dict[str, Any] = {}

    def rhs(t: float, n: np.ndarray) -> np.ndarray:
        c, load = signal["c"](t, n), -(stiffness @ n)
        carried = w * (value @ n)
        for slope in slopes:
            load += slope.T @ (carried * (slope @ c))
        return load

    problem = fem.SemiDiscrete(Mirrored(gaussians, IMAGES), space.matrix(mass), rhs, space.nodes)
    angle = 2 * np.pi * np.arange(drops) / drops
    ring = 0.7 * (1 + np.arange(drops) % 2)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    guess = gaussians.pack(
        amplitudes=np.concatenate([np.full(drops, a / drops) for a, *_ in DROPS]),
        centers=np.concatenate([np.array([p, q]) + s * ring for _, p, q, s in DROPS]),
        scales=gaussians.scales(np.repeat([0.8 * s**2 * np.eye(2) for *_, s in DROPS], drops, axis=0)),
    )
    start = df.fit(problem, initial, guess, max_iterations=15)
    return problem.scaled(start), start, signal


Model = tuple[fem.SemiDiscrete, df.State, dict[str, Any]]


def run(
    space: fem.Space, model: Model, eps: float, times: Sequence[float], h: float, rtol: float = 1e-4
) -> list[tuple[df.State, np.ndarray]]:
    """States of n and nodal values of c at the times."""
    problem, state, signal = model
    signals = Signals(space, eps, h)
    how = {"regularization": df.Inertia(EPS * problem.norm(state.theta), 0.97)}
    how |= {"controller": df.PI(rtol=rtol), "integrator": df.integrators.BogackiShampine}
    nodal = lambda state: problem.ansatz.value(state.theta, space.nodes.x)  # noqa: E731
    if eps == 0:
        signal["c"] = lambda t, n: signals.steady(n)[1]
        states = list(df.evolve(problem, state, until=times[-1], times=times, **how))
        return [(state, signals.steady(nodal(state))[1]) for state in states]
    signals.start(nodal(state))
    found, solver = [], default_solver()
    for k in range(round(times[-1] / h)):
        t = k * h
        signal["c"] = lambda s, n, t=t: signals.ahead((s - t) / h)
        (*_, state) = df.evolve(problem, state, until=(k + 1) * h, solver=solver, **how)
        signals.advance(nodal(state))
        state = state.with_(at_end=False)  # its last velocity was with the extrapolated signal
        if any(abs(state.t - time) < 1e-12 for time in times):
            found.append((state, signals.history[-1][1]))
    return found


def main(argv: Sequence[str] | None = None, comm: MPI.Comm = MPI.COMM_WORLD) -> dict[str, Any]:
    """The limit against the reference, and its distance from small ε; returns the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the limit only, until t = 0.02, fewer Gaussians")
    parser.add_argument("--out", type=Path, default=ROOT / "out")
    options = parser.parse_known_args(argv)[0]  # what is left is PETSc's
    with df.parallel.run(comm):
        return job(options, comm)


def job(options: argparse.Namespace, comm: MPI.Comm) -> dict[str, Any]:
    """All runs; the table; the picture."""
    reference = np.load(REFERENCE)
    times = reference["times"][: 1 if options.quick else 2]
    space = fem.Space(fem.partition(MESH, comm), skfem.ElementTriP2())
    model = cells(space, 4 if options.quick else 8)
    problem = model[0]
    corners = skfem.Mesh.load(MESH).p
    here = fem.Evaluation(space, corners if comm.rank == 0 else corners[:, :0], outside=0.0)

    def distance(found: np.ndarray, expected: np.ndarray) -> float:
        """Relative ℓ² distance at the vertices."""
        return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))

    limit = run(space, model, 0.0, times, 0.0, 3e-4 if options.quick else 1e-4)
    total = space.vector(skfem.LinearForm(lambda v, w: v))
    masses = [float(comm.allreduce(total @ problem.field(s).value)) for s in (model[1], *[s for s, _ in limit])]
    figures: dict[str, Any] = {"parameters": problem.ansatz.size, "unknowns": space.nodes.size}
    figures |= {"steps": limit[-1][0].step, "times": [float(t) for t in times]}
    found = [problem.ansatz.value(state.theta, corners) for state, _ in limit]
    figures["error_n"] = [distance(a, b) for a, b in zip(found, reference["n"][0], strict=False)]
    found = [comm.bcast(here.value(c)) for _, c in limit]
    figures["error_c"] = [distance(a, b) for a, b in zip(found, reference["c"][0], strict=False)]
    figures["mass_drift"] = max(abs(m / masses[0] - 1) for m in masses)
    if not options.quick:
        end = problem.ansatz.value(limit[-1][0].theta, corners)
        gaps, errors = [], []
        for eps in EPSILONS:
            state, _ = run(space, model, eps, times, times[-1] / 40)[-1]
            n = problem.ansatz.value(state.theta, corners)
            gaps.append(distance(n, end))
            errors.append(distance(n, reference["n"][list(reference["eps"]).index(eps), -1]))
        figures |= {"gap": gaps, "rates": np.log2(np.divide(gaps[:-1], gaps[1:])).tolist(), "error_eps": errors}
    figures |= {"theta": limit[-1][0].theta, "n": problem.ansatz.value(limit[-1][0].theta, corners)}
    if comm.rank == 0:
        show(figures)
        draw(options.out, problem.ansatz, limit, reference, times)
    return figures


def show(figures: dict[str, Any]) -> None:
    """The table."""
    print(f"{figures['parameters']} parameters of n, {figures['unknowns']} nodes of c and w, {figures['steps']} steps")
    for t, n, c in zip(figures["times"], figures["error_n"], figures["error_c"], strict=True):
        print(f"ε = 0, t = {t}: error of n {n:.2e}, of c {c:.2e}")
    print(f"mass drift {figures['mass_drift']:.1e}")
    for eps, gap, error in zip(EPSILONS, figures.get("gap", ()), figures.get("error_eps", ()), strict=False):
        print(f"ε = {eps}: distance to the limit {gap:.3e}, error of n {error:.2e}")
    if "rates" in figures:
        print("rates", [f"{rate:.2f}" for rate in figures["rates"]])


def draw(out: Path, ansatz: df.Ansatz, limit: list, reference: Any, times: Sequence[float]) -> None:
    """n of the limit at the times, and the reference beside it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    mesh = skfem.Mesh.load(MESH)
    figure, axes = plt.subplots(len(times), 2, figsize=(8, 3.4 * len(times)), layout="constrained", squeeze=False)
    for row, (state, _), n, t in zip(axes, limit, reference["n"][0], times, strict=False):
        pair = (ansatz.value(state.theta, mesh.p), n)
        for axis, values, name in zip(row, pair, ("mixture", "reference"), strict=True):
            drawn = axis.tripcolor(*mesh.p, mesh.t.T, values, shading="gouraud", vmin=0, vmax=n.max())
            axis.set_aspect("equal")
            axis.set_title(f"n, {name}, t = {t:g}", fontsize=9)
        figure.colorbar(drawn, ax=row)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "chemotaxis.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main(sys.argv[1:])
