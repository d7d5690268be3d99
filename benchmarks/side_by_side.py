"""The demos that take field steps beside the same demos by Dirac–Frenkel stages, both with default settings.

    python benchmarks/side_by_side.py [DEMO ...] [--limit 300] [--cap 60]

Each is one process, ended after --limit (field steps) and --cap (stages) CPU seconds, which count start and reference
too.  Errors are those that the demo prints: over space-time, of black_box at the end.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

DEMOS = Path(__file__).resolve().parents[1] / "demos"
NAMES = ("kdv", "kuramoto_sivashinsky", "allen_cahn", "burgers", "detonation", "gray_scott", "black_box")


def figures(name: str, options: list[str], cap: int) -> str:
    """Error, steps and CPU seconds of a demo, or how it ended."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [sys.executable, str(DEMOS / f"{name}.py"), "--out", tempfile.gettempdir(), *options],
        capture_output=True, text=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (cap, cap)),
    )  # fmt: skip
    took = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    if done.returncode < 0:
        return f"not at its end after {took:.0f} CPU s"
    if done.returncode:
        return "ended by " + done.stderr.strip().split("\n")[-1][:100]
    found = json.loads(done.stdout[done.stdout.index("{") :])
    return f"{found['error']:.1e}, {found['steps']}, {took:.0f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", default=NAMES, choices=NAMES, metavar="DEMO")
    parser.add_argument("--limit", type=int, default=300, help="CPU seconds of a demo by field steps at most (300)")
    parser.add_argument("--cap", type=int, default=60, help="CPU seconds of a demo by stages at most (60)")
    options = parser.parse_args()
    print("| demo | field steps: error, steps, CPU s | stages: error, steps, CPU s |\n|---|---|---|")
    for name in options.names:
        found = [figures(name, [], options.limit), figures(name, ["--stages"], options.cap)]
        print(f"| `{name}` | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()
