"""Work and precision on the problems of papers: networks of 153 to 3353 parameters, adaptive steps, fit included.

    python benchmarks/accuracy.py [--full] [--cases P1 P1b P2] [--widths 6 14 24 38] [--rtols 1e-4 1e-5 1e-6] [--cap 40]

P1 and P2 are Allen–Cahn and Burgers of Berman & Peherstorfer (arXiv 2310.04867), P1b Allen–Cahn with a reaction that
grows in time of Bruna, Peherstorfer, Vanden-Eijnden (arXiv 2203.01360).  tanh networks with three hidden layers on
periodic features, 1024 equispaced points; stages (`evolve` as it is) and field steps (`FieldStep` with ETDRK4 on the
same points) from the same start.  Errors are relative L² over space-time at 41 times, against a Fourier solution (RK4
in the interaction picture of the linear part, halved steps agree to 1e-9).  Seconds are CPU time of one core, fit
included; a run that takes more than --cap without its fit stops, and says where.  Without options: the two rows of the
last line.  A table, then one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from common import allen_cahn_start, rates
from mpi4py import MPI

import dfpde as df
from dfpde.steppers import ETDRK4, PeriodicGrid

COMM = MPI.COMM_SELF
METHODS = ["stages", "field step"]
#: Points of the quadrature, and most iterations of a fit.
POINTS, FIT = 1024, 150
#: Width, method and tolerance of the rows of the last line.
HEADLINE = {"P1": (14, "field step", 5e-6), "P2": (14, "field step", 2e-5)}

#: Relative L² errors over space-time and GPU seconds as published (V100).
PUBLISHED = {
    "P1": "RSNG 1.66e-5 in 776 s and 5.34e-5 in 63 s, causal PINN 3.84e-4 in 3060 s",
    "P2": "RSNG 6.07e-5 in 2378 s and 2.05e-4 in 188 s, causal PINN 5.19e-4 in 23 027 s",
}


@dataclass(frozen=True)
class Case:
    """u_t = ν u_xx + reaction(t, x, u, u_x) on [low, low + period)."""

    name: str
    low: float
    period: float
    until: float
    nu: float
    reaction: Callable[..., np.ndarray]
    start: Callable[[np.ndarray], np.ndarray]


def bump(x: np.ndarray, b: float) -> np.ndarray:
    """exp(−10 sin²((x − b)/2))."""
    return np.exp(-10 * np.sin((x - b) / 2) ** 2)


CASES = (
    Case("P1", 0.0, 2 * np.pi, 4.0, 5e-3, lambda t, x, u, u_x: u - u**3, allen_cahn_start),
    Case(
        "P1b", 0.0, 2 * np.pi, 12.0, 5e-2, lambda t, x, u, u_x: (1.05 + t * np.sin(x)) * (u - u**3),
        lambda x: bump(x, 0.5) - bump(x, 4.4),
    ),
    Case(
        "P2", -1.0, 2.0, 4.0, 1e-3, lambda t, x, u, u_x: -u * u_x, lambda x: (1 - x**2) * np.exp(-30 * (x + 0.5) ** 2),
    ),
)  # fmt: skip


def reference(case: Case, times: np.ndarray, n: int = 1024, dt: float = 1e-3) -> tuple[np.ndarray, np.ndarray]:
    """x (n,) and u (times, n)."""
    x = case.low + case.period * np.arange(n) / n
    k = 2 * np.pi / case.period * np.fft.rfftfreq(n, 1 / n)
    steps = round((times[1] - times[0]) / dt)
    h = (times[1] - times[0]) / steps
    half = np.exp(-case.nu * k**2 * h / 2)

    def react(t: float, hat: np.ndarray) -> np.ndarray:
        u = np.fft.irfft(hat, n)
        return np.fft.rfft(case.reaction(t, x, u, np.fft.irfft(1j * k * hat, n)))

    hat, found = np.fft.rfft(case.start(x)), []
    for t0 in times:
        found.append(np.fft.irfft(hat, n))
        for i in range(steps):
            t = t0 + i * h
            a = react(t, hat)
            b = react(t + h / 2, half * (hat + h / 2 * a))
            c = react(t + h / 2, half * hat + h / 2 * b)
            d = react(t + h, half * (half * hat + h * c))
            hat = half * (half * (hat + h / 6 * a) + h / 3 * (b + c)) + h / 6 * d
    return x, np.array(found)


def features(case: Case, width: int) -> df.Network:
    """Three hidden layers on four frequencies with two shifts each."""
    return df.Network(1, (width,) * 3, embedding=df.PeriodicEmbedding((case.period,), 4))


def fitted(case: Case, width: int) -> tuple[df.Problem, df.State, float]:
    """The problem, its start, and the seconds of the fit."""
    quadrature = df.Quadrature.periodic((case.low, case.low + case.period), POINTS, COMM)

    def rhs(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
        return case.nu * df.dx(u, 2) + case.reaction(t, x[0], u.value, df.dx(u))

    problem = df.Problem(features(case, width), quadrature, rhs)
    begin = time.process_time()
    solver = df.LSQR(rtol=1e-2)  # Levenberg–Marquardt corrects what a solve leaves
    guess = problem.ansatz.initial(0)
    start = df.fit(problem, lambda x: case.start(x[0]), guess, max_iterations=FIT, rtol=1e-4, solver=solver)
    return problem, start, time.process_time() - begin


def field_step(case: Case) -> df.FieldStep:
    """ETDRK4 with ν u_xx exact."""
    grid = PeriodicGrid((case.low, case.low + case.period), POINTS, COMM)

    def slow(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
        return case.reaction(t, x[0], u.value, df.dx(u))

    return df.FieldStep(ETDRK4(grid, lambda k: -case.nu * k[0] ** 2, slow))


def run(
    case: Case, problem: df.Problem, start: df.State, method: str, rtol: float, x: np.ndarray, exact: np.ndarray,
    times: np.ndarray, cap: float,
) -> dict[str, Any]:  # fmt: skip
    """Error, steps and seconds of one method at one tolerance."""
    problem = df.Problem(problem.ansatz, problem.quadrature, problem.rhs)
    how: dict[str, Any] = {"integrator": field_step(case)} if method == "field step" else {}
    line: dict[str, Any] = {"case": case.name, "p": problem.ansatz.size, "method": method, "rtol": rtol}
    line |= {"misfit": start.relative_misfit, "error": math.inf, "note": ""}
    values, state, begin = [problem.ansatz.value(start.theta, x[None])], start, time.process_time()
    try:
        for state in df.evolve(
            problem, start, until=case.until, times=times[1:], controller=df.PI(rtol=rtol), every_step=True, **how
        ):
            if state.t in times:
                values.append(problem.ansatz.value(state.theta, x[None]))
            if time.process_time() - begin > cap and len(values) < len(times):
                line["note"] = f"stopped at t = {state.t:.3g}"
                break
    except df.DfpdeError as failure:
        line["note"] = f"t = {state.t:.3g}: {failure.what[:60]}"
    if len(values) == len(times):
        line["error"] = float(np.linalg.norm(np.array(values) - exact) / np.linalg.norm(exact))
    return {**line, "steps": state.step, "seconds": time.process_time() - begin}


def rows(case: Case, plan: list[tuple[int, str, float]], cap: float) -> Iterator[dict[str, Any]]:
    """Runs of (width, method, rtol), one fit for each width."""
    times = np.linspace(0, case.until, 41)
    x, exact = reference(case, times)
    print(f"\n{case.name}   published: {PUBLISHED.get(case.name, '—')}")
    for width in dict.fromkeys(width for width, *_ in plan):
        problem, start, took = fitted(case, width)
        for _, method, rtol in (row for row in plan if row[0] == width):
            line = run(case, problem, start, method, rtol, x, exact, times, cap)
            line["seconds"] += took
            print("  p = {p:4d}  {method:10s}  rtol {rtol:.0e}  misfit {misfit:.1e}  error {error:.2e}"
                  "  {steps:5d} steps  {seconds:6.1f} s  {note}".format(**line), flush=True)  # fmt: skip
            yield line


def main() -> None:
    """Table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--full", action="store_true", help="both methods, all sizes and tolerances")
    parser.add_argument("--cases", nargs="+", choices=[case.name for case in CASES], help="default: P1 P2, or all")
    parser.add_argument("--widths", nargs="+", type=int, default=[6, 14, 24, 38])
    parser.add_argument("--rtols", nargs="+", type=float, default=[1e-4, 1e-5, 1e-6])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--cap", type=float, default=40.0, help="CPU seconds of a run without its fit")
    given = parser.parse_args()
    chosen = given.cases or ([case.name for case in CASES] if given.full else list(HEADLINE))
    lines: list[dict[str, Any]] = []
    for case in (case for case in CASES if case.name in chosen):
        plan = [HEADLINE[case.name]] if not given.full else [
            (width, method, rtol) for width in given.widths for method in given.methods for rtol in given.rtols
        ]  # fmt: skip
        lines += rows(case, plan, given.cap if given.full else math.inf)
    best = {}
    for name, most in (("P1", 15.0), ("P2", 120.0)):  # the most accurate run within a time
        found = [line for line in lines if line["case"] == name]
        within = [line for line in found if line["seconds"] <= most] or found
        if within:
            line = min(within, key=lambda line: line["error"])
            best |= {f"{name.lower()}_error": line["error"], f"{name.lower()}_seconds": line["seconds"]}
    print(json.dumps({**best, **rates(), "runs": lines}))


if __name__ == "__main__":
    main()
