"""A short run for tests of `Run`, as a script: python runs_job.py DIRECTORY [PAUSE [LIMIT]]."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import skfem
from mpi4py import MPI

import dfpde as df
from dfpde.runs import Run

COMM = MPI.COMM_WORLD
UNTIL, TIMES = 0.4, (0.1, 0.2, 0.3)


def problem(comm: MPI.Comm = COMM) -> df.Problem:
    """Two Gaussians in a flow that deforms them."""
    ansatz = df.GaussianMixture.isotropic(1, 2)
    quadrature = df.Quadrature.gauss((-4, 4), 30, 4, comm)
    return df.Problem(ansatz, quadrature, lambda t, x, u: -(1 + 0.2 * np.sin(x[0])) * df.dx(u))


def start(problem: df.Problem) -> df.State:
    """At t = 0."""
    return df.State(0.0, problem.ansatz.pack(amplitudes=[1.0, -0.6], centers=[[-0.5], [0.9]], scales=[2.0, 1.5]))


def main(directory: Path, pause: float = 0.0, limit: float | None = None) -> df.State:
    """Run to the end, or go on; with series for ParaView."""
    model = problem()
    with Run(directory, model, every_steps=2, every_seconds=None, max_seconds=limit) as run:
        state = run.begin(lambda: start(model))
        writers = [make(skfem.MeshLine(np.linspace(-4, 4, 9))) for make in (run.paraview, run.vtkhdf)]
        for writer in writers:
            if writer.steps == 0:
                writer.write(state.t, u=model.field(state))
        for state in run.evolve(until=UNTIL, times=TIMES, every_step=True, controller=df.PI(rtol=1e-5, dt_max=0.02)):
            for writer in writers if state.step % 3 == 0 else ():
                writer.write(state.t, u=model.field(state))
            time.sleep(pause)
    return state


if __name__ == "__main__":
    with df.parallel.run(COMM):
        main(Path(sys.argv[1]), *map(float, sys.argv[2:]))
