"""One stage at scale: two ranks against one, many points in bounded memory, many parameters without a p × p matrix.

    python benchmarks/scaling.py [--full]          (it starts mpirun itself)

Cases: N = 10⁵, p = 500 on one and on two ranks (speed-up of the whole stage: tangent, right-hand side, solve), beside
the model of docs/least_squares.md, which is then extrapolated to 10⁴ ranks; with
--full N = 10⁶, p = 1000 by chunks (peak memory, share of dgemm's rate in the Gram matrix) and p = 10 000,
N = 20 000 with the default and with the Nyström preconditioner.  Without --full the last two take a tenth of the
points; their seconds are CPU time.  A table, then one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from typing import Any

import numpy as np
from common import allen_cahn, medians, peak_rss_gib, rates
from mpi4py import MPI

import dfpde as df
from dfpde.ansatz.networks.embedding import PeriodicEmbedding
from dfpde.ansatz.networks.network import Network
from dfpde.leastsquares import LeastSquares, Nystrom, Sampled
from dfpde.parallel import environment

#: A network as on clusters: seconds of a message, bytes a second.
LATENCY, NETWORK = 2e-6, 1e10


def mixture(count: int, n: int, comm: MPI.Comm, storage: int) -> tuple[df.Problem, np.ndarray]:
    """Overlapping periodic Gaussians, p = 3 count."""
    ansatz = df.PeriodicGaussianMixture.isotropic((2.0,), count)
    problem = df.Problem(ansatz, df.Quadrature.periodic((-1, 1), n, comm), lambda t, x, u: -df.dx(u), storage=storage)
    rng = np.random.default_rng(0)
    centers = np.linspace(-1, 1, count, endpoint=False)[:, None]
    # for_run: what f asks of u is remembered, so its derivatives come with the tangent, as in every run
    return problem.for_run(), ansatz.pack(amplitudes=rng.standard_normal(count), centers=centers, scales=count / 6)


def stage(problem: df.Problem, theta: np.ndarray, solver: df.KSP, eps: float, anchor: np.ndarray | None) -> Any:
    """Tangent, right-hand side and inertial solve."""
    system = problem.system(0.0, theta)
    rhs = system.rhs if anchor is None else system.rhs - system.tangent.apply(anchor)
    return solver.solve(LeastSquares(system.tangent, rhs, eps))


def worker(name: str, full: bool) -> None:
    """One case, on the ranks of COMM_WORLD; rank 0 prints a JSON object."""
    comm = MPI.COMM_WORLD
    result = {"speed": speed, "points": points, "parameters": parameters}[name](comm, full)
    result["peak_rss_gib"] = comm.allreduce(peak_rss_gib(), op=MPI.MAX)
    if comm.rank == 0:
        print(json.dumps(result))


def speed(comm: MPI.Comm, full: bool) -> dict[str, Any]:
    """Seconds of a warm stage at N = 10⁵, p = 500, the θ moving as in a run."""
    problem, theta = mixture(167, 100_000, comm, 1 << 30)
    eps = 1e-4 * float(problem.tangent(theta).column_norms().max())
    solver = df.KSP()
    v = stage(problem, theta, solver, eps, None).value
    seconds, iterations = [], []
    for _ in range(9 if full else 5):
        theta = theta + 1e-4 * v
        comm.barrier()
        began = time.perf_counter()
        found = stage(problem, theta, solver, eps, 0.97 * v)
        v = 0.97 * v + found.value
        comm.barrier()
        seconds.append(time.perf_counter() - began)
        iterations.append(found.iterations)
    evaluation = medians({"system": lambda: problem.system(0.0, theta)}, 3)["system"]
    sample = comm.size * solver.preconditioner.sampling.choose(problem.tangent(theta))[0]
    return {
        "seconds": float(np.median(seconds)), "iterations": float(np.median(iterations)), "sample": sample,
        "evaluation": evaluation, "p": problem.ansatz.size, "n": 100_000,
    }  # fmt: skip


def model(n: float, one: dict[str, Any], machine: dict[str, float], ranks: int) -> tuple[float, float, float]:
    """Seconds of a stage: what is divided among the ranks, what rank 0 does alone, messages.

    Evaluations as measured on one rank, flops at the rate of dgemm, bytes at that of a stream.  A sample of m rows and
    k iterations: m p² + p³/3 flops; k + 2 sweeps over J, k + 2 solves with the factor.  A message of p + 5 numbers
    costs `LATENCY` and its bytes at `NETWORK` in each of log₂ R rounds.
    """
    p, m, k = one["p"], one["sample"], one["iterations"]
    flop, byte = 1e-9 / machine["dgemm_gflops"], 1e-9 / machine["stream_gbs"]
    shared = one["evaluation"] * n / one["n"] + m * p**2 * flop + (k + 2) * 8 * n * p * byte
    alone = p**3 / 3 * flop + (k + 2) * 8 * p**2 * byte if m >= p else m**2 * p * flop + (k + 2) * 32 * m * p * byte
    rounds = 2 * (k + 2) * math.log2(ranks)
    numbers = rounds * (LATENCY + 8 * (p + 5) / NETWORK) + math.log2(ranks) * 4 * p**2 / NETWORK
    return shared / ranks, alone, numbers


def compared(one: dict[str, Any], two: dict[str, Any]) -> dict[str, float]:
    """The model beside what was measured, and what it says of many ranks."""
    machine, line = rates(), {}
    for ranks, found in ((1, one), (2, two)):
        expected = sum(model(100_000, one, machine, ranks))
        line[f"model_{ranks}"] = expected
        print(f"  model, {ranks} rank(s): {expected:.3f} s, measured {found['seconds']:.3f}; {one['sample']:.0f} rows, "
              f"{one['iterations']:.0f} iterations")  # fmt: skip
    for ranks in (1, 100, 10_000):
        parts = model(1e8, one, machine, ranks)
        shared, alone, messages = (f"{1e3 * part:.1f}" for part in parts)
        print(f"  model, N = 10⁸, {ranks:6d} ranks: {1e3 * sum(parts):.1f} ms: shared {shared}, rank 0 alone {alone}, "
              f"messages {messages}")  # fmt: skip
        line[f"model_1e8_{ranks}"] = sum(parts)
    return line


def points(comm: MPI.Comm, full: bool) -> dict[str, Any]:
    """A stage with J never stored, and the rate of its Gram matrix."""
    n = 1_000_000 if full else 100_000
    problem, theta = mixture(333, n, comm, 0)
    eps = 1e-3 * float(problem.tangent(theta).column_norms().max())
    began = time.process_time()
    solution = stage(problem, theta, df.KSP(rtol=1e-8), eps, None)
    seconds = time.process_time() - began
    # rate of the Gram matrix alone, from stored rows, as dsyrk sees it: n p² flops
    small, theta = mixture(333, 20_000, MPI.COMM_SELF, 1 << 30)
    tangent = small.tangent(theta)
    p = tangent.columns
    gram = medians({"gram": tangent.local_gram}, 5)["gram"]
    share = 20_000 * p**2 / gram / 1e9 / rates()["dgemm_gflops"]
    return {
        "n": n,
        "p": p,
        "seconds": seconds,
        "iterations": solution.iterations,
        "reason": solution.reason,
        "gram_dgemm_share": share,
    }


def parameters(comm: MPI.Comm, full: bool) -> dict[str, Any]:
    """Many parameters: no p × p matrix, no stored tangent; the default, then Nyström."""
    n = 20_000 if full else 2_000
    ansatz = Network(1, (69,) * 3, embedding=PeriodicEmbedding((2 * np.pi,), 4))
    problem = df.Problem(ansatz, df.Quadrature.periodic((0, 2 * np.pi), n, comm), allen_cahn)
    first = ansatz.initial(0)
    eps = 1e-3 * float(problem.tangent(first).column_norms().max())
    line: dict[str, Any] = {"n": n, "p": ansatz.size}
    for name, preconditioner in (("sampled", Sampled()), ("nystrom", Nystrom())):
        solver, theta, anchor, seconds, iterations = df.KSP(1e-8, preconditioner=preconditioner), first, None, [], []
        for _ in range(2):
            began = time.process_time()
            found = stage(problem, theta, solver, eps, anchor)
            seconds.append(time.process_time() - began)
            iterations.append(found.iterations)
            anchor, theta = found.value, theta + 1e-4 * found.value / np.linalg.norm(found.value)
        line |= {name: {"seconds": seconds, "iterations": iterations, "peak_rss_gib": peak_rss_gib()}}
    return line


def launch(ranks: int, name: str, full: bool) -> dict[str, Any]:
    """Run a case under mpirun."""
    done = environment.run_ranks(ranks, [__file__, "--case", name, *(["--full"] if full else [])], 600.0)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--full", action="store_true", help="N = 10⁶, and N = 20 000 at p = 10 000")
    parser.add_argument("--case", choices=["speed", "points", "parameters"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        worker(options.case, options.full)
        return
    pairs = [
        (launch(1, "speed", options.full), launch(2, "speed", options.full)) for _ in range(5 if options.full else 3)
    ]
    one, two = (float(np.median([pair[i]["seconds"] for pair in pairs])) for i in (0, 1))
    speedup = float(np.median([a["seconds"] / b["seconds"] for a, b in pairs]))
    print(f"N = 100 000, p = 501: one rank {one:.3f} s a stage, two ranks {two:.3f} s, speed-up {speedup:.2f}")
    line: dict[str, Any] = {"speedup_2": speedup, **compared(*pairs[-1])}
    many = launch(1, "points", options.full)
    print(f"N = {many['n']:,}, p = {many['p']}: {many['seconds']:.1f} s a stage, {many['iterations']} iterations, "
          f"peak {many['peak_rss_gib']:.2f} GiB; Gram at {100 * many['gram_dgemm_share']:.0f} % of dgemm")  # fmt: skip
    wide = launch(1, "parameters", options.full)
    for name in ("sampled", "nystrom"):
        part, (first, second) = wide[name], wide[name]["seconds"]
        print(f"p = {wide['p']}, N = {wide['n']}, {name}: iterations {part['iterations']}, seconds {first:.1f} and "
              f"{second:.1f}, peak {part['peak_rss_gib']:.2f} GiB")  # fmt: skip
    line |= {"peak_rss_gib": many["peak_rss_gib"], "gram_dgemm_share": many["gram_dgemm_share"]}
    print(json.dumps({**line, "points": many, "parameters": wide, "speed": [one, two]}))


if __name__ == "__main__":
    sys.exit(main())
