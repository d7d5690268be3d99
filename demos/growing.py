"""Viscous Burgers equation into a shock, with an ansatz that grows: 4 periodic Gaussians, then more where needed.

u_t + u u_x = ν u_xx, u₀ = −sin πx on [−1, 1), ν = 0.01.  Four Gaussians fit the initial sine to 1e-5, not the shock.
A component is inserted, with amplitude zero, where |J θ̇ − f| is largest, whenever the defect exceeds a limit; of a
few widths the one that lowers the defect most is taken.  The same run with the 4 Gaussians alone is beside it.
Reference: the exact solution by Cole–Hopf.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from burgers import NU, cole_hopf
from common import arguments, equispaced, figure, regularization
from mpi4py import MPI

import dfpde as df

WIDTHS = (4.0, 8.0, 16.0, 32.0, 64.0)  # scales 1/width tried for a new component; a shock has the width 4ν = 1/25
Track = list[tuple[float, int, float, float]]  # t, components, defect, relative error


def mixture(n: int) -> df.PeriodicGaussianMixture:
    """n periodic Gaussians."""
    return df.PeriodicGaussianMixture.isotropic([2.0], n)


def candidates(x: np.ndarray) -> list[dict[str, Any]]:
    """New components at the point x."""
    return [{"amplitudes": 0.0, "centers": x, "scales": scale} for scale in WIDTHS]


def burgers(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
    """f = ν u_xx − u u_x."""
    return NU * df.dx(u, 2) - u.value * df.dx(u)


def follow(run: Iterable[tuple[df.Problem, df.State]]) -> tuple[Track, df.Problem, df.State]:
    """Run to the end; the error after every step."""
    track: Track = []
    for problem, state in run:
        exact = cole_hopf(state.t, problem.points)
        error = problem.quadrature.norm(problem.field(state).value - exact) / problem.quadrature.norm(exact)
        track.append((state.t, problem.ansatz.n, state.statistics.defect, error))
    return track, problem, state


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run, print, draw."""
    options = arguments(["--rtol", "1e-5", *(argv or [])], __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        until, limit = (0.3, 2e-2) if options.quick else (0.6, 1e-2)
        problem = df.Problem(mixture(4), df.Quadrature.periodic((-1, 1), 512 if options.quick else 1024, comm), burgers)
        guess = problem.ansatz.pack(amplitudes=np.zeros(4), centers=equispaced(-1, 1, 4), scales=3.0)
        start = df.fit(problem, lambda x: cole_hopf(0, x), guess)
        growing = df.evolution.Growing(lambda ansatz: mixture(ansatz.n + 1), candidates, limit, most=120)
        choices = {"until": until, "regularization": regularization(options), "controller": df.PI(rtol=options.rtol)}
        fixed, _, _ = follow((problem, state) for state in df.evolve(problem, start, **choices))
        grown, larger, last = follow(df.evolution.evolve_growing(problem, start, growing=growing, **choices))
        path = options.out / "growing.png"
        figure(path, comm, lambda shown: draw(shown, fixed, grown, larger, last), figsize=(11, 3.4))
        result = {
            "t": last.t,
            "components": larger.ansatz.n,
            "error_fixed": fixed[-1][3],
            "error_growing": grown[-1][3],
            "ratio": fixed[-1][3] / grown[-1][3],
            "steps_fixed": len(fixed),
            "steps_growing": len(grown),
        }
        if comm.rank == 0:
            print(f"growing: {result}", flush=True)
        return result


def draw(shown: Any, fixed: Track, grown: Track, problem: df.Problem, state: df.State) -> None:
    """Solution with the centers, error and number of components over time."""
    left, middle, right = shown.subplots(1, 3)
    x = np.linspace(-1, 1, 801)
    left.plot(x, problem.field(state, x[None]).value, label=f"{problem.ansatz.n} Gaussians")
    left.plot(x, cole_hopf(state.t, x[None]), "--", color="black", lw=0.8, label="exact")
    centers = (problem.ansatz.unpack(state.theta)["centers"][:, 0] + 1) % 2 - 1
    for color, part, label in (("C0", centers[:4], "first four"), ("C3", centers[4:], "inserted")):
        left.plot(part, np.full(part.size, -1.25), "|", ms=12, color=color, label=f"centers: {label}")
    left.set_title(f"t = {state.t:g}", fontsize=9)
    left.legend(fontsize=7)
    for track, label in ((fixed, "4 Gaussians"), (grown, "growing")):
        middle.semilogy([row[0] for row in track], [row[3] for row in track], ".-", ms=3, label=label)
    middle.set_title("relative $L^2$ error", fontsize=9)
    middle.legend(fontsize=8)
    right.step([row[0] for row in grown], [row[1] for row in grown], where="post")
    right.set_title("components", fontsize=9)
    for axis in (left, middle, right):
        axis.set_xlabel("x" if axis is left else "t")
        axis.grid(alpha=0.3)


if __name__ == "__main__":
    main(sys.argv[1:])
