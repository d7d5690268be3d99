"""Figures of docs/meshes.md: what scikit-fem's tables integrate, and what reading a million tetrahedra costs.

    python benchmarks/meshes.py [n]           n³ blocks of 6 tetrahedra (default 20; 55 makes 998 250)
    mpirun -n 4 python benchmarks/meshes.py n
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import meshio
import skfem
from mpi4py import MPI
from skfem.quadrature import get_quadrature

import dfpde
from dfpde.domain import cells
from dfpde.domain.mesh import read_mesh
from dfpde.domain.quadrature import Quadrature


def rules() -> None:
    """Degree that the tables keep (monomials to 1e-11), beside the rule dfpde uses."""
    print("cell          label  points  min weight  degree kept | points of dfpde's rule")
    for name, mesh in (("triangle", skfem.MeshTri), ("tetrahedron", skfem.MeshTet)):
        for label in range(1, 20 if name == "triangle" else 10):
            x, w = get_quadrature(mesh.elem.refdom, label)
            kept = max(d for d in range(label + 1) if cells.monomial_defect(x, w, d) < 1e-11)
            mine = cells.rule(mesh.elem.refdom, label)[1].size
            print(f"{name:12s}  {label:5d}  {w.size:6d}  {w.min():10.2e}  {kept:11d} | {mine}")


def peak() -> float:
    """Largest memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reading(comm: MPI.Comm, folder: Path, n: int) -> None:
    """Seconds, and memory beyond that of the imports, of each rank."""
    path = comm.bcast(folder / "cube.vtu")
    if comm.rank == 0:
        # made by another process, so that its memory does not count here
        grid = "np.linspace(0, 1, n + 1)"
        code = f"""
import numpy as np, skfem, meshio
n = {n}
mesh = skfem.MeshTet.init_tensor({grid}, {grid}, {grid}).oriented()
meshio.Mesh(mesh.p.T, [("tetra", mesh.t.T)]).write({str(path)!r}, compression=None)
"""
        subprocess.run([sys.executable, "-c", code], check=True)
    comm.Barrier()
    before, start = peak(), time.perf_counter()
    mesh = read_mesh(path, comm)
    read, memory = time.perf_counter() - start, peak() - before
    start = time.perf_counter()
    rule = Quadrature.from_mesh(mesh, 2)
    placed = time.perf_counter() - start
    size = path.stat().st_size / 2**20
    lines = comm.gather(f"rank {comm.rank}: read {read:.1f} s, {memory:.0f} MB; order-2 points {placed:.2f} s")
    if comm.rank == 0:
        print(f"{mesh.n_cells} tetrahedra, {mesh.n_vertices} vertices, file {size:.0f} MB, {rule.size} points")
        print("\n".join(lines or []))


def main(argv: list[str] | None = None) -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int, nargs="?", default=20)
    n = parser.parse_args(argv).n
    comm = MPI.COMM_WORLD
    if comm.rank == 0:
        print(f"dfpde {dfpde.__version__}, scikit-fem {skfem.__version__}, meshio {meshio.__version__}")
        rules()
    with tempfile.TemporaryDirectory() as folder:
        reading(comm, Path(folder), n)


if __name__ == "__main__":
    main()
