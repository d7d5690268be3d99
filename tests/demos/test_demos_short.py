"""The short demos (fit, evolve, compare): errors against closed forms and Fourier series, on one rank and on two."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

DEMOS = Path(__file__).resolve().parents[2] / "demos"
NAMES = ("network", "jax_function", "event", "boundary", "resume")


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
        assert hard["error"] < 1.5e-3 and weak["error"] < 2e-4
        assert hard["at_walls"] < 1e-14 < weak["at_walls"] < 6e-4
    else:
        assert found["same_bits"] is True and found["error"] < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_error_against_the_reference(run, name):
    check(name, run(name))


def test_all_on_two_ranks(mpirun, tmp_path):
    """One job runs them one after the other; rank 0 prints one line of JSON for each."""
    script = tmp_path / "all.py"
    script.write_text(
        f"import importlib, sys\nsys.path.insert(0, {str(DEMOS)!r})\n"
        f"for name in {NAMES!r}:\n    importlib.import_module(name).main(['--quick', '--out', {str(tmp_path)!r}])\n"
    )
    done = mpirun(2, [script], timeout=300)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines() if line.split(": ")[0] in NAMES)
    assert set(lines) == set(NAMES)
    for name, text in lines.items():
        check(name, json.loads(text))
