"""The last step of a start without a sweep: taken where the sample resolves the tangent, and right where taken."""

from __future__ import annotations

import numpy as np
import pytest

import dfpde as df
from dfpde.leastsquares import DenseRows, GramCholesky, LeastSquares, Tangent

pytestmark = pytest.mark.mpi

RTOL, EPS = 1e-11, 1e-4

#: Points, trigonometric pairs, and the rows of a sample of two for each parameter: every 24th, on 1, 2 and 3 ranks.
N, MODES, SAMPLE = 5760, 50, 240


def system(comm, above, ripple=0.0, bump=""):
    """Trigonometric columns and a right-hand side that they miss by much, seen by the sample as `above` times rtol.

    `ripple` of each column is a wave that the sample takes for another column; `bump` is a column that lives between
    two rows of the sample, where the residual is 1e-13: on three points, "tails", a Gaussian that they just see, or
    "twin", one that they take for the column before.
    """
    x, modes = 2 * np.pi * np.arange(N) / N, np.arange(1, MODES + 1)
    columns = np.concatenate([*(wave(np.outer(modes, x)) for wave in (np.sin, np.cos)), np.full((1, N), np.sqrt(0.5))])
    between = slice(2400, 2403)
    window = np.sin((x - x[2401]) / 2) ** 16
    coefficients = columns @ (window * np.sin(x)) * (2 / N)
    columns[:-1] += ripple * np.concatenate([wave(np.outer(SAMPLE - modes[::-1], x)) for wave in (np.sin, np.cos)])
    rhs = coefficients @ columns + window * (np.cos(120 * x) + 4 * above * RTOL * np.cos((SAMPLE - 20) * x))
    if bump:
        rhs[between] += 1e-13
        new = np.where((x >= x[between][0]) & (x <= x[between][-1]), 10.0, 0.0)
        if bump == "tails":
            new = 10.0 * np.exp(-0.5 * ((np.arange(N) - 2400) / 3.5) ** 2)
        if bump == "twin":
            new += columns[39]
        columns = np.concatenate([columns, new[None]])
    mine = slice(N * comm.rank // comm.size, N * (comm.rank + 1) // comm.size)
    root = np.full(len(x[mine]), np.sqrt(2 * np.pi / N))
    rows = DenseRows(np.ascontiguousarray(columns[:, mine]), root, line=1)
    return LeastSquares(Tangent((rows,), comm), root * rhs[mine], EPS)


def left(system, solver, value):
    """‖R⁻ᵀAᵀ(b − Ax)‖ by products, relative to ‖b‖."""
    gradient = system.tangent.adjoint(system.rhs - system.tangent.apply(value)) - EPS**2 * value
    square = float(gradient @ solver.preconditioner.solve(gradient)) if system.comm.rank == 0 else 0.0
    return np.sqrt(system.comm.bcast(square)) / system.tangent.norm(system.rhs)


@pytest.mark.parametrize("ripple", [0.0, 1e-8, 1e-5])
@pytest.mark.parametrize("above", [1.0, 10.0])
def test_the_step_ends_below_the_tolerance_and_the_defect_follows(comm, above, ripple):
    problem, solver = system(comm, above, ripple), df.KSP(rtol=RTOL, preconditioner=GramCholesky(2.0))
    found, oracle, tangent = solver.solve(problem), df.Dense().solve(problem), problem.tangent
    assert (found.reason, found.iterations) == ("CONVERGED_ITS", 0)
    assert left(problem, solver, found.value) <= RTOL
    assert tangent.norm(tangent.apply(found.value - oracle.value)) <= RTOL * tangent.norm(problem.rhs)
    assert found.defect == pytest.approx(tangent.norm(tangent.apply(found.value) - problem.rhs), rel=1e-14)


@pytest.mark.parametrize(("above", "ripple"), [(1e4, 0.0), (10.0, 0.4)])
def test_a_start_far_away_and_a_rough_tangent_are_iterated(comm, above, ripple):
    """0.4 of each column is to the sample another column."""
    problem, solver = system(comm, above, ripple), df.KSP(rtol=RTOL, preconditioner=GramCholesky(2.0))
    found = solver.solve(problem)
    assert found.reason == "CONVERGED_RTOL_NORMAL" and found.iterations >= 1
    assert left(problem, solver, found.value) <= RTOL


class Blind(GramCholesky):
    """A factor that claims to resolve what it does not see."""

    resolved = True


@pytest.mark.parametrize("bump", ["points", "tails"])
def test_a_column_that_the_sample_misses_forbids_the_step(comm, bump):
    """P sees about ε² where the column has 0.4 or more, so the step would overshoot by up to 4e7."""
    problem, errors = system(comm, 1.0, bump=bump), []
    for preconditioner in (GramCholesky(2.0), Blind(2.0)):
        found, oracle = df.KSP(rtol=RTOL, preconditioner=preconditioner).solve(problem), df.Dense().solve(problem)
        errors.append(problem.tangent.norm(problem.tangent.apply(found.value - oracle.value)))
    assert errors[0] <= 1e-10 < 1e-9 < errors[1]


def error(problem, found):
    """‖√W J(δ − δ*)‖ / ‖r‖ with LAPACK's δ*."""
    oracle, tangent = df.Dense().solve(problem), problem.tangent
    return tangent.norm(tangent.apply(found.value - oracle.value)) / tangent.norm(problem.rhs)


def test_the_prediction_is_a_heuristic(comm):
    """What docs/least_squares.md says of its limit: each column is seen by the sample, their difference is not."""
    problem = system(comm, 1.0, bump="twin")
    found = df.KSP(rtol=RTOL, preconditioner=GramCholesky(2.0)).solve(problem)
    assert found.reason == "CONVERGED_ITS" and 1e-9 < error(problem, found) < 1e-6


@pytest.mark.parametrize("bump", ["", "points", "tails", "twin"])
def test_on_demand_every_end_is_checked(comm, bump):
    problem = system(comm, 10.0, bump=bump)
    for preconditioner in (GramCholesky(2.0), Blind(2.0)):
        found = df.KSP(rtol=RTOL, preconditioner=preconditioner, verify=True).solve(problem)
        assert found.reason == "CONVERGED_RTOL_NORMAL" and found.iterations >= 1
        assert error(problem, found) <= 1e-10
