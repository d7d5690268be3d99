"""Inviscid Burgers equation u_t + u u_x = 0 before its shock: mass and energy, left alone and kept.

    Q₁ = ∫ u dx,   Q₂ = ∫ u² dx        u₀ = ½ + sin x on a circle, shock at t = 1

The same runs without constraint, and with the constraints C v = 0 in every solve and the projection after every step;
with large steps (the scheme's error shows in the invariants) and small ones.  Reference: characteristics, by Newton's
method.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import arguments, equispaced, figure, say
from mpi4py import MPI

import dfpde as df

PERIOD = 2 * np.pi
QUANTITIES = (df.diagnostics.Functional.linear(1.0, "mass"), df.diagnostics.Functional.squared_norm("energy"))
Array = np.ndarray


def initial(x: Array) -> Array:
    """u₀."""
    return 0.5 + np.sin(x)


def exact(t: float, x: Array) -> Array:
    """u = u₀(y) with x = y + t u₀(y)."""
    y = x[0] - t * initial(x[0])
    for _ in range(100):
        y = y - (y + t * initial(y) - x[0]) / (1 + t * np.cos(y))
    return initial(y)


def setting(n: int, comm: MPI.Comm) -> tuple[df.Problem, df.State]:
    """n Gaussians on the circle, fitted to u₀."""
    ansatz = df.PeriodicGaussianMixture.isotropic((PERIOD,), n)
    quadrature = df.Quadrature.periodic((0, PERIOD), 256, comm)
    problem = df.Problem(ansatz, quadrature, lambda t, x, u: -u.value * df.dx(u))
    nodes = equispaced(0, PERIOD, n)
    guess = ansatz.pack(amplitudes=0.3 * initial(nodes[:, 0]), centers=nodes, scales=n / 5)
    return problem, df.fit(problem, lambda x: initial(x[0]), guess, rtol=1e-6)


def run(problem: df.Problem, start: df.State, rule: Any, steps: int, until: float, keep: bool) -> dict[str, Any]:
    """One run: relative change of the quantities and relative error, at every step."""
    held = df.constraints.Conserving(problem, QUANTITIES, rule, start)
    q = problem.quadrature
    rows = []
    for state in df.evolve(
        problem, start, until=until, regularization=held if keep else rule,
        integrator=held.integrator(df.RK4) if keep else df.RK4, controller=df.Fixed(until / steps),
    ):  # fmt: skip
        reference = exact(state.t, q.x)
        error = q.norm(problem.field(state).value - reference) / q.norm(reference)
        rows.append((state.t, *np.abs(held.misfit(state)), error))
    return {"rows": np.array(rows).T, "steps": state.step}


def draw(shown: Any, runs: dict[tuple[str, int, bool], dict[str, Any]]) -> None:
    """Invariants (left) and error (right) over time."""
    left, right = shown.subplots(1, 2)
    names = list(dict.fromkeys((name, steps) for name, steps, _ in runs))
    for (name, steps, keep), found in runs.items():
        t, mass, energy, error = found["rows"]
        color, label = f"C{names.index((name, steps))}", f"{name}, {steps} steps"
        style = {"color": color, "lw": 0.9, "ls": "-" if keep else "--"}
        left.semilogy(t, np.maximum(np.maximum(mass, energy), 1e-17), **style)
        right.semilogy(t, error, label=label + (", kept" if keep else ""), **style)
    left.axhline(1e-12, color="black", lw=0.6)
    left.set(xlabel="t", title="larger relative change of mass and energy (dashed: left alone)", ylim=(1e-17, 1))
    right.set(xlabel="t", title="relative $L^2$ error")
    right.legend(fontsize=7)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run, print, draw."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        n, until = (6, 0.4) if options.quick else (10, 0.9)
        problem, start = setting(n, comm)
        rules = {"ρ = 0.97": df.Inertia(1e-3, 0.97), "Tikhonov": df.Tikhonov(1e-3)}
        runs, result = {}, {"fit": start.statistics.error}
        for steps in (10, 40) if options.quick else (100, 1000):
            for name, rule in rules.items():
                for keep in (False, True):
                    found = runs[name, steps, keep] = run(problem, start, rule, steps, until, keep)
                    label = f"{name}, {steps} steps, {'kept' if keep else 'free'}"
                    _, mass, energy, error = found["rows"]
                    result[label] = {"mass": mass.max(), "energy": energy.max(), "error": error[-1]}
        figure(options.out / "conservation.png", comm, lambda shown: draw(shown, runs), figsize=(11, 3.8))
        return say("conservation", result, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
