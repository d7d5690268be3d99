"""Every demo of the gallery: its error against a reference of its own, serially and on two ranks.

Bounds are about three times what was measured with --quick, docs/gallery.md.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

DEMOS = Path(__file__).resolve().parents[2] / "demos"

# demo: {figure: largest admissible value}
BOUNDS = {
    "advection": {"error_1D": 1e-2, "error_2D": 1e-4, "error_3D": 1e-4},
    "collapse": {
        "error_cubic_auto": 1e-5,
        "error_sines_auto": 5e-4,
        "error_collision_auto": 1e-3,
        "error_cubic_inertia": 0.05,
        "error_sines_inertia": 1e-3,
        "error_collision_inertia": 1e-9,
    },
    "schroedinger": {"error": 0.05, "norm_drift": 5e-3},
    "fokker_planck": {"error": 0.02, "mass_drift": 0.02},
    "burgers": {"error": 2e-4},
    "allen_cahn": {"error": 0.03},
    "kdv": {"error": 2e-4, "mass_drift": 2e-4},
    "kuramoto_sivashinsky": {"error": 2e-4},
    "barenblatt": {"error": 1e-6, "mass_drift": 1e-4, "error_gaussians": 0.02},
    "detonation": {"error": 4e-4},
    "gray_scott": {"error": 0.012},
    "transport": {"error": 0.03},
    "vlasov": {"error": 0.01},
}
# linear problems: runs whose bound must bound the true error at every output time
BOUNDED = {"advection": 3, "collapse": 9, "schroedinger": 1, "fokker_planck": 1, "transport": 1, "vlasov": 1}


@pytest.fixture
def demos(monkeypatch):
    """The folder of the demos, importable."""
    monkeypatch.syspath_prepend(str(DEMOS))
    return DEMOS


def check(name: str, result: dict) -> None:
    for figure, bound in BOUNDS[name].items():
        assert 0 <= result[figure] < bound, f"{name}: {figure} = {result[figure]:.2e}, bound {bound:g}"
    holding = [holds for key, holds in result.items() if key.startswith("bound_holds")]
    assert all(holding) and len(holding) == BOUNDED.get(name, 0)


@pytest.mark.parametrize("name", BOUNDS)
def test_error_against_the_reference(demos, tmp_path, name):
    result = importlib.import_module(name).main(["--quick", "--out", str(tmp_path)])
    check(name, result)
    if name == "collapse":  # what inertia passes stops Tikhonov
        assert result["error_cubic_tikhonov"] > 0.5
        assert result["error_collision_inertia"] < 1e-6 * result["error_collision_tikhonov"]
        assert result["error_sines_inertia"] < 0.1 * result["error_sines_tikhonov"]
    picture = tmp_path / f"{name}.png"
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 10_000


def test_the_whole_gallery_on_two_ranks(demos, mpirun, tmp_path):
    """The beginning of each run, within the bounds.

    Errors are not compared with those on one rank: redundant starts, whose fit has no unique solution, and step control
    pass rounding on, and on another BLAS the quartic oscillator's error was ten times that of one rank (7e-3, 7e-4),
    bound 5e-2.  What has to agree between ranks is tested where it is well posed: one solve, a step, the main job.
    """
    petsc = importlib.util.find_spec("petsc4py") is not None
    names = sorted(name for name in BOUNDS if petsc or name != "gray_scott")
    options = ["--quick", "--stop", "1", "--out", str(tmp_path), "--only", *names]
    done = mpirun(2, [DEMOS / "gallery.py", *options], timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert sorted(results) == names
    for name, result in results.items():
        check(name, result)
    if not petsc:
        pytest.skip("gray_scott alone: finite elements on several ranks need petsc4py")


def test_references_agree_with_known_solutions(demos):
    """The spectral solver against a travelling wave, split steps against the period of a harmonic oscillator."""
    spectral, schroedinger = importlib.import_module("spectral"), importlib.import_module("schroedinger")
    soliton = importlib.import_module("kdv").solitons
    wave = spectral.Spectral(
        lambda x: soliton(-10.0, x[None]),  # long before they meet
        lambda k: 1j * k**3,
        lambda u, k: -3j * k * np.fft.rfft(u**2),
        (-60, 40), 512, 0.01, 1.0, 2,
    )  # fmt: skip
    x = np.linspace(-40, 20, 200)[None]
    assert np.max(abs(wave(1.0, x) - soliton(-9.0, x))) < 1e-5
    exact = schroedinger.SplitStep(1.0, 1, dt=0.01)
    finer = schroedinger.SplitStep(1.0, 1, n=512, dt=0.0025)
    assert np.max(abs(exact(1.0, x / 8) - finer(1.0, x / 8))) < 1e-7


def test_cole_hopf_solves_burgers(demos):
    """Residual of the equation by central differences."""
    burgers = importlib.import_module("burgers")
    x, t, h = np.linspace(-0.9, 0.9, 50)[None], 0.2, 1e-4
    u, left, right = (burgers.cole_hopf(t, x + d) for d in (0, -h, h))
    before, after = burgers.cole_hopf(t - h, x), burgers.cole_hopf(t + h, x)
    residual = (after - before) / (2 * h) + u * (right - left) / (2 * h) - burgers.NU * (right - 2 * u + left) / h**2
    assert np.max(abs(residual)) < 1e-4


def test_characteristics_of_the_flow(demos):
    """The clock of each direction against a numerical integration of the characteristics."""
    from scipy.integrate import solve_ivp

    transport = importlib.import_module("transport")
    x = np.linspace(-1, 1, 20, endpoint=False)
    for speed in (transport.speed_x, transport.speed_y):
        end = solve_ivp(lambda t, y, c=speed: -c(y), (0, 0.7), x, method="DOP853", rtol=1e-11, atol=1e-11).y[:, -1]
        assert np.max(abs((transport.Feet(speed)(0.7, x) - end + 1) % 2 - 1)) < 1e-8


