"""The demos without grids: a trap, particles, advection in five dimensions, wave packets in closed form."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path

import numpy as np
import pytest

import dfpde as df

DEMOS = Path(__file__).resolve().parents[2] / "demos"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """``run(name, *options)``: the figures of a quick run."""
    monkeypatch.syspath_prepend(str(DEMOS))

    def quick(name, *options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few points and components, as stated in the figures
            return importlib.import_module(name).main(["--quick", "--out", str(tmp_path), *options])

    return quick


def test_trap(run):
    """Bounds are about three times what was measured."""
    found = run("trap")
    free = run("trap", "--case", "split", "--signed", "--mass", "free")["split"]
    identical, split, full = found["identical"], found["split"], found["full"]
    assert identical["mean_error"] < 1e-3 and identical["mass_drift"] < 1e-12
    assert identical["covariance_error"] < identical["best_isotropic"]
    for apart in (split, free):
        assert apart["mean_error"] < 2e-5 and apart["covariance_error"] < 1e-3
    assert split["mass_drift"] < 1e-12 < 1e-8 < free["mass_drift"] < 1e-4  # kept, and left to the equation
    assert full["mean_error"] < 1e-9 and full["covariance_error"] < 1e-8 and full["mass_drift"] < 1e-8


@pytest.mark.parametrize("ansatz", ["network", "mixture"])
def test_particles(run, ansatz):
    """Bounds are three to five times what was measured."""
    found = run("particles", "--ansatz", ansatz)
    assert found["mean_error"] < 2e-3 and found["covariance_error"] < 0.03
    assert found["paths_mean_error"] < 5e-4 and found["paths_covariance_error"] < 5e-3
    if ansatz == "network":  # says more than its coordinates
        assert 3 * found["covariance_error"] < found["frame_covariance_error"]


def test_advection_keeps_the_error_of_the_fit(run):
    found = run("advection5d")
    assert found["error"] == pytest.approx(found["error_start"], rel=1e-3)
    for name in ("error_start", "error"):  # in closed form and at random points
        assert found[f"{name}_sampling"] < 0.01
        assert abs(found[name] - found[f"{name}_sampled"]) < 4 * found[f"{name}_sampling"] * found[name]


def test_fit_of_advection_has_the_gradient_of_its_misfit(monkeypatch):
    monkeypatch.syspath_prepend(str(DEMOS))
    demo = importlib.import_module("advection5d")
    rng = np.random.default_rng(0)
    z, way, h = 0.5 * rng.normal(size=6 * 4), rng.normal(size=6 * 4), 1e-5
    s = demo.VARIANCES[0] / np.prod(demo.VARIANCES[0]) ** 0.2
    slope = (demo.misfit(z + h * way, s)[0] - demo.misfit(z - h * way, s)[0]) / (2 * h)
    assert demo.misfit(z, s)[1] @ way == pytest.approx(slope, rel=1e-6)


def test_stored_fit_of_advection(monkeypatch):
    """What docs/measures.md says of it, in closed form."""
    monkeypatch.syspath_prepend(str(DEMOS))
    demo = importlib.import_module("advection5d")
    found = demo.error(df.GaussianMixture.isotropic(5, 50), df.State(0.0, np.load(demo.STORED)))
    assert found == pytest.approx(0.01923, abs=1e-5)


def test_gaussian_terms(monkeypatch):
    """The Gram matrix is the mixed derivative of ⟨u(z), u(w)⟩, misfits are the errors that the demo measures."""
    jax = pytest.importorskip("jax", exc_type=ImportError)
    monkeypatch.syspath_prepend(str(DEMOS.parent / "benchmarks"))
    terms = importlib.import_module("gaussian_terms")
    z = np.random.default_rng(0).normal(size=(4, 7)) * 0.5
    mixed = jax.jacobian(jax.grad(lambda z, w: z[:, 0] @ terms.overlap(z, w) @ w[:, 0]), 1)(z, z)
    np.testing.assert_allclose(terms.gram(z), np.reshape(mixed, (28, 28)), atol=1e-14)
    demo, n, ends = terms.demo, 8, []
    for variance in demo.VARIANCES:  # descents from terms that are spread at random
        s = variance / np.prod(variance) ** 0.2
        start = np.random.default_rng(0).normal(size=(4, n, 7)) * np.array([1, *0.4 * np.sqrt(s), 0.1])
        fits, misfits = terms.descended(start, s, 60)
        ends.append((np.asarray(fits[misfits.argmin()]), float(misfits.min())))
    apart = demo.error(df.GaussianMixture.isotropic(5, 2 * n), df.State(0.0, demo.assembled([u for u, _ in ends])))
    shares = np.prod(demo.VARIANCES, axis=1) ** -0.5  # of the squared norm; the two hardly overlap
    expected = np.sqrt(shares @ [misfit for _, misfit in ends] / shares.sum())
    assert apart == pytest.approx(expected, rel=0.02) and apart < 0.2


def test_henon_heiles(run):
    found = run("henon_heiles", "--dims", "2", "--until", "0.05", "--outputs", "1")["2d"]
    assert found["autocorrelation_error"] < 3e-4 and found["energy_drift"] < 1e-4
