"""The four numbers of `AutoInertia`: errors at fixed steps against the safety s, ρ, the memory γ and what is free.

    python benchmarks/auto_rule.py

The problems are those of benchmarks/inertia_study.py; the tables of docs/inertia.md come from here.  Below them the
growth of a mode that turns, θ' = iωθ, in a direction that is informed by g = 1 − β: its logarithm for each solve of the
explicit midpoint rule, the largest over g, ρ = 0.97.  The last line is one JSON object.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import dfpde as df
from benchmarks import study_problems as study
from benchmarks.inertia_study import error, text
from dfpde.regularization.automatic import RHO, limited

PROBLEMS = {
    "heat": study.heat,
    "advection": study.advection,
    "KdV": study.kdv,
    "Fisher–KPP": study.fisher,
    "Allen–Cahn": study.allen_cahn,
    "Burgers 20": study.burgers,
    "Burgers 30": lambda: study.burgers(30),
    "zero crossing": study.zero_crossing,
}
SAFETIES, FRICTIONS, MEMORIES = (1.0, 0.125, 0.03, 0.01), (0.9, 0.97, 0.99, 1.0), (0.0, 0.5, 0.8, 0.95)
FREE = (0.0, 0.03, 0.1, 0.3)
PHASES, SHARES, STEPS = (0.1, 0.2, 0.3), (0.01, 0.03, 0.1, 0.3, 0.5, 0.8, 0.95), 300


def growth(phase: float, share: float, memory: float) -> float:
    """Log of the growth for each solve, ωτ = phase, of v = ρ β a + g v_DF in one direction of two parameters."""
    turn = phase * np.array([[0.0, -1.0], [1.0, 0.0]])
    theta = np.array([1.0, 0.0])
    anchor = turn @ theta
    for _ in range(STEPS):
        v = RHO * (1 - share) * anchor + share * turn @ theta
        anchor = limited(anchor, v, memory)
        v = RHO * (1 - share) * anchor + share * turn @ (theta + v)
        anchor = limited(anchor, v, memory)
        theta = theta + 2 * v
    return float(np.log(np.linalg.norm(theta)) / (2 * STEPS))


def main() -> None:
    """All tables."""
    found: dict[str, dict[str, list[float]]] = {}
    heads = [f"s = {s:g}" for s in SAFETIES] + [f"ρ = {r:g}" for r in FRICTIONS] + [f"γ = {m:g}" for m in MEMORIES]
    heads += [f"free {share:g}" for share in FREE]
    print(f"{'':>14}" + "".join(f"{head:>9}" for head in heads))
    for name, make in PROBLEMS.items():
        case = make()
        found[name] = {
            "safety": [error(case, df.AutoInertia(safety=s)) for s in SAFETIES],
            "rho": [error(case, df.AutoInertia(rho=r)) for r in FRICTIONS],
            "memory": [error(case, df.AutoInertia(memory=m)) for m in MEMORIES],
            "free": [error(case, df.AutoInertia(free=share)) for share in FREE],
        }
        print(f"{name:>14}" + "".join(text(e) for part in found[name].values() for e in part), flush=True)
    rates = {m: [max(growth(phase, g, m) for g in SHARES) for phase in PHASES] for m in MEMORIES}
    print(f"\n{'growth, ωτ =':>14}" + "".join(f"{phase:>9g}" for phase in PHASES))
    for memory, row in rates.items():
        print(f"{f'γ = {memory:g}':>14}" + "".join(f"{rate:9.3f}" for rate in row))
    choices = {"safety": SAFETIES, "rho": FRICTIONS, "memory": MEMORIES, "free": FREE}
    print(json.dumps(choices | {"errors": found, "growth": rates}))


if __name__ == "__main__":
    main()
