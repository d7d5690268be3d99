"""dfpde where petsc4py does not import: everything but finite elements on several ranks and PETSc's options."""

from __future__ import annotations

import subprocess
import sys

RUN = """
import sys
sys.modules["petsc4py"] = None
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "petsc4py" else find(name, *a)
import numpy as np
from mpi4py import MPI
import dfpde as df
from dfpde import fem
from dfpde.leastsquares import default_solver

ansatz = df.PeriodicGaussianMixture.isotropic((2.0,), 6)
problem = df.Problem(ansatz, df.Quadrature.periodic((-1, 1), 100, MPI.COMM_SELF), lambda t, x, u: -df.dx(u))
theta = ansatz.pack(amplitudes=1.0, centers=np.linspace(-1, 0.8, 6)[:, None], scales=4.0)
start = df.fit(problem, lambda x: np.exp(np.cos(np.pi * x[0])), theta)
*_, state = df.evolve(problem, start, until=0.1)
assert state.solver_carry and type(default_solver()).__name__ == "LSQR"

nodes = fem.Nodes(np.linspace(0, 1, 5)[None], problem.comm)
solver = fem.LinearSolver(nodes, nodes.matrix(np.diag([2.0, 3, 4, 5, 6])), "none_", np.array([0]))
np.testing.assert_allclose(solver.solve(np.full(5, 12.0), np.full(5, 7.0)), [7, 4, 3, 2.4, 2])
try:
    df.KSP()
except df.errors.MissingDependency as error:
    print(error)
"""


def test_runs_and_says_what_to_install():
    done = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "apt-get install python3-petsc4py" in done.stdout
