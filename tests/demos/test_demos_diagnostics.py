"""Demos of the diagnostics: their figures against theory and references, serially and on two ranks."""

import importlib
import json
import sys
from pathlib import Path

import pytest

DEMOS = Path(__file__).resolve().parents[2] / "demos"


def run(name, out):
    sys.path.insert(0, str(DEMOS))
    try:
        found = importlib.import_module(name).main(["--quick", "--out", str(out)])
    finally:
        sys.path.remove(str(DEMOS))
    assert (out / f"{name}.png").stat().st_size > 10_000
    return found


def on_two_ranks(name, mpirun, out):
    done = mpirun(2, [DEMOS / f"{name}.py", "--quick", "--out", out], timeout=300)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith(f"{name}: "))
    return json.loads(line.removeprefix(f"{name}: "))


def test_computational_inertia(tmp_path, mpirun):
    found = run("computational_inertia", tmp_path)
    assert found["order_verlet"] == pytest.approx(2, abs=0.15)
    assert found["order_fourth"] == pytest.approx(4, abs=0.15)
    # the amplitude from the modified Hamiltonian, up to the next order in h²
    assert found["velocity Verlet, h = 0.1: largest / predicted"] == pytest.approx(1, abs=0.02)
    assert found["velocity Verlet, h = 0.1: last tenth / first tenth"] < 1.1
    assert found["damped_error"] < 1e-3  # h²: 4e-4 with h = 0.02
    assert found["noise_z"] < 4.5  # largest of 72 deviations from theory, in standard errors: false alarm 5e-4
    assert found["noise_standard_error"] < 0.08
    assert abs(found["Allen–Cahn: work"]) < 1e-12 and abs(found["Burgers: work"]) > 0.01
    assert max(found["Allen–Cahn: drift"], found["Burgers: drift"]) < 1e-5
    both = on_two_ranks("computational_inertia", mpirun, tmp_path)
    assert both["noise_z"] == pytest.approx(found["noise_z"], rel=1e-6)


def test_conservation(tmp_path, mpirun):
    found = run("conservation", tmp_path)
    for rule in ("ρ = 0.97", "Tikhonov"):
        for steps in (10, 40):
            free, kept = (found[f"{rule}, {steps} steps, {how}"] for how in ("free", "kept"))
            assert max(kept["mass"], kept["energy"]) < 1e-12 < 1e-8 < max(free["mass"], free["energy"])
            assert kept["error"] <= 1.001 * free["error"] < 0.01
    both = on_two_ranks("conservation", mpirun, tmp_path)
    for name, row in both.items():
        if name != "fit":
            assert max(row["mass"], row["energy"]) < 1e-12 or "free" in name
            assert row["error"] == pytest.approx(found[name]["error"], rel=1e-2)


def test_inverse(tmp_path, mpirun):
    found = run("inverse", tmp_path)
    assert found["relative_error"] < 0.01
    assert found["relative_error"] < 3 * found["standard_error"]
    assert found["residual"] == pytest.approx(1, abs=0.2)  # what is left is the noise
    assert found["derivative_against_differences"] < 1e-5
    both = on_two_ranks("inverse", mpirun, tmp_path)
    assert both["viscosity"] == pytest.approx(found["viscosity"], rel=1e-4)
