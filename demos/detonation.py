"""Rotating detonation waves: intensity η and burnt fraction λ on a circle.

    η_t = −η η_x + ν η_xx + (1 − λ) ω(η) − 0.11 η,    λ_t = ν λ_xx + (1 − λ) ω(η) − β(η) λ

The model of J. Koch et al. as posed by Raviola and Peherstorfer, arXiv 2605.00284, B.1.
Reference: Fourier series, ETDRK4.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import Spectral, arguments, equispaced, figure, fitted, march, profiles, report
from mpi4py import MPI

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


def nonlinear(u: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Transform of everything but diffusion."""
    first, second = reactions(*u)
    return np.fft.rfft([first, second]) - 0.5j * k * np.fft.rfft([u[0] ** 2, 0 * u[0]])


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run, print, draw."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        n, until = (16, 1.0) if options.quick else (24, 2.0)
        part = df.PeriodicGaussianMixture.isotropic([2 * np.pi], n)
        ansatz = df.Stack(part, part, names=("eta", "lambda"))
        quadrature = df.Quadrature.periodic((0, 2 * np.pi), 384 if options.quick else 768, comm)

        def detonation(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
            eta, burnt = u.value
            gain, burning = reactions(eta, burnt)
            return np.array([gain - eta * df.dx(u)[0], burning]) + NU * df.dx(u, 2)

        problem = df.Problem(ansatz, quadrature, detonation)
        blocks = {"amplitudes": np.zeros(n), "centers": equispaced(0, 2 * np.pi, n), "scales": np.full(n, n / 8)}
        guess = np.tile(part.pack(**blocks), 2)
        start = fitted(problem, guess, initial)
        symbol = lambda k: np.array([-NU * k**2] * 2)  # noqa: E731
        exact = Spectral(lambda x: initial(x[None]), symbol, nonlinear, (0, 2 * np.pi), 512, 2e-3, until)
        run = march(problem, start, until, exact, options)
        line = np.linspace(0, 2 * np.pi, 801)
        figure(options.out / "detonation.png", comm, lambda shown: profiles(shown, problem, run, line, exact))
        return report("detonation", run, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
