"""Cost of conserved quantities: time of a step with and without, for growing sizes.

    python benchmarks/conservation.py [--quick]

Burgers u_t = −u u_x, periodic Gaussians, mass and energy kept.  Runs with and without alternate, and the least
CPU time of several counts; the aim is less than 10 % extra.
"""

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from mpi4py import MPI

import dfpde as df

PERIOD = 2 * np.pi
QUANTITIES = (df.diagnostics.Functional.linear(1.0), df.diagnostics.Functional.squared_norm("energy"))


class Counting(df.KSP):
    """KSP that adds up its iterations."""

    iterations = 0

    def solve(self, system):
        solution = super().solve(system)
        self.iterations += solution.iterations
        return solution


def initial(x):
    return 0.5 + np.sin(x[0])


def setting(n, points, comm):
    ansatz = df.PeriodicGaussianMixture.isotropic((PERIOD,), n)
    quadrature = df.Quadrature.periodic((0, PERIOD), points, comm)
    problem = df.Problem(ansatz, quadrature, lambda t, x, u: -u.value * df.dx(u))
    nodes = PERIOD * np.arange(n) / n
    columns = ansatz.pack(amplitudes=1, centers=nodes[:, None], scales=n / 6)
    grid = PERIOD * np.arange(4 * n)[None] / (4 * n)
    basis = ansatz.tangent(columns, grid)[:n]
    amplitudes = np.linalg.lstsq(basis.T, initial(grid), rcond=1e-10)[0]
    return problem, df.State(0.0, ansatz.pack(amplitudes=amplitudes, centers=nodes[:, None], scales=n / 6))


def seconds(problem, start, steps, conserve, scheme):
    """CPU seconds for each step after a warm-up, iterations for each step, largest relative drift."""
    rule = df.Inertia(1e-3, 0.97)
    held = df.constraints.Conserving(problem, QUANTITIES, rule, start)
    solver = Counting()
    run = df.evolve(
        problem, start, until=5e-3 * (steps + 2), regularization=held if conserve else rule, solver=solver,
        integrator=held.integrator(scheme) if conserve else scheme, controller=df.Fixed(5e-3),
    )  # fmt: skip
    next(run), next(run)
    solver.iterations, begin = 0, time.process_time()
    state = list(run)[-1]
    elapsed = time.process_time() - begin
    return elapsed / steps, solver.iterations / steps, np.abs(held.misfit(state)).max()


def row(free, kept):
    """Milliseconds, iterations and drift, without and with."""
    return "".join(
        f"{1e3 * free[i]:>12.2f}{1e3 * kept[i]:>8.2f}" if i == 0 else f"{free[i]:>10.1f}{kept[i]:>8.1f}" if i == 1
        else f"{free[i]:>12.1e}{kept[i]:>8.1e}" for i in range(3)
    )  # fmt: skip


def main(argv=None):
    """Returns {(n, points, scheme): relative extra time}."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, one repetition")
    quick = parser.parse_args(argv).quick
    sizes = [(10, 200)] if quick else [(10, 200), (30, 2000), (60, 8000), (100, 16000)]
    extra = {}
    if MPI.COMM_WORLD.rank == 0:
        print(f"{'p':>5}{'points':>8}   ms/step free    kept  its free    kept  drift free    kept     extra")
    for n, points in sizes:
        for name, scheme in (("RK4", df.RK4), ("DP5", df.DormandPrince)):
            problem, start = setting(n, points, MPI.COMM_WORLD)
            steps, rounds = (5, 1) if quick else (max(5, 40 // (1 + points // 2000)), 3)
            free = kept = (np.inf,)
            for _ in range(rounds):
                free = min(free, seconds(problem, start, steps, False, scheme))
                kept = min(kept, seconds(problem, start, steps, True, scheme))
            extra[n, points, name] = kept[0] / free[0] - 1
            if MPI.COMM_WORLD.rank == 0:
                percent = 100 * extra[n, points, name]
                print(f"{3 * n:>5}{points:>8}  {name:<4}{row(free, kept)}{percent:>8.1f} %", flush=True)
    return extra


if __name__ == "__main__":
    main()
