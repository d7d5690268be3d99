"""Computational inertia: μ θ̈ + κ θ̇ = −∇L(θ) + σ Ẇ, and what becomes of H = μ/2 |θ̇|² + L.

    conserved    κ = σ = 0: H constant (Karagöz, arXiv 2505.19171); velocity Verlet errs by h² (g(t) − g(0)),
                 g = θ̇ᵀL''θ̇/12 − |∇L|²/(24 μ), for all times, by its modified Hamiltonian (Hairer, Lubich, Wanner, IX)
    damped       dH/dt = −κ |θ̇|²; for a quadratic loss the oscillator in closed form
    stochastic   dE[H]/dt = −κ E|θ̇|² + σ² p/(2μ); for a quadratic loss the second moments in closed form

Losses: one Gaussian fitted to two (nonlinear), and a sine series fitted to a function (quadratic).  A second figure is
the energy ledger of the inertial Dirac–Frenkel equation, for a gradient flow (Allen–Cahn) and for Burgers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import arguments, figure, say
from mpi4py import MPI
from scipy.linalg import expm

import dfpde as df
from dfpde.evolution.continuous import ContinuousInertia
from dfpde.evolution.tableaus import RUNGE_KUTTA_4
from dfpde.learning import VERLET, YOSHIDA4, Given, Motion, Newtonian, learn

Array = np.ndarray


# -- conserved -----------------------------------------------------------------------------------------------
def gaussian_misfit() -> Given:
    """½ ‖a exp(−½ s² (x − b)²) − u*‖², trapezoidal rule, and its gradient in plain NumPy: any callable will do."""
    x, w = np.linspace(-6, 6, 41), 12 / 40
    target = np.exp(-(x**2) / 2) + 0.5 * np.exp(-2 * (x - 2) ** 2)

    def parts(theta: Array) -> tuple[Array, Array, Array]:
        y = x - theta[1]
        g = np.exp(-0.5 * (theta[2] * y) ** 2)
        return y, g, w * (theta[0] * g - target)

    def value(theta: Array) -> float:
        residual = parts(theta)[2]
        return 0.5 * float(residual @ residual) / w

    def gradient(theta: Array) -> Array:
        a, _, s = theta
        y, g, r = parts(theta)
        rg = r * g
        return np.array([rg.sum(), a * s * s * (rg @ y), -a * s * (rg @ (y * y))])

    return Given(value, gradient)


def conserved(steps: int) -> dict[str, Any]:
    """Error of H over many steps: Verlet with h and h/2, a scheme of order 4, and the prediction for Verlet."""
    loss = gaussian_misfit()
    dynamics = Newtonian(loss)
    theta = np.array([0.8, 0.9, 0.7])
    start = dynamics.energy(Motion(0.0, theta, np.zeros(3)))

    def g(motion: Motion) -> float:
        force, v = loss.gradient(motion.theta), 1e-4 * motion.velocity
        bend = motion.velocity @ (loss.gradient(motion.theta + v) - loss.gradient(motion.theta - v)) / 2e-4
        return float(bend / 12 - force @ force / 24)

    g0 = g(Motion(0.0, theta, np.zeros(3)))
    curves: dict[str, Any] = {}
    every = 1 + steps // 20_000
    for scheme, h in ((VERLET, 0.2), (VERLET, 0.1), (YOSHIDA4, 0.2), (YOSHIDA4, 0.1)):
        rows = []
        for motion in learn(dynamics, theta, dt=h, steps=steps, scheme=scheme, every=every):
            rows.append((motion.step, dynamics.energy(motion) - start, h * h * (g0 - g(motion))))
        curves[f"{scheme.name}, h = {h:g}"] = np.array(rows).T
    return curves


# -- damped and stochastic: a quadratic loss -----------------------------------------------------------------
class Sines(df.Ansatz):
    """u = Σ_i a_i sin(i x)."""

    dim = 1

    def __init__(self, n: int) -> None:
        self.size = n

    def value(self, theta: Array, x: Array) -> Array:
        return theta @ self.tangent(theta, x)

    def tangent(self, theta: Array, x: Array) -> Array:
        return np.sin(np.arange(1, self.size + 1)[:, None] * x[0])


def sine_series(n: int, comm: MPI.Comm) -> tuple[df.learning.Misfit, Array]:
    """Fit of a sawtooth on a circle: L = L_min + π/2 |a − a*|², so every mode has the stiffness λ = π."""
    quadrature = df.Quadrature.periodic((0, 2 * np.pi), 2 * n + 2, comm)
    minimum = 1.0 / np.arange(1, n + 1)
    ansatz = Sines(n)
    return df.learning.Misfit(ansatz, quadrature, ansatz.value(minimum, quadrature.x)), minimum


def oscillator(t: Array, mass: float, friction: float, stiffness: float) -> tuple[Array, Array]:
    """θ(t)/θ(0) and θ̇(t)/θ(0) from rest, underdamped or overdamped."""
    gamma = friction / (2 * mass)
    omega = np.sqrt(complex(stiffness / mass - gamma**2))
    decay = np.exp(-gamma * t)
    theta = decay * (np.cos(omega * t) + gamma / omega * np.sin(omega * t))
    velocity = -decay * stiffness / (mass * omega) * np.sin(omega * t)
    return theta.real, velocity.real


def moments(t: Array, mass: float, friction: float, stiffness: float, sigma: float) -> Array:
    """E[μ/2 θ̇² + λ/2 θ²] from rest at 0: the linear equations of E θ², E θθ̇, E θ̇²."""
    rate = np.zeros((4, 4))  # the fourth unknown is the constant 1
    rate[0, 1] = 2
    rate[1, [0, 1, 2]] = -stiffness / mass, -friction / mass, 1
    rate[2, [1, 2, 3]] = -2 * stiffness / mass, -2 * friction / mass, (sigma / mass) ** 2
    second = np.array([expm(rate * time) @ [0, 0, 0, 1] for time in t])
    return 0.5 * mass * second[:, 2] + 0.5 * stiffness * second[:, 0]


def damped(n: int, dt: float, comm: MPI.Comm) -> dict[float, Array]:
    """κ -> rows t, H, exact H, H + ∫κ|θ̇|²."""
    loss, minimum = sine_series(n, comm)
    offset = minimum + 1.0
    curves = {}
    for friction in (0.2, 1.0, 5.0):
        dynamics = Newtonian(loss, 1.0, friction)
        states = list(learn(dynamics, offset, dt=dt, steps=round(8 / dt)))
        t = np.array([state.t for state in states])
        theta, velocity = oscillator(t, 1.0, friction, np.pi)
        energy = np.array([dynamics.energy(state) for state in states])
        curves[friction] = np.array(
            [t, energy, n * (0.5 * velocity**2 + 0.5 * np.pi * theta**2), energy + [state.lost for state in states]]
        )
    return curves


def stochastic(n: int, seeds: int, dt: float, comm: MPI.Comm) -> dict[float, Array]:
    """κ -> rows t, mean of H for each mode, its standard error, E[H] for each mode."""
    loss, minimum = sine_series(n, comm)
    curves = {}
    for friction in (0.0, 0.5, 2.0):
        samples = []
        for seed in range(seeds):
            dynamics = Newtonian(loss, 1.0, friction, noise=1.0, seed=seed)
            states = learn(dynamics, minimum, dt=dt, steps=round(6 / dt), every=round(0.25 / dt))
            rows = [(s.t, 0.5 * s.velocity**2 + 0.5 * np.pi * (s.theta - minimum) ** 2) for s in states]
            samples.append(np.array([energies for _, energies in rows]))
        each = np.concatenate(samples, axis=1)
        t = np.array([time for time, _ in rows])
        error = each.std(axis=1, ddof=1) / np.sqrt(each.shape[1])
        curves[friction] = np.array([t, each.mean(axis=1), error, moments(t, 1.0, friction, np.pi, 1.0)])
    return curves


# -- the ledger of a time-dependent problem ------------------------------------------------------------------
def ledger(rhs: Any, energy: df.diagnostics.Functional, steps: int, comm: MPI.Comm) -> dict[str, Array]:
    """The books of a run with mass 2 and friction 0.1."""
    ansatz = df.PeriodicGaussianMixture.isotropic((2 * np.pi,), 4)
    problem = df.Problem(ansatz, df.Quadrature.periodic((0, 2 * np.pi), 96, comm), rhs)
    theta = ansatz.pack(
        amplitudes=[0.8, -0.6, 0.7, -0.5], centers=[[0.3], [1.9], [3.4], [5.0]], scales=[1.1, 1.3, 1.0, 1.2]
    )
    inertia = df.InertiaFromMass(2.0, 0.1)
    books = df.diagnostics.EnergyLedger(problem, energy, inertia)
    for state in df.evolve(
        problem, df.State(0.0, theta), until=4.0, regularization=inertia, controller=df.Fixed(4 / steps),
        integrator=books.integrator(ContinuousInertia(RUNGE_KUTTA_4)),
    ):  # fmt: skip
        books.record(state)
    return books.columns()


def ledgers(steps: int, comm: MPI.Comm) -> dict[str, dict[str, Array]]:
    """Allen–Cahn with its energy; Burgers with that of its viscous part."""
    nu = 0.05
    ginzburg_landau = df.diagnostics.Functional(
        lambda x, u: nu / 2 * u.gradient[0] ** 2 + (u.value**2 - 1) ** 2 / 4,
        lambda x, u: {(0,): u.value**3 - u.value, (1,): nu * u.gradient[0]},
    )
    viscous = df.diagnostics.Functional(
        lambda x, u: nu / 2 * u.gradient[0] ** 2, lambda x, u: {(1,): nu * u.gradient[0]}
    )
    return {
        "Allen–Cahn": ledger(lambda t, x, u: nu * df.dx(u, 2) + u.value - u.value**3, ginzburg_landau, steps, comm),
        "Burgers": ledger(lambda t, x, u: nu * df.dx(u, 2) - u.value * df.dx(u), viscous, steps, comm),
    }


def draw_ledgers(shown: Any, books: dict[str, dict[str, Array]]) -> None:
    """Where the energy goes."""
    for axis, (name, columns) in zip(shown.subplots(1, 2), books.items(), strict=True):
        for entry in ("kinetic", "potential", "dissipation", "friction", "work"):
            axis.plot(columns["t"], columns[entry], label=entry)
        total = columns["kinetic"] + columns["potential"] + columns["dissipation"] + columns["friction"]
        axis.plot(columns["t"], total - columns["work"], "k--", lw=0.8, label="balance")
        axis.set(xlabel="t", title=f"{name}: drift {np.abs(columns['drift']).max():.0e}")
    axis.legend(fontsize=7)


# -- figure --------------------------------------------------------------------------------------------------
def draw(shown: Any, first: dict[str, Any], second: dict[float, Array], third: dict[float, Array]) -> None:
    """Three panels, theory as thin black lines."""
    left, middle, right = shown.subplots(1, 3)
    for color, (name, (step, error, predicted)) in enumerate(first.items()):
        pieces = [part for part in np.array_split(np.arange(step.size), 60) if part.size]
        at = [step[part[-1]] for part in pieces]
        left.plot(at, [np.abs(error[part]).max() for part in pieces], ".", ms=4, color=f"C{color}", label=name)
        if "Verlet" in name:
            left.axhline(np.abs(predicted).max(), color="black", lw=0.8)
    left.set(yscale="log", ylim=(1e-7, 3e-3), xlabel="steps", title="conserved: largest |H − H(0)| by blocks")
    left.legend(fontsize=7)
    for friction, (t, energy, exact, _) in second.items():
        middle.plot(t[::8], energy[::8], ".", ms=4, label=f"κ = {friction:g}")
        middle.plot(t, exact, color="black", lw=0.8)
    middle.set(yscale="log", ylim=(1e-6 * exact[0], 2 * exact[0]), xlabel="t", title="damped: H")
    middle.legend(fontsize=7)
    for friction, (t, mean, error, exact) in third.items():
        right.errorbar(t, mean, 2 * error, fmt=".", ms=4, lw=0.8, label=f"κ = {friction:g}")
        right.plot(t, exact, color="black", lw=0.8)
    right.set(xlabel="t", title="noise: mean H of a mode ± 2 s.e.")
    right.legend(fontsize=7)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run, print, draw."""
    options = arguments(argv, __doc__)
    comm = MPI.COMM_WORLD
    with df.parallel.run(comm):
        steps = 4_000 if options.quick else 1_000_000
        first = conserved(steps)
        second = damped(8, 0.02, comm)
        third = stochastic(100, 3 if options.quick else 20, 0.05, comm)
        figure(
            options.out / "computational_inertia.png", comm, lambda shown: draw(shown, first, second, third),
            figsize=(12, 3.6),
        )  # fmt: skip
        books = ledgers(80, comm)
        figure(options.out / "ledger.png", comm, lambda shown: draw_ledgers(shown, books), figsize=(9, 3.4))
        result: dict[str, Any] = {"steps": steps}
        for name, columns in books.items():
            result[f"{name}: drift"] = np.abs(columns["drift"]).max()
            result[f"{name}: work"] = columns["work"][-1]
        largest = {name: np.abs(error).max() for name, (_, error, _) in first.items()}
        verlet, half, fourth, fourth_half = largest.values()
        result["order_verlet"], result["order_fourth"] = np.log2(verlet / half), np.log2(fourth / fourth_half)
        for name, (_, error, predicted) in first.items():
            tenth = error.size // 10
            result[f"{name}: largest"] = np.abs(error).max()
            result[f"{name}: last tenth / first tenth"] = np.abs(error[-tenth:]).max() / np.abs(error[:tenth]).max()
            if "Verlet" in name:
                result[f"{name}: largest / predicted"] = np.abs(error).max() / np.abs(predicted).max()
        result["damped_error"] = max(np.abs(h - exact).max() / exact[0] for _, h, exact, _ in second.values())
        result["damped_balance"] = max(np.ptp(total) / total[0] for *_, total in second.values())
        result["noise_z"] = max(np.abs((mean - exact) / error).max() for _, mean, error, exact in third.values())
        result["noise_standard_error"] = max((error / exact)[-1] for _, _, error, exact in third.values())
        return say("computational_inertia", result, comm)


if __name__ == "__main__":
    main(sys.argv[1:])
