"""Leverages against their definition, and what they mean."""

from __future__ import annotations

import numpy as np
import pytest

from dfpde.leastsquares import DenseRows, Tangent, leverage


def tangent_of(matrix, comm, weights=None):
    """√W J of which this rank has every size-th row."""
    mine = matrix[comm.rank :: comm.size]
    w = np.ones(len(matrix)) if weights is None else weights
    return Tangent((DenseRows(np.ascontiguousarray(mine.T), np.sqrt(w[comm.rank :: comm.size])),), comm)


@pytest.mark.mpi
@pytest.mark.parametrize("seed", range(60))
def test_definition_by_singular_values(comm, seed):
    rng = np.random.default_rng(seed)
    rows, p, eps = rng.integers(3, 41), rng.integers(1, 13), rng.choice([1e-3, 1e-1, 1.0])
    matrix, w, d = rng.normal(size=(rows, p)), rng.uniform(0.1, 2.0, rows), rng.uniform(0.5, 2.0, p)
    u, sigma, _ = np.linalg.svd(np.sqrt(w)[:, None] * matrix / d, full_matrices=False)
    filters = sigma**2 / (sigma**2 + eps**2)
    found = leverage(tangent_of(matrix, comm, w), eps, d)
    expected = (u**2) @ filters
    assert found.rows == pytest.approx(expected[comm.rank :: comm.size], abs=1e-8)
    assert found.total == pytest.approx(filters.sum(), rel=1e-8)
    assert found.largest == pytest.approx(expected.max(), rel=1e-8)
    assert found.largest < 1 and found.count == rows


def test_a_column_that_lives_on_one_row_has_leverage_near_one(comm):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(50, 4))
    matrix[:, 3] = 0.0
    matrix[17, 3] = 1.0
    found = leverage(tangent_of(matrix, comm), 1e-6)
    assert found.rows[17] == pytest.approx(1.0, abs=1e-9)
    assert np.delete(found.rows, 17).max() < 0.5


def test_units_of_parameters_do_not_matter(comm):
    rng = np.random.default_rng(1)
    matrix, units = rng.normal(size=(30, 5)), 10.0 ** np.array([-9, -3, 0, 4, 12])
    plain = leverage(tangent_of(matrix, comm), 1e-2, np.ones(5))
    scaled = leverage(tangent_of(matrix * units, comm), 1e-2, units)
    assert scaled.rows == pytest.approx(plain.rows, rel=1e-9)
