"""A tolerance and nothing else: mixtures and networks on 20 equations, by stages and by field steps.

    python benchmarks/robustness.py [ROW ...] [--quick] [--rtol 1e-4 1e-5 1e-6] [--method stages rho0 field]
    python benchmarks/robustness.py --grid [ROW ...]     the best of ε × ρ × metric × step control, to compare with
    python benchmarks/robustness.py --table              what is known, as a table and a figure

Rows whose grid was not run here are compared with `robustness_grid.json`, the best errors of an earlier run of it.

Every run starts from a fitted state and gets rtol, nothing else: `evolve(controller=PI(rtol))`, and for field steps
`integrator=FieldStep(stepper, rtol)`.  Errors are relative, in L² over ten output times and the domain.  Starts and
results are kept in out/robustness; what is there is computed again with --again only.

A run *fails* when it does not reach the end or ends more than half of ‖u‖ away; its steps are *tiny* when it was then
stepping by less than 1e-5 of the whole time; it is *slow* when it was stopped by `--limit` CPU seconds otherwise.
The last line is a JSON object of the rows, methods and tolerances asked for: runs, their CPU seconds, failures,
tiny_steps, slow, within_5 (share of rows whose error at the smallest rtol is at most 5 times the best of the grid),
worst_factor (the largest such quotient), error_over_rtol_median and _worst, within_100 (share of runs with error <= 100
rtol among rows whose best error in the grid allows it), monotone (share of pairs of neighbouring rtol where the error
does not grow by more than 1.5).
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import groupby, pairwise, product
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
from robust_problems import OUTPUTS, ROWS, Row

import dfpde as df
from dfpde.evolution.explicit import ExplicitRungeKutta
from dfpde.evolution.tableaus import DORMAND_PRINCE

OUT = Path(__file__).resolve().parents[1] / "out" / "robustness"
QUICK = ("advection", "fisher", "heat", "cubic", "crossing", "fisher-network")
TINY, LOST = 1e-5, 0.5

#: Stages by default, by another rule (no inertia, the velocity before as anchor, shorter means, no ε_b, no iteration),
#: with a tenth of the tolerance for steps or for η alone, with none or all of the residual of a step as its error, in
#: other metrics (D = 1, column norms), field steps.
RULES: dict[str, dict[str, Any]] = {"rho0": {"rho": 0.0}, "memory0": {"memory": 0.0}, "memory80": {"memory": 0.8}}
RULES |= {"free0": {"free": 0.0}, "once": {"iterated": False}}
METHODS = ("stages", *RULES, "steps", "eta", "residual0", "residual1", "plain", "columns", "field")

#: The grid: ε in units of the largest column of J, ρ (0 is Tikhonov), floor of the metric (1 plain, 0 column norms).
EPSILONS, RHOS, FLOORS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5), (0.0, 0.97, 1.0), (1.0, 0.03, 0.0)


def start(name: str, row: Row) -> df.State:
    """Parameters of the start, from the disk where they were fitted before."""
    if not callable(row.initial):
        return df.State(0.0, row.initial)
    file = OUT / "starts" / f"{name}-{row.problem.ansatz.size}.npy"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        guess = row.guess if row.guess is not None else row.problem.ansatz.guess(row.problem.points, 0)
        linear = "amplitudes" if "amplitudes" in row.problem.ansatz.slices() else None
        fitted = df.fit(row.problem, row.initial, guess, linear=linear, rtol=1e-4, max_iterations=300)
        np.save(file, fitted.theta)
    return df.State(0.0, np.load(file))


def march(row: Row, begin_at: df.State, limit: float, **how: Any) -> dict[str, Any]:
    """One run: its error over space and time, its steps, and how it ended."""
    q, times = row.problem.quadrature, row.until * np.arange(1, OUTPUTS + 1) / OUTPUTS
    squares, paused, begin, end, last = np.zeros(2), 0.0, time.process_time(), "", begin_at
    worst = largest = 0.0
    try:
        for state in df.evolve(row.problem, begin_at, until=row.until, times=times, every_step=True, **how):
            now, last = time.process_time(), state
            if state.t in times:
                exact = row.exact(state.t, q.x)
                error, size = q.norm(row.problem.field(state).value - exact), q.norm(exact)
                squares += error**2, size**2
                largest = max(largest, size)
                worst = max(worst, error / largest)
                paused += time.process_time() - now
            if now - begin - paused > limit:
                end = f"stopped at t = {state.t:.3g}, dt = {state.statistics.dt:.1e}"
                break
    except df.DfpdeError as error:
        end = f"{type(error).__name__} at t = {last.t:.3g}: {str(error)[:90]}"
    measured = float(np.sqrt(squares[0] / squares[1])) if squares[1] > 0 else np.nan
    tried = last.dt if end and last.dt is not None else last.statistics.dt
    return {
        "error": measured, "worst": float(worst), "steps": last.step, "rejected": last.statistics.rejected, "end": end,
        "seconds": time.process_time() - begin - paused, "tiny": bool(end and tried < TINY * row.until),
        "failed": bool(end or not measured < LOST), "slow": end.startswith("stopped") and tried >= TINY * row.until,
    }  # fmt: skip


def metric(row: Row, state: df.State, floor: float) -> np.ndarray:
    """D of column norms with a floor in units of the largest; ones for a floor of 1."""
    norms = row.problem.tangent(state.theta).column_norms()
    largest = float(norms.max())
    return np.ones_like(norms) if floor == 1 else np.hypot(np.maximum(norms, 1e-12 * largest), floor * largest)


def automatic(task: tuple[str, str, float, float]) -> dict[str, Any]:
    """A row by stages or by field steps with a tolerance."""
    name, method, rtol, limit = task
    warnings.simplefilter("ignore")
    row = ROWS[name]()
    state, how = start(name, row), {"controller": df.PI(rtol=0.1 * rtol if method == "steps" else rtol)}
    if method in (*RULES, "steps", "eta"):
        how |= {"regularization": df.AutoInertia(0.1 * rtol if method == "eta" else rtol, **RULES.get(method, {}))}
    elif method in ("residual0", "residual1"):
        how |= {"integrator": ExplicitRungeKutta(DORMAND_PRINCE, float(method[-1]))}
    elif method == "field":
        how |= {"integrator": df.FieldStep(row.stepper, rtol)}
    elif method in ("plain", "columns"):
        row = replace(row, problem=replace(row.problem, scale=metric(row, state, 1.0 if method == "plain" else 0.0)))
    found = march(row, state, limit, **how)
    return {"row": name, "method": method, "rtol": rtol, "p": row.problem.ansatz.size, **found}


def grid(names: Sequence[str], limit: float) -> Iterator[tuple[Any, ...]]:
    """Every run of the grid of these rows."""
    yield from ((*one, limit) for one in product(names, FLOORS, EPSILONS, RHOS, ("adaptive", "fixed")))


def on_grid(task: tuple[str, float, float, float, str, float]) -> dict[str, Any]:
    """One run of the grid: ε, ρ and metric fixed, steps by rtol 1e-6 or 400 of Runge–Kutta 4."""
    name, floor, eps, rho, control, limit = task
    warnings.simplefilter("ignore")
    row = ROWS[name]()
    state = start(name, row)
    largest = float(row.problem.tangent(state.theta).column_norms().max())
    scaled = replace(row, problem=replace(row.problem, scale=metric(row, state, floor)))
    rule = df.Inertia(eps * (largest if floor == 1 else 1.0), rho)
    fixed = {"controller": df.Fixed(row.until / 400), "integrator": df.RK4}
    how = fixed if control == "fixed" else {"controller": df.PI(rtol=1e-6)}
    found = march(scaled, state, limit, regularization=rule, **how)
    return {**found, "row": name, "eps": eps, "rho": rho, "floor": floor, "control": control}


def best(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The run of a row with the smallest error, and the number of its runs."""
    found = [r for r in results if not r["failed"]] or [{**results[0], "error": np.inf}]
    return {**min(found, key=lambda r: r["error"]), "runs": len(results)}


def tasks(names: Sequence[str], methods: Sequence[str], rtols: Sequence[float], limit: float) -> Iterator[Any]:
    """Runs of these rows."""
    for name in names:
        stepper = ROWS[name]().stepper
        for method in methods:
            if method != "field" or stepper is not None:
                yield from ((name, method, rtol, limit) for rtol in rtols)


# -- what is known -------------------------------------------------------------------------------------------
def known(kind: str) -> dict[str, Any]:
    """Results on the disk, by their keys."""
    return {file.stem: json.loads(file.read_text()) for file in sorted((OUT / kind).glob("*.json"))}


def known_grid() -> dict[str, Any]:
    """The best of the grid for each row: what was run here, and the errors of an earlier run for the others."""
    earlier = json.loads(Path(__file__).with_suffix("").with_name("robustness_grid.json").read_text())
    return {row: {"error": error} for row, error in earlier.items()} | known("grid")


def keep(kind: str, key: str, result: dict[str, Any]) -> None:
    """One result more, in a file of its own: several of these programs may run at once."""
    (OUT / kind).mkdir(parents=True, exist_ok=True)
    (OUT / kind / f"{key}.json").write_text(json.dumps(result))


def ended(r: dict[str, Any]) -> str:
    """How a run ended, in a word; empty where it came to the end."""
    return "tiny" if r["tiny"] else "slow" if r["slow"] else "lost" if r["failed"] else ""


def line(result: dict[str, Any]) -> str:
    """One run in a line."""
    what = f"{result['row']:20s} {result['method']:9s} {result['rtol']:.0e}  error {result['error']:.1e}"
    steps = f"{result['steps']:5d} steps {result['rejected']:4d} rejected {result['seconds']:6.1f} s"
    return f"{what}  {steps}  {ended(result)} {result['end']}".rstrip()


def summary(results: Sequence[dict[str, Any]], grid: dict[str, Any]) -> dict[str, Any]:
    """The figures of the last line."""
    good = [r for r in results if not r["failed"]]
    over = [r["error"] / r["rtol"] for r in good]
    series: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for r in sorted(results, key=lambda r: -r["rtol"]):
        series.setdefault((r["row"], r["method"]), []).append(r)
    pairs = [
        not b["failed"] and (a["failed"] or b["error"] <= 1.5 * a["error"]) for s in series.values()
        for a, b in pairwise(s)
    ]  # fmt: skip
    last = [s[-1] for (row, method), s in series.items() if method != "field" and np.isfinite(_grid(grid, row))]
    factors = [np.inf if r["failed"] else r["error"] / grid[r["row"]]["error"] for r in last]
    allowed = [r for r in results if _grid(grid, r["row"]) <= 100 * r["rtol"]]
    share = lambda flags: round(float(np.mean(flags)), 3) if len(flags) else None  # noqa: E731
    return {
        "runs": len(results), "seconds": round(sum(r["seconds"] for r in results)),
        "failures": sum(r["failed"] for r in results), "tiny_steps": sum(r["tiny"] for r in results),
        "slow": sum(r["slow"] for r in results),
        "within_5": share([f <= 5 for f in factors]), "worst_factor": max(factors, default=None),
        "error_over_rtol_median": float(np.median(over)) if over else None,
        "error_over_rtol_worst": max(over, default=None),
        "within_100": share([not r["failed"] and r["error"] <= 100 * r["rtol"] for r in allowed]),
        "monotone": share(pairs),
    }  # fmt: skip


def _grid(grid: dict[str, Any], row: str) -> float:
    return float(grid.get(row, {}).get("error", np.inf))


def table(results: dict[str, Any], grid: dict[str, Any]) -> None:
    """Markdown: one line for each row and method."""
    rtols = sorted({r["rtol"] for r in results.values()}, reverse=True)
    print("| row | p | method | " + " | ".join(f"{r:.0e}" for r in rtols) + " | steps | CPU s | best of the grid |")
    print("|---|---|---|" + "---|" * (len(rtols) + 3))
    for name in ROWS:
        for method in METHODS:
            found = [results.get(f"{name} {method} {rtol:g}") for rtol in rtols]
            some = [r for r in found if r]
            if some:
                cells = ["–" if r is None else ended(r) or f"{r['error']:.1e}" for r in found]
                ref = f"{_grid(grid, name):.1e}" if name in grid and method == "stages" else ""
                ends = f"{some[-1]['steps']} | {some[-1]['seconds']:.1f} | {ref}"
                print(f"| {name} | {some[0]['p']} | {method} | " + " | ".join(cells) + f" | {ends} |")


def picture(results: dict[str, Any]) -> None:
    """Error against rtol, one line for each row and method."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(12, 5), sharey=True, layout="constrained")
    for axis, method in zip(axes, ("stages", "field"), strict=True):
        for name in ROWS:
            line = sorted((r["rtol"], r["error"]) for r in results.values()
                          if r["row"] == name and r["method"] == method and not r["failed"])  # fmt: skip
            if line:
                axis.loglog(*np.array(line).T, "o--" if "network" in name else "o-", label=name, lw=0.8, ms=3)
        axis.set(xlabel="rtol", title=method)
        axis.legend(fontsize=6)
    axes[0].set_ylabel("relative error over space and time")
    figure.savefig(OUT / "robustness.png", dpi=110)


def main() -> None:
    """Run what is asked for, print what is known."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--quick", action="store_true", help="six rows, one tolerance")
    parser.add_argument("--grid", action="store_true", help="the best of the grid instead")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--again", action="store_true", help="also what is known")
    parser.add_argument("--rtol", type=float, nargs="+", default=[1e-4, 1e-5, 1e-6])
    parser.add_argument("--method", nargs="+", choices=METHODS, default=["stages", "field"])
    parser.add_argument("--limit", type=float, default=20.0, help="CPU seconds of a run (20)")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    names = list(options.rows or (QUICK if options.quick else ROWS))
    rtols = [1e-4] if options.quick else options.rtol
    with ProcessPoolExecutor(options.jobs) as pool:
        if options.grid and not options.table:
            for name, runs in groupby(pool.map(on_grid, grid(names, options.limit)), key=lambda r: r["row"]):
                found = best(list(runs))
                keep("grid", name, found)
                print(json.dumps(found), flush=True)
            return
        todo = [] if options.table else list(tasks(names, options.method, rtols, options.limit))
        results = known("results")
        if not (options.again or options.quick):
            todo = [task for task in todo if f"{task[0]} {task[1]} {task[2]:g}" not in results]
        new = []
        for found in pool.map(automatic, todo):
            keep("results", f"{found['row']} {found['method']} {found['rtol']:g}", found)
            print(line(found), flush=True)
            new.append(found)
    results = known("results")
    if options.table:
        table(results, known_grid())
        picture(results)
    asked = [r for r in results.values() if r["row"] in names and r["method"] in options.method and r["rtol"] in rtols]
    print(json.dumps(summary(new if options.quick else asked, known_grid())))


if __name__ == "__main__":
    main()
