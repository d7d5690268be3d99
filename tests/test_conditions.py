"""Boundary values that change: ∂g/∂t from g alone, whatever its time scale, its sign of life before t = 0, its form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import skfem
from mpi4py import MPI

import dfpde as df
from dfpde.conditions import rate
from dfpde.errors import ParameterError, ShapeError
from dfpde.fem import Robin

X = np.array([[0.0, 0.3]])
ONE = np.ones(2)
KNOTS = np.linspace(0, 1, 11)


def table(t, x):
    """t², known for 0 ≤ t ≤ 1 only."""
    if not 0 <= t <= 1:
        raise ValueError("outside the table")
    return t**2 * ONE


@pytest.mark.parametrize("tau", [1e-9, 1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("periods", [0.0, 0.3, 1e3])
def test_every_time_scale(tau, periods):
    """g = sin(t/τ + x): the relative error grows with the rounding of t, 2⁻⁵³ t/τ, only."""
    t = periods * tau
    found = rate(lambda s, x: np.sin(s / tau + x[0]), None, t, X, (2,))
    np.testing.assert_allclose(found, np.cos(t / tau + X[0]) / tau, rtol=1e-10 * max(1.0, periods))


SMOOTH = {
    "at rest": (lambda t, x: np.cos(t / 1e-3) * ONE, 0.0, 0.0),
    "constant, one number": (lambda t, x: 3.0, 0.7, 0.0),
    "growth beyond all numbers": (lambda t, x: math.exp(5 * t) * ONE, 0.7, 5 * math.exp(3.5)),
    "decay": (lambda t, x: np.exp(-5 * t) * ONE, 0.7, -5 * math.exp(-3.5)),
    "inside a pulse": (lambda t, x: np.exp(-(((t - 5) / 1e-3) ** 2)) * ONE, 4.999, 2e3 * math.exp(-1)),
    "before a pulse": (lambda t, x: np.exp(-(((t - 5) / 1e-3) ** 2)) * ONE, 1.0, 0.0),
    "two time scales": (
        lambda t, x: (np.sin(t) + 1e-3 * np.sin(1e6 * t)) * ONE, 0.4, math.cos(0.4) + 1e3 * math.cos(4e5),
    ),
    "an offset": (lambda t, x: 1e6 + np.sin(t) * ONE, 0.4, math.cos(0.4)),
    "period 1 at an even time": (lambda t, x: np.sin(2 * np.pi * t) * ONE, 2000.0, 2 * np.pi),
    "t^1.5, defined from 0 on": (lambda t, x: math.pow(t, 1.5) * ONE, 0.0, 0.0),
    "a square root": (lambda t, x: np.sqrt(t) * ONE, 1e-8, 0.5e4),
    "a ramp that begins now": (lambda t, x: max(t, 0.0) * ONE, 0.0, 1.0),
    "a piecewise linear table": (lambda t, x: np.interp(t, KNOTS, KNOTS**2) * ONE, 0.33, 0.7),
    "a table at its start": (table, 0.0, 0.0),
    "a table at its end": (table, 1.0, 2.0),
    "just before a jump": (lambda t, x: float(t >= 0.5) * ONE, 0.5 - 1e-9, 0.0),
    "just after a jump": (lambda t, x: float(t >= 0.5) * ONE, 0.5, 0.0),
    "complex": (lambda t, x: np.exp(1j * t) * ONE, 0.4, 1j * np.exp(0.4j)),
}  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
def test_kinds_of_boundary_values(name):
    g, t, want = SMOOTH[name]
    np.testing.assert_allclose(rate(g, None, t, X, (2,)), want * ONE, rtol=1e-7, atol=1e-7)


NOISE = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("g", "t"),
    [(lambda t, x: np.sqrt(t) * ONE, 0.0), (lambda t, x: np.sin(t) + 1e-3 * NOISE.normal(size=2), 1.0),
     (lambda t, x: np.sin(1e9 * t) * ONE, 1.0)],
    ids=["infinite slope", "noise", "a phase that t does not resolve"],
)  # fmt: skip
def test_what_has_no_rate_is_an_error(g, t):
    with pytest.raises(ParameterError, match=f"no ∂g/∂t of a boundary value at t = {t!r}"):
        rate(g, None, t, X, (2,))


def test_a_wrong_shape_is_named():
    for arguments in ((lambda t, x: np.ones(3), None), (lambda t, x: ONE, lambda t, x: np.ones(3))):
        with pytest.raises(ShapeError, match=r"has shape \(3,\) at 2 points"):
            rate(*arguments, 0.0, X, (2,))


class Line(df.Ansatz):
    dim, size = 1, 2

    def value(self, theta, x):
        return theta[0] + theta[1] * x[0]

    def tangent(self, theta, x):
        return np.stack([np.ones(x.shape[1]), x[0]])

    def tangent_derivative(self, theta, x, alpha):
        return self.tangent(theta, x) if alpha == (0,) else np.stack([0 * x[0], np.ones(x.shape[1])])


@pytest.mark.parametrize("tau", [1e-6, 1.0, 1e4])
@pytest.mark.parametrize("kind", ["Dirichlet", "Robin"])
def test_runs_follow_the_boundary_value(kind, tau):
    """u(0), or ∂u/∂n at 0, after a quarter period of g = sin(t/τ), as with the exact g_t."""
    inside = df.Quadrature.gauss((0, 1), 20, 8, MPI.COMM_SELF)
    mesh = skfem.MeshLine().with_boundaries({"wall": lambda x: x[0] == 0})
    wall = df.Quadrature.boundary(mesh, "wall", 1, MPI.COMM_SELF)
    make = df.Dirichlet if kind == "Dirichlet" else Robin
    condition = make(wall, lambda t, x: np.sin(t / tau) * np.ones(x.shape[1]), weight=1e8)
    problem = df.Problem(Line(), inside, lambda t, x, u: 0 * x[0], conditions=(condition,))
    *_, end = df.evolve(
        problem, df.State(0.0, np.zeros(2)), until=tau * np.pi / 2, controller=df.Fixed(tau * np.pi / 80),
        integrator=df.integrators.RK4, regularization=df.Inertia(1e-9, 1.0),
    )  # fmt: skip
    assert (end.theta[0] if kind == "Dirichlet" else -end.theta[1]) == pytest.approx(1.0, abs=1e-5)
