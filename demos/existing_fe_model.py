"""An existing finite-element model, reduced nonlinearly: a pollutant in a channel with a cylinder.

    c_t + ∇·(u c − D∇c) = 0,   (u c − D∇c)·n = 0 at inflow, walls, cylinder,   ∂c/∂n = 0 at the outflow

u is the Stokes flow around the cylinder (Taylor–Hood), c is P2.  First the model as anyone would write it in plain
scikit-fem: M ċ = −K c, Crank–Nicolson, a sparse factorization, 6548 unknowns.  Then its time step as a black box, each
followed by the parameters of 10 Gaussians and their mirror images behind walls and cylinder, 60 in all: dfpde calls
`advance(c, dt)` and asks for nothing else of the code but M, for the norm.  The boundary conditions are in that step.

    python demos/existing_fe_model.py [--quick] [--rtol 1e-4]
    mpirun -n 2 python -m mpi4py demos/existing_fe_model.py
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import skfem
from mirrored import Mirrored, inversion, reflection
from mpi4py import MPI
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree
from skfem.helpers import ddot, div, dot, grad
from skfem.models import mass

import dfpde as df
from dfpde import fem

ROOT = Path(__file__).resolve().parent.parent
MESH = ROOT / "meshes" / "channel.msh"
HEIGHT, CENTER, RADIUS = 0.41, (0.2, 0.2), 0.05
D, START, WIDTH = 0.02, np.array([0.45, 0.17]), 0.05
SENSOR = np.array([[0.8], [0.2]])
DT = 2.5e-3
RTOL = 1e-4  # of a step of the reduced model
Advance = Callable[[np.ndarray, float], np.ndarray]


# -- the existing model: plain scikit-fem, one process -------------------------------------------------------
def stokes(mesh: skfem.Mesh) -> tuple[skfem.Basis, np.ndarray]:
    """−Δu + ∇p = 0, ∇·u = 0: parabolic inflow of mean 1, no slip at walls and cylinder, free outflow."""
    velocity = skfem.Basis(mesh, skfem.ElementVector(skfem.ElementTriP2()), intorder=4)
    pressure = velocity.with_element(skfem.ElementTriP1())
    viscous = skfem.BilinearForm(lambda u, v, w: ddot(grad(u), grad(v))).assemble(velocity)
    divergence = skfem.BilinearForm(lambda u, q, w: -div(u) * q).assemble(velocity, pressure)
    matrix = sparse.bmat([[viscous, divergence.T], [divergence, None]], format="csc")
    solution = np.zeros(matrix.shape[0])
    inflow = velocity.get_dofs("inflow").all()
    parabola = lambda x: np.stack([6 * x[1] * (HEIGHT - x[1]) / HEIGHT**2, 0 * x[1]])  # noqa: E731
    solution[inflow] = velocity.boundary("inflow").project(parabola)[inflow]
    solution[velocity.get_dofs({"walls", "cylinder"}).all()] = 0.0
    fixed = velocity.get_dofs({"inflow", "walls", "cylinder"}).all()
    return velocity, skfem.solve(*skfem.condense(matrix, np.zeros(len(solution)), x=solution, D=fixed))[: velocity.N]


@skfem.BilinearForm
def transport(c: Any, v: Any, w: Any) -> Any:
    """∫ D ∇c·∇v − c u·∇v."""
    return D * dot(grad(c), grad(v)) - c * (w.u * grad(v)[0] + w.v * grad(v)[1])


@skfem.BilinearForm
def outflow(c: Any, v: Any, w: Any) -> Any:
    """∮ u·n c v."""
    return (w.u * w.n[0] + w.v * w.n[1]) * c * v


def discretized(mesh: skfem.Mesh, flow: tuple[skfem.Basis, np.ndarray]) -> tuple[skfem.Basis, Any, Any]:
    """P2 basis, M and K of M ċ = −K c."""
    basis = flow[0].with_element(skfem.ElementTriP2())
    rim = skfem.FacetBasis(mesh, skfem.ElementTriP2(), facets=mesh.boundaries["outflow"], intorder=4)
    u, v = (df.ansatz.FiniteElement(flow[0]).value(flow[1], basis.doflocs))
    inside, edge = ({"u": b.interpolate(u), "v": b.interpolate(v)} for b in (basis, rim))
    stiffness = transport.assemble(basis, **inside) + outflow.assemble(rim, **edge)
    return basis, mass.assemble(basis), stiffness


def time_step(matrix: Any, stiffness: Any) -> Advance:
    """The function that advances the nodal values by dt: steps of Crank–Nicolson, DT long at most."""
    factors = lru_cache(4)(lambda h: splu((matrix + h / 2 * stiffness).tocsc()))

    def advance(c: np.ndarray, dt: float) -> np.ndarray:
        steps = max(1, round(dt / DT))
        for _ in range(steps):
            c = factors(dt / steps).solve(matrix @ c - dt / steps / 2 * (stiffness @ c))
        return c

    return advance


# -- the reduced model ---------------------------------------------------------------------------------------
IMAGES = [reflection(1, 0.0), reflection(1, HEIGHT), inversion(CENTER, RADIUS)]  # behind walls and cylinder


def initial(x: np.ndarray) -> np.ndarray:
    """A round drop downstream of the cylinder, with its mirror images."""
    images = [x, *(image(x) for image in IMAGES)]
    return sum(np.exp(-0.5 * np.sum((y - START[:, None]) ** 2, axis=0) / WIDTH**2) for y in images)


def guess(v: df.GaussianMixture) -> np.ndarray:
    """Gaussians on two rings around the drop."""
    angle, radius = 2 * np.pi * np.arange(v.n) / v.n, 0.7 * WIDTH * (1 + np.arange(v.n) % 2)
    centers = START + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return v.pack(amplitudes=1 / v.n, centers=centers, scales=v.scales(0.8 * WIDTH**2 * np.eye(2)))


def main(argv: Sequence[str] | None = None, comm: MPI.Comm = MPI.COMM_WORLD) -> dict[str, Any]:
    """Both models side by side; returns the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="6 Gaussians, until t = 0.025")
    parser.add_argument("--rtol", type=float, default=RTOL, help=f"tolerance of a step ({RTOL:g})")
    parser.add_argument("--out", type=Path, default=ROOT / "out")
    options = parser.parse_known_args(argv)[0]  # what is left is PETSc's
    with df.parallel.run(comm):
        return job(options, comm)


def job(options: argparse.Namespace, comm: MPI.Comm) -> dict[str, Any]:
    """The existing code on every rank, as it knows of one process only; the reduced model on all of them."""
    n, until, outputs = (6, 0.025, 1) if options.quick else (10, 1.0, 8)
    times = until * np.arange(1, outputs + 1) / outputs
    mesh = skfem.Mesh.load(MESH)
    flow = stokes(mesh)
    basis, whole_mass, stiffness = discretized(mesh, flow)
    advance = time_step(whole_mass, stiffness)
    solutions, begin = [initial(basis.doflocs)], time.process_time()
    for dt in np.diff(times, prepend=0.0):
        solutions.append(advance(solutions[-1], dt))
    seconds_full = time.process_time() - begin

    space = fem.Space(fem.partition(MESH, comm), skfem.ElementTriP2(), 4)
    _, number = cKDTree(basis.doflocs.T).query(space.nodes.x.T)  # the code's number of each of this rank's nodes

    def step(t: float, c: np.ndarray, dt: float) -> np.ndarray:
        whole = np.zeros(basis.N)
        for where, values in comm.allgather((number, c)):
            whole[where] = values
        return advance(whole, dt)[number]

    gaussians = df.GaussianMixture.full(2, n)
    ansatz = Mirrored(gaussians, IMAGES)
    matrix = space.matrix(mass)
    rate = lambda t, c: matrix @ (step(t, c, DT) - c) / DT  # noqa: E731  for the first step size and ‖u_t‖ only
    problem = fem.SemiDiscrete(ansatz, matrix, rate, space.nodes)
    start = df.fit(problem, initial, guess(gaussians))

    integrator = df.FieldStep(df.integrators.BlackBox(step, order=2), substeps=1)
    total = space.vector(skfem.LinearForm(lambda v, w: v))
    rows, fields, seconds = [], [], 0.0
    how = {"controller": df.PI(rtol=options.rtol), "integrator": integrator}
    run = df.evolve(problem, start, until=until, times=times, **how)
    begin = time.process_time()
    for state, solution in zip(run, solutions[1:], strict=True):
        seconds += time.process_time() - begin
        full, reduced = solution[number], problem.field(state).value
        error = problem.distance(reduced - full) / problem.distance(full)
        masses = [float(comm.allreduce(total @ values)) for values in (full, reduced)]
        sensors = [float((basis.probes(SENSOR) @ solution)[0]), float(problem.field(state)(SENSOR)[0])]
        rows.append((state.t, error, *sensors, *masses))
        fields.append(problem.field(state))
        begin = time.process_time()
    figures = {
        "unknowns_full": basis.N, "unknowns_reduced": problem.ansatz.size, "steps": state.step,
        "rejected": state.statistics.rejected,
        "error_end": rows[-1][1], "error_max": max(row[1] for row in rows), "seconds_full": seconds_full,
        "seconds_reduced": seconds, "sensor_full": rows[-1][2], "sensor_reduced": rows[-1][3],
        "mass_full": rows[-1][4], "mass_reduced": rows[-1][5], "theta": state.theta,
        "values": fields[-1](basis.doflocs[:, ::20]),
    }  # fmt: skip
    if comm.rank == 0:
        show(figures, rows, until)
        draw(options.out, basis, solutions[1:], fields, times)
    return figures


def show(figures: dict[str, Any], rows: list[tuple[float, ...]], until: float) -> None:
    """The table."""
    print("     t   error     sensor: full  reduced    mass: full     reduced")
    for t, error, *values in rows:
        print(f"{t:6.3f}  {error:.2e}      {values[0]:9.6f} {values[1]:9.6f}   {values[2]:10.7f}  {values[3]:10.7f}")
    full, few = figures["unknowns_full"], figures["unknowns_reduced"]
    steps, seconds = round(until / DT), figures["seconds_reduced"]
    print(f"full:    {full} unknowns, {steps} steps, {figures['seconds_full']:.2f} s CPU, one factorization")
    print(f"reduced: {few} unknowns, {full / few:.0f} times fewer, {figures['steps']} steps, {seconds:.2f} s CPU")


def draw(out: Path, basis: skfem.Basis, solutions: list, fields: list, times: np.ndarray) -> None:
    """Full (left) and reduced (right) solutions at three times."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    picks = sorted({0, len(times) // 2, len(times) - 1})
    figure, axes = plt.subplots(len(picks), 2, figsize=(11, 1.5 * len(picks)), layout="constrained", squeeze=False)
    x, triangles = basis.doflocs, basis.mesh.t.T
    corners = slice(0, basis.mesh.nvertices)
    for row, k in zip(axes, picks, strict=True):
        top = solutions[k].max()
        for axis, values, name in zip(row, (solutions[k], fields[k](x)), ("full", "reduced"), strict=True):
            nodes = basis.nodal_dofs[0]
            drawn = axis.tripcolor(
                *basis.mesh.p, triangles, values[nodes][corners], shading="gouraud", vmin=0, vmax=top, cmap="viridis"
            )
            axis.set_aspect("equal")
            axis.set_title(f"{name}, t = {times[k]:g}", fontsize=8)
        figure.colorbar(drawn, ax=row, shrink=0.8)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "existing_fe_model.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main(sys.argv[1:])
