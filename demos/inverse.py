"""Inverse problem: the viscosity of u_t + u u_x = ν u_xx from noisy observations at two times.

    minimize_ν  Σ_i (u(t_i, x_i; ν) − d_i)²      by scipy.optimize.least_squares,

with the derivative of the run, ∂u/∂ν = J ∂θ/∂ν, from the tangent-linear model
(`dfpde.diagnostics.sensitivities`), not from differences.
Data: the exact solution (Cole–Hopf, by Gauss–Hermite quadrature) for ν = 0.05 with 1 % noise.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import arguments, equispaced, figure, say
from mpi4py import MPI
from scipy.optimize import least_squares

import dfpde as df

TRUE, GUESS, NOISE = 0.05, 0.2, 0.01
TIMES = (0.25, 0.5)
Array = np.ndarray


def cole_hopf(nu: float, t: float, x: Array) -> Array:
    """Solution with u₀ = −sin πx (Cole 1951, Hopf 1950)."""
    z, w = np.polynomial.hermite.hermgauss(120)
    y = x[:, None] - np.sqrt(4 * nu * t) * z
    kernel = w * np.exp(-(np.cos(np.pi * y) + 1) / (2 * np.pi * nu))
    return -(kernel * np.sin(np.pi * y)).sum(1) / kernel.sum(1)


class Model:
    """ν -> predictions at the sensors and their derivative, by runs of fixed steps."""

    def __init__(self, n: int, steps: int, sensors: Array, comm: MPI.Comm) -> None:
        self.ansatz = df.PeriodicGaussianMixture.isotropic((2.0,), n)
        self.quadrature = df.Quadrature.periodic((-1, 1), 128, comm)
        self.sensors, self.steps, self.runs = sensors[None], steps, 0
        nodes = equispaced(-1, 1, n)
        guess = self.ansatz.pack(amplitudes=-0.3 * np.sin(np.pi * nodes[:, 0]), centers=nodes, scales=n / 2.5)
        self.start = df.fit(self.problem([GUESS]), lambda x: -np.sin(np.pi * x[0]), guess, rtol=1e-6)

    def problem(self, nu: Sequence[float]) -> df.Problem:
        """Burgers with this viscosity."""
        return df.Problem(self.ansatz, self.quadrature, lambda t, x, u: nu[0] * df.dx(u, 2) - u.value * df.dx(u))

    def __call__(self, nu: float) -> tuple[Array, Array]:
        """u at the sensors at both times, and ∂u/∂ν."""
        self.runs += 1
        rule = df.Inertia(1e-2, 0.97)
        values, slopes = [], []
        solver = df.Dense()  # few parameters
        for found in df.diagnostics.sensitivities(
            self.problem, [nu], self.start, until=TIMES[-1], steps=self.steps, regularization=rule, solver=solver
        ):
            if np.min(np.abs(np.array(TIMES) - found.state.t)) < 1e-9:
                theta = found.state.theta
                values.append(self.ansatz.value(theta, self.sensors))
                slopes.append(self.ansatz.jvp(theta, self.sensors, found.derivative[:, 0]))
        return np.concatenate(values), np.concatenate(slopes)


def draw(shown: Any, sensors: Array, data: Array, fitted: Array, path: list[tuple[float, float]]) -> None:
    """Data and fit (left), iterates (right)."""
    left, right = shown.subplots(1, 2)
    fine = np.linspace(-1, 1, 400)
    for i, t in enumerate(TIMES):
        part = slice(i * sensors.size, (i + 1) * sensors.size)
        left.plot(sensors, data[part], ".", color=f"C{i}", label=f"data, t = {t}")
        left.plot(sensors, fitted[part], "x", ms=4, color=f"C{i}")
        left.plot(fine, cole_hopf(TRUE, t, fine), color="black", lw=0.7)
    left.set(xlabel="x", title="data (dots), fit (crosses), exact (line)")
    left.legend(fontsize=7)
    right.semilogy([abs(nu / TRUE - 1) for nu, _ in path], "o-")
    right.axhline(0.01, color="black", lw=0.7)
    right.set(xlabel="evaluation", title="relative error of ν")


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run, print, draw."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        n, steps = (8, 40) if options.quick else (14, 100)
        sensors = np.linspace(-0.97, 0.97, 60)
        clean = np.concatenate([cole_hopf(TRUE, t, sensors) for t in TIMES])
        data = clean + NOISE * np.random.default_rng(0).standard_normal(clean.size)
        model, path = Model(n, steps, sensors, comm), []
        last: dict[float, tuple[Array, Array]] = {}

        def at(log_nu: Array) -> tuple[Array, Array]:  # ν = e^s stays positive
            nu = float(np.exp(log_nu[0]))
            if nu not in last:
                last[nu] = model(nu)
                path.append((nu, float(np.linalg.norm(last[nu][0] - data))))
            return last[nu]

        found = least_squares(
            lambda s: at(s)[0] - data, [np.log(GUESS)], jac=lambda s: (at(s)[1] * np.exp(s[0]))[:, None], xtol=1e-5
        )
        nu = float(np.exp(found.x[0]))
        values, slopes = at(found.x)
        step = 1e-3 * nu  # disagreement at steps of 1e-5, 1e-4, 1e-3, 1e-2: 7e-6, 1e-6, 2e-7, 6e-6
        far, near = (model(nu + k * step)[0] - model(nu - k * step)[0] for k in (2, 1))
        difference = (8 * near - far) / (12 * step)
        result = {
            "viscosity": nu,
            "relative_error": abs(nu / TRUE - 1),
            "standard_error": NOISE / float(np.linalg.norm(slopes)) / TRUE,  # of ν by the noise, relative
            "evaluations": len(path),
            "residual": float(np.sqrt(np.mean((values - data) ** 2))) / NOISE,
            "derivative_against_differences": float(np.abs(slopes - difference).max() / np.abs(difference).max()),
        }
        figure(options.out / "inverse.png", comm, lambda shown: draw(shown, sensors, data, values, path))
        return say("inverse", result, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
