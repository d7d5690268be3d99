"""Main job: a packet travels around the disk while its energy swaps between two coupled modes.

    z_t = −b·∇z + ω R z,   b = Ω (−y, x),   R = [[0, 1], [−1, 0]],   z = (z₁, z₂)

Each mode is its own Gaussian a exp(−s²|x − c|²/2): 8 parameters.  Exact:
z = (cos(ωt + φ), −sin(ωt + φ)) g(Q(t)ᵀx), Q the rotation by Ωt, so each amplitude passes through zero again and again.
There the equation says nothing about where that mode is or how wide: Tikhonov stops it, inertia lets it go on.

    python demos/rabi.py                              one process
    mpirun -n 2 python -m mpi4py demos/rabi.py        two ranks (python -m dfpde mpirun -n 2 demos/rabi.py)
    python demos/rabi.py -dfpde_ksp_monitor           any PETSc option of the solver

It prints the error of both methods for the same ε and the same fixed step, the run with an adaptive step, that of field
steps along characteristics, and writes out/rabi.pvd (ParaView, readable while the run goes on), out/rabi.png and
out/rabi.json.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

import dfpde as df
from dfpde.io import ParaViewWriter, RunManifest, progress

ROOT = Path(__file__).resolve().parent.parent
OMEGA, SWAP, PHASE = 1.0, 5.0, math.pi / 4  # Ω, ω, φ
RADIUS, WIDTH = 0.5, 0.15
TURN = 2 * math.pi / OMEGA


def exact(t: float, x: np.ndarray) -> np.ndarray:
    """Closed form, (2, N)."""
    c, s = math.cos(OMEGA * t), math.sin(OMEGA * t)
    back = np.stack([c * x[0] + s * x[1] - RADIUS, -s * x[0] + c * x[1]])
    packet = np.exp(-0.5 * np.sum(back**2, axis=0) / WIDTH**2)
    return np.stack([math.cos(SWAP * t + PHASE) * packet, -math.sin(SWAP * t + PHASE) * packet])


def rhs(t: float, x: np.ndarray, z: df.Field) -> np.ndarray:
    """−b·∇z + ω R z."""
    b = OMEGA * np.stack([-x[1], x[0]])
    return -df.dot(b, df.grad(z)) + SWAP * np.stack([z.value[1], -z.value[0]])


def setup(mesh_file: Path, comm: MPI.Comm) -> tuple[df.Mesh, df.Problem, df.State]:
    """Mesh, problem with the parameters measured in their own units, and the fitted start."""
    mesh = df.read_mesh(mesh_file, comm)
    quadrature = df.Quadrature.from_mesh(mesh, order=2)
    mode = df.GaussianMixture.isotropic(2, 1)
    problem = df.Problem(df.Stack(mode, mode), quadrature, rhs)
    near = [mode.pack(amplitudes=a, centers=[[RADIUS - 0.05, 0.05]], scales=1 / WIDTH - 0.5) for a in (0.5, -0.5)]
    start = df.fit(problem, lambda x: exact(0.0, x), np.concatenate(near))
    return mesh, problem.scaled(start), start


def error(problem: df.Problem, state: df.State) -> float:
    """Relative L² error against the closed form."""
    q, reference = problem.quadrature, exact(state.t, problem.quadrature.x)
    return q.norm(problem.field(state).value - reference) / q.norm(reference)


def energy(problem: df.Problem, state: df.State) -> float:
    """∫ |z₁|² + |z₂|², constant."""
    return problem.quadrature.norm(problem.field(state).value) ** 2


def final(problem: df.Problem, start: df.State, until: float, **how: object) -> df.State | None:
    """The last state of a run, or None where the run breaks down."""
    try:
        return list(df.evolve(problem, start, until=until, times=[until], **how))[-1]
    except df.DfpdeError:
        return None


def turned(angle: float, x: np.ndarray) -> np.ndarray:
    """x (2, N), turned by the angle."""
    c, s = math.cos(angle), math.sin(angle)
    return np.stack([c * x[0] - s * x[1], s * x[0] + c * x[1]])


def along_characteristics(problem: df.Problem, start: df.State, until: float, steps: int) -> float:
    """Error of field steps: z at the feet of the characteristics, swapped; both are exact for any step."""
    stepper = df.steppers.Characteristics(
        lambda t, x, dt: turned(-OMEGA * dt, x), lambda t, x, z, dt: turned(-SWAP * dt, z)
    )  # fmt: skip
    how = {"controller": df.Fixed(until / steps), "integrator": df.FieldStep(stepper, rtol=1e-12)}
    state = final(problem, start, until, **how)
    return math.inf if state is None else error(problem, state)


def scan(
    problem: df.Problem,
    start: df.State,
    until: float,
    steps: int,
    epsilons: Sequence[float],
    say: Callable[[str], None],
) -> dict[str, list[float]]:
    """Errors of inertia and of Tikhonov for the same ε, RK4 with the same fixed step."""
    table: dict[str, list[float]] = {"inertia": [], "Tikhonov": []}
    say(f"\nRK4, {steps} steps of {until / steps:.4f}; relative L² error at t = {until:.4f}")
    say(f"{'ε':>9}  {'inertia':>9}  {'Tikhonov':>9}")
    for eps in epsilons:
        for name, rho in (("inertia", 1.0), ("Tikhonov", 0.0)):
            how = {"regularization": df.Inertia(eps, rho), "controller": df.Fixed(until / steps)}
            state = final(problem, start, until, integrator=df.RK4, **how)
            table[name].append(math.inf if state is None else error(problem, state))
        say(f"{eps:9.1e}  {table['inertia'][-1]:9.2e}  {table['Tikhonov'][-1]:9.2e}")
    return table


def main(argv: Sequence[str] | None = None, comm: MPI.Comm = MPI.COMM_WORLD) -> dict[str, Any]:
    """Run the job; returns its figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mesh", type=Path, default=ROOT / "meshes" / "disk.msh")
    parser.add_argument("--out", type=Path, default=ROOT / "out")
    parser.add_argument("--quick", action="store_true", help="a fifth of a turn and two values of ε")
    options = parser.parse_known_args(argv)[0]  # what is left is PETSc's
    with df.parallel.run(comm):
        return job(options, comm)


def job(options: argparse.Namespace, comm: MPI.Comm) -> dict[str, Any]:
    """Scan, adaptive run, pictures."""

    def say(line: str) -> None:
        if comm.rank == 0:
            print(line, flush=True)

    until, steps = (TURN / 5, 80) if options.quick else (TURN, 400)
    epsilons = (1e-2, 3e-3) if options.quick else (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4)
    began = time.perf_counter()
    mesh, problem, start = setup(options.mesh, comm)
    cells = comm.allreduce(mesh.local.nelements if mesh.local is not None else 0)
    points = problem.quadrature.size
    misfit = start.statistics.error
    say(f"{options.mesh.name}: {cells} cells, {points} points on {comm.size} rank(s), misfit {misfit:.1e}")
    parameters = {"Omega": OMEGA, "omega": SWAP, "until": until, "steps": steps, "rtol": 1e-6}
    with RunManifest(options.out / "rabi.json", comm, **parameters) as manifest:
        table = scan(problem, start, until, steps, epsilons, say)
        best = {name: min(errors) for name, errors in table.items()}
        by_field = along_characteristics(problem, start, until, steps // 10)
        history, state = adaptive(options, mesh, problem, start, until, comm)
        drift = max(abs(row[3] / history[0][3] - 1) for row in history)
        figures = {
            "error": error(problem, state),
            "field_step": by_field,
            "best_inertia": best["inertia"],
            "best_tikhonov": best["Tikhonov"],
            "ratio": best["Tikhonov"] / best["inertia"],
            "energy_drift": drift,
            "defect": max(row[2] for row in history[1:]),
            "steps": state.step,
            "rejected": state.statistics.rejected,
            "theta": state.theta.tolist(),
            "seconds": time.perf_counter() - began,
        }
        say(
            f"best of the scan: inertia {best['inertia']:.2e}, Tikhonov {best['Tikhonov']:.2e}, "
            f"ratio {figures['ratio']:.0f}"
        )
        say(
            f"adaptive, rtol 1e-6: error {figures['error']:.2e} after {state.step} steps "
            f"({state.statistics.rejected} rejected), "
            f"largest defect {figures['defect']:.1e}, energy drift {drift:.1e}"
        )
        say(f"field steps along characteristics, {steps // 10} of them: error {by_field:.2e}")
        manifest.record(**figures)
        if comm.rank == 0:
            picture(options.out / "rabi.png", epsilons, table, np.array(history), problem, (start, state))
    say(f"{figures['seconds']:.1f} s; wrote {options.out}/rabi.pvd, rabi.png, rabi.json")
    return figures


def adaptive(
    options: argparse.Namespace, mesh: df.Mesh, problem: df.Problem, start: df.State, until: float, comm: MPI.Comm
) -> tuple[list[list[float]], df.State]:
    """Adaptive steps at rtol 1e-6 with pictures for ParaView; rows t, error, defect, energy, a₁, a₂."""
    writer = ParaViewWriter(options.out / "rabi", mesh)
    times = np.linspace(start.t, until, 21 if options.quick else 101)[1:]
    how = {"regularization": df.AutoInertia(1e-6), "controller": df.PI(rtol=1e-6)}
    states = df.evolve(problem, start, until=until, times=times, **how)
    history, state = [], start
    for count, state in enumerate(progress(chain([start], states), until, comm)):
        a = [problem.ansatz.unpack(state.theta)[f"{i}.amplitudes"][0] for i in (0, 1)]
        history.append([state.t, error(problem, state), state.statistics.defect, energy(problem, state), *a])
        if count % 4 == 0:
            writer.write(state.t, z=problem.field(state))
    return history, state


def picture(
    path: Path,
    epsilons: Sequence[float],
    table: dict[str, list[float]],
    history: np.ndarray,
    problem: df.Problem,
    states: Sequence[df.State],
) -> None:
    """The modes on the disk at start and end; error against ε, the amplitudes, error and defect in time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(13, 7), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(0.9, 1.0))
    disks(above, problem, states)
    left, middle, right = below.subplots(1, 3)
    for name, marker in (("Tikhonov", "s"), ("inertia", "o")):
        left.loglog(epsilons, np.minimum(table[name], 10.0), marker=marker, label=name)
    left.set(xlabel="ε", ylabel="relative L² error at the end", title="same ε, same fixed step (RK4)")
    left.legend()
    t, fine = history[:, 0], np.linspace(history[0, 0], history[-1, 0], 2000)
    middle.plot(fine, np.cos(SWAP * fine + PHASE), "C0-", lw=0.8, label="a₁ exact")
    middle.plot(fine, -np.sin(SWAP * fine + PHASE), "C1-", lw=0.8, label="a₂ exact")
    middle.plot(t, history[:, 4], "C0.", t, history[:, 5], "C1.")
    middle.set(xlabel="t", title="amplitudes of the modes (dots: adaptive run)")
    middle.legend(loc="lower left")
    right.semilogy(t, history[:, 1], label="relative error")
    right.semilogy(t[1:], history[1:, 2], label="defect ‖Jθ̇ − f‖")
    right.set(xlabel="t", title="adaptive run, rtol = 1e-6")
    right.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def disks(shown: Any, problem: df.Problem, states: Sequence[df.State]) -> None:
    """z₁ and z₂ on the unit disk at each state."""
    r, angle = np.meshgrid(np.linspace(0, 1, 81), np.linspace(0, 2 * math.pi, 181))
    x = np.stack([r * np.cos(angle), r * np.sin(angle)])
    pictures = [(state.t, i, problem.field(state)(x)[i]) for state in states for i in (0, 1)]
    axes = shown.subplots(1, len(pictures))
    for axis, (t, i, z) in zip(axes, pictures, strict=True):
        drawn = axis.pcolormesh(*x, z, cmap="RdBu_r", vmin=-1, vmax=1, shading="gouraud")
        axis.set(title=f"z{'₁₂'[i]}, t = {t:.3g}", aspect="equal", xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    shown.colorbar(drawn, ax=list(axes), shrink=0.8)


if __name__ == "__main__":
    main(sys.argv[1:])
