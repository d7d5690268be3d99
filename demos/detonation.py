"""Rotating detonation waves: intensity η and burnt fraction λ on a circle.

    η_t = −η η_x + ν η_xx + (1 − λ) ω(η) − 0.11 η,    λ_t = ν λ_xx + (1 − λ) ω(η) − β(η) λ

The model of J. Koch et al. as posed by Raviola and Peherstorfer, arXiv 2605.00284, B.1.
Field steps (`df.FieldStep`): ETDRK4 on a periodic grid, then the parameters of its result.  With --stages, or an
--eps, Dirac–Frenkel stages instead.
Reference: Fourier series, ETDRK4.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import arguments, chosen, compare, equispaced, figure, output_times, profiles, report
from mpi4py import MPI
from spectral import Spectral

import dfpde as df

NU = 1e-2


def reactions(eta: np.ndarray, burnt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right-hand sides without derivatives: ω = exp((η − 1.1)/0.3), β = 3.5/(1 + exp(5(η − 0.5)))."""
    gain = (1 - burnt) * np.exp((eta - 1.1) / 0.3)
    return gain - 0.11 * eta, gain - 3.5 / (1 + np.exp(5 * (eta - 0.5))) * burnt


def initial(x: np.ndarray) -> np.ndarray:
    """(η₀, λ₀)."""
    y = x[0]
    return np.array([1 + 0.4 * np.exp(-2.25 * (y - np.pi) ** 2), np.full_like(y, 0.75)])


def slow(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
    """Everything but diffusion."""
    eta, burnt = u.value
    gain, burning = reactions(eta, burnt)
    return np.array([gain - eta * df.dx(u)[0], burning])


def nonlinear(u: np.ndarray, k: np.ndarray) -> np.ndarray:
    """The same for the reference: its transform."""
    first, second = reactions(*u)
    return np.fft.rfft([first, second]) - 0.5j * k * np.fft.rfft([u[0] ** 2, 0 * u[0]])


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit, evolve, compare."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        n, until = (16, 1.0) if options.quick else (24, 2.0)
        part = df.PeriodicGaussianMixture.isotropic([2 * np.pi], n)
        ansatz = df.Stack(part, part, names=("eta", "lambda"))
        grid = df.steppers.PeriodicGrid((0, 2 * np.pi), 384 if options.quick else 768, comm)
        stepper = df.steppers.ETDRK4(grid, lambda k: np.array([-NU * k[0] ** 2] * 2), slow)
        problem = df.Problem(ansatz, grid.quadrature, lambda t, x, u: slow(t, x, u) + NU * df.dx(u, 2))

        begin = time.perf_counter()
        guess = np.tile(part.pack(amplitudes=0.0, centers=equispaced(0, 2 * np.pi, n), scales=n / 8), 2)
        linear = [name for name in ansatz.slices() if name.endswith("amplitudes")]
        start = df.fit(problem, initial, guess, linear=linear, max_iterations=50)

        times = output_times(until, 20, options)
        how = chosen(options, stepper)
        states = [start, *df.evolve(problem, start, until=times[-1], times=times[1:], **how)]
        seconds = time.perf_counter() - begin

        symbol = lambda k: np.array([-NU * k**2] * 2)  # noqa: E731
        exact = Spectral(lambda x: initial(x[None]), symbol, nonlinear, (0, 2 * np.pi), 512, 2e-3, until)
        run = compare(problem, states, exact, seconds)
        line = np.linspace(0, 2 * np.pi, 801)
        figure(options.out / "detonation.png", comm, lambda shown: profiles(shown, problem, run, line, exact))
        return report("detonation", run, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
