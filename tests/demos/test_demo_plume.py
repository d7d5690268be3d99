"""The plume in a mesh: its reference against itself and conservation, errors, and the same numbers on several ranks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI

sys.path.insert(0, str(Path(__file__).parents[2] / "demos"))

import plume
from plume_reference import CENTERS, RADIUS, SIGMA, Reference, stream


def test_the_reference():
    """The stream is free of divergence and touches the sphere; mass is kept; half the modes make no difference."""
    rng = np.random.default_rng(0)
    ray = rng.normal(size=(3, 50))
    ray /= np.linalg.norm(ray, axis=0)
    assert np.sum(ray * stream(RADIUS * ray), axis=0) == pytest.approx(np.zeros(50), abs=1e-14)
    x, h = 0.6 * ray, 1e-5 * np.eye(3)[:, :, None]
    assert sum((stream(x + h[i]) - stream(x - h[i]))[i] for i in range(3)) / 2e-5 == pytest.approx(0.0, abs=1e-8)
    fine, coarse = Reference(0.2), Reference(0.2, 32, 0.04)
    mass = len(CENTERS) * (2 * np.pi * SIGMA**2) ** 1.5
    assert np.mean(fine.grid[1]) == pytest.approx(mass, rel=1e-9)
    x, c = fine.grid
    there = coarse(x)
    assert np.sqrt(np.mean((there - c) ** 2)) < 1e-3 * fine.norm  # splines between points of distance 1/64


@pytest.mark.mpi
def test_plume(comm):
    """80 parameters within 5e-3 where P1 elements of the same mesh are wrong by half; the mesh is the limit of both."""
    found = plume.main(["--quick", "--sizes"], comm)
    own = next(row for row in found["rows"] if row["method"] == "dfpde")
    coarse, fine = (row["error"] for row in found["rows"] if row["method"] == "P1")
    assert own["error"] < 5e-3 and 0.3 < fine < coarse
    assert own["points"] < 4 * own["cells"] / 20
    if comm.size > 1:
        alone = plume.main(["--quick"], MPI.COMM_SELF)
        assert own["error"] == pytest.approx(
            next(r["error"] for r in alone["rows"] if "dfpde" in r["method"]), rel=1e-4
        )
