"""One inertial solve: KSP with a lagged Gram–Cholesky preconditioner against LAPACK and JAX, on one core.

    python benchmarks/least_squares.py [--full]

The tangents are those of a real run (RK4 steps of Allen–Cahn with a periodic network, and of an advected periodic
Gaussian mixture), in pieces; dfpde's time of a piece is the mean over its solves, rebuilds of the preconditioner
included.  After each piece the baselines solve its last system [√W J; εI]: SciPy's gelsd and gelsy, jitted
jax.numpy.linalg.lstsq, and Gram matrix + Cholesky.  Times and ratios are medians over the pieces.  Errors are
‖J(δ − δ_QR)‖/‖J δ_QR‖ against Householder QR of the last system.  A table, then one JSON object; ratios > 1: dfpde is
faster.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import allen_cahn, allen_cahn_start, peak_rss_gib, rates
from mpi4py import MPI
from scipy.linalg import cho_factor, cho_solve, lstsq, qr, solve_triangular

import dfpde as df
from dfpde.ansatz.networks.embedding import PeriodicEmbedding
from dfpde.ansatz.networks.network import Network
from dfpde.leastsquares import LeastSquares, Solution

COMM = MPI.COMM_SELF


class Timed:
    """A solver that remembers its systems and the seconds of each solve."""

    def __init__(self, solver: df.KSP) -> None:
        self.solver, self.seconds, self.iterations, self.builds = solver, [], [], 0
        self.system: LeastSquares | None = None
        self.solution: Solution | None = None

    def solve(self, system: LeastSquares) -> Solution:
        start = time.process_time()
        solution = self.solver.solve(system)
        self.seconds.append(time.process_time() - start)
        self.iterations.append(solution.iterations)
        self.builds += solution.stats["builds"]
        self.system, self.solution = system, solution
        return solution


def network(width: int, n: int) -> tuple[df.Problem, df.State]:
    """Periodic tanh network for Allen–Cahn, fitted to its initial data."""
    ansatz = Network(1, (width,) * 3, embedding=PeriodicEmbedding((2 * np.pi,), 4))
    problem = df.Problem(ansatz, df.Quadrature.periodic((0, 2 * np.pi), n, COMM), allen_cahn)
    coarse = df.Problem(ansatz, df.Quadrature.periodic((0, 2 * np.pi), 1000, COMM), allen_cahn)
    return problem, df.fit(coarse, allen_cahn_start, ansatz.initial(0), max_iterations=20)


def mixture(count: int, n: int) -> tuple[df.Problem, df.State]:
    """Overlapping periodic Gaussians carrying a pulse: a nearly rank-deficient tangent."""
    ansatz = df.PeriodicGaussianMixture.isotropic((2.0,), count)
    problem = df.Problem(ansatz, df.Quadrature.periodic((-1, 1), n, COMM), lambda t, x, u: -df.dx(u))
    guess = ansatz.pack(amplitudes=0.01, centers=np.linspace(-1, 1, count, endpoint=False)[:, None], scales=count / 6)
    coarse = df.Problem(ansatz, df.Quadrature.periodic((-1, 1), 1000, COMM), problem.rhs)
    return problem, df.fit(coarse, lambda x: np.exp(-20 * np.sin(np.pi * x[0] / 2) ** 2), guess, max_iterations=10)


def case(name: str, problem: df.Problem, start: df.State, dt: float, steps: int, pairs: int) -> dict[str, Any]:
    """A run in `pairs` pieces, after each the baselines on the last system: all of them meet the same machine."""
    eps = 1e-4 * float(problem.tangent(start.theta).column_norms().max())
    timed, lstsq_jax, pieces = Timed(df.KSP()), jax_lstsq(), []
    run = df.evolve(
        problem, start, until=steps * dt, controller=df.Fixed(dt), integrator=df.RK4,
        regularization=df.Inertia(eps, 0.97), solver=timed,
    )  # fmt: skip
    for _ in range(pairs):
        before = len(timed.seconds)
        for _ in range(steps // pairs):
            next(run)
        piece = {"dfpde, run": float(np.mean(timed.seconds[before:]))}
        stacked, rhs = stack(timed.system, eps)
        for key, job in baselines(stacked, rhs, lstsq_jax).items():
            begin = time.process_time()
            job()
            piece[key] = time.process_time() - begin
        pieces.append(piece)
    seconds = {key: statistics.median(piece[key] for piece in pieces) for key in pieces[0]}
    seconds["dfpde, mean"] = float(np.mean(timed.seconds))  # its first solves, which need more iterations, included
    rows, p = len(timed.system.rhs), problem.ansatz.size
    q, r = qr(stacked, mode="economic")
    exact = solve_triangular(r, q.T @ rhs)
    sigma = np.linalg.svd(qr(stacked[:rows], mode="r")[0][:p], compute_uv=False)
    condition = float(sigma[0] / max(sigma[-1], 1e-300))
    found = {key: np.asarray(job()) for key, job in baselines(stacked, rhs, lstsq_jax).items()}
    found["dfpde, run"] = timed.solution.value
    errors = {
        key: float(np.linalg.norm(stacked[:rows] @ (value - exact)) / np.linalg.norm(stacked[:rows] @ exact))
        for key, value in found.items()
    }
    print(f"\n{name}: N = {rows}, p = {p}, κ(J) = {condition:.0e}, ε = {eps:.1e}; {len(timed.seconds)} solves, "
          f"{timed.builds} builds, {np.mean(timed.iterations):.1f} iterations")  # fmt: skip
    for key in seconds:
        error = f"   error {errors[key]:.1e}" if key in errors else "   with the first solves"
        print(f"  {key:14s} {1e3 * seconds[key]:9.2f} ms{error}")
    return {
        "case": name, "rows": rows, "p": p, "condition": condition,
        "ratio_gelsd": statistics.median(piece["gelsd"] / piece["dfpde, run"] for piece in pieces),
        "ratio_jax_lstsq": statistics.median(piece["jax lstsq"] / piece["dfpde, run"] for piece in pieces),
        "ratio_gelsd_mean": seconds["gelsd"] / seconds["dfpde, mean"],
        "error_vs_qr": errors["dfpde, run"], "milliseconds": {key: 1e3 * value for key, value in seconds.items()},
        "solves": len(timed.seconds), "builds": timed.builds, "iterations": float(np.mean(timed.iterations)),
    }  # fmt: skip


def stack(system: LeastSquares, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """[√W J; εI] and its right-hand side, Fortran order."""
    p = system.tangent.columns
    rows = np.vstack([system.tangent.blocks[0].dense(), eps * np.eye(p)])
    return np.asfortranarray(rows), np.concatenate([system.rhs, np.zeros(p)])


def baselines(stacked: np.ndarray, rhs: np.ndarray, lstsq_jax: Any) -> dict[str, Callable[[], Any]]:
    """What peers and LAPACK do with this system."""

    def cholesky() -> np.ndarray:
        return cho_solve(cho_factor(stacked.T @ stacked, check_finite=False), stacked.T @ rhs)

    return {
        "gelsd": lambda: lstsq(stacked, rhs, lapack_driver="gelsd", check_finite=False)[0],
        "gelsy": lambda: lstsq(stacked, rhs, lapack_driver="gelsy", check_finite=False)[0],
        "gram+cholesky": cholesky,
        "jax lstsq": lstsq_jax(stacked, rhs),
    }


def jax_lstsq() -> Any:
    """Jitted jax.numpy.linalg.lstsq on data that JAX already holds, compiled before it is timed."""
    import jax

    jax.config.update("jax_enable_x64", True)
    solve = jax.jit(lambda a, b: jax.numpy.linalg.lstsq(a, b)[0])
    compiled = set()

    def given(stacked: np.ndarray, rhs: np.ndarray) -> Callable[[], Any]:
        a, b = jax.device_put(stacked), jax.device_put(rhs)
        if a.shape not in compiled:
            solve(a, b).block_until_ready()
            compiled.add(a.shape)
        return lambda: solve(a, b).block_until_ready()

    return given


def main() -> None:
    """Table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--full", action="store_true", help="both tangents at N = 20 000, nine pairs")
    full = parser.parse_args().full
    machine = rates()
    print(f"machine: dgemm {machine['dgemm_gflops']:.1f} GFlop/s, streaming {machine['stream_gbs']:.1f} GB/s, one core")
    pairs = 9 if full else 5
    cases = [
        case("mixture", *mixture(166, 20000), 1e-3, 25, pairs),
        case("small mixture", *mixture(33, 4000), 1e-3, 100, 2 * pairs),
        case("small network", *network(5, 4000), 5e-3, 100, 2 * pairs),
    ]
    if full:
        cases.insert(1, case("network", *network(14, 20000), 5e-3, 12, pairs))
    worst = {key: min(c[key] for c in cases if c["rows"] >= 20000) for key in ("ratio_gelsd", "ratio_jax_lstsq")}
    small = {f"small_{key}": min(c[key] for c in cases if c["rows"] < 20000) for key in worst}
    error = max(c["error_vs_qr"] for c in cases)
    print(
        json.dumps({**worst, **small, "error_vs_qr": error, **machine, "peak_rss_gib": peak_rss_gib(), "cases": cases})
    )


if __name__ == "__main__":
    main()
