"""The last step of a start without a sweep (dfpde/leastsquares/lsqr.py): what it leaves, against what is predicted.

    python benchmarks/last_step.py

Runs of Runge–Kutta 4 on problems with many more points than parameters.  A start x from a sample of the rows has
q = ‖R⁻ᵀAᵀ(b − Ax)‖ and θ = q / min(‖b − Ax‖, ‖Ax‖); the step x + P⁻¹Aᵀ(b − Ax) leaves q'.  The table counts the starts,
those with q above the target rtol ‖b‖ (open), those of them whose sample resolves all columns, and the steps taken; the
exponents log(q'/q) / log θ of the contraction, smallest and quantiles of 1, 10 and 50 %, for the resolved starts and,
in brackets, the smallest for the others; and the largest q' over the target after a step that was taken.  The last line
is one JSON object.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np
from least_squares import mixture, network
from mpi4py import MPI

import dfpde as df
from benchmarks import study_problems as study
from demos import rabi
from dfpde.leastsquares.lsqr import OneSweepLSQR

COMM = MPI.COMM_SELF


def fine(case: study.Case, bounds: tuple[float, float], n: int = 4000) -> tuple[df.Problem, df.State]:
    """A periodic problem of the study on many more points than it needs."""
    quadrature = df.Quadrature.periodic(bounds, n, COMM)
    return dataclasses.replace(case.problem, quadrature=quadrature), case.start


CASES = {
    "network": lambda: (*network(5, 4000), 5e-3),
    "mixture": lambda: (*mixture(33, 4000), 1e-3),
    "advection": lambda: (*fine(study.advection(), (-1, 1)), 0.01),
    "Burgers 20": lambda: (*fine(study.burgers(), (-1, 1)), 2.5e-3),
    "Allen–Cahn": lambda: (*fine(study.allen_cahn(), (0, 2 * np.pi)), 5e-3),
    "Fisher–KPP": lambda: (*fine(study.fisher(), (0, 2 * np.pi)), 0.01),
    "rabi (2D mesh)": lambda: (*rabi.setup(ROOT / "meshes" / "disk.msh", COMM)[1:], 0.005),
}


class Watched(OneSweepLSQR):
    """Notes what the step would leave, before each solve that starts from a sample."""

    notes: list[dict[str, float]]

    def solve(self, ksp: Any, b: Any, x: Any) -> None:
        """See `OneSweepLSQR`."""
        resolved = float(self.sampled and self.preconditioner().resolved)
        note = self.look(b.getArray(readonly=True), x.getArray(readonly=True)) if ksp.getInitialGuessNonzero() else None
        super().solve(ksp, b, x)
        if note is not None:
            self.notes.append({**note, "resolved": resolved, "taken": float(self.gain != 0.0)})

    def look(self, b: np.ndarray, x: np.ndarray) -> dict[str, float]:
        """q, q', the target and θ."""
        residual = b - self.operator.forward(x)
        gradient = self.operator.backward(residual)
        solve = self.preconditioner().solve
        step = solve(gradient)
        after = self.operator.backward(residual - self.operator.forward(step))
        q, left = (float(np.sqrt(max(0.0, g @ solve(g)))) for g in (gradient, after))
        reached = np.sqrt(max(0.0, b @ b - residual @ residual))
        theta = q / max(1e-300, min(float(np.linalg.norm(residual)), reached))
        return {"q": q, "left": left, "target": 1e-11 * float(np.linalg.norm(b)), "theta": theta}


class Solver(df.KSP):
    """KSP that is watched."""

    def _workspace(self, system: Any) -> Any:
        work = super()._workspace(system)
        work.one_sweep.__class__ = Watched
        return work


def row(name: str, eps: float, steps: int = 60) -> dict[str, Any]:
    """One problem: its line of the table, printed."""
    problem, start, dt = CASES[name]()
    scale = 1.0 if problem.scale is None else problem.scale
    eps *= float(np.max(problem.tangent(start.theta).column_norms() / scale))
    Watched.notes, solver = [], Solver()
    list(df.evolve(
        problem, start, until=start.t + steps * dt, controller=df.Fixed(dt), integrator=df.RK4,
        regularization=df.Inertia(eps, 0.97), solver=solver,
    ))  # fmt: skip
    notes = {key: np.array([note[key] for note in Watched.notes]) for key in Watched.notes[0]}
    near, taken = (notes["q"] > notes["target"]) & (notes["theta"] < 0.1), notes["taken"] > 0
    resolved = notes["resolved"] > 0
    left, q = np.maximum(notes["left"], 1e-300), np.maximum(notes["q"], 1e-300)
    exponents = np.log(left / q) / np.log(np.clip(notes["theta"], 1e-300, 0.1))
    found = {
        "p": problem.ansatz.size, "starts": len(taken), "open": int(near.sum()),
        "resolved": int((near & resolved).sum()), "taken": int(taken.sum()),
        "exponents": [float(np.quantile(exponents[near & resolved], at)) for at in (0, 0.01, 0.1, 0.5)]
        if np.any(near & resolved) else [],
        "unresolved": float(np.min(exponents[near & ~resolved], initial=np.inf)),
        "worst": float(np.max(notes["left"][taken] / notes["target"][taken], initial=0.0)),
    }  # fmt: skip
    text = " ".join(f"{e:5.2f}" for e in found["exponents"]) or " " * 23
    other = f"({found['unresolved']:5.2f})" if np.isfinite(found["unresolved"]) else " " * 7
    counts = f"{found['p']:4d} {found['starts']:6d} {found['open']:5d} {found['resolved']:8d} {found['taken']:5d}"
    print(f"{name:>15} {counts}  {text} {other} {found['worst']:9.1e}", flush=True)
    return found


def main() -> None:
    """Table and JSON."""
    result: dict[str, Any] = {}
    for eps in (1e-2, 1e-4, 1e-6):
        print(f"\nε = {eps:g} of the largest column\n{'':>15} {'p':>4} starts  open resolved taken  "
              f"{'0 %':>5} {'1 %':>5} {'10 %':>5} {'50 %':>5} {'':7} q\'/target")  # fmt: skip
        result[f"{eps:g}"] = {name: row(name, eps) for name in CASES}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
