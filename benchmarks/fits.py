"""Initial fits at the size of papers: misfit, iterations and CPU seconds of one core.

    python benchmarks/fits.py [p1 p1-rational vlasov detonation]

`p1`, `p1-rational`: Allen–Cahn's start of Berman & Peherstorfer (arXiv 2310.04867) on 1000 points, by a tanh network
3 × 38 and by theirs (6 × 25, rational).  `vlasov`: exp(−((x − 0.1)² + v²)/0.15²) of arXiv 2605.00284, B.3, on [−1, 1)²
by a network 3 × 32, on 32², 64² and then 128² points: a coarse grid's parameters are the next guess.  `detonation`:
η = 1 + 0.4 exp(−2.25 (x − π)²), λ = 0.75 of B.1 there, two networks of 461 parameters.  Misfits are relative,
‖Φ(θ) − u₀‖/‖u₀‖ in the norm of the last points.  A table with the rate of dgemm in the same run, then one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from common import allen_cahn, allen_cahn_start, rates
from mpi4py import MPI
from publication_size import vlasov, vlasov_start

import dfpde as df
from dfpde.ansatz.networks.activations import Rational

COMM = MPI.COMM_SELF
#: Relative accuracy of a linear solve: Levenberg–Marquardt corrects what it leaves.
LOOSE = 1e-2


def fit(
    name: str, problems: Sequence[df.Problem], initial: Callable[[np.ndarray], np.ndarray], theta: np.ndarray,
    iterations: Sequence[int],
) -> dict[str, Any]:  # fmt: skip
    """One fit after another, each from the end of the one before."""
    begin, done = time.process_time(), []
    for problem, most in zip(problems, iterations, strict=True):
        found = df.fit(problem, initial, theta, max_iterations=most, rtol=1e-3, solver=df.LSQR(rtol=LOOSE))
        theta = found.theta
        done.append(found.iterations)
    took, points = time.process_time() - begin, problems[-1].points.shape[1]
    counts = " + ".join(map(str, done))
    print(f"  {name:36s} p = {theta.size:4d}  {points:6d} points  misfit {found.relative_misfit:.1e}  "
          f"{counts} iterations  {took:6.1f} s", flush=True)  # fmt: skip
    return {"p": theta.size, "points": points, "misfit": found.relative_misfit, "iterations": done, "seconds": took}


def circle(ansatz: df.Ansatz, points: int, rhs: Callable[..., np.ndarray]) -> df.Problem:
    """A problem on [0, 2π)."""
    return df.Problem(ansatz, df.Quadrature.periodic((0, 2 * np.pi), points, COMM), rhs)


def p1() -> dict[str, Any]:
    """tanh, 3 × 38, p = 3353."""
    ansatz = df.Network(1, (38,) * 3, embedding=df.PeriodicEmbedding((2 * np.pi,), 2, 4))
    return fit("P1, tanh 3 × 38", [circle(ansatz, 1000, allen_cahn)], allen_cahn_start, ansatz.initial(0), [300])


def p1_rational() -> dict[str, Any]:
    """RSNG's network, p = 3389."""
    ansatz = df.Network(1, (25,) * 6, Rational(), df.PeriodicEmbedding((2 * np.pi,), 1))
    name = "P1, rational 6 × 25"
    return fit(name, [circle(ansatz, 1000, allen_cahn)], allen_cahn_start, ansatz.initial(0), [300])


def vlasov_fit() -> dict[str, Any]:
    """tanh, 3 × 32, p = 3233, on finer and finer points."""
    first = vlasov(32)
    ansatz = first.ansatz
    problems = [first, vlasov(64, ansatz), vlasov(128, ansatz)]
    return fit("Vlasov, tanh 3 × 32", problems, vlasov_start, ansatz.initial(0), [150, 60, 30])


def detonation() -> dict[str, Any]:
    """Swish, two networks 4 × 10, p = 922."""
    part = df.Network(1, (10,) * 4, df.ansatz.Swish(), df.PeriodicEmbedding((2 * np.pi,), 1, 10))
    problem = circle(df.Stack(part, part), 768, lambda t, x, u: np.zeros_like(u.value))
    guess = np.concatenate([part.initial(0), part.initial(1)])

    def initial(x: np.ndarray) -> np.ndarray:
        return np.array([1 + 0.4 * np.exp(-2.25 * (x[0] - np.pi) ** 2), np.full_like(x[0], 0.75)])

    return fit("Detonation, swish 2 × (4 × 10)", [problem], initial, guess, [600])


FITS = {"p1": p1, "p1-rational": p1_rational, "vlasov": vlasov_fit, "detonation": detonation}


def main() -> None:
    """Table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*FITS, []], metavar="name", help=" ".join(FITS))
    names = parser.parse_args().names or list(FITS)
    machine = rates()
    print(f"machine: dgemm {machine['dgemm_gflops']:.1f} GFlop/s, one core")
    print(json.dumps({**{name: FITS[name]() for name in names}, **machine}))


if __name__ == "__main__":
    main()
