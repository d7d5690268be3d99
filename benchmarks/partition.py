"""Memory and seconds of distributed finite elements: read nothing, cut a mesh of N cells by METIS, assemble, solve.

    mpirun -n 2 python -m mpi4py benchmarks/partition.py [cells]

Prints for each rank the resident memory before and after, and the peak, in MiB; the mesh itself for comparison.
The last line is one JSON object.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np
import skfem
from mpi4py import MPI
from skfem.models import laplace, mass

from dfpde import fem


def peak() -> float:
    """Peak resident memory of this process, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(cells: int = 1_000_000) -> None:
    """Cut, assemble, solve once."""
    comm = MPI.COMM_WORLD
    n = round((cells / 2) ** 0.5)
    mesh = None
    before = peak()
    if comm.rank == 0:
        mesh = skfem.MeshTri.init_tensor(np.linspace(0, 1, n + 1), np.linspace(0, 1, n + 1))
    size = 0.0 if mesh is None else (mesh.p.nbytes + mesh.t.nbytes) / 2**20
    made = peak()
    begin = time.perf_counter()
    local = fem.partition(mesh, comm)
    cut, seconds_cut = peak(), time.perf_counter() - begin
    del mesh
    space = fem.Space(local, skfem.ElementTriP1())
    matrix = space.nodes.matrix(space.matrix(laplace) + space.matrix(mass))
    solver = fem.LinearSolver(space.nodes, matrix, "dfpde_fem_bench_", pc="gamg", rtol=1e-8)
    solver.solve(space.weighted(np.ones(space.quadrature.n)))
    figures = {"rank": comm.rank, "cells": local.n_cells, "mesh": size, "before": before, "with_mesh": made, "cut": cut,
               "end": peak(), "seconds_cut": seconds_cut, "seconds": time.perf_counter() - begin,
               "iterations": solver.ksp.getIterationNumber()}  # fmt: skip
    everyone = comm.gather({k: round(v, 1) for k, v in figures.items()})
    if everyone is not None:
        for line in everyone:
            print(line)
        print(json.dumps({"ranks": everyone}))


if __name__ == "__main__":
    main(*[int(word) for word in sys.argv[1:2]])
