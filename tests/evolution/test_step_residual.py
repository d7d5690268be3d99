"""The step's own residual, ‖Φ(θ⁺) − Φ(θ) − h Σ b_i J_i k_i‖: what an embedded estimate cannot see."""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.evolution.explicit import RESIDUAL, ExplicitRungeKutta
from dfpde.evolution.tableaus import BOGACKI_SHAMPINE, DORMAND_PRINCE, Tableau

QUADRATURE = df.Quadrature.gauss((-6, 6), 40, 4, MPI.COMM_SELF)


class Switch(df.Ansatz):
    """u = θ₀ exp(−x²) + 0.1 tanh(1e4 θ₁) exp(−(x − 1)²): a saturated unit for |θ₁| > 1e-3."""

    dim, size = 1, 2

    def value(self, theta, x):
        return theta[0] * np.exp(-(x[0] ** 2)) + 0.1 * np.tanh(1e4 * theta[1]) * np.exp(-((x[0] - 1) ** 2))

    def tangent(self, theta, x):
        slope = 1e3 / np.cosh(min(1e4 * abs(theta[1]), 300.0)) ** 2
        return np.stack([np.exp(-(x[0] ** 2)), slope * np.exp(-((x[0] - 1) ** 2))])


def switching():
    """f = 0, and an anchor that carries the saturated unit over its jump."""
    problem = df.Problem(Switch(), QUADRATURE, lambda t, x, u: 0 * u.value)
    return problem, df.State(0.0, np.array([1.0, -0.01]), anchor=np.array([0.0, 1.0]), dt=0.03)


def test_a_jump_between_stages_is_an_error():
    problem, start = switching()
    step = df.DormandPrince.step(problem, df.LSQR(), df.Inertia(1e-3, 1.0), start, 0.03)
    jump = problem.norm(step.theta - np.array([1.0, 0.0])) * np.sign(step.theta[1])
    assert jump == pytest.approx(0.1 * QUADRATURE.norm(np.exp(-((QUADRATURE.x[0] - 1) ** 2))))  # it flipped
    assert step.error == pytest.approx(RESIDUAL * 2 * jump)


def test_a_run_rejects_the_step_that_jumps():
    problem, start = switching()
    *_, end = df.evolve(
        problem, start, until=0.1, regularization=df.Inertia(1e-3, 1.0), controller=df.PI(rtol=1e-4), max_steps=400
    )
    before, after = problem.field(start).value, problem.field(end).value
    assert QUADRATURE.norm(after - before) <= 1e-3 * QUADRATURE.norm(before)
    assert end.statistics.rejected > 0


def test_without_its_share_of_the_residual_the_jump_is_not_seen():
    problem, start = switching()
    blind = ExplicitRungeKutta(DORMAND_PRINCE, residual=0.0)
    step = blind.step(problem, df.LSQR(), df.Inertia(1e-3, 1.0), start, 0.03)
    assert step.theta[1] > 0 and step.error < 1e-6


@pytest.mark.mpi
def test_residual_is_the_same_on_any_number_of_ranks():
    ansatz = df.GaussianMixture.isotropic(1, 1)
    start = df.State(0.0, ansatz.pack(amplitudes=1.0, centers=[[0.2]], scales=1.2))
    errors = []
    for comm in (MPI.COMM_WORLD, MPI.COMM_SELF):
        quadrature = df.Quadrature.gauss((-6, 6), 40, 4, comm)
        problem = df.Problem(ansatz, quadrature, lambda t, x, u: 0.5 * df.dx(u, 2))
        scheme = ExplicitRungeKutta(DORMAND_PRINCE, residual=1e6)
        errors.append(scheme.step(problem, df.LSQR(), df.Inertia(1e-6), start, 0.1).error)
    assert errors[0] == pytest.approx(errors[1], rel=1e-6) and errors[0] > 0


def test_residual_has_the_order_of_the_quadrature():
    """With b̂ = b the embedded estimate is zero, and the error is the residual alone: O(h⁴) for b of order three."""
    a, b = BOGACKI_SHAMPINE.a, (*BOGACKI_SHAMPINE.b[:3], 0.0)
    scheme = ExplicitRungeKutta(Tableau("alone", a, b, 3, b, 3), residual=1.0)
    ansatz = df.GaussianMixture.isotropic(1, 1)
    problem = df.Problem(ansatz, QUADRATURE, lambda t, x, u: 0.5 * df.dx(u, 2))
    start = df.State(0.0, ansatz.pack(amplitudes=1.0, centers=[[0.2]], scales=1.2))
    errors = [scheme.step(problem, df.Dense(), df.Inertia(1e-10), start, h).error for h in (0.04, 0.02, 0.01)]
    assert np.log2(np.array(errors[:-1]) / errors[1:]) == pytest.approx([4, 4], abs=0.15)
