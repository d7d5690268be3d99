"""Field steps beside Dirac–Frenkel stages on the problems of docs/field_step.md: error, steps and CPU seconds.

    python benchmarks/field_step.py [kdv kdv-network ks allen-cahn burgers detonation crossing existing-fe] [options]

Every row is adaptive by one tolerance: nothing else is chosen for a problem.  `--stages` runs the default integrator
(Dormand–Prince, automatic inertia) from the same start with the same tolerance beside it, for at most `--cap` CPU
seconds.  Rows are those of the table in docs/field_step.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

import dfpde as df
from dfpde.evolution.field_step import BlackBox
from dfpde.steppers import ETDRK4, PeriodicGrid

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demos"))  # their `common` is the one meant below
import allen_cahn as phases
import detonation as rdw
import existing_fe_model as model
import kdv as solitons
import kuramoto_sivashinsky as chaos
import skfem
from spectral import Spectral as reference

COMM = MPI.COMM_SELF
Array = np.ndarray
OUTPUTS = 20


@dataclass(frozen=True, eq=False)
class Row:
    """A problem, its start, a stepper, the time of the end, a reference (t, x) -> u, and the tolerances to be run."""

    name: str
    problem: df.Problem
    start: df.State
    stepper: Any
    until: float
    exact: Callable[[float, Array], Array]
    rtols: tuple[float, ...]


def network(period: float, outputs: int | None = None) -> df.Network:
    """tanh network 14-14-14 on eight periodic features: p = 569 for one component."""
    return df.Network(1, (14, 14, 14), embedding=df.PeriodicEmbedding((period,), 2, 4), outputs=outputs)


def fitted(problem: df.Problem, initial: Callable[[Array], Array], seed: int) -> df.State:
    """Start of a network, fitted for at most 500 iterations; what it takes is printed."""
    begin = time.process_time()
    start = df.fit(problem, initial, problem.ansatz.initial(seed), max_iterations=500, rtol=1e-4)
    misfit, took = start.statistics.error / problem.norm(start), time.process_time() - begin
    print(f"  start: p = {problem.ansatz.size}, misfit {misfit:.1e}, {took:.1f} CPU s", flush=True)
    return start


# -- problems ------------------------------------------------------------------------------------------------
def kdv(seed: int, ansatz: df.Ansatz | None = None) -> Row:
    """Two solitons, the fast one overtakes: u_t + 6 u u_x + u_xxx = 0, T = 4; 10 Gaussians."""
    grid = PeriodicGrid((-25, 35), 512, COMM)
    mixture = df.PeriodicGaussianMixture.isotropic([60.0], 10)
    problem = df.Problem(ansatz or mixture, grid.quadrature, lambda t, x, u: -6 * u.value * df.dx(u) - df.dx(u, 3))
    initial = lambda x: solitons.solitons(0.0, x)  # noqa: E731
    if ansatz is None:
        line = np.linspace(-14, 20, 801)
        first = initial(line[None])
        peaks = [line[np.argmax(first * side)] for side in (line < -2, line > -2)]
        centers = np.repeat(peaks, 5) + 0.3 * np.random.default_rng(seed).standard_normal(10)
        speeds, widths = np.array([solitons.K2, solitons.K1]), np.array([0.39, 0.5, 0.62, 0.8, 0.95])
        guess = mixture.pack(
            amplitudes=np.repeat(speeds**2 / 10, 5), centers=centers[:, None], scales=np.outer(speeds, widths).ravel()
        )
        start: df.State = df.fit(problem, initial, guess, max_iterations=60)
    else:
        start = fitted(problem, initial, seed)
    stepper = ETDRK4(grid, lambda k: 1j * k[0] ** 3, lambda t, x, u: -6 * u.value * df.dx(u))
    name = "KdV, two solitons, " + ("network" if ansatz else "10 Gaussians")
    return Row(name, problem, start, stepper, 4.0, solitons.solitons, (1e-4,) if ansatz else (1e-3, 1e-4, 1e-5))


def kdv_network(seed: int) -> Row:
    """The same with a network."""
    return kdv(seed, network(60.0))


def ks(seed: int) -> Row:
    """Kuramoto–Sivashinsky, length 22, T = 12; 20 Gaussians as in the demo."""
    length = chaos.LENGTH
    grid = PeriodicGrid((0, length), 256, COMM)
    ansatz = df.PeriodicGaussianMixture.isotropic([length], 20)
    problem = df.Problem(ansatz, grid.quadrature, lambda t, x, u: -u.value * df.dx(u) - df.dx(u, 2) - df.dx(u, 4))
    guess = ansatz.pack(
        amplitudes=np.zeros(20), centers=length * (np.arange(20)[:, None] + 0.5) / 20, scales=np.full(20, 20 / length)
    )
    start = df.fit(problem, chaos.initial, guess, linear="amplitudes", max_iterations=50)
    symbol = lambda k: k[0] ** 2 - k[0] ** 4  # noqa: E731
    stepper = ETDRK4(grid, symbol, lambda t, x, u: -u.value * df.dx(u))
    exact = reference(
        lambda x: chaos.initial(x[None]), lambda k: k**2 - k**4, lambda u, k: -0.5j * k * np.fft.rfft(u**2),
        (0, length), 256, 5e-3, 12.0,
    )  # fmt: skip
    return Row("Kuramoto–Sivashinsky, 20 Gaussians", problem, start, stepper, 12.0, exact, (1e-4, 1e-5))


def allen_cahn(seed: int) -> Row:
    """Berman and Peherstorfer 2023: u_t = 5e-3 u_xx + u − u³ on [0, 2π), T = 4."""
    grid = PeriodicGrid((0, 2 * np.pi), 1000, COMM)
    problem = df.Problem(
        network(2 * np.pi), grid.quadrature, lambda t, x, u: phases.NU * df.dx(u, 2) + u.value - u.value**3
    )
    start = fitted(problem, phases.initial, seed)
    stepper = ETDRK4(grid, lambda k: 1 - phases.NU * k[0] ** 2, lambda t, x, u: -(u.value**3))
    exact = reference(
        lambda x: phases.initial(x[None]), lambda k: 1 - phases.NU * k**2, lambda u, k: -np.fft.rfft(u**3),
        (0, 2 * np.pi), 1024, 5e-3, 4.0,
    )  # fmt: skip
    return Row("Allen–Cahn, network", problem, start, stepper, 4.0, exact, (1e-5, 1e-6))


def burgers(seed: int) -> Row:
    """Berman and Peherstorfer 2023: u_t = 1e-3 u_xx − u u_x on [−1, 1), T = 4."""
    initial = lambda x: (1 - x[0] ** 2) * np.exp(-30 * (x[0] + 0.5) ** 2)  # noqa: E731
    grid = PeriodicGrid((-1, 1), 1024, COMM)
    problem = df.Problem(network(2.0), grid.quadrature, lambda t, x, u: 1e-3 * df.dx(u, 2) - u.value * df.dx(u))
    start = fitted(problem, initial, seed)
    stepper = ETDRK4(grid, lambda k: -1e-3 * k[0] ** 2, lambda t, x, u: -u.value * df.dx(u))
    exact = reference(
        lambda x: initial(x[None]), lambda k: -1e-3 * k**2, lambda u, k: -0.5j * k * np.fft.rfft(u**2),
        (-1, 1), 4096, 1e-3, 4.0,
    )  # fmt: skip
    return Row(f"Burgers, network, seed {seed}", problem, start, stepper, 4.0, exact, (2e-5,))


def detonation(seed: int) -> Row:
    """Rotating detonation waves (demos/detonation.py) until T = 8; two networks of 461 parameters, 922 together."""
    part = df.Network(1, (10, 10, 10, 10), df.ansatz.Swish(), df.PeriodicEmbedding((2 * np.pi,), 1, 10))
    grid = PeriodicGrid((0, 2 * np.pi), 768, COMM)

    def rhs(t: float, x: Array, u: df.Field) -> Array:
        return slow(t, x, u) + rdw.NU * df.dx(u, 2)

    def slow(t: float, x: Array, u: df.Field) -> Array:
        eta, burnt = u.value
        gain, burning = rdw.reactions(eta, burnt)
        return np.array([gain - eta * df.dx(u)[0], burning])

    problem = df.Problem(df.Stack(part, part), grid.quadrature, rhs)
    guess = np.concatenate([part.initial(seed), part.initial(seed + 1)])
    start = df.fit(problem, rdw.initial, guess, max_iterations=300, rtol=1e-4)
    print(f"  start: p = {problem.ansatz.size}, misfit {start.statistics.error / problem.norm(start):.1e}", flush=True)
    stepper = ETDRK4(grid, lambda k: np.array([-rdw.NU * k[0] ** 2] * 2), slow)
    exact = reference(
        lambda x: rdw.initial(x[None]), lambda k: np.array([-rdw.NU * k**2] * 2), rdw.nonlinear,
        (0, 2 * np.pi), 512, 2e-3, 8.0,
    )  # fmt: skip
    return Row("detonation, two networks", problem, start, stepper, 8.0, exact, (1e-4,))


# -- amplitude through zero ----------------------------------------------------------------------------------
def crossing(phase: float, rho: float) -> float:
    """z_t = −z_x − 2πi z by its exact step 0.05, Re and Im one Gaussian each; relative error at t = 1."""
    grid = PeriodicGrid((-8, 9), 256, COMM)
    k, x = grid.waves[0], grid.x[0]

    def advance(t: float, u: Array, dt: float) -> Array:
        z = np.fft.ifft(np.exp(-1j * dt * (k + 2 * np.pi)) * np.fft.fft(u[0] + 1j * u[1]))
        return np.stack([z.real, z.imag])

    mode = df.GaussianMixture.isotropic(1, 1)
    problem = df.Problem(df.Stack(mode, mode), grid.quadrature, lambda t, x, u: 0 * u.value)
    start = df.State(0.0, np.array([np.cos(phase), 0.0, np.sqrt(2), np.sin(phase), 0.0, np.sqrt(2)]))
    field_step = df.FieldStep(BlackBox(advance), 1e-14, rho)
    *_, end = df.evolve(problem, start, until=1.0, controller=df.Fixed(0.05), integrator=field_step)
    exact = np.exp(-((x - 1.0) ** 2)) * np.array([[np.cos(phase)], [np.sin(phase)]])
    return grid.quadrature.norm(problem.field(end).value - exact) / grid.quadrature.norm(exact)


def crossings() -> None:
    """Three phases: zeros at ends of steps, in their middle, at neither; with and without inertia."""
    for phase, where in ((0.2 * np.pi, "ends"), (0.25 * np.pi, "middles"), (0.5, "neither")):
        found = ", ".join(f"ρ = {rho:g}: {crossing(phase, rho):.1e}" for rho in (1.0, 0.0))
        print(f"amplitude through zero at {where} of steps: {found}", flush=True)


# -- an existing finite-element code -------------------------------------------------------------------------
def existing_fe(cap: float) -> None:
    """demos/existing_fe_model.py: the code's own time step as a black box; stages of its M ċ = −K c beside."""
    found = model.main(["--out", tempfile.gettempdir()], COMM)
    print(f"existing FE model: worst error {found['error_max']:.1e}, at the end {found['error_end']:.1e}; "
          f"{found['steps']} steps, {found['rejected']} rejected, {found['seconds_reduced']:.1f} CPU s, "
          f"the model itself {found['seconds_full']:.2f}", flush=True)  # fmt: skip
    if cap:
        print("  stages " + existing_fe_stages(cap), flush=True)


def existing_fe_stages(cap: float) -> str:
    """The same model, start and tolerance by Dirac–Frenkel stages."""
    mesh = skfem.Mesh.load(model.MESH)
    basis, mass, stiffness = model.discretized(mesh, model.stokes(mesh))
    advance, gaussians = model.time_step(mass, stiffness), df.GaussianMixture.full(2, 10)
    nodes = df.fem.Nodes(basis.doflocs, COMM)
    problem = df.fem.SemiDiscrete(
        model.Mirrored(gaussians, model.IMAGES), mass, lambda t, c: -(stiffness @ c), nodes
    )  # fmt: skip
    start = df.fit(problem, model.initial, model.guess(gaussians))
    full, times = {0.0: model.initial(basis.doflocs)}, np.linspace(0, 1, 9)
    for before, t in pairwise(times):
        full[t] = advance(full[before], t - before)
    return run(problem, start, lambda t, x: full[t], model.RTOL, cap, times[1:])


# -- runs ----------------------------------------------------------------------------------------------------
def run(
    problem: Any, start: df.State, exact: Callable[[float, Array], Array], rtol: float, limit: float, times: Array,
    controller: Any = None, **how: Any,
) -> str:  # fmt: skip
    """Errors at the output times, steps, CPU seconds; what stopped it."""
    distance = problem.quadrature.norm if isinstance(problem, df.Problem) else problem.distance
    how = {"until": times[-1], "times": times, "controller": controller or df.PI(rtol=rtol), "every_step": True} | how
    errors, norms, begin, lost, state, end = [], [], time.process_time(), 0.0, start, ""
    try:
        for state in df.evolve(problem, start, **how):
            if state.t in times:
                paused = time.process_time()
                u = exact(state.t, problem.points)
                errors.append(distance(problem.field(state).value - u))
                norms.append(distance(u))
                lost += time.process_time() - paused
            if time.process_time() - begin - lost > limit:
                end = f", stopped at t = {state.t:.3g} with steps of {state.statistics.dt:.1e}"
                break
    except df.DfpdeError as error:
        end = f", ended at t = {state.t:.3g}: {error.what[:80]}"
    took = time.process_time() - begin - lost
    figures = "no output time reached"
    if errors:
        whole = np.linalg.norm(errors) / np.linalg.norm(norms)
        worst = np.max(np.array(errors) / np.maximum.accumulate(norms))
        figures = f"space-time {whole:.1e}, at t = {times[len(errors) - 1]:.3g} {errors[-1] / norms[-1]:.1e}"
        figures += f", worst {worst:.1e}"
    steps = f"{state.step} steps, {state.statistics.rejected} rejected"
    return f"rtol {rtol:.0e}: {figures}; {steps}, {took:.1f} CPU s{end}"


ROWS = {
    "kdv": kdv, "kdv-network": kdv_network, "ks": ks, "allen-cahn": allen_cahn, "burgers": burgers,
    "detonation": detonation,
}  # fmt: skip
OTHERS = {"crossing": lambda cap: crossings(), "existing-fe": existing_fe}


def main() -> None:
    """Print the rows asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="*", default=[*ROWS, *OTHERS], choices=[*ROWS, *OTHERS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rtol", type=float, nargs="+", help="tolerances in place of the row's own")
    parser.add_argument("--stages", action="store_true", help="Dirac–Frenkel stages beside")
    parser.add_argument("--limit", type=float, default=200.0, help="CPU seconds of field steps at most (200)")
    parser.add_argument("--cap", type=float, default=60.0, help="CPU seconds of stages at most (60)")
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    for name in options.rows:
        if name in OTHERS:
            OTHERS[name](options.cap if options.stages else 0.0)
            continue
        for seed in options.seeds:
            row = ROWS[name](seed)
            print(f"{row.name} (p = {row.problem.ansatz.size}), until {row.until:g}", flush=True)
            for rtol in options.rtol or row.rtols:
                given = (row.problem, row.start, row.exact, rtol)
                times = row.until * np.arange(1, OUTPUTS + 1) / OUTPUTS
                step = df.FieldStep(row.stepper)
                print("  field step  " + run(*given, options.limit, times, integrator=step), flush=True)
                if options.stages:
                    print("  stages      " + run(*given, options.cap, times), flush=True)


if __name__ == "__main__":
    main()
