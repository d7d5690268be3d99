"""Runs the whole gallery and prints one table: asked tolerance, true error, steps, rejections, seconds.

    python demos/gallery.py [--quick] [--rtol 1e-4] [--only burgers kdv] [options of the demos]

With several ranks: python -m dfpde mpirun -n 2 demos/gallery.py --quick.  The last line is JSON.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from mpi4py import MPI

NAMES = (
    "advection",
    "collapse",
    "schroedinger",
    "fokker_planck",
    "burgers",
    "allen_cahn",
    "kdv",
    "kuramoto_sivashinsky",
    "barenblatt",
    "detonation",
    "gray_scott",
    "transport",
    "vlasov",
)


def rows(name: str, result: dict[str, Any]) -> list[tuple[str, Any, Any, Any]]:
    """(label, error, steps, rejected) of a demo's runs."""
    if name == "advection":
        keys = ("error", "steps", "rejected")
        return [(f"{name} {d}D", *(result[f"{key}_{d}D"] for key in keys)) for d in (1, 2, 3)]
    if name == "collapse":
        return [(key, error, "fixed", "") for key, error in result.items() if key.endswith(("_inertia", "_tikhonov"))]
    return [(name, result["error"], result["steps"], result["rejected"])]


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    options, rest = parser.parse_known_args(argv)
    rtol = rest[rest.index("--rtol") + 1] if "--rtol" in rest else "1e-4"
    results = {name: importlib.import_module(name).main(rest) for name in options.only}
    if MPI.COMM_WORLD.rank == 0:
        print("\n| problem | tolerance of a step | relative L² error | steps | rejected | seconds |")
        print("|---|---|---|---|---|---|")
        for name, result in results.items():
            for label, error, steps, rejected in rows(name, result):
                print(f"| {label} | {rtol} | {error:.1e} | {steps} | {rejected} | {result['seconds']:.1f} |")
        print(json.dumps(results, default=float))
    return results


if __name__ == "__main__":
    main(sys.argv[1:])
