"""What the gallery shares: command line, errors of a run against a reference, pictures.

No reference here or in a demo is computed by dfpde: closed forms, characteristics, Fourier methods in plain NumPy,
finite elements in plain scikit-fem.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

import dfpde as df

Array = np.ndarray
OUT = Path(__file__).resolve().parent.parent / "out"
#: Rounding of a bound that is attained (cubic collapse: one parameter, and Tikhonov stands still while the solution
#: moves on), in units of the largest ‖u‖: 2e-13.
ROUNDING = 1e-12


def options_of(doc: str) -> argparse.ArgumentParser:
    """Parser of the options that most demos have."""
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="seconds: a shorter time, fewer parameters")
    parser.add_argument("--rtol", type=float, default=1e-4, help="tolerance of a step in the field norm (1e-4)")
    parser.add_argument("--eps", type=float, help="ε, the regularization of a step (default: chosen automatically)")
    parser.add_argument("--rho", type=float, default=0.97, help="ρ, inertia, with --eps; 0 is Tikhonov (0.97)")
    parser.add_argument("--stages", action="store_true", help="Dirac–Frenkel stages where the demo takes field steps")
    parser.add_argument("--stop", type=int, metavar="N", help="stop after N output times")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the figures (out/)")
    return parser


def arguments(argv: Sequence[str] | None, doc: str) -> argparse.Namespace:
    """Options of a demo; those unknown here (-dfpde_ksp_monitor, -log_view) are PETSc's."""
    return options_of(doc).parse_known_args(argv)[0]


def chosen(options: argparse.Namespace, stepper: Any = None, **field_step: Any) -> dict[str, Any]:
    """The method a demo's options ask for; with a stepper field steps, unless --stages or --eps is given."""
    how = {"regularization": regularization(options), "controller": df.PI(rtol=options.rtol)}
    if stepper is None or options.stages or options.eps is not None:
        return how
    return how | {"integrator": df.FieldStep(stepper, **field_step)}


def output_times(until: float, outputs: int, options: argparse.Namespace) -> Array:
    """0 and the ends of equal intervals, up to the N-th with --stop N."""
    return np.linspace(0.0, until, outputs + 1)[: None if options.stop is None else options.stop + 1]


def regularization(options: argparse.Namespace) -> Any:
    """The inertia a demo's options ask for."""
    return df.AutoInertia() if options.eps is None else df.Inertia(options.eps, options.rho)


@dataclass(frozen=True, eq=False)
class Run:
    """A run and its true error.

    Attributes
    ----------
    states : list of State
        Start, and one state for each output time.
    errors, norms : arrays
        ‖Φ(θ) − u‖ and ‖u‖ of the reference u at these times.
    seconds : float
    bounds : array or None
        What the error bound says of ‖Φ(θ) − u‖, for linear problems.
    """

    states: list[df.State]
    errors: Array
    norms: Array
    seconds: float
    bounds: Array | None = None

    @property
    def times(self) -> Array:
        """Times of `states`."""
        return np.array([state.t for state in self.states])

    @property
    def relative(self) -> Array:
        """Error at each time, relative to the largest norm of the reference so far (which may pass through zero)."""
        return self.errors / np.maximum.accumulate(np.maximum(self.norms, 1e-300))

    @property
    def space_time(self) -> float:
        """Relative L² error over space and time (trapezoidal rule over the output times)."""
        steps = np.diff(self.times)
        error, norm = (steps @ (f[1:] ** 2 + f[:-1] ** 2) for f in (self.errors, self.norms))
        return float(np.sqrt(error / norm))

    def figures(self) -> dict[str, Any]:
        """The numbers a demo returns."""
        last = self.states[-1]
        bound = {} if self.bounds is None else {
            "bound_end": float(self.bounds[-1] / np.max(self.norms)),
            "bound_holds": bool(np.all(self.bounds + ROUNDING * np.max(self.norms) >= self.errors)),
        }  # fmt: skip
        return {
            "error": self.space_time,
            "error_start": float(self.relative[0]),
            "error_end": float(self.relative[-1]),
            **bound,
            "t": last.t,
            "parameters": last.theta.size,
            "steps": last.step,
            "rejected": last.statistics.rejected,
            "seconds": round(self.seconds, 2),
        }


def compare(
    problem: df.Problem,
    states: Sequence[df.State],
    reference: Callable[[float, Array], Array],
    seconds: float,
    bounds: Sequence[float] | None = None,
    where: df.Quadrature | None = None,
) -> Run:
    """States beside reference(t, x) -> (*shape, N), in the norm of the quadrature `where`, by default the problem's."""
    q = problem.quadrature if where is None else where
    exact = [reference(state.t, q.x) for state in states]
    errors = [q.norm(problem.field(state, q.x).value - u) for state, u in zip(states, exact, strict=True)]
    norms = [q.norm(u) for u in exact]
    return Run(list(states), np.array(errors), np.array(norms), seconds, None if bounds is None else np.array(bounds))


def with_bound(
    bound: df.diagnostics.ErrorBound, start: df.State, first: float, steps: Iterable[df.State], times: Array
) -> tuple[list[df.State], list[float]]:
    """States at the output times of a run that yields every step, and bounds of their errors, the first one known."""
    states, bounds = [start], [first]
    for state in steps:
        bound = bound.after(state)
        if state.t in times:
            states.append(state)
            bounds.append(bound.bound)
    return states, bounds


def over_seeds(runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Means of the figures of runs with several seeds, and their standard deviations where there is more than one."""
    result: dict[str, Any] = {name: float(np.mean([one[name] for one in runs])) for name in runs[0]}
    if len(runs) > 1:
        result["spread"] = {name: float(np.std([one[name] for one in runs], ddof=1)) for name in runs[0]}
    return result | {"seeds": len(runs)}


def report(name: str, run: Run, comm: MPI.Comm, **more: Any) -> dict[str, Any]:
    """Print a run's figures on rank 0, and return them."""
    return say(name, run.figures() | more, comm)


def say(name: str, result: dict[str, Any], comm: MPI.Comm) -> dict[str, Any]:
    """Print figures on rank 0, in one line, and return them."""
    if comm.rank == 0:
        print(f"{name}: {json.dumps(result, default=float, ensure_ascii=False)}", flush=True)
    return result


def equispaced(a: float, b: float, n: int) -> Array:
    """Centers of n equal cells of [a, b], shape (n, 1)."""
    return (a + (b - a) * (np.arange(n)[:, None] + 0.5) / n).reshape(n, 1)


# -- figures -------------------------------------------------------------------------------------------------
def figure(path: Path, comm: MPI.Comm, draw: Callable[[Any], None], **layout: Any) -> None:
    """Rank 0 draws into a new matplotlib figure and saves it."""
    if comm.rank == 0:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        shown = plt.figure(figsize=layout.pop("figsize", (9, 3.4)), layout="constrained")
        draw(shown)
        path.parent.mkdir(parents=True, exist_ok=True)
        shown.savefig(path, dpi=120)
        plt.close(shown)


def profiles(
    shown: Any, problem: df.Problem, run: Run, x: Array, reference: Callable[[float, Array], Array], picks: int = 4
) -> None:
    """Left: solution and reference (dashed) on the line x at a few times.  Right: relative error over time."""
    components = problem.ansatz.shape[0] if problem.ansatz.shape else 1
    axes = shown.subplots(1, components + 1)
    for i in np.linspace(0, len(run.states) - 1, picks).round().astype(int):
        state = run.states[i]
        value = np.atleast_2d(problem.field(state, x[None]).value)
        exact = np.atleast_2d(reference(state.t, x[None]))
        for axis, u, v in zip(axes, value, exact, strict=False):
            axis.plot(x, np.real(u), label=f"t = {state.t:g}")
            axis.plot(x, np.real(v), "--", color="black", lw=0.8)
            axis.set_xlabel("x")
    axes[0].legend(fontsize=8, title="dashed: reference", title_fontsize=8)
    errors(axes[-1], run)


def maps(
    shown: Any, problem: df.Problem, run: Run, reference: Callable[[float, Array], Array], bounds: tuple[float, float]
) -> None:
    """Solution and reference on a square at the last time, and the relative error over time."""
    axes, side, last = shown.subplots(1, 3), np.linspace(*bounds, 101), run.states[-1]
    plane = np.stack(np.meshgrid(side, side)).reshape(2, -1)
    pictures = {f"u, t = {last.t:g}": problem.field(last, plane).value, "reference": reference(last.t, plane)}
    for axis, (name, u) in zip(axes, pictures.items(), strict=False):
        axis.contourf(side, side, u.reshape(101, 101), 20)
        axis.set_title(name, fontsize=9)
        axis.set_aspect("equal")
    errors(axes[2], run)


def errors(axis: Any, run: Run) -> None:
    """Relative error over time, and its bound (dotted)."""
    axis.semilogy(run.times, np.maximum(run.relative, 1e-6 * run.relative.max()), ".-")
    if run.bounds is not None:
        scale = np.maximum.accumulate(run.norms)
        axis.semilogy(run.times[1:], (run.bounds / scale)[1:], ":", color=axis.lines[-1].get_color())
    axis.set_xlabel("t")
    axis.set_title("relative $L^2$ error" + ("" if run.bounds is None else ", its bound (dotted)"), fontsize=9)
    axis.grid(alpha=0.3)
