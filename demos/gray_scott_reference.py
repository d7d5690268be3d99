"""Makes gray_scott.npz, the reference of gray_scott.py: finite elements in plain scikit-fem, no dfpde.

Quadratic triangles on the disk of radius 3 (52 256 of them), implicit diffusion and extrapolated reactions (SBDF2) with
dt = 1/8; the same on four times fewer triangles with dt = 1/4 bounds the error, kept in the file beside the values.
About five minutes: python demos/gray_scott_reference.py
"""

from __future__ import annotations

from pathlib import Path

import meshio
import numpy as np
import skfem
from scipy.sparse.linalg import splu
from scipy.stats import qmc

RADIUS, FEED, KILL, DIFFUSION = 3.0, 0.04, 0.06, (2e-3, 1e-3)
SPOTS = ((-0.45, 0.0, 0.35), (0.4, 0.15, 0.3))  # x, y, radius
TIMES = np.linspace(0, 100, 9)


def initial(x: np.ndarray) -> np.ndarray:
    """(1 − u, v) at t = 0."""
    spots = sum(np.exp(-((x[0] - a) ** 2 + (x[1] - b) ** 2) / r**2) for a, b, r in SPOTS)
    return np.array([0.5 * spots, 0.3 * spots])


def solve(mesh: skfem.MeshTri, dt: float, points: np.ndarray) -> np.ndarray:
    """Values (times, 2, points)."""
    basis = skfem.Basis(mesh, skfem.ElementTriP2(), intorder=4)
    mass = skfem.BilinearForm(lambda u, v, w: u * v).assemble(basis)
    stiffness = skfem.BilinearForm(lambda u, v, w: u.grad[0] * v.grad[0] + u.grad[1] * v.grad[1]).assemble(basis)
    decay = (FEED, FEED + KILL)
    fixed = [d * stiffness + c * mass for d, c in zip(DIFFUSION, decay, strict=True)]
    first = [splu((mass + dt * a).tocsc()) for a in fixed]
    later = [splu((1.5 * mass + dt * a).tocsc()) for a in fixed]
    reaction = skfem.LinearForm(lambda v, w: (1 - w.w) * w.v**2 * v)

    def load(w: np.ndarray) -> np.ndarray:
        return reaction.assemble(basis, w=basis.interpolate(w[0]), v=basis.interpolate(w[1]))

    probe = basis.probes(points)
    moments = [skfem.LinearForm(lambda v, w, i=i: initial(w.x)[i] * v).assemble(basis) for i in (0, 1)]
    now = np.array([splu(mass.tocsc()).solve(b) for b in moments])
    saved = [np.array([probe @ part for part in now])]
    # one first-order step loses nothing: its local error is of second order
    before, force_before, force = now, None, load(now)
    now = np.array([lu.solve(mass @ part + dt * force) for lu, part in zip(first, now, strict=True)])
    for step in range(2, round(TIMES[-1] / dt) + 1):
        force_before, force = force, load(now)
        right = [mass @ (2 * a - 0.5 * b) + dt * (2 * force - force_before) for a, b in zip(now, before, strict=True)]
        before, now = now, np.array([lu.solve(b) for lu, b in zip(later, right, strict=True)])
        if np.isclose(step * dt, TIMES).any():
            saved.append(np.array([probe @ part for part in now]))
    return np.array(saved)


def main() -> None:
    """Solve twice, and save."""
    folder = Path(__file__).resolve().parent
    read = meshio.read(folder.parent / "meshes" / "disk.msh")
    mesh = skfem.MeshTri(RADIUS * read.points[:, :2].T, read.cells_dict["triangle"].T)
    halton = qmc.Halton(2, scramble=False).random(300).T
    points = 1.6 * np.sqrt(halton[0]) * np.array([np.cos(2 * np.pi * halton[1]), np.sin(2 * np.pi * halton[1])])
    coarse, fine = solve(mesh.refined(), 0.25, points), solve(mesh.refined(2), 0.125, points)
    error = np.linalg.norm(fine - coarse) / np.linalg.norm(fine)
    print(f"relative difference of the two solutions: {error:.1e}")
    np.savez_compressed(folder / "gray_scott.npz", times=TIMES, points=points, values=fine, difference=error)


if __name__ == "__main__":
    main()
