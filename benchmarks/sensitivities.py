"""Accuracy of the sensitivities of a run against the relative step η of the differences at one stage.

    python benchmarks/sensitivities.py [--quick]

Burgers u_t = ν u_xx − c u u_x, 4 periodic Gaussians, Runge–Kutta 4, 25 steps: greatest relative error of ∂θ/∂ν, ∂θ/∂c
and of two derivatives in θ₀, against Richardson-extrapolated central differences of whole runs (LAPACK solves).
"""

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from mpi4py import MPI

import dfpde as df
from dfpde.diagnostics import derivatives

PERIOD, UNTIL = 2 * np.pi, 0.5
COEFFICIENTS = np.array([0.05, 1.0])


def setting():
    ansatz = df.PeriodicGaussianMixture.isotropic((PERIOD,), 4)
    quadrature = df.Quadrature.periodic((0, PERIOD), 64, MPI.COMM_SELF)

    def problem_of(c):
        return df.Problem(ansatz, quadrature, lambda t, x, u: c[0] * df.dx(u, 2) - c[1] * u.value * df.dx(u))

    theta = ansatz.pack(
        amplitudes=[0.8, -0.6, 0.7, -0.5], centers=[[0.3], [1.9], [3.4], [5.0]], scales=[1.1, 1.3, 1.0, 1.2]
    )
    directions = np.zeros((ansatz.size, 2))
    directions[0, 0] = directions[6, 1] = 1.0
    return problem_of, theta, directions


def reference(problem_of, theta, directions, rule, steps):
    def end(c, start):
        run = df.evolve(
            problem_of(c), df.State(0.0, start), until=UNTIL, regularization=rule, integrator=df.RK4, solver=df.Dense(),
            controller=df.Fixed(UNTIL / steps),
        )  # fmt: skip
        return list(run)[-1].theta

    def slope(function, h):
        coarse, fine = ((function(s) - function(-s)) / (2 * s) for s in (h, h / 2))
        return (4 * fine - coarse) / 3

    pairs = zip(np.eye(2), (1e-4, 1e-3), strict=True)
    columns = [slope(lambda s, e=e: end(COEFFICIENTS + s * e, theta), h) for e, h in pairs]
    columns += [slope(lambda s, d=d: end(COEFFICIENTS, theta + s * d), 1e-3) for d in directions.T]
    return np.stack(columns, axis=1)


def main(argv=None):
    """Returns {(rule, η): errors of the four columns}."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one rule, fewer steps")
    quick = parser.parse_args(argv).quick
    steps = 5 if quick else 25
    rules = {"per_step(1e-2, 0.97)": df.Inertia(1e-2, 0.97), "Tikhonov(1e-2)": df.Tikhonov(1e-2)}
    if quick:
        rules.popitem()
    problem_of, theta, directions = setting()
    errors, standard = {}, derivatives.STEP
    for name, rule in rules.items():
        exact = reference(problem_of, theta, directions, rule, steps)
        for eta in (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5):
            derivatives.STEP = eta
            begin = time.process_time()
            run = df.diagnostics.sensitivities(
                problem_of,
                COEFFICIENTS,
                df.State(0.0, theta),
                directions,
                until=UNTIL,
                steps=steps,
                regularization=rule,
            )
            found = list(run)[-1].derivative
            seconds = time.process_time() - begin
            errors[name, eta] = np.abs(found - exact).max(0) / np.abs(exact).max(0)
            row = "  ".join(f"{e:.1e}" for e in errors[name, eta])
            print(f"{name:<22}η = {eta:.0e}  {row}  {seconds:.2f} s", flush=True)
    derivatives.STEP = standard
    return errors


if __name__ == "__main__":
    main()
