"""A compact plume in a channel with a sphere: points in the cells where it is, beside plain finite elements.

    c_t + v·∇c = D Δc,   v = ∇φ past a sphere of radius 0.3 in (−1.2, 1.2) × (−0.9, 0.9)²,   c = 0 far from the plume

φ are P2 elements on a mesh of tetrahedra made here (−Δφ = 0, no flux through the sphere; through the sides that of the
unbounded stream, at most 1.6 % of its speed), solved by scikit-fem.  The plume, 8 round Gaussians, passes sphere and
walls at five of its standard deviations: c is below 1e-6 of its largest value there.  dfpde follows it
with 8 full Gaussians (80 parameters) in the cells that they are in, with ∇φ from these cells.  Plain scikit-fem solves
for c on the same meshes: P1 and P2, Crank–Nicolson, skew-symmetric advection, BiCGStab.  Both are compared with a
Fourier method in a box that goes with the plume, for the exact v.

    python demos/plume.py [--quick] [--dfpde 4 6] [--p1 4 6] [--p2 3 4]        h = 0.3/number
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skfem
from common import options_of, say
from mpi4py import MPI
from plume_reference import CENTERS, HALF, RADIUS, SIGMA, D, Reference, initial, stream
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, bicgstab, cg
from scipy.spatial import cKDTree
from skfem.helpers import dot, grad
from skfem.models import laplace, mass

import dfpde as df
from dfpde import fem
from dfpde.measures import CellPoints, MarkedCells


# -- mesh and flow: plain scikit-fem -----------------------------------------------------------------------------
def channel(number: int) -> skfem.MeshTet:
    """Cubes of side h = RADIUS/number in six tetrahedra each; those around a cubical hole are drawn to the sphere."""
    axes = [np.linspace(-side, side, 2 * round(side * number / RADIUS) + 1) for side in HALF]
    mesh = skfem.MeshTet.init_tensor(*axes)
    hole = np.abs(mesh.p[:, mesh.t].mean(axis=1)).max(axis=0) < RADIUS
    mesh = mesh.remove_elements(np.flatnonzero(hole))
    x, size = mesh.p.copy(), np.abs(mesh.p).max(axis=0)
    near = size < 2 * RADIUS - 1e-9  # along rays: the hole becomes the sphere, the cube twice as large stays
    ray, share = x[:, near] / np.linalg.norm(x[:, near], axis=0), size[near] / RADIUS - 1
    x[:, near] = ray * RADIUS * (1 - share + 2 * share / np.abs(ray).max(axis=0))
    return skfem.MeshTet(np.ascontiguousarray(x), np.ascontiguousarray(mesh.t)).with_boundaries({"outer": _is_outer})


def _is_outer(x: np.ndarray) -> np.ndarray:
    return np.any(np.abs(np.abs(x) - HALF[:, None]) < 1e-9, axis=0)


def potential(mesh: skfem.MeshTet) -> tuple[np.ndarray, np.ndarray]:
    """Places and values of the degrees of freedom of φ: conjugate gradients, Jacobi."""
    basis = skfem.Basis(mesh, skfem.ElementTetP2(), intorder=2)
    rim = skfem.FacetBasis(mesh, skfem.ElementTetP2(), facets=mesh.boundaries["outer"], intorder=4)
    flux = lambda x: stream(x.reshape(3, -1)).reshape(x.shape)  # noqa: E731
    load = skfem.LinearForm(lambda w, e: np.sum(flux(np.asarray(e.x)) * e.n, axis=0) * w).assemble(rim)
    matrix = laplace.assemble(basis).tocsr()
    jacobi = sparse.diags_array(1 / matrix.diagonal())
    phi, failed = cg(matrix, load - load.mean(), x0=basis.doflocs[0], rtol=1e-9, M=jacobi)
    if failed:
        raise SystemExit("the potential does not converge")
    return basis.doflocs, phi


class Cost:
    """CPU seconds, and what resident memory has grown by at most (sampled, Linux), of a with-block."""

    def __enter__(self) -> Cost:
        gc.collect()
        getattr(ctypes.CDLL(None), "malloc_trim", int)(0)  # glibc: what is free goes back, not into what is measured
        self._end, self.before = threading.Event(), self._resident()
        self.peak, self.begin = self.before, time.process_time()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _resident(self) -> int:
        known = Path("/proc/self/statm")
        return int(known.read_text().split()[1]) * 4096 if known.exists() else 0

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            self.peak = max(self.peak, self._resident())

    def __exit__(self, *_: Any) -> None:
        self.seconds = time.process_time() - self.begin
        self._end.set()
        self._thread.join()
        self.megabytes = (max(self.peak, self._resident()) - self.before) / 2**20


# -- plain scikit-fem for c ----------------------------------------------------------------------------------------
@skfem.BilinearForm
def transport(c: Any, w: Any, e: Any) -> Any:
    """∫ D ∇c·∇w + ½ (v·∇c w − v·∇w c): no energy but by diffusion, whatever the divergence of v."""
    v = e.phi.grad
    return D * dot(grad(c), grad(w)) + 0.5 * (dot(v, grad(c)) * w - dot(v, grad(w)) * c)


def galerkin(
    mesh: skfem.MeshTet, phi: np.ndarray, element: skfem.Element, until: float, steps: int
) -> tuple[np.ndarray, int]:
    """c at the end, and unknowns: Crank–Nicolson, BiCGStab (Jacobi, 1e-6, started from extrapolation)."""
    basis = skfem.Basis(mesh, element, intorder=2 * element.maxdeg)
    flow = skfem.Basis(mesh, skfem.ElementTetP2(), quadrature=basis.quadrature).interpolate(phi)
    free = basis.complement_dofs(basis.get_dofs("outer"))
    weight, stiffness = mass.assemble(basis), transport.assemble(basis, phi=flow)
    del flow
    weight, stiffness = (matrix.tocsr()[free][:, free] for matrix in (weight, stiffness))
    dt = until / steps
    left, right = (weight + dt / 2 * stiffness).tocsr(), (weight - dt / 2 * stiffness).tocsr()
    inverse = 1 / left.diagonal()
    jacobi = LinearOperator(left.shape, lambda r: inverse * r)
    whole = initial(basis.doflocs)
    before = c = whole[free]
    for _ in range(steps):
        after, failed = bicgstab(left, right @ c, x0=2 * c - before, rtol=1e-6, M=jacobi)
        if failed:
            raise SystemExit("a step of Crank–Nicolson does not converge")
        before, c = c, after
    whole[:] = 0.0
    whole[free] = c
    return whole, len(free)


def error_of_elements(mesh: skfem.MeshTet, element: skfem.Element, c: np.ndarray, exact: Reference) -> float:
    """‖c_h − c‖ in the mesh, relative."""
    total = 0.0
    for part in np.array_split(np.arange(mesh.nelements), 1 + mesh.nelements // 20000):
        basis = skfem.Basis(mesh, element, intorder=2 * element.maxdeg + 2, elements=part)
        values, x = np.asarray(basis.interpolate(c)), np.asarray(basis.global_coordinates())
        total += np.sum(basis.dx * (values - exact(x.reshape(3, -1)).reshape(values.shape)) ** 2)
    return float(np.sqrt(total)) / exact.norm


# -- dfpde ---------------------------------------------------------------------------------------------------------
def follow(
    whole: skfem.MeshTet, places: np.ndarray, phi: np.ndarray, options: argparse.Namespace, comm: MPI.Comm
) -> tuple[df.GaussianMixture, df.State, int]:
    """The ansatz, its last state, and the largest number of points."""
    shuffled = np.random.default_rng(0).permutation(whole.nelements)  # every rank has its share of the plume
    mesh = df.Mesh.from_skfem(skfem.MeshTet(whole.p, np.ascontiguousarray(whole.t[:, shuffled])), comm)
    space = fem.Space(mesh, skfem.ElementTetP2(), 1)
    flow = fem.Function(space, phi[cKDTree(places.T).query(space.nodes.x.T)[1]])

    def equation(points: CellPoints) -> Callable[..., np.ndarray]:
        v = flow.gradient_at(points)
        return lambda t, x, u: D * df.laplacian(u) - df.dot(v, df.grad(u))

    ansatz = df.GaussianMixture.full(3, len(CENTERS))
    theta = ansatz.pack(amplitudes=1.0, centers=CENTERS, scales=ansatz.scales(SIGMA**2 * np.eye(3)))
    cells = MarkedCells(mesh, 2, equation, tolerance=1e-3, rest=500)
    problem, start = cells.start(ansatz, df.State(0.0, theta))
    sizes = []
    for state in df.evolve(problem, start, until=options.until, adapt=cells, controller=df.PI(rtol=options.rtol)):
        sizes.append(cells.problem(problem, state).quadrature.size if options.sizes else 0)
    return ansatz, state, max(sizes)


def row(cost: Cost, comm: MPI.Comm, **more: Any) -> dict[str, Any]:
    """Seconds and memory of all ranks, and the rest."""
    seconds, memory = (comm.allreduce(value) for value in (cost.seconds, cost.megabytes))
    return more | {"seconds": round(seconds, 2), "megabytes": round(memory)}


def main(argv: Sequence[str] | None = None, comm: MPI.Comm = MPI.COMM_WORLD) -> dict[str, Any]:
    """Both on their meshes; returns and prints the figures."""
    parser = options_of(__doc__)
    for name, text in (("dfpde", "dfpde"), ("p1", "P1 elements"), ("p2", "P2 elements")):
        parser.add_argument(f"--{name}", type=int, nargs="*", help=f"meshes of {text}: h = {RADIUS}/number")
    parser.add_argument("--until", type=float)
    parser.add_argument("--dt", type=float, default=0.01, help="step of P1 and, halved, of P2 elements (0.01)")
    parser.add_argument("--sizes", action="store_true", help="count points after each step")
    parser.set_defaults(rtol=1e-3)
    options = parser.parse_known_args(argv)[0]
    quick = {"dfpde": [3], "p1": [2, 3], "p2": [], "until": 0.2}
    long = {"dfpde": [4, 6], "p1": [4, 6], "p2": [3, 4], "until": 1.7}
    for name, value in (quick if options.quick else long).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    with df.parallel.run(comm):
        return job(options, comm)


def job(options: argparse.Namespace, comm: MPI.Comm) -> dict[str, Any]:
    """Scikit-fem on rank 0, dfpde on all."""
    begin, rows = time.process_time(), []
    exact = Reference(options.until)
    elements = {"P1": (options.p1, skfem.ElementTetP1()), "P2": (options.p2, skfem.ElementTetP2())}
    for number in sorted({*options.dfpde, *options.p1, *options.p2}):
        mesh, flow = channel(number), None
        if comm.rank == 0:
            flow = potential(mesh)
        places, phi = comm.bcast(flow)
        known = {"h": RADIUS / number, "cells": mesh.nelements}
        if number in options.dfpde:
            with Cost() as cost:
                ansatz, state, points = follow(mesh, places, phi, options, comm)
            x, c = exact.grid
            error = float(np.sqrt(np.mean((ansatz.value(state.theta, x) - c) ** 2))) / exact.norm
            rows.append(row(cost, comm, method="dfpde", **known, unknowns=ansatz.size, error=error, steps=state.step))
            rows[-1] |= {"points": points} if options.sizes else {}
            say("dfpde", rows[-1], comm)
        for name, (numbers, element) in elements.items():
            if number in numbers and comm.rank == 0:
                steps = int(np.ceil(options.until * element.maxdeg / options.dt - 1e-9))
                with Cost() as cost:
                    c, unknowns = galerkin(mesh, phi, element, options.until, steps)
                error = error_of_elements(mesh, element, c, exact)
                rows.append(row(cost, MPI.COMM_SELF, method=name, **known, unknowns=unknowns, error=error, steps=steps))
                say(name, rows[-1], comm)
    result = comm.bcast({"rows": rows} | crossing(rows))
    last = {"t": options.until, "seconds": round(time.process_time() - begin, 1)}
    return say("plume", result | last, comm)


def crossing(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Where the curves cross: what the elements need for the error of dfpde's fastest row, and their error in its time.

    From the finest mesh of each kind, by powers of h: errors with the order k + 1 of P_k, or the measured one where it
    is higher; seconds as measured on the two finest meshes; memory like h⁻³.  Steps in time do not become smaller.
    """
    own = min((one for one in rows if one["method"] == "dfpde"), key=lambda one: one["seconds"], default=None)
    found: dict[str, Any] = {}
    for name, order in (("P1", 2.0), ("P2", 3.0)):
        fine = sorted((one for one in rows if one["method"] == name), key=lambda one: -one["h"])[-2:]
        if own is None or len(fine) < 2:
            continue
        last, ratio = fine[1], np.log(fine[0]["h"] / fine[1]["h"])
        measured = {key: np.log(fine[0][key] / last[key]) / ratio for key in ("error", "seconds")}
        measured["error"] = max(measured["error"], order)
        way = (own["error"] / last["error"]) ** (1 / measured["error"])  # h there / the finest h
        same_time = (own["seconds"] / last["seconds"]) ** (1 / measured["seconds"])
        needed = {key: last[key] * way**-3.0 for key in ("unknowns", "megabytes")}
        needed |= {"h": last["h"] * way, "seconds": last["seconds"] * way ** measured["seconds"]}
        needed["error_in_its_seconds"] = last["error"] * same_time ** measured["error"]
        found[f"{name}_for_its_error"] = {key: float(f"{value:.3g}") for key, value in needed.items()}
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
