"""Larger and smaller ansätze for the same field."""

import numpy as np
import pytest

from dfpde.ansatz import GaussianMixture, Network, Periodic, PositiveMixture, Stack, WavePackets
from dfpde.ansatz.grow import change, insert, remove
from dfpde.errors import ParameterError, ShapeError

rng = np.random.default_rng(4)

MIXTURE = {"amplitudes": 0.0, "centers": [[0.3, -0.2]], "scales": 4.0}
CASES = {
    "mixture": (lambda n: GaussianMixture.isotropic(2, n), MIXTURE),
    "packets": (
        lambda n: WavePackets(2, n),
        {"centers": [[0.1, 0.2]], "momenta": 0.0, "zeta": [[0.0, 40.0]], "chirps": 0.0, "scales": [[3.0, 0.0, 3.0]]},
    ),
    "positive": (
        lambda n: PositiveMixture.isotropic(2, n),
        {"log_amplitudes": -40.0, "centers": [[0.3, -0.2]], "scales": 4.0},
    ),
    "one of a system": (
        lambda n: Stack(GaussianMixture.isotropic(2, n), GaussianMixture.isotropic(2, 2), names=("u", "v")),
        {f"u.{name}": value for name, value in MIXTURE.items()},
    ),
    "both of a system": (
        lambda n: Stack(*(GaussianMixture.isotropic(2, n),) * 2, shared=("centers", "scales")),
        {"0.amplitudes": 0.0, "1.amplitudes": 0.0, "centers": [[0.3, -0.2]], "scales": 4.0},
    ),
    "periodic": (
        lambda n: Periodic(GaussianMixture.isotropic(3, n), (2.0, None)),
        {"amplitudes": 0.0, "centers": [[0.3, 0.1, -0.2]], "scales": 4.0},
    ),
    "last layer": (lambda n: Network(2, (3, n)), {"weights1": 0.7, "biases1": 0.1, "weights2": 0.0}),
    "first layer": (lambda n: Network(2, (n, 4)), {"weights0": [[0.7, -1.0]], "biases0": 0.1, "weights1": 0.0}),
}


@pytest.mark.parametrize("name", CASES)
def test_field_and_its_motion_do_not_change(name):
    make, new = CASES[name]
    old, larger = make(3), make(4)
    theta, velocity = rng.normal(size=(2, old.size))
    x = rng.uniform(-1, 1, (2, 50))
    grown, moving = insert(old, larger, theta, velocity, new)
    assert change(old, theta, larger, grown, x, np.linalg.norm) < 1e-12
    np.testing.assert_allclose(larger.jvp(grown, x, moving), old.jvp(theta, x, velocity), atol=1e-12)
    np.testing.assert_allclose(larger.gradient(grown, x), old.gradient(theta, x), atol=1e-12)
    back, still = remove(larger, old, grown, moving, [3])
    np.testing.assert_array_equal(back, theta)
    np.testing.assert_array_equal(still, velocity)
    if name in ("packets", "positive"):  # amplitudes exp(−Im ζ), exp(α) cannot be zero, and columns are as small
        return
    # the new component can move: its amplitude has a column of its own
    assert np.linalg.matrix_rank(larger.tangent(grown, x).reshape(larger.size, -1)) > np.linalg.matrix_rank(
        old.tangent(theta, x).reshape(old.size, -1)
    )


def test_two_layers_at_once():
    old, larger = Network(2, (3, 3)), Network(2, (5, 4))
    theta = rng.normal(size=old.size)
    middle = np.zeros((4, 5))
    middle[3:] = rng.normal(size=(1, 5))
    new = {
        "weights0": rng.normal(size=(2, 2)),
        "biases0": [0.1, 0.2],
        "weights1": middle,
        "biases1": 0.3,
        "weights2": 0.0,
    }
    grown, none = insert(old, larger, theta, None, new)
    assert none is None
    x = rng.uniform(-1, 1, (2, 20))
    np.testing.assert_allclose(larger.value(grown, x), old.value(theta, x), atol=1e-14)


def test_remove_in_the_middle():
    four, two = GaussianMixture.diagonal(1, 4), GaussianMixture.diagonal(1, 2)
    theta = four.pack(amplitudes=[1.0, 0.0, 2.0, 0.0], centers=[[0.0], [1.0], [2.0], [3.0]], scales=1.0)
    less, _ = remove(four, two, theta, None, [3, 1])
    np.testing.assert_array_equal(two.unpack(less)["centers"], [[0.0], [2.0]])
    assert change(four, theta, two, less, np.linspace(-1, 1, 9)[None], np.linalg.norm) == 0.0


def test_misuse_is_named():
    one, two = GaussianMixture.isotropic(2, 1), GaussianMixture.isotropic(2, 2)
    theta = np.ones(one.size)
    with pytest.raises(ParameterError, match="blocks that grow"):
        insert(one, two, theta, None, {"amplitudes": 0.0})
    with pytest.raises(ShapeError, match="centers"):
        insert(one, two, theta, None, {"amplitudes": 0.0, "centers": np.zeros((3, 2)), "scales": 1.0})
    with pytest.raises(ShapeError, match="smaller ansatz first"):
        insert(two, one, np.ones(two.size), None, MIXTURE)
    with pytest.raises(ShapeError, match="one kind"):
        insert(one, WavePackets(2, 2), theta, None, MIXTURE)
    with pytest.raises(ShapeError, match="as many components less"):
        remove(two, one, np.ones(two.size), None, [0, 1])
    with pytest.raises(ShapeError, match="of 2"):
        remove(two, one, np.ones(two.size), None, [2])
