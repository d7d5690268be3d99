"""The two numbers of `AutoInertia`: errors at fixed steps against the safety s and the friction ρ.

    python benchmarks/auto_rule.py

The problems are those of benchmarks/inertia_study.py; the tables of docs/inertia.md come from here.  The last line is
one JSON object.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dfpde as df
from benchmarks import study_problems as study
from benchmarks.inertia_study import error, text

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
SAFETIES, FRICTIONS = (1.0, 0.125, 0.03, 0.01), (0.9, 0.97, 0.99, 1.0)


def main() -> None:
    """Both tables."""
    found: dict[str, dict[str, list[float]]] = {}
    heads = [f"s = {s:g}" for s in SAFETIES] + [f"ρ = {r:g}" for r in FRICTIONS]
    print(f"{'':>14}" + "".join(f"{head:>9}" for head in heads))
    for name, make in PROBLEMS.items():
        case = make()
        found[name] = {
            "safety": [error(case, df.AutoInertia(safety=s)) for s in SAFETIES],
            "rho": [error(case, df.AutoInertia(rho=r)) for r in FRICTIONS],
        }
        print(f"{name:>14}" + "".join(text(e) for part in found[name].values() for e in part), flush=True)
    print(json.dumps({"safety": SAFETIES, "rho": FRICTIONS, "errors": found}))


if __name__ == "__main__":
    main()
