"""Runs the whole gallery and prints one table: asked tolerance, true error, its bound, steps, rejections, seconds.

Bound: the a posteriori bound of the error at the end, for linear problems (``dfpde.diagnostics.ErrorBound``).

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


def rows(name: str, result: dict[str, Any]) -> list[tuple[Any, ...]]:
    """(label, error over space-time, error at the end, its bound or None, steps, rejected) of a demo's runs."""
    keys = ("error", "error_end", "bound_end", "steps", "rejected")
    runs = {"advection": ("1D", "2D", "3D"), "collapse": [key[6:] for key in result if key.startswith("steps_")]}
    if name in runs:
        return [(f"{name} {run}", *(result.get(f"{key}_{run}") for key in keys)) for run in runs[name]]
    return [(name, *(result.get(key) for key in keys))]


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    options, rest = parser.parse_known_args(argv)
    rtol = float(rest[rest.index("--rtol") + 1]) if "--rtol" in rest else 1e-4
    results = {name: importlib.import_module(name).main(rest) for name in options.only}
    if MPI.COMM_WORLD.rank == 0:
        titles = ("problem", "tolerance of a step", "relative L² error", "at the end", "its bound", "steps", "rejected",
                  "seconds")  # fmt: skip
        print(f"\n| {' | '.join(titles)} |\n{'|---' * len(titles)}|")
        for name, result in results.items():
            for label, error, end, bound, steps, rejected in rows(name, result):
                fixed, asked = label.endswith(("_inertia", "_tikhonov")), f"{result.get('rtol', rtol):.0e}"
                asked = "fixed steps" if fixed else asked.replace("e-0", "e-")
                bounded = "" if bound is None else f"{bound:.1e}"
                print(f"| {label} | {asked} | {error:.1e} | {end:.1e} | {bounded} | {steps} | {rejected} |"
                      f" {result['seconds']:.1f} |")  # fmt: skip
        print(json.dumps(results, default=float))
    return results


if __name__ == "__main__":
    main(sys.argv[1:])
