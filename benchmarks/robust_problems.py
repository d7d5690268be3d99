"""The other problems of benchmarks/robustness.py: two dimensions, packets, tangents that collapse; and the list of all.

References are closed forms, characteristics, or split steps in plain NumPy; none is computed by dfpde.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from robust_periodic import (
    ADVECTION,
    BURGERS,
    COMM,
    FISHER,
    KDV2,
    KS,
    OUTPUTS,
    P1,
    P1B,
    P2,
    Row,
    detonation_mixture,
    detonation_network,
    network,
    two_solitons,
)  # fmt: skip
from scipy.integrate import solve_ivp
from study_problems import Case, angles, kdv, zero_crossing

import dfpde as df
from dfpde.steppers import ETDRK4, PeriodicGrid, SplitStep

Array = np.ndarray


# -- two dimensions ------------------------------------------------------------------------------------------
def lattice(center: tuple[float, float], distance: float, side: int) -> Array:
    """(side², 2) points around a center."""
    offsets = distance * (np.arange(side) - (side - 1) / 2)
    return np.stack(np.meshgrid(*(offsets + c for c in center)), axis=-1).reshape(-1, 2)


def heat() -> Row:
    """u_t = Δu, two bumps on R² by 6 Gaussians; exact."""
    bumps = ((1.0, (-0.6, 0.0), 1.0), (-0.7, (0.5, 0.4), 2.0))

    def exact(t: float, x: Array) -> Array:
        parts = [(a, b, s, 1 + 4 * t * s) for a, b, s in bumps]
        return sum(a / w * np.exp(-s / w * ((x[0] - b[0]) ** 2 + (x[1] - b[1]) ** 2)) for a, b, s, w in parts)

    grid = PeriodicGrid([(-6, 6)] * 2, 64, COMM)
    ansatz = df.GaussianMixture.isotropic(2, 6)
    centers = np.array([[-0.8, 0.1], [-0.5, -0.2], [-0.4, 0.2], [0.4, 0.3], [0.6, 0.5], [0.7, 0.2]])
    guess = ansatz.pack(amplitudes=np.zeros(6), centers=centers, scales=np.full(6, 1.6))
    problem = df.Problem(ansatz, grid.quadrature, lambda t, x, u: df.laplacian(u))
    stepper = ETDRK4(grid, lambda k: -np.sum(k**2, axis=0), lambda t, x, u: 0 * u.value)
    return Row("heat 2-D", problem, partial(exact, 0.0), 0.3, exact, stepper, guess)


def feet(speed: Callable[[Array], Array], t: float, x: Array) -> Array:
    """Where the characteristics of dx/dt = speed(x) through x at time t were at 0."""
    if t == 0:
        return x
    line, back = np.unique(x, return_inverse=True)
    return solve_ivp(lambda s, y: -speed(y), (0, t), line, "DOP853", (t,), rtol=1e-11, atol=1e-11).y[:, -1][back]


def blob() -> Row:
    """demos/transport.py: a blob in a cellular flow on [−1, 1)², 9 Gaussians."""

    def speed_x(x: Array) -> Array:
        return 1 - 0.6 * np.sin(3 * np.pi * x)

    def speed_y(y: Array) -> Array:
        return 0.8 * (1 + 0.3 * np.cos(2 * np.pi * y))

    def exact(t: float, x: Array) -> Array:
        y, z = feet(speed_x, t, x[0]), feet(speed_y, t, x[1])
        return np.exp(-(((y + 1.2) % 2 - 1) ** 2 + ((z + 1) % 2 - 1) ** 2) / (8e-3 * np.pi))

    def rhs(t: float, x: Array, u: df.Field) -> Array:
        return -speed_x(x[0]) * u.gradient[0] - speed_y(x[1]) * u.gradient[1]

    ansatz, grid = df.PeriodicGaussianMixture.diagonal([2.0, 2.0], 9), PeriodicGrid([(-1, 1)] * 2, 64, COMM)
    scales = np.full((9, 2), 1.1 * np.sqrt(2 / (8e-3 * np.pi)))
    guess = ansatz.pack(amplitudes=np.zeros(9), centers=lattice((-0.2, 0.0), 0.08, 3), scales=scales)
    stepper = ETDRK4(grid, lambda k: 0 * k[0], rhs)
    return Row("blob", df.Problem(ansatz, grid.quadrature, rhs), partial(exact, 0.0), 0.3, exact, stepper, guess)


def vlasov() -> Row:
    """demos/vlasov.py: a cloud turns in a well, 4 Gaussians."""

    def force(x: Array) -> Array:
        return 0.2 * np.sin(np.pi * x**4) * 4 * np.pi * x**3 - 0.1 * np.pi * np.cos(np.pi * x)

    def exact(t: float, x: Array) -> Array:
        def back(s: float, y: Array) -> Array:
            x, v = y.reshape(2, -1)
            return np.concatenate([-v, force(x)])

        y = x if t == 0 else solve_ivp(back, (0, t), x.ravel(), "DOP853", (t,), rtol=1e-10, atol=1e-10).y.reshape(2, -1)
        return np.exp(-((y[0] - 0.1) ** 2 + y[1] ** 2) / 0.15**2)

    ansatz = df.GaussianMixture.full(2, 4)
    scales = np.broadcast_to(ansatz.scales(np.eye(2) * 0.4 * 0.15**2), (4, 3))
    guess = ansatz.pack(amplitudes=np.zeros(4), centers=lattice((0.1, 0.0), 0.09, 2), scales=scales)
    quadrature = df.Quadrature.gauss([(-1, 1)] * 2, 20, 3, COMM)
    problem = df.Problem(ansatz, quadrature, lambda t, x, u: -x[1] * u.gradient[0] + force(x[0]) * u.gradient[1])
    return Row("Vlasov", problem, partial(exact, 0.0), 0.5, exact, None, guess)


def identical() -> Row:
    """Particles in a harmonic trap (arXiv 2203.01360, 5.4) in two dimensions; six equal Gaussians."""
    alpha, diffusion, first = 0.25, 0.01, np.array([0.9, 2.1])
    pull = (1 + alpha) * np.eye(2) - alpha / 2

    def place(t: float) -> float:
        return 1.25 * (np.sin(np.pi * t) + 1.5)

    def exact(t: float, x: Array) -> Array:
        def moments(s: float, y: Array) -> Array:
            cov = y[2:].reshape(2, 2)
            return np.concatenate([place(s) - pull @ y[:2], (2 * diffusion * np.eye(2) - 2 * pull @ cov).ravel()])

        y = np.concatenate([first, 0.1 * np.eye(2).ravel()])
        y = y if t == 0 else solve_ivp(moments, (0, t), y, "DOP853", (t,), rtol=1e-11, atol=1e-11).y[:, -1]
        cov, apart = y[2:].reshape(2, 2), x - y[:2, None]
        size = 2 * np.pi * np.sqrt(np.linalg.det(cov))
        return np.exp(-0.5 * np.sum(apart * np.linalg.solve(cov, apart), axis=0)) / size

    def rhs(t: float, x: Array, u: df.Field) -> Array:
        drift = pull @ x - place(t)
        return np.sum(drift * u.gradient, axis=0) + np.trace(pull) * u.value + diffusion * df.laplacian(u)

    ansatz = df.GaussianMixture.full(2, 6)
    scales = np.broadcast_to(ansatz.scales(np.eye(2) * 0.1), (6, 3))
    theta = ansatz.pack(amplitudes=1 / (6 * 2 * np.pi * 0.1), centers=np.tile(first, (6, 1)), scales=scales)
    quadrature = df.Quadrature.gauss([(-0.6, 4.2)] * 2, 26, 3, COMM)
    return Row("identical", df.Problem(ansatz, quadrature, rhs), theta, 1.0, exact)


# -- packets -------------------------------------------------------------------------------------------------
def quartic() -> Row:
    """i u_t = −½ u_xx + (½ x² + 0.05 x⁴) u from a displaced coherent state, three packets; Yoshida's split steps."""
    grid, until, steps = PeriodicGrid((-10.0, 10.0), 256, COMM), 1.0, 400

    def potential(x: Array) -> Array:
        return 0.5 * x**2 + 0.05 * x**4

    def initial(x: Array) -> Array:
        return np.pi**-0.25 * np.exp(-0.5 * (x[0] - 1.5) ** 2) + 0j

    def march() -> list[Array]:
        k, u, saved = grid.waves[0], initial(grid.x), [initial(grid.x)]
        third = 1 / (2 - 2 ** (1 / 3))
        shares = [until / OUTPUTS / steps * part for part in (third, 1 - 2 * third, third)]
        factors = [(np.exp(-0.5j * h * potential(grid.x[0])), np.exp(-0.5j * h * k**2)) for h in shares]
        for _ in range(OUTPUTS):
            for _ in range(steps):
                for kick, fly in factors:
                    u = kick * np.fft.ifft(fly * np.fft.fft(kick * u))
            saved.append(u)
        return saved

    saved: list[Array] = []

    def exact(t: float, x: Array) -> Array:
        saved.extend([] if saved else march())
        return saved[round(t / until * OUTPUTS)]

    ansatz = df.ansatz.WavePackets(1, 3)
    centers = 1.5 + np.array([-0.9, 0.0, 0.9])[:, None]
    parts = np.exp(-0.5 * (grid.x[0] - centers) ** 2)
    q = grid.quadrature
    gram = parts * q.w @ parts.T + 1e-4 * np.eye(3)
    zeta = -1j * np.log(np.linalg.solve(gram, parts * q.w @ initial(grid.x)))
    guess = ansatz.pack(
        centers=centers, momenta=np.zeros((3, 1)), zeta=np.stack([zeta.real, zeta.imag], axis=1),
        **ansatz.widths(np.array([[1j]])),
    )  # fmt: skip
    problem = df.Problem(ansatz, q, lambda t, x, u: 0.5j * df.dx(u, 2) - 1j * potential(x[0]) * u.value)
    stepper = SplitStep(grid, lambda t, x, density: potential(x[0]))
    return Row("quartic", problem, initial, until, exact, stepper, guess)


# -- tangents that collapse ----------------------------------------------------------------------------------
class Cubic(df.Ansatz):
    """u = θ³ exp(−x²)."""

    dim, size = 1, 1

    def value(self, theta: Array, x: Array) -> Array:
        """u."""
        return theta[0] ** 3 * np.exp(-(x[0] ** 2))

    def tangent(self, theta: Array, x: Array) -> Array:
        """∂u/∂θ."""
        return 3 * theta[0] ** 2 * np.exp(-(x**2))


def cubic() -> Row:
    """u = (t − 1) exp(−x²): at θ = 0 the tangent vanishes, and θ̇ is infinite."""
    quadrature = df.Quadrature.gauss((-5, 5), 40, 5, COMM)
    problem = df.Problem(Cubic(), quadrature, lambda t, x, u: np.exp(-(x[0] ** 2)))
    stepper = df.integrators.BlackBox(lambda t, u, h: u + h * np.exp(-(quadrature.x[0] ** 2)), 1)
    return Row("C1 cubic", problem, np.array([-1.0]), 2.0, lambda t, x: (t - 1) * np.exp(-(x[0] ** 2)), stepper)


def collision() -> Row:
    """p_t = q_x, q_t = p_x: two Gaussians each meet at t = 2, where their tangents coincide."""
    pair, grid = df.GaussianMixture.isotropic(1, 2), PeriodicGrid((-12.0, 12.0), 400, COMM)

    def exact(t: float, x: Array) -> Array:
        right, left = np.exp(-2 * (x[0] + 2 - t) ** 2), np.exp(-2 * (x[0] - 2 + t) ** 2)
        return np.array([right + left, left - right])

    def rhs(t: float, x: Array, u: df.Field) -> Array:
        return u.gradient[0, ::-1]

    blocks = {"centers": np.array([[-2.0], [2.0]]), "scales": np.full(2, 2.0)}
    parts = [pair.pack(amplitudes=np.array(a), **blocks) for a in ([1.0, 1.0], [-1.0, 1.0])]
    stepper = ETDRK4(grid, lambda k: np.zeros((2, 400)), rhs)
    problem = df.Problem(df.Stack(pair, pair), grid.quadrature, rhs)
    return Row("C3 collision", problem, np.concatenate(parts), 4.0, exact, stepper)


def studied(name: str, case: Case) -> Row:
    """A case of study_problems.py, in the metric that the run chooses."""
    return Row(name, replace(case.problem, scale=None), case.start.theta, case.until, case.exact)


#: Name on the command line -> row.  `network` in a name: a tanh network, else a mixture.
ROWS: dict[str, Callable[[], Row]] = {
    "p1": lambda: P1.mixture("P1", 40, 512),
    "p1-network": lambda: P1.row("P1", network(2 * np.pi, 14), 1000),
    "p1b": lambda: P1B.mixture("P1b", 20, 256),
    "p1b-network": lambda: P1B.row("P1b", network(2 * np.pi, 8), 400),
    "p2": lambda: P2.mixture("P2", 30, 1000, 1.5),
    "p2-network": lambda: P2.row("P2", network(2.0, 14), 1000),
    "p3": detonation_mixture,
    "p3-network": detonation_network,
    "burgers": lambda: BURGERS.mixture("Burgers", 20, 256),
    "burgers-network": lambda: BURGERS.row("Burgers", network(2.0, 8), 400),
    "kdv": lambda: studied("KdV", kdv()),
    "kdv2": two_solitons,
    "kdv2-network": lambda: KDV2.row("KdV2", network(60.0, 10), 512),
    "ks": lambda: KS.mixture("KS", 16, 128),
    "ks-network": lambda: KS.row("KS", network(8 * np.pi, 8), 400),
    "fisher": lambda: FISHER.mixture("Fisher–KPP", 16, 128),
    "fisher-network": lambda: FISHER.row("Fisher–KPP", network(2 * np.pi, 6), 256),
    "fisher-wide-network": lambda: FISHER.row("Fisher–KPP, wide", network(2 * np.pi, 12), 512),
    "advection": lambda: ADVECTION.mixture("advection", 12, 128),
    "advection-network": lambda: ADVECTION.row("advection", network(2.0, 6), 256),
    "heat": heat,
    "blob": blob,
    "vlasov": vlasov,
    "identical": identical,
    "quartic": quartic,
    "crossing": lambda: studied("zero crossing", zero_crossing(0.5)),
    "cubic": cubic,
    "angles": lambda: studied("C2 angles", angles()),
    "collision": collision,
}
