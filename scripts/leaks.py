"""Resident memory over many steps and many calls: it must not grow.

python scripts/leaks.py                            # 10⁵ steps, 10³ calls of evolve and of fit
python scripts/leaks.py --steps 5000 --calls 100
"""

from __future__ import annotations

import argparse
import gc
import resource
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from mpi4py import MPI

import dfpde as df
from dfpde.errors import DfpdeWarning
from dfpde.leastsquares import LSQR

#: MiB by which memory may grow after a tenth of the work; a p × p array of the calls below has 0.25 MiB.
ALLOWED = 4.0


def memory() -> float:
    """Resident MiB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def growth(work: Callable[[], object], times: int) -> tuple[float, float]:
    """MiB after a tenth of the calls, and by how much it has grown at their end."""
    for _ in range(max(1, times // 10)):
        work()
    before = memory()
    for _ in range(times - times // 10):
        work()
    return before, memory() - before


def waves(n: int) -> tuple[df.Problem, np.ndarray]:
    """Advection of n periodic Gaussians, and parameters."""
    ansatz = df.PeriodicGaussianMixture.isotropic((2.0,), n)
    points = df.Quadrature.periodic((-1.0, 1.0), 4 * n, MPI.COMM_SELF)
    theta = ansatz.pack(amplitudes=0.1, centers=np.linspace(-1, 0.9, n)[:, None], scales=8.0)
    return df.Problem(ansatz, points, lambda t, x, u: -df.dx(u)), theta


def stepping(steps: int) -> tuple[float, float]:
    """One long run of a tiny problem."""
    problem, theta = waves(2)
    choices = {"integrator": df.integrators.Euler, "controller": df.Fixed(1e-6), "regularization": df.Tikhonov(1e-3)}
    states = df.evolve(problem, df.State(0.0, theta), until=1e-6 * steps, **choices)
    return growth(lambda: next(states, None), steps)


def calling(solver: Callable[[], object], calls: int) -> tuple[float, float]:
    """Many runs of one step, each with a solver of its own: p = 180."""
    problem, theta = waves(60)
    choices = {"controller": df.Fixed(1e-3), "integrator": df.integrators.Euler, "regularization": df.Inertia(1e-3)}
    return growth(lambda: list(df.evolve(problem, df.State(0.0, theta), until=1e-3, solver=solver(), **choices)), calls)


def fitting(calls: int) -> tuple[float, float]:
    """Many fits of one iteration, each with a solver of its own."""
    problem, theta = waves(60)
    return growth(lambda: df.fit(problem, lambda x: np.sin(np.pi * x[0]), theta, max_iterations=1), calls)


def main(words: Sequence[str] | None = None) -> int:
    """Print the growth of each; the exit code says whether one is too large."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=1000)
    chosen = parser.parse_args(words)
    warnings.simplefilter("ignore", DfpdeWarning)  # a fit of one iteration is a bad one
    parts = {
        f"{chosen.steps} steps of one run": lambda: stepping(chosen.steps),
        f"{chosen.calls} calls of evolve, default solver": lambda: calling(lambda: None, chosen.calls),
        f"{chosen.calls} calls of evolve, LSQR": lambda: calling(LSQR, chosen.calls),
        f"{chosen.calls} calls of evolve, Dense": lambda: calling(df.Dense, chosen.calls),
        f"{chosen.calls} calls of fit": lambda: fitting(chosen.calls),
    }
    worst = 0.0
    for name, part in parts.items():
        before, more = part()
        worst = max(worst, more)
        print(f"{name}: {before:.1f} MiB after a tenth, then {more:+.2f} MiB", flush=True)
    return int(worst > ALLOWED)


if __name__ == "__main__":
    raise SystemExit(main())
