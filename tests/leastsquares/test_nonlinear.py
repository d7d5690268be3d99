"""The Levenberg–Marquardt iteration of `fit` and of field steps: orders of one step, ends, where it cannot go on."""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI

from dfpde.leastsquares import LSQR, DenseRows, Tangent
from dfpde.leastsquares.nonlinear import REACHED, LevenbergMarquardt

COMM = MPI.COMM_SELF


def descent(**changes):
    how = {"floor": 0.3, "eps": 1e-9, "unit": 1.0, "goal": 0.0, "least": 1e-12, "memory": 1, "negligible": 1e-12,
           "most": 1}  # fmt: skip
    return LevenbergMarquardt(COMM, **(how | changes))


def exponential(h):
    """(r, J) of Φ(θ) = e^θ with u = Φ(h)."""

    def tangent(theta):
        return Tangent((DenseRows(np.exp(theta)[None], np.ones(1)),), COMM)

    return lambda theta: np.exp([h]) - np.exp(theta), tangent


@pytest.mark.parametrize(("curved", "order"), [(False, 2), (True, 3)])
def test_order_of_one_step(curved, order):
    """θ₁ − h = O(h²) by Gauss–Newton from 0, O(h³) along the curve."""
    errors = []
    for h in (0.1, 0.05):
        end = descent(curved=curved)(*exponential(h), np.zeros(1), 1e-9, LSQR())
        errors.append(abs(end.theta[0] - h))
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.15


def test_it_ends_at_its_goal_and_says_so():
    end = descent(goal=1e-8, most=20)(*exponential(0.5), np.zeros(1), 1e-3, LSQR())
    assert end.reason == REACHED and end.misfit <= 1e-8 and end.solves < 8


def test_it_ends_where_j_holds_nothing_of_what_is_missing():
    residual, _ = exponential(0.5)
    beside = lambda theta: np.append(residual(theta), 1.0)  # noqa: E731  a second row that θ does not move
    both = lambda theta: Tangent((DenseRows(np.array([[np.exp(theta[0]), 0.0]]), np.ones(2)),), COMM)  # noqa: E731
    end = descent(most=50, negligible=1e-4)(beside, both, np.zeros(1), 1e-3, LSQR())
    assert end.misfit == pytest.approx(1.0) and end.solves < 10 and "does not fall" in end.reason


def test_steps_to_where_the_field_is_not_finite_are_not_taken():
    _, tangent = exponential(3.0)
    wall = lambda theta: np.where(theta < 1.0, np.exp(3.0) - np.exp(theta), np.nan)  # noqa: E731
    end = descent(most=60, curved=True)(wall, tangent, np.zeros(1), 1e-3, LSQR())
    assert np.isfinite(end.misfit) and 0.9 < end.theta[0] < 1.0
