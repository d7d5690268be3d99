"""The short demos (fit, evolve, compare): errors against closed forms and Fourier series."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

DEMOS = Path(__file__).resolve().parents[2] / "demos"
NAMES = ("network", "jax_function", "event", "boundary", "resume", "black_box")


@pytest.fixture
def run(monkeypatch, tmp_path):
    """``run(name)``: the figures of a quick run."""
    monkeypatch.syspath_prepend(str(DEMOS))
    return lambda name: importlib.import_module(name).main(["--quick", "--out", str(tmp_path)])


def check(name: str, found: dict) -> None:
    """Bounds are about three times what was measured."""
    if name == "network":
        assert found["error"] < 1e-4 and found["misfit"] < 1e-4
    elif name == "jax_function":
        assert found["error"] < 3e-5
    elif name == "event":  # a closed ansatz: steps err by their tolerance, 1e-4
        assert found["error"] < 1e-4 and found["error_t"] < 1e-4
    elif name == "boundary":
        hard, weak = found["hard"], found["weak"]
        assert hard["error"] < 1.5e-3 and weak["error"] < 1e-3  # ten times the tolerance of a step
        assert hard["at_walls"] < 1e-14 < weak["at_walls"] < 3e-3
    elif name == "black_box":  # the solution is a Gaussian: what is left are the code's own mesh and time steps
        assert found["error"] < 1e-2 and found["center_error"] < 1e-3 and found["steps"] < 20
    else:
        assert found["same_bits"] is True and found["error"] < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_error_against_the_reference(run, name):
    check(name, run(name))
