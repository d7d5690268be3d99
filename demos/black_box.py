"""An existing time stepper as a black box: a plain scikit-fem code advances nodal values, dfpde keeps the parameters.

    c_t = D Δc − v·∇c on a square, Crank–Nicolson, P2; three lines wrap the code's step function.

Ansatz: one full Gaussian, which contains the solution as long as the rim is far: position and covariance are exact.

    python demos/black_box.py
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import skfem
from mpi4py import MPI
from scipy.sparse.linalg import splu
from skfem.helpers import dot, grad

import dfpde as df
from dfpde import fem

D, V, WIDTH, START = 0.02, np.array([0.8, 0.4]), 0.25, np.array([-0.5, -0.2])


def existing_code(n: int) -> tuple[skfem.Basis, Any, Any, Callable[[np.ndarray, float], np.ndarray]]:
    """What is there already: basis, mass and stiffness, and a function that advances nodal values by dt."""
    line = np.linspace(-2, 2, n + 1)
    basis = skfem.Basis(skfem.MeshTri.init_tensor(line, line), skfem.ElementTriP2())
    mass = skfem.BilinearForm(lambda c, v, w: c * v).assemble(basis)
    stiff = skfem.BilinearForm(
        lambda c, v, w: D * dot(grad(c), grad(v)) + (V[0] * grad(c)[0] + V[1] * grad(c)[1]) * v
    ).assemble(basis)

    def advance(c: np.ndarray, dt: float) -> np.ndarray:
        return splu((mass + dt / 2 * stiff).tocsc()).solve(mass @ c - dt / 2 * (stiff @ c))

    return basis, mass, stiff, advance


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run and print; one process, as the code that is wrapped."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a coarser mesh, until t = 0.4")
    parser.add_argument("--stages", action="store_true", help="Dirac–Frenkel stages of M ċ = −K c instead")
    options = parser.parse_known_args(argv)[0]
    cells, until = (16, 0.4) if options.quick else (32, 1.0)
    basis, mass, stiff, advance = existing_code(cells)
    nodes = fem.Nodes(basis.doflocs, MPI.COMM_SELF)
    problem = fem.SemiDiscrete(df.GaussianMixture.full(2, 1), mass, lambda t, c: -(stiff @ c), nodes)
    initial = lambda x: np.exp(-0.5 * np.sum((x - START[:, None]) ** 2, axis=0) / WIDTH**2)  # noqa: E731
    mixture = problem.ansatz
    guess = mixture.pack(amplitudes=1.0, centers=START[None], scales=mixture.scales(WIDTH**2 * np.eye(2)))
    start = df.fit(problem, initial, guess)

    step = df.integrators.BlackBox(lambda t, c, dt: advance(c, dt), order=2)
    integrator = df.DormandPrince if options.stages else df.FieldStep(step, rtol=1e-3, substeps=4)
    begin = time.process_time()
    *_, end = df.evolve(problem, start, until=until, integrator=integrator, controller=df.PI(rtol=1e-3))

    variance, center = WIDTH**2 + 2 * D * until, START + V * until
    x = problem.points
    exact = WIDTH**2 / variance * np.exp(-0.5 * np.sum((x - center[:, None]) ** 2, axis=0) / variance)
    result = {
        "error": problem.distance(problem.field(end).value - exact) / problem.distance(exact),
        "center_error": float(np.linalg.norm(mixture.unpack(end.theta)["centers"][0] - center)),
        "unknowns": len(x.T), "parameters": mixture.size, "steps": end.step,
        "seconds": round(time.process_time() - begin, 2),
    }  # fmt: skip
    sys.stdout.write(f"black_box: {json.dumps(result)}\n")
    return result


if __name__ == "__main__":
    main(sys.argv[1:])
