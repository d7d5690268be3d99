"""Wave packets of a quantum oscillator: i u_t = −½ u_xx + V u, V = ½ x² (harmonic) and V = ½ x² + x⁴/20 (anharmonic).

Harmonic: two thawed packets stay exact, so over 10 periods the error is that of the time steps: at most the sum of
their tolerances, as the flow is unitary.  Reference: Heller's solution in closed form.
Anharmonic: 1, 4, 9, 16 frozen packets, at first on a lattice in phase space around the initial state.
Reference: Fourier split steps of fourth order in plain NumPy, those of `schroedinger.py`.
Relative error after one period:

    packets               1      4       9       16
    automatic (default)   0.60   0.085   0.022   0.0064
    --eps 1e-3            0.60   0.079   0.034   0.010
    --eps 1e-4            0.60   0.078   0.0084  0.0052
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from common import Run, arguments, compare, figure, output_times, regularization
from mpi4py import MPI
from schroedinger import SHIFT, SplitStep, initial, potential

import dfpde as df

Array = np.ndarray
PERIOD = 2 * np.pi
BOUNDS, POINTS = (-8.0, 8.0), 256  # every run decays to below 1e-12 inside: the trapezoidal rule is exact to rounding


def equation(v: Callable[[Array], Array]) -> Callable[[float, Array, df.Field], Array]:
    """u_t = −i H u."""

    def rhs(t: float, x: Array, u: df.Field) -> Array:
        return 0.5j * df.laplacian(u) - 1j * v(x[0]) * u.value

    return rhs


def quadratic(x: Array) -> Array:
    return 0.5 * x**2


def heller(t: float, x: Array, q: float, p: float, c: complex, zeta: complex) -> Array:
    """One packet in V = ½ x²: q, p turn, C = Ż/Z with Z = cos t + C₀ sin t, ζ = ζ₀ + ½ (p q − p₀ q₀) + ½ i log Z."""
    ratio = (1 + 1j * c) / (1 - 1j * c)  # |ratio| < 1: the branch of log Z that is continuous in t
    log_z = 1j * t + np.log((1 - 1j * c) / 2) + np.log(1 + ratio * np.exp(-2j * t))
    width = (c * np.cos(t) - np.sin(t)) / (np.cos(t) + c * np.sin(t))
    center, momentum = q * np.cos(t) + p * np.sin(t), p * np.cos(t) - q * np.sin(t)
    phase = zeta + 0.5 * (momentum * center - p * q) + 0.5j * log_z
    y = x[0] - center
    return np.exp(1j * (0.5 * width * y**2 + momentum * y + phase))


def grid(comm: MPI.Comm) -> df.Quadrature:
    return df.Quadrature.periodic(BOUNDS, POINTS, comm)


def follow(
    problem: df.Problem, start: df.State, times: Array, exact: Callable[[float, Array], Array], **how: Any
) -> tuple[Run, dict[str, float]]:
    """Evolve and compare; with the largest relative changes of ‖u‖² and ⟨u, Hu⟩."""
    begin, q = time.perf_counter(), problem.quadrature
    states = [start, *df.evolve(problem, start, until=times[-1], times=times[1:], **how)]
    found, values = compare(problem, states, exact, time.perf_counter() - begin), []
    for state in states:
        u = problem.field(state)
        values.append((q.inner(u.value, u.value), q.inner(u.value, 1j * problem.rhs(state.t, q.x, u))))
    norm, energy = (float(max(abs(column / column[0] - 1))) for column in np.array(values).T)
    return found, {"norm_drift": norm, "energy_drift": energy}


def harmonic(rtol: float, periods: int, options: Any, comm: MPI.Comm) -> tuple[Run, dict[str, float]]:
    """Two thawed packets, one of them squeezed, that meet twice a period."""
    packets = df.WavePackets(1, 2)
    q, p = np.array([-2.0, 1.0]), np.array([0.0, 1.5])
    c, zeta = np.array([1j, 0.4 + 1.6j]), np.array([0.3j, 0.5 + 0.2j])
    problem = df.Problem(packets, grid(comm), equation(quadratic))
    theta = packets.pack(
        centers=q[:, None],
        momenta=p[:, None],
        zeta=np.stack([zeta.real, zeta.imag], axis=1),
        **packets.widths(c[:, None, None]),
    )

    def exact(t: float, x: Array) -> Array:
        return sum(heller(t, x, *packet) for packet in zip(q, p, c, zeta, strict=True))

    times = output_times(periods * PERIOD, 2 * periods, options)
    rule = df.Inertia(1e-6, options.rho)  # the tangent has full rank: ε only has to be small
    return follow(problem, df.State(t=0.0, theta=theta), times, exact, regularization=rule, controller=df.PI(rtol=rtol))


def lattice(side: int) -> tuple[df.WavePackets, Array]:
    """side² frozen packets one apart in q and p around (SHIFT, 0), amplitudes by regularized least squares."""
    packets = df.WavePackets(1, side**2, width=1j * np.eye(1))
    steps = np.arange(side) - (side - 1) / 2
    q, p = (axis.reshape(-1) for axis in np.meshgrid(SHIFT + steps, steps))
    x = np.linspace(*BOUNDS, POINTS, endpoint=False)
    columns = np.exp(-0.5 * (x[:, None] - q) ** 2 + 1j * p * (x[:, None] - q))
    rows = np.vstack([columns, 1e-3 * np.eye(q.size)])
    z = np.linalg.lstsq(rows, np.concatenate([initial(x[None]), np.zeros(q.size)]), rcond=None)[0]
    zeta = np.stack([np.angle(z), -np.log(abs(z) + 1e-3)], axis=1)  # an amplitude of zero has no logarithm
    return packets, packets.pack(centers=q[:, None], momenta=p[:, None], zeta=zeta)


def anharmonic(side: int, reference: SplitStep, options: Any, comm: MPI.Comm) -> tuple[Run, dict[str, float]]:
    packets, guess = lattice(side)
    problem = df.Problem(packets, grid(comm), equation(potential))
    # Beyond 40 iterations the fit creeps along a flat valley where rounding decides the place (centers move by 1e-6).
    start = df.fit(problem, initial, guess, max_iterations=40)
    outputs = len(reference.saved) - 1
    times = output_times(reference.interval * outputs, outputs, options)
    how = {"regularization": regularization(options), "controller": df.PI(rtol=options.rtol)}
    return follow(problem, start, times, reference, **how)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run, print, draw."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        periods, sides, until = (1, (1, 2), PERIOD / 4) if options.quick else (10, (1, 2, 3, 4), PERIOD)
        tolerances = (1e-4, 1e-6) if options.quick else (1e-4, 1e-6, 1e-8)
        exact_runs = {rtol: harmonic(rtol, periods, options, comm) for rtol in tolerances}
        reference = SplitStep(until, outputs=16)
        runs = {side**2: anharmonic(side, reference, options, comm) for side in sides}
        result = {
            "harmonic": [row({"rtol": rtol}, run, drift) for rtol, (run, drift) in exact_runs.items()],
            "anharmonic": [row({"packets": count}, run, drift) for count, (run, drift) in runs.items()],
        }
        if comm.rank == 0:
            for name, rows in result.items():
                for line in rows:
                    print(name, ", ".join(f"{key} {value:.3g}" for key, value in line.items()))
            print(f"oscillator: {json.dumps(result)}", flush=True)
        figure(options.out / "oscillator.png", comm, lambda shown: draw(shown, exact_runs, runs, reference, sides[-1]))
        return result


def row(first: dict[str, float], run: Run, drift: dict[str, float]) -> dict[str, float]:
    last = run.states[-1]
    return first | {"error_end": float(run.relative[-1]), "steps": last.step, "seconds": run.seconds} | drift


def draw(shown: Any, exact_runs: Any, runs: Any, reference: SplitStep, side: int) -> None:
    left, middle, right = shown.subplots(1, 3)
    for rtol, (run, _) in exact_runs.items():
        left.semilogy(run.times[1:] / PERIOD, run.relative[1:], ".-", label=f"rtol = {rtol:.0e}")
    left.set_title("$V = x^2/2$: two thawed packets")
    for count, (run, _) in runs.items():
        middle.semilogy(run.times / PERIOD, run.relative, ".-", label=f"{count} packet{'s' * (count > 1)}")
    middle.set_ylim(1e-4, 2)  # the starts, fitted to 1e-6 and better, are below
    middle.set_title("$V = x^2/2 + x^4/20$: frozen packets")
    for axis in (left, middle):
        axis.set_xlabel("periods")
        axis.set_ylabel("relative $L^2$ error")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    x = np.linspace(*BOUNDS, POINTS, endpoint=False)[None]
    run = runs[side**2][0]
    right.plot(x[0], abs(lattice(side)[0].value(run.states[-1].theta, x)) ** 2, label=f"{side**2} packets")
    right.plot(x[0], abs(reference(run.times[-1], x)) ** 2, "--", color="black", lw=0.8, label="split steps")
    right.set_xlim(-4, 4)
    right.set_xlabel("x")
    right.set_title(f"$|u|^2$ at t = {run.times[-1]:.3g}")
    right.legend(fontsize=8)


if __name__ == "__main__":
    main(sys.argv[1:])
