"""The guard of the resolution: leverages of runs whose quadrature resolves the ansatz, and of runs whose does not.

    python benchmarks/resolution.py [--rtol 1e-4]
    python benchmarks/resolution.py --cost          # what the looks cost, in pairs of runs with and without

Every run has a solution in closed form; its true error is measured on more points than any run has.  A run is
under-resolved by its outcome: its error at the end is more than twice that of the same run with enough points.  For
each: points, parameters, the largest ℓ and n_ε/N that were looked at, when the guard spoke and the true error then,
and the errors at the end.  Below: what other thresholds would have done with the same looks.  The last line is JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
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
from dfpde.evolution import run as march
from dfpde.evolution.resolution import CROWDED, DECIDES, ResolutionGuard, ResolutionWarning

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


def steep_front(t, x):
    """Travelling to the right at speed 1, fifty times narrower than the interval."""
    return np.tanh(30 * (x[0] - t + 0.2))


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


def two_sided(fine):
    """`fine` points on [−1, 0), few on [0, 1): what moves to the right leaves the fine part."""

    def rule(coarse):
        left, right = -1 + (np.arange(fine) + 0.5) / fine, (np.arange(coarse) + 0.5) / coarse
        return df.Quadrature(np.append(left, right)[None], np.repeat([1 / fine, 1 / coarse], [fine, coarse]), SELF)

    return rule


def cases() -> list[Case]:
    """Resolved ones first."""
    mixture = df.PeriodicGaussianMixture.isotropic((2.0,), 20)
    network = df.Network(1, (10, 10), None, df.PeriodicEmbedding((2.0,)))
    steep = df.Network(1, (8, 8))
    few = df.PeriodicGaussianMixture.isotropic((2.0,), 12)
    line = df.GaussianMixture.isotropic(1, 3)
    plane = df.GaussianMixture.full(2, 6)
    fine, plane_fine, line_fine = periodic(1500), square(60), df.Quadrature.gauss((-5, 5), 1200, 3, SELF)
    step_fine = df.Quadrature.gauss((-1, 2), 1000, 3, SELF)
    advected, turned = lambda t, x, u: -df.dx(u), lambda t, x, u: x[1] * u.gradient[0] - x[0] * u.gradient[1]
    made = [
        ("Burgers, 20 Gaussians", mixture, periodic, (400, 200), (60, 40, 25), burgers, front, 0.4, fine),
        ("Burgers, irregular points", mixture, irregular, (600,), (80, 50), burgers, front, 0.4, fine),
        ("travelling pulse, network", network, periodic, (400,), (60, 30), advected, pulse, 0.5, fine),
        ("steep front, network", steep, lambda n: df.Quadrature.gauss((-1, 2), n, 3, SELF), (300,), (30, 15),
         advected, steep_front, 0.8, step_fine),
        ("travelling pulse", few, periodic, (96,), (24, 18), advected, pulse, 0.5, fine),
        ("pulse into coarse points", few, two_sided(200), (100,), (8, 4), advected,
         lambda t, x: pulse(t - 0.5, x), 1.2, fine),
        ("squeezed pulse", line, lambda n: df.Quadrature.gauss((-5, 5), n, 3, SELF), (400,), (24, 16, 12),
         lambda t, x, u: u.value + x[0] * df.dx(u), squeezed, 2.5, line_fine),
        ("rotation in the plane", plane, square, (12, 4), (2,), turned, rotated, 1.0, plane_fine),
    ]  # fmt: skip
    found = []
    for name, ansatz, rule, enough, short, f, exact, until, reference in made:
        for n in (*enough, *short):
            found.append(Case(name, n in enough, df.Problem(ansatz, rule(n), f), exact, until, reference))
    return sorted(found, key=lambda case: not case.resolved)


# -- runs ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Outcome:
    """One run: (step, largest ℓ, n_ε/N, true error) of every look, when the guard spoke, and the errors."""

    case: Case
    looks: list[tuple[int, float, float, float]]
    spoke: tuple[float, float] | None
    start: float
    end: float


def starts(case: Case, known: dict[str, np.ndarray]) -> np.ndarray:
    """θ fitted on fine points, so that it is right; once for each equation."""
    if case.name not in known:
        fine = df.Problem(case.problem.ansatz, case.fine, case.problem.rhs)
        known[case.name] = df.fit(fine, lambda x: case.exact(0.0, x)).theta
    return known[case.name]


def run(case: Case, theta: np.ndarray, rtol: float) -> Outcome:
    """Evolve on the case's own points, with the guard."""
    problem, fine = case.problem, case.fine

    def error(state) -> float:
        exact = case.exact(state.t, fine.x)
        return fine.norm(problem.field(state, fine.x).value - exact) / fine.norm(exact)

    begin, looks, spoke = df.State(0.0, theta), [], None
    state, rows = begin, problem.quadrature.size
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            for state in df.evolve(problem, begin, until=case.until, controller=df.PI(rtol=rtol)):
                last, now = state.statistics, error(state)
                seen = (last.resolution, last.effective_dimension / rows)
                if not looks or seen != looks[-1][1:3]:
                    looks.append((state.step, *seen, now))
                if spoke is None and any(issubclass(w.category, ResolutionWarning) for w in said):
                    spoke = state.t, now
        except df.DfpdeError as stopped:
            print(f"  ({type(stopped).__name__} at t = {state.t:.3g})")
    return Outcome(case, looks, spoke, error(begin), error(state))


def kind(found: Outcome, enough: dict[str, float]) -> str:
    """"resolved" as it is meant, "under-resolved" by its outcome, or "few", which turned out to be enough."""
    if found.case.resolved:
        return "resolved"
    return "under-resolved" if found.end > 2 * enough[found.case.name] else "few"


def in_time(found: Outcome, decides: float, crowded: float, rtol: float) -> bool:
    """Whether a look before the true error reached 10 rtol (or the first) had ℓ or n_ε/N above the thresholds."""
    for n, (_, largest, mean, error) in enumerate(found.looks):
        if largest > decides or mean > crowded:
            return error < 10 * rtol or n == 0
    return False


def table(words: list[str], rtol: float) -> dict:
    """Print both tables; returns what the JSON line says."""
    known, enough, outcomes = {}, {}, []
    heads = f"{'max ℓ':>7} {'n/N':>5} {'flag at t':>9} {'error then':>10} {'at start':>9} {'at end':>9} {'enough':>9}"
    print(f"{'':14} {'':27} {'points':>6} {'p':>4} {heads}")
    for case in cases():
        if words and not any(word in case.name for word in words):
            continue
        found = run(case, starts(case, known), rtol)
        enough.setdefault(case.name, found.end)
        outcomes.append(found)
        t, then = found.spoke or (np.nan, np.nan)
        largest, mean = (max(look[i] for look in found.looks) for i in (1, 2))
        points, p = case.problem.quadrature.size, case.problem.ansatz.size
        print(f"{kind(found, enough):14} {case.name:27} {points:6d} {p:4d} "
              f"{largest:7.4f} {mean:5.2f} {t:9.3g} {then:10.1e} {found.start:9.1e} {found.end:9.1e} "
              f"{enough[case.name]:9.1e}", flush=True)  # fmt: skip
    by_kind = {name: [o for o in outcomes if kind(o, enough) == name] for name in ("resolved", "under-resolved", "few")}
    print(f"\n{'ℓ >':>5} {'n/N >':>6} {'false alarms':>13} {'in time':>8} {'few flagged':>12}")
    for decides, crowded in itertools.product((0.5, 0.6, 0.7, 0.8, 0.9, 0.95), (0.3, 0.4, 0.5, 0.6)):
        counts = [sum(in_time(o, decides, crowded, rtol) for o in by_kind[name]) for name in by_kind]
        print(f"{decides:5.2f} {crowded:6.2f} {counts[0]:13d} {counts[1]:8d} {counts[2]:12d}")
    heard = {name: [o for o in found if o.spoke is not None] for name, found in by_kind.items()}
    return {
        "resolved": len(by_kind["resolved"]), "false_alarms": len(heard["resolved"]),
        "unresolved": len(by_kind["under-resolved"]), "flagged": len(heard["under-resolved"]),
        "flagged_in_time": sum(in_time(o, DECIDES, CROWDED, rtol) for o in heard["under-resolved"]),
    }  # fmt: skip


# -- cost ----------------------------------------------------------------------------------------------------------
class Without(ResolutionGuard):
    """No looks."""

    def after(self, problem, state, tangent=None):
        return state


def cost(pairs: int) -> dict:
    """Medians over pairs of runs, one with and one without looks, in turn: seconds, and the share of the looks."""
    result = {}
    mixture, chain = df.PeriodicGaussianMixture.isotropic((2.0,), 20), df.PeriodicEmbedding((2.0,))
    for name, ansatz, n in (
        ("20 Gaussians, p = 60", mixture, 400), ("network, p = 153", df.Network(1, (10, 10), None, chain), 400),
        ("network, p = 569", df.Network(1, (14, 14, 14), None, chain), 1000),
    ):  # fmt: skip
        problem = df.Problem(ansatz, periodic(n), burgers)
        theta = df.fit(problem, lambda x: -np.sin(np.pi * x[0]), max_iterations=40).theta
        times = []
        for turn in range(2 * pairs + 2):
            march.ResolutionGuard = (ResolutionGuard, Without)[turn % 2]
            begin = time.process_time()
            *_, state = df.evolve(problem, df.State(0.0, theta), until=0.4, controller=df.PI(rtol=1e-5))
            times.append(time.process_time() - begin)
        march.ResolutionGuard = ResolutionGuard
        both = np.array(times[2:]).reshape(-1, 2)  # the first pair warms up
        result[name] = share = float(np.median(both[:, 0] / both[:, 1]) - 1)
        seconds = f"{np.median(both[:, 1]):7.3f} s"
        print(f"{name:22} {n:5d} points {state.step:4d} steps {seconds}, looks {100 * share:+.1f} % ({pairs} pairs)")
    return result


def main(argv: list[str] | None = None) -> dict:
    """Print the table, or the cost; returns what the JSON line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="*", help="runs whose names contain one of these")
    parser.add_argument("--rtol", type=float, default=1e-4)
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--pairs", type=int, default=7)
    chosen = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    result = cost(chosen.pairs) if chosen.cost else table(chosen.words, chosen.rtol)
    print(json.dumps(result))
    return result


if __name__ == "__main__":
    main()
