"""Reference of demos/chemotaxis.py: plain scikit-fem, P2 elements, BDF2 in time.

    n_t = Δn − ∇·(n∇c),   ε c_t = Δc − c + w,   ε w_t = τΔw − w + n,    no flux through the boundaries

on the ring of meshes/annulus.msh (the polygon itself, its cells halved REFINE times).  Diffusion, c and w are implicit,
the chemotactic flux is extrapolated: second order.  Values of n and c at the vertices of annulus.msh at TIMES go to
chemotaxis.npz, with what half the steps on the unrefined mesh change (key "change").

    python demos/references/chemotaxis_reference.py            about three minutes
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import skfem
from scipy.sparse.linalg import splu
from skfem.helpers import dot, grad
from skfem.models import laplace, mass

HERE = Path(__file__).resolve().parent
MESH = HERE.parent.parent / "meshes" / "annulus.msh"
TAU, TIMES = 0.1, (0.02, 0.1)
EPSILONS = (0.0, 0.003125, 0.00625, 0.0125)
DROPS = ((120.0, 0.62, 0.0, 0.12), (75.0, -0.2, 0.6, 0.14))  # height, centre, width: total mass 20.0
REFINE, STEPS = 1, 400


def initial(x: np.ndarray) -> np.ndarray:
    """Two drops of cells."""
    return sum(a * np.exp(-0.5 * ((x[0] - p) ** 2 + (x[1] - q) ** 2) / s**2) for a, p, q, s in DROPS)


@skfem.LinearForm
def chemotaxis(v, w):
    """∫ n ∇c·∇v."""
    return w.n * dot(grad(w.c), grad(v))


def solve(eps: float, refine: int, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n and c at the vertices of annulus.msh, (times, vertices) each, and the masses at start and end."""
    coarse = skfem.Mesh.load(MESH)
    basis = skfem.Basis(coarse.refined(refine), skfem.ElementTriP2())
    m, k = mass.assemble(basis), laplace.assemble(basis)
    h = TIMES[-1] / steps
    kept = [round(t / h) for t in TIMES]
    corners = basis.nodal_dofs[0][: coarse.nvertices]  # refinement keeps the vertices first
    assert np.allclose(basis.doflocs[:, corners], coarse.p)

    def factors(rate: float, diffusion: float, decay: float):
        """Of rate · d/dt (first step: Euler, then BDF2) − diffusion Δ + decay."""
        return [splu((rate / h * lead * m + diffusion * k + decay * m).tocsc()) for lead in (1.0, 1.5)]

    of_n, of_c, of_w = factors(1.0, 1.0, 0.0), factors(eps, 1.0, 1.0), factors(eps, TAU, 1.0)

    def flux(n, c):
        return chemotaxis.assemble(basis, n=basis.interpolate(n), c=basis.interpolate(c))

    n = initial(basis.doflocs)
    w = splu((TAU * k + m).tocsc()).solve(m @ n)
    c = splu((k + m).tocsc()).solve(m @ w)
    one, start = np.ones(basis.N), np.ones(basis.N) @ (m @ n)
    before, pull, found = None, None, []
    for step in range(steps):
        old, new = (n, w, c), flux(n, c)
        if before is None:
            history, drive = [u for u in old], new
        else:
            history, drive = [2 * u - 0.5 * v for u, v in zip(old, before, strict=True)], 2 * new - pull
        which = int(before is not None)
        n = of_n[which].solve(m @ history[0] / h + drive)
        w = of_w[which].solve(eps / h * (m @ history[1]) + m @ n)
        c = of_c[which].solve(eps / h * (m @ history[2]) + m @ w)
        before, pull = old, new
        if step + 1 in kept:
            found.append((n[corners], c[corners]))
    return np.array([n for n, _ in found]), np.array([c for _, c in found]), np.array([start, one @ (m @ n)])


def main() -> None:
    """Write chemotaxis.npz."""
    runs = [solve(eps, REFINE, STEPS) for eps in EPSILONS]
    coarse = solve(0.0, REFINE - 1, STEPS // 2)
    norm = np.linalg.norm
    change = norm(coarse[0] - runs[0][0], axis=1) / norm(runs[0][0], axis=1)
    distance = [norm(r[0][-1] - runs[0][0][-1]) / norm(runs[0][0][-1]) for r in runs[1:]]
    print(json.dumps({
        "change of n": change.tolist(), "mass": runs[0][2].tolist(),
        "largest n, c": [float(r.max()) for r in runs[0][:2]],
        "distance to the limit": distance, "rates": np.log2(np.divide(distance[1:], distance[:-1])).tolist(),
    }))  # fmt: skip
    result = {"eps": np.array(EPSILONS), "times": np.array(TIMES), "tau": TAU, "change": change}
    result |= {"n": np.array([r[0] for r in runs]), "c": np.array([r[1] for r in runs])}
    np.savez_compressed(HERE / "chemotaxis.npz", **result)


if __name__ == "__main__":
    main()
