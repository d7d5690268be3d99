"""Error against ε for every regularizer at the same step size, on problems with solutions from elsewhere.

    python benchmarks/inertia_study.py [--quick] [--jobs N] [--only NAME ...] [--out DIR]

Runge–Kutta 4 with fixed steps; ε over seven decades in units of the columns of the tangent at the start
(`Problem.scaled`); automatic inertia beside the best hand-tuned ε.  Prints a table, draws a figure, and ends with one
line of JSON: zero_crossing_ratio (best Tikhonov error over best inertia error), burgers_decades (decades of ε with
inertia's error below 1e-3 on Burgers with 30 Gaussians and widths of weight 0.2 in the metric, where Tikhonov fails at
every ε, and Tikhonov's decades and best error beside it), auto_worst_factor (error of
`AutoInertia()` over the best error of inertia at any ε, worst problem).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dfpde as df
from benchmarks import study_problems as study

RHO = 0.97

METHODS = {
    "Tikhonov": df.Tikhonov,
    "truncated SVD": df.regularization.TruncatedSVD,
    "Onsager": df.regularization.Onsager,
    "random sparse": None,  # needs p: half of the columns
    "inertia, ρ = 0.97": lambda eps: df.Inertia(eps, RHO),
    "inertia, ρ = 1": lambda eps: df.Inertia(eps, 1.0),
}

INERTIA = "inertia, ρ = 0.97"

#: Start phases of the zero crossing: amplitudes vanish at the end of a step, at a stage inside, and in between.  The
#: largest error of the three counts, because where a zero falls is luck.
PHASES = (0.2 * np.pi, 0.25 * np.pi, 0.5)


def zero_crossing() -> list[study.Case]:
    return [study.zero_crossing(phase) for phase in PHASES]


def one(make, *args, **options):
    """A problem of one case."""
    return lambda: [make(*args, **options)]


#: Burgers in a metric where Tikhonov fails: 1 for amplitudes and centres, 0.2 for scales (others: docs/inertia.md).
BURGERS = "Burgers 30, D_s = 0.2"

PROBLEMS = {
    "zero crossing": zero_crossing,
    "advection": one(study.advection),
    "heat": one(study.heat),
    "Burgers 30": one(study.burgers, 30),
    BURGERS: one(study.burgers, 30, weight=0.2),
    "KdV": one(study.kdv),
    "Fisher–KPP": one(study.fisher),
    "Allen–Cahn": one(study.allen_cahn),
    "angles (C2)": one(study.angles),
}

#: Run only by name: Burgers in other metrics.
FURTHER = {f"Burgers 30, D_s = {w:g}": one(study.burgers, 30, weight=w) for w in (0.45, 0.3, 0.1, 0.05)}

#: Not looked at while the rule of `AutoInertia` was made.
HELD_OUT = ("angles (C2)",)


def rule(method: str, eps: float, case: study.Case) -> object:
    """The regularization of a method at ε for a problem."""
    if method == "random sparse":
        return df.regularization.RandomSparse(max(1, case.problem.ansatz.size // 2), eps)
    return METHODS[method](eps)


def error(case: study.Case, regularization: object) -> float:
    """Relative L² error at the end; infinite when the run fails."""
    run = df.evolve(
        case.problem, case.start, until=case.until, regularization=regularization, controller=df.Fixed(case.dt),
        integrator=df.RK4, solver=study.Direct(),
    )  # fmt: skip
    state = case.start
    try:
        with np.errstate(all="ignore"):
            for state in run:  # noqa: B007
                pass
            found = case.error(state)
    except (df.DfpdeError, FloatingPointError):
        return float("inf")
    return found if np.isfinite(found) else float("inf")


def worst(cases: list[study.Case], make) -> float:
    """Largest error over the cases of a problem; make: case -> regularization."""
    return max(error(case, make(case)) for case in cases)


def curves(name: str, methods: list[str], decades: np.ndarray) -> tuple[str, dict[str, list[float]]]:
    """Errors of every method at every ε and of the automatic choice, and their table."""
    start = time.perf_counter()
    cases = {**PROBLEMS, **FURTHER}[name]()
    found = {
        method: [worst(cases, lambda case, m=method, e=eps: rule(m, e, case)) for eps in decades] for method in methods
    }
    found["auto"] = [worst(cases, lambda case: df.AutoInertia())]
    return table(name, cases[0], found, decades, time.perf_counter() - start), found


def text(value: float) -> str:
    return f"{value:9.1e}" if value < 1e3 else "        -"


def table(name: str, case: study.Case, found: dict[str, list[float]], decades: np.ndarray, seconds: float) -> str:
    held = ", held out" if name in HELD_OUT else ""
    lines = [f"\n{name}: p = {case.problem.ansatz.size}, h = {case.dt:g}, T = {case.until:g}{held}; {seconds:.0f} s"]
    lines.append(f"{'ε':>20}" + "".join(f"{eps:9.0e}" for eps in decades) + "     best")
    for method, errors in found.items():
        if method != "auto":
            lines.append(f"{method:>20}" + "".join(text(e) for e in errors) + text(min(errors)))
    return "\n".join([*lines, f"{'AutoInertia()':>20}" + text(found["auto"][0])])


def figure(results: dict[str, dict[str, list[float]]], decades: np.ndarray, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = min(3, len(results))
    rows = -(-len(results) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(3.6 * columns, 2.7 * rows), squeeze=False, layout="constrained")
    colors = ["#d95f02", "#e7298a", "#7570b3", "#aaaaaa", "#1b9e77", "#66a61e"]
    for axis in axes.flat[len(results) :]:
        axis.axis("off")
    for axis, (name, found) in zip(axes.flat, results.items(), strict=False):
        for method, color in zip(METHODS, colors, strict=True):
            if method in found:
                errors = np.minimum(found[method], 10.0)
                axis.loglog(
                    decades, errors, "o-" if "inertia" in method else "s--", color=color, ms=3, lw=1.2, label=method
                )
        axis.axhline(found["auto"][0], color="black", lw=1, ls=":", label="AutoInertia()")
        axis.set_title(name, fontsize=9)
        axis.set_ylim(top=12)
        axis.tick_params(labelsize=7)
        axis.set_xlabel("ε", fontsize=8)
        axis.set_ylabel("relative L² error", fontsize=8)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=140)
    plt.close(fig)


def decades_below(errors: list[float], decades: np.ndarray, limit: float = 1e-3) -> float:
    """Longest run of neighbouring ε with errors below the limit, in decades."""
    best, start = 0.0, None
    for eps, e in zip(decades, errors, strict=True):
        start = (eps if start is None else start) if e <= limit else None
        if start is not None:
            best = max(best, abs(np.log10(eps / start)))
    return float(best)


def run(names, methods, decades, jobs):
    """Curves of all problems in turn, by one or several processes."""
    if jobs <= 1:
        yield from (curves(name, methods, decades) for name in names)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(curves, name, methods, decades) for name in names]
        yield from (future.result() for future in futures)


def main(argv: list[str] | None = None) -> dict[str, object]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three problems and three methods, under a minute")
    parser.add_argument("--only", nargs="*", help="names of problems")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, default=Path("out"))
    options = parser.parse_args(argv)
    if options.quick:
        names, methods, decades = (
            ["zero crossing", "heat", BURGERS],
            ["Tikhonov", INERTIA, "inertia, ρ = 1"],
            10.0 ** -np.arange(1.0, 6.0),
        )
    else:
        names, methods, decades = list(PROBLEMS), list(METHODS), 10.0 ** -np.arange(0.0, 8.0)
    names = names if options.only is None else options.only
    results: dict[str, dict[str, list[float]]] = {}
    for name, (lines, found) in zip(names, run(names, methods, decades, options.jobs), strict=True):
        print(lines, flush=True)
        results[name] = found
    figure(results, decades, options.out / "inertia_study.png")
    factors = {name: found["auto"][0] / min(found[INERTIA]) for name, found in results.items()}
    print(
        "\nAutoInertia() over the best fixed ε:", ", ".join(f"{name} {factor:.2g}" for name, factor in factors.items())
    )
    summary: dict[str, object] = {
        "zero_crossing_ratio": None,
        "burgers_decades": None,
        "burgers_decades_tikhonov": None,
        "burgers_best_tikhonov": None,
        "auto_worst_factor": max(factors.values()),
        "auto_within_5": sum(factor <= 5 for factor in factors.values()),
        "problems": len(results),
        "errors": results,
        "eps": decades.tolist(),
    }
    if "zero crossing" in results:
        crossing = results["zero crossing"]
        inertia = min(min(errors) for method, errors in crossing.items() if method.startswith("inertia"))
        summary["zero_crossing_ratio"] = min(crossing["Tikhonov"]) / inertia
    if BURGERS in results:
        for key, method in (("burgers_decades", INERTIA), ("burgers_decades_tikhonov", "Tikhonov")):
            summary[key] = decades_below(results[BURGERS][method], decades)
        summary["burgers_best_tikhonov"] = min(results[BURGERS]["Tikhonov"])
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "inertia_study.json").write_text(json.dumps(summary, indent=1, default=str))
    keys = (
        "zero_crossing_ratio",
        "burgers_decades",
        "burgers_decades_tikhonov",
        "burgers_best_tikhonov",
        "auto_worst_factor",
        "auto_within_5",
        "problems",
    )
    print(json.dumps({key: summary[key] for key in keys}))
    return summary


if __name__ == "__main__":
    main()
