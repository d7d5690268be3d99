"""One BLAS thread inside a step, the caller's number outside, and whoever sets a variable decides."""

import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np, scipy.linalg
from mpi4py import MPI
from threadpoolctl import threadpool_info, threadpool_limits
import dfpde as df

def threads():
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")

inside = []
def rhs(t, x, u):
    inside.append(threads())
    return -df.dx(u)

ansatz = df.GaussianMixture.isotropic(1, 1)
problem = df.Problem(ansatz, df.Quadrature(np.linspace(-3, 3, 40)[None], np.full(40, 0.15), MPI.COMM_SELF), rhs)
with threadpool_limits(3, user_api="blas"):
    start = df.fit(problem, lambda x: np.exp(-x[0]**2), np.array([1.0, 0.1, 1.2]))
    outside = [threads()]
    for state in df.evolve(problem, start, until=0.2, regularization=df.Tikhonov(1e-4), controller=df.Fixed(0.1)):
        outside.append(threads())
print(sorted(set(inside)), sorted(set(outside)))
"""


@pytest.mark.parametrize("variable, inside", (({}, [1]), ({"OMP_NUM_THREADS": "2"}, [3])))
def test_threads_of_a_step(variable, inside, monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert result.stdout.strip() == f"{inside} [3]", result.stdout + result.stderr
