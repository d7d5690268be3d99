"""Elementary functions of the ansätze against the C library's, and where they are most at risk."""

import numpy as np
import pytest

from dfpde.ansatz.elementary import cos_sin, exponential, versine_sin


@pytest.mark.parametrize("size", (1.0, 1e3, 1e8, 1e15))
def test_cosine_and_sine(size):
    angle = np.random.default_rng(0).uniform(-size, size, 50_000)
    cosine, sine = cos_sin(angle)
    assert np.abs(cosine - np.cos(angle)).max() <= 5e-16 + 2.0**-53
    assert np.abs(sine - np.sin(angle)).max() <= 5e-16 + 2.0**-53


def test_special_angles():
    angle = np.array([0.0, np.pi, -np.pi, np.pi / 2, 2 * np.pi, np.nan])
    cosine, sine = cos_sin(angle)
    np.testing.assert_allclose(cosine, np.cos(angle), atol=5e-16)
    np.testing.assert_allclose(sine, np.sin(angle), atol=5e-16)
    assert cosine[0] == 1.0 and sine[0] == 0.0


def test_versine_of_small_angles_has_no_cancellation():
    angle = np.logspace(-150, -4, 60)
    np.testing.assert_allclose(versine_sin(angle)[0], 2 * np.sin(0.5 * angle) ** 2, rtol=1e-15)


def test_complex_exponential():
    z = np.random.default_rng(1).uniform(-20, 2, 2000) + 1j * np.random.default_rng(2).uniform(-50, 50, 2000)
    assert np.abs(exponential(z) / np.exp(z) - 1).max() <= 2e-15
