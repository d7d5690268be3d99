"""The guard of the resolution: leverages of runs whose quadrature resolves the ansatz, and of runs whose does not.

    python benchmarks/resolution.py [--rtol 1e-4]

Every run has a solution in closed form; its true error is measured on a quadrature at least seven times finer.  For
each run: points, parameters, the largest leverage seen, and (with the default threshold) when the guard spoke, the true
error then, and the true error at the end.  The last line is JSON: resolved, false_alarms, unresolved, flagged,
flagged_in_time (before the true error reached 10 rtol, or at the first look where the fit itself had not).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import numpy as np
from mpi4py import MPI

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dfpde as df
from benchmarks.study_problems import cole_hopf
from dfpde.evolution.resolution import CROWDED, DECIDES

SELF = MPI.COMM_SELF


@dataclass(frozen=True)
class Case:
    """An equation with its solution (t, x) -> u, an ansatz, and a quadrature that resolves it or not."""

    name: str
    resolved: bool
    problem: df.Problem
    exact: Callable
    until: float
    fine: df.Quadrature


# -- equations -----------------------------------------------------------------------------------------------------
def burgers(t, x, u):
    """−u u_x + 0.01 u_xx."""
    return 0.01 * df.dx(u, 2) - u.value * df.dx(u)


def front(t, x):
    return cole_hopf(0.01, t, x)


def pulse(t, x):
    """Travelling on [−1, 1) periodic at speed 1."""
    return np.exp(-20 * np.sin(np.pi * (x[0] - t) / 2) ** 2)


def squeezed(t, x):
    """u_t = (x u)_x: u(t, x) = e^t u₀(e^t x), ever narrower."""
    return np.exp(t) * np.exp(-0.5 * (x[0] * np.exp(t)) ** 2)


def rotated(t, x):
    """A blob that turns about the origin."""
    c, s = np.cos(t), np.sin(t)
    y = c * x[0] + s * x[1], -s * x[0] + c * x[1]
    return np.exp(-8 * ((y[0] - 0.4) ** 2 + y[1] ** 2))


def irregular(n, seed=0):
    """n points of [−1, 1) with gaps of very different lengths, weights half the gaps to both sides."""
    x = np.sort(np.random.default_rng(seed).uniform(-1, 1, n))
    gaps = np.diff(np.append(x, x[0] + 2))
    return df.Quadrature(x[None], (gaps + np.roll(gaps, 1)) / 2, SELF)


def periodic(n):
    return df.Quadrature.periodic((-1.0, 1.0), n, SELF)


def square(n):
    return df.Quadrature.gauss(((-1, 1), (-1, 1)), n, 3, SELF)


def cases() -> list[Case]:
    """Resolved ones first."""
    mixture = df.PeriodicGaussianMixture.isotropic((2.0,), 20)
    network = df.Network(1, (10, 10), None, df.PeriodicEmbedding((2.0,)))
    few = df.PeriodicGaussianMixture.isotropic((2.0,), 12)
    line = df.GaussianMixture.isotropic(1, 3)
    plane = df.GaussianMixture.full(2, 6)
    fine, plane_fine, line_fine = periodic(5000), square(150), df.Quadrature.gauss((-5, 5), 2000, 3, SELF)
    made = [
        ("Burgers, 20 Gaussians", mixture, periodic, (400, 200), (60, 40, 25), burgers, front, 0.4, fine),
        ("Burgers, irregular points", mixture, irregular, (600,), (80, 50), burgers, front, 0.4, fine),
        ("Burgers, network", network, periodic, (400,), (60, 30), burgers, front, 0.4, fine),
        ("travelling pulse", few, periodic, (96,), (24, 18), lambda t, x, u: -df.dx(u), pulse, 0.5, fine),
        ("squeezed pulse", line, lambda n: df.Quadrature.gauss((-5, 5), n, 3, SELF), (400,), (24, 16),
         lambda t, x, u: u.value + x[0] * df.dx(u), squeezed, 2.5, line_fine),
        ("rotation in the plane", plane, square, (12,), (4, 3),
         lambda t, x, u: x[1] * u.gradient[0] - x[0] * u.gradient[1], rotated, 1.0, plane_fine),
    ]  # fmt: skip
    found = []
    for name, ansatz, rule, enough, short, f, exact, until, reference in made:
        for n in (*enough, *short):
            found.append(Case(name, n in enough, df.Problem(ansatz, rule(n), f), exact, until, reference))
    return sorted(found, key=lambda case: not case.resolved)


# -- runs ----------------------------------------------------------------------------------------------------------
def run(case: Case, rtol: float) -> dict:
    """Fit on fine points (so that the start is right), evolve on the case's own, look with the guard."""
    problem, fine = case.problem, case.fine
    start = df.fit(df.Problem(problem.ansatz, fine, problem.rhs), lambda x: case.exact(0.0, x))
    spoke, largest, rows = None, 0.0, problem.quadrature.size

    def error(state) -> float:
        exact = case.exact(state.t, fine.x)
        return fine.norm(problem.field(state, fine.x).value - exact) / fine.norm(exact)

    begin, state, first = df.State(0.0, start.theta), start, error(start)
    how = {"controller": df.PI(rtol=rtol), "on_unresolved": "ignore"}
    try:
        for state in df.evolve(problem, begin, until=case.until, **how):
            seen = state.statistics.resolution
            largest = max(largest, seen if np.isfinite(seen) else 0.0)
            if (seen > DECIDES or state.statistics.effective_dimension > CROWDED * rows) and spoke is None:
                spoke = state.t, error(state), state.step
    except df.DfpdeError as stopped:
        print(f"  ({type(stopped).__name__} at t = {state.t:.3g})")
    return {"points": problem.quadrature.size, "p": problem.ansatz.size, "largest": largest, "spoke": spoke,
            "start": first, "end": error(state)}  # fmt: skip


def main(argv: list[str] | None = None) -> dict:
    """Print the table; returns what the JSON line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rtol", type=float, default=1e-4)
    rtol = parser.parse_args(argv).rtol
    warnings.simplefilter("ignore")
    heads = f"{'flag at t':>9} {'error then':>10} {'at start':>9} {'at end':>9}"
    print(f"{'':27} {'points':>6} {'p':>4} {'max ℓ':>7} {heads}")
    result = dict.fromkeys(("resolved", "false_alarms", "unresolved", "flagged", "flagged_in_time"), 0)
    for case in cases():
        found = run(case, rtol)
        t, then, step = found["spoke"] or (np.nan, np.nan, 0)
        print(f"{case.name:27} {found['points']:6d} {found['p']:4d} {found['largest']:7.4f} {t:9.3g} {then:10.1e} "
              f"{found['start']:9.1e} {found['end']:9.1e}", flush=True)  # fmt: skip
        if case.resolved:
            result["resolved"] += 1
            result["false_alarms"] += found["spoke"] is not None
        else:
            result["unresolved"] += 1
            result["flagged"] += found["spoke"] is not None
            result["flagged_in_time"] += found["spoke"] is not None and (then < 10 * rtol or step == 1)
    print(json.dumps(result))
    return result


if __name__ == "__main__":
    main()
