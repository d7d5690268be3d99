"""Wave packets: exact in a harmonic well up to the time steps, converging with their number in an anharmonic one."""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from dfpde.errors import DfpdeWarning

DEMOS = Path(__file__).resolve().parents[2] / "demos"


@pytest.fixture(scope="module")
def oscillator():
    sys.path.insert(0, str(DEMOS))
    try:
        import oscillator as module
    finally:
        sys.path.remove(str(DEMOS))
    return module


@pytest.fixture(scope="module")
def result(oscillator, tmp_path_factory):
    out = tmp_path_factory.mktemp("oscillator")
    with pytest.warns(DfpdeWarning, match="does not follow"):  # one packet does not follow the shape
        found = oscillator.main(["--quick", "--out", str(out)])
    assert (out / "oscillator.png").stat().st_size > 10_000
    return found


def test_harmonic_error_is_below_the_sum_of_the_tolerances(result):
    """The flow is unitary and the packets are closed: errors of steps only add up."""
    for row in result["harmonic"]:
        assert row["error_end"] < row["steps"] * row["rtol"]
        assert max(row["norm_drift"], row["energy_drift"]) < row["steps"] * row["rtol"]
    coarse, fine = result["harmonic"]
    assert fine["error_end"] < 0.05 * coarse["error_end"]


def test_anharmonic_error_decreases_with_the_packets(result):
    one, four = result["anharmonic"]
    assert 0.2 < one["error_end"] < 1  # one frozen packet follows the mean, not the shape
    assert four["error_end"] < 0.2 * one["error_end"]
    assert four["norm_drift"] < 0.01 and four["energy_drift"] < 0.01


def test_references(oscillator):
    """Heller's formula solves the equation (complex differences in time), split steps are of fourth order."""
    x, packet, t, h = np.linspace(-3, 3, 31)[None], (0.7, -0.4, 0.3 + 1.4j, 0.2 + 0.1j), 4.0, 1e-3

    def u(t, x=x):
        return oscillator.heller(t, x, *packet)

    u_t = (8 * (u(t + h) - u(t - h)) - (u(t + 2 * h) - u(t - 2 * h))) / (12 * h)
    u_xx = (16 * (u(t, x + h) + u(t, x - h)) - u(t, x + 2 * h) - u(t, x - 2 * h) - 30 * u(t)) / (12 * h**2)
    np.testing.assert_allclose(1j * u_t, -0.5 * u_xx + 0.5 * x[0] ** 2 * u(t), atol=1e-7)
    np.testing.assert_allclose(
        u(0.0), np.exp(1j * (0.5 * packet[2] * (x[0] - 0.7) ** 2 - 0.4 * (x[0] - 0.7) + packet[3]))
    )
    times = np.linspace(0, 20 * np.pi, 2001)
    jumps = [abs(u(b) - u(a)).max() for a, b in itertools.pairwise(times)]
    assert max(jumps) < 0.2  # the square root of Z stays on one branch
    runs = [oscillator.SplitStep(1.0, 1, dt=dt)(1.0, x) for dt in (0.05, 0.025, 0.0125)]
    errors = [abs(run - oscillator.SplitStep(1.0, 1, dt=1e-3)(1.0, x)).max() for run in runs]
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 4, atol=0.15)


def test_two_ranks_agree(result, mpirun, tmp_path):
    done = mpirun(2, [DEMOS / "oscillator.py", "--quick", "--out", tmp_path], timeout=300)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("oscillator: "))
    rows = json.loads(line.removeprefix("oscillator: "))
    for name in ("harmonic", "anharmonic"):
        for ours, theirs in zip(result[name], rows[name], strict=True):
            assert theirs["steps"] == ours["steps"]
            # Sums round otherwise: 1e-14 in the guess of the fit moves the anharmonic error by 1e-7 of itself.
            assert theirs["error_end"] == pytest.approx(ours["error_end"], rel=1e-5)
