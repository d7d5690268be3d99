"""Small problems with exact or spectral solutions, for benchmarks/inertia_study.py and the tests.

Each function returns a `Case`: an equation, an ansatz with its fitted start, a step size for Runge–Kutta 4, a final
time, and the solution at that time from a source other than dfpde (closed form, or a Fourier spectral method).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from mpi4py import MPI
from scipy.linalg import cho_factor, cho_solve, lstsq

import dfpde as df
from dfpde.leastsquares import Solution


@dataclass(frozen=True)
class Case:
    """u_t = f(t, u) from `start` until `until`, with steps dt, and the exact solution (t, x) -> u."""

    name: str
    problem: df.Problem
    start: df.State
    dt: float
    until: float
    exact: Callable

    def error(self, state) -> float:
        """Relative error in L² at the time of the state."""
        q = self.problem.quadrature
        exact = self.exact(state.t, q.x)
        return q.norm(self.problem.field(state).value - exact) / q.norm(exact)


def gaussians(problem, initial, bounds, scale, t=0.0, centers=None, ridge=1e-6, iterations=100):
    """Start of a 1D mixture: equidistant centers, equal widths, ridge amplitudes, then a few fit iterations."""
    ansatz = problem.ansatz
    low, high = bounds
    periodic = isinstance(ansatz, df.PeriodicGaussianMixture)
    centers = np.linspace(low, high, ansatz.n, endpoint=not periodic)[:, None] if centers is None else centers
    theta = ansatz.pack(amplitudes=np.ones(ansatz.n), centers=centers, scales=scale)
    x = np.linspace(low, high, 800)[None]
    columns = ansatz.tangent(theta, x)[: ansatz.n]
    target = initial(x)
    target = target[0] if target.ndim == 2 else target
    amplitudes = np.linalg.lstsq(
        np.vstack([columns.T, ridge * np.eye(ansatz.n)]), np.concatenate([target, np.zeros(ansatz.n)]), rcond=None
    )[0]
    guess = ansatz.pack(amplitudes=amplitudes, centers=centers, scales=scale)
    return df.fit(problem, initial, guess, t=t, max_iterations=iterations)


def made(name, problem, start, dt, until, exact) -> Case:
    """A case whose parameters are measured in units of their own effect on the field (`Problem.scaled`)."""
    return Case(name, problem.scaled(start), start, dt, until, exact)


# -- linear ------------------------------------------------------------------------------------------------------
def zero_crossing(phase0=0.2 * np.pi, comm=MPI.COMM_SELF) -> Case:
    """z_t = −c z_x − iω z, Re z and Im z one Gaussian each; each amplitude passes through zero twice.

    With phase0 = 0.2π the zeros fall on ends of steps, with 0.25π on stages in the middle, with 0.5 on neither.
    """
    c, omega = 1.0, 2 * np.pi
    ansatz = df.Stack(df.GaussianMixture.isotropic(1, 1), df.GaussianMixture.isotropic(1, 1))

    def rhs(t, x, u):
        z = u.value
        return -c * u.gradient[0] + omega * np.stack([z[1], -z[0]])

    def exact(t, x):
        envelope, phase = np.exp(-((x[0] - c * t) ** 2)), phase0 - omega * t
        return np.stack([np.cos(phase) * envelope, np.sin(phase) * envelope])

    problem = df.Problem(ansatz, df.Quadrature.gauss((-4.5, 5.5), 20, 6, comm), rhs)
    theta = np.array([np.cos(phase0), 0.0, np.sqrt(2), np.sin(phase0), 0.0, np.sqrt(2)])
    return made("zero crossing", problem, df.State(0.0, theta), 0.01, 1.0, exact)


def advection(comm=MPI.COMM_SELF) -> Case:
    """u_t + u_x = 0, one pulse on [−1, 1) periodic, 12 Gaussians."""

    def exact(t, x):
        return np.exp(-20 * np.sin(np.pi * (x[0] - t) / 2) ** 2)

    ansatz = df.PeriodicGaussianMixture.isotropic((2.0,), 12)
    problem = df.Problem(ansatz, df.Quadrature.periodic((-1, 1), 96, comm), lambda t, x, u: -u.gradient[0])
    return made("advection", problem, gaussians(problem, partial(exact, 0.0), (-1, 1), 8.0), 0.01, 0.5, exact)


def heat(comm=MPI.COMM_SELF) -> Case:
    """u_t = u_xx, two bumps by 10 Gaussians."""

    def exact(t, x):
        return sum(
            a / np.sqrt(1 + 4 * t * s) * np.exp(-s * (x[0] - b) ** 2 / (1 + 4 * t * s))
            for a, b, s in ((1.0, -1.0, 2.0), (-0.7, 0.5, 4.0))
        )

    ansatz = df.GaussianMixture.isotropic(1, 10)
    problem = df.Problem(ansatz, df.Quadrature.gauss((-8, 8), 30, 6, comm), lambda t, x, u: df.laplacian(u))
    return made("heat", problem, gaussians(problem, partial(exact, 0.0), (-2, 2), 2.0), 5e-3, 0.3, exact)


# -- nonlinear ---------------------------------------------------------------------------------------------------
def cole_hopf(nu, t, x):
    """Exact solution of u_t + u u_x = ν u_xx, u₀ = −sin πx (Cole 1951; Hopf 1950), by Gauss–Hermite quadrature."""
    if t == 0:
        return -np.sin(np.pi * x[0])
    z, w = np.polynomial.hermite.hermgauss(160)
    y = x[0][:, None] - np.sqrt(4 * nu * t) * z
    kernel = w * np.exp(-(np.cos(np.pi * y) + 1) / (2 * np.pi * nu))
    return -(kernel * np.sin(np.pi * y)).sum(1) / kernel.sum(1)


def burgers(n=20, comm=MPI.COMM_SELF, nu=0.01, dt=2.5e-3, weight=None) -> Case:
    """Viscous Burgers into a shock on [−1, 1) periodic, n Gaussians; weight: D of the scales, 1 for all others."""
    ansatz = df.PeriodicGaussianMixture.isotropic((2.0,), n)

    def rhs(t, x, u):
        return nu * df.dx(u, 2) - u.value * df.dx(u)

    problem = df.Problem(ansatz, df.Quadrature.periodic((-1, 1), 256, comm), rhs)
    start = gaussians(problem, lambda x: -np.sin(np.pi * x[0]), (-1, 1), n / 2, iterations=0)
    if weight is not None:
        scale = np.where(np.arange(ansatz.size) < 2 * n, 1.0, weight)
        problem = df.Problem(ansatz, problem.quadrature, rhs, scale=scale)
        return Case(f"Burgers {n}, D_s = {weight:g}", problem, start, dt, 0.5, partial(cole_hopf, nu))
    return made(f"Burgers {n}", problem, start, dt, 0.5, partial(cole_hopf, nu))


def spectral(u0, symbol, nonlinear, period, until, steps, n=512):
    """Exponential time differencing RK4 on a Fourier grid (Cox & Matthews 2002; Kassam & Trefethen 2005).

    u_t = L u + N(u), `symbol` the Fourier symbol of L at wave numbers k, `nonlinear` (û, k) -> N̂.  Returns û(until).
    """
    x = period * np.arange(n) / n
    k = 2 * np.pi / period * np.fft.fftfreq(n, 1 / n)
    lin, h = symbol(k), until / steps
    roots = np.exp(2j * np.pi * (np.arange(32) + 0.5) / 32)
    z = h * lin[:, None] + roots
    mean = lambda f: f.mean(1) if np.iscomplexobj(lin) else f.mean(1).real  # noqa: E731
    e, half = np.exp(h * lin), np.exp(h * lin / 2)
    q = h * mean((np.exp(z / 2) - 1) / z)
    f1 = h * mean((-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3)
    f2 = h * mean((2 + z + np.exp(z) * (z - 2)) / z**3)
    f3 = h * mean((-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3)
    v = np.fft.fft(u0(x[None]))
    for _ in range(steps):
        nv = nonlinear(v, k)
        a = half * v + q * nv
        na = nonlinear(a, k)
        b = half * v + q * na
        nb = nonlinear(b, k)
        c = half * a + q * (2 * nb - nv)
        v = e * v + f1 * nv + 2 * f2 * (na + nb) + f3 * nonlinear(c, k)
    return v, k


def at(v, k, x, origin=0.0):
    """Trigonometric interpolant of Fourier coefficients at points x (1, N)."""
    keep = np.abs(v) > 1e-16 * np.abs(v).max()
    return (np.exp(1j * np.outer(x[0] - origin, k[keep])) @ v[keep]).real / len(v)


def _spectral_case(name, ansatz, u0, symbol, nonlinear, rhs, scale, dt, until, comm, period=2 * np.pi, points=256):
    problem = df.Problem(ansatz, df.Quadrature.periodic((0, period), points, comm), rhs)
    start = gaussians(problem, u0, (0, period), scale)
    v, k = spectral(u0, symbol, nonlinear, period, until, 2000)
    return made(name, problem, start, dt, until, lambda t, x: at(v, k, x) if t > 0 else u0(x))


def allen_cahn(comm=MPI.COMM_SELF) -> Case:
    """u_t = 5e-3 u_xx + u − u³ on [0, 2π) periodic, start of RSNG (arXiv 2310.04867), 30 Gaussians."""

    def u0(x):
        x = x[0]
        bumps = -np.exp(-23.5 * (x - np.pi / 2) ** 2) + np.exp(-27 * (x - 4.2) ** 2) + np.exp(-38 * (x - 5.4) ** 2)
        return np.tanh(2 * np.sin(x)) / 3 + bumps

    return _spectral_case(
        "Allen–Cahn", df.PeriodicGaussianMixture.isotropic((2 * np.pi,), 30), u0, lambda k: 1 - 5e-3 * k**2,
        lambda v, k: -np.fft.fft(np.fft.ifft(v).real ** 3), lambda t, x, u: 5e-3 * df.dx(u, 2) + u.value - u.value**3,
        6.0, 0.02, 2.0, comm,
    )  # fmt: skip


def kdv(comm=MPI.COMM_SELF) -> Case:
    """u_t + 6 u u_x + u_xxx = 0, the soliton 2 sech²(x − 4t), 6 Gaussians."""

    def exact(t, x):
        return 2 / np.cosh(x[0] - 4 * t) ** 2

    def rhs(t, x, u):
        return -6 * u.value * df.dx(u) - df.dx(u, 3)

    ansatz = df.GaussianMixture.isotropic(1, 6)
    problem = df.Problem(ansatz, df.Quadrature.gauss((-10, 14), 40, 5, comm), rhs)
    return made("KdV", problem, gaussians(problem, partial(exact, 0.0), (-3, 3), 1.0, iterations=100), 5e-3, 0.5, exact)


def fisher(comm=MPI.COMM_SELF) -> Case:
    """u_t = 0.02 u_xx + 4 u (1 − u) on [0, 2π) periodic: two pulses spread and merge, 16 Gaussians."""

    def u0(x):
        return 0.5 * np.exp(-6 * (x[0] - 2.0) ** 2) + 0.3 * np.exp(-6 * (x[0] - 4.2) ** 2)

    return _spectral_case(
        "Fisher–KPP", df.PeriodicGaussianMixture.isotropic((2 * np.pi,), 16), u0, lambda k: 4 - 0.02 * k**2,
        lambda v, k: -4 * np.fft.fft(np.fft.ifft(v).real ** 2),
        lambda t, x, u: 0.02 * df.dx(u, 2) + 4 * u.value * (1 - u.value), 3.0, 0.01, 0.6, comm, points=128,
    )  # fmt: skip


def kuramoto_sivashinsky(comm=MPI.COMM_SELF) -> Case:
    """u_t = −u u_x − u_xx − u_xxxx on [0, 8π) periodic for a short time, 16 Gaussians."""
    period = 8 * np.pi

    def u0(x):
        return np.cos(x[0] / 4) * (1 + np.sin(x[0] / 4))

    return _spectral_case(
        "Kuramoto–Sivashinsky", df.PeriodicGaussianMixture.isotropic((period,), 16), u0, lambda k: k**2 - k**4,
        lambda v, k: -0.5j * k * np.fft.fft(np.fft.ifft(v).real ** 2),
        lambda t, x, u: -u.value * df.dx(u) - df.dx(u, 2) - df.dx(u, 4), 0.6, 0.02, 3.0, comm, period, 128,
    )  # fmt: skip


# -- not looked at while the rule of AutoInertia was made ---------------------------------------------------------
class Angles(df.Ansatz):
    """u = sin θ_1 sin x + sin θ_2 cos x: the tangent collapses where cos θ_i = 0."""

    dim, size = 1, 2

    def derivative(self, theta, x, alpha):
        turn = alpha[0] * np.pi / 2
        return np.sin(theta[0]) * np.sin(x[0] + turn) + np.sin(theta[1]) * np.cos(x[0] + turn)

    def tangent_derivative(self, theta, x, alpha):
        turn = alpha[0] * np.pi / 2
        return np.stack([np.cos(theta[0]) * np.sin(x[0] + turn), np.cos(theta[1]) * np.cos(x[0] + turn)])

    def value(self, theta, x):
        return self.derivative(theta, x, (0,))

    def tangent(self, theta, x):
        return self.tangent_derivative(theta, x, (0,))


def angles(comm=MPI.COMM_SELF) -> Case:
    """u_t = −u_x − u + s with θ_1 = θ_2 = t exact (DFO A.2, arXiv 2605.00284), from a perturbed start."""
    first, second = 0.02, -0.01

    def rhs(t, x, u):
        sine, cosine = np.sin(x[0]), np.cos(x[0])
        source = np.cos(t) * (sine + cosine) + np.sin(t) * (cosine - sine) + np.sin(t) * (sine + cosine)
        return -u.gradient[0] - u.value + source

    def exact(t, x):
        start = np.sin(first) * np.sin(x[0] - t) + np.sin(second) * np.cos(x[0] - t)
        return np.sin(t) * (np.sin(x[0]) + np.cos(x[0])) + np.exp(-t) * start

    problem = df.Problem(Angles(), df.Quadrature.periodic((0, 2 * np.pi), 24, comm), rhs)
    return made("angles (C2)", problem, df.State(0.0, np.array([first, second])), 0.02, 6.0, exact)


# -- solver --------------------------------------------------------------------------------------------------------
class Direct:
    """Gram matrix, Cholesky factor, two steps of refinement; LAPACK where ε is too small for it.  Serial, small p.

    Some 3 times faster than `df.KSP` for the few dozen parameters here, with the same solutions (a test compares them).
    """

    def solve(self, system):
        norm = system.checked_norm()
        d = 1.0 if system.scale is None else system.scale[:, None]
        matrix = np.concatenate([block.tangent * block.root / d for block in system.tangent.blocks], axis=1)
        if not np.isfinite(matrix.sum()):
            raise df.errors.NonFiniteError("the tangent is not finite", "a smaller step")
        gram, p = matrix @ matrix.T, len(matrix)
        if norm == 0.0:
            return Solution(np.zeros(p), 0.0, 0, "zero right-hand side")
        diagonal = np.diag_indices(p)
        largest = float(np.sqrt(gram[diagonal].max()))
        gram[diagonal] += system.eps**2
        if system.eps > 1e-6 * largest:
            factor = cho_factor(gram, check_finite=False)
            value = cho_solve(factor, matrix @ system.rhs, check_finite=False)
            for _ in range(2):
                rest = matrix @ (system.rhs - value @ matrix) - system.eps**2 * value
                value = value + cho_solve(factor, rest, check_finite=False)
        else:
            stacked = np.vstack([matrix.T, system.eps * np.eye(p)])
            value = lstsq(stacked, np.concatenate([system.rhs, np.zeros(p)]), check_finite=False)[0]
        defect = float(np.linalg.norm(system.rhs - value @ matrix))
        return Solution(value / np.ravel(d), defect, 1, "direct")
