"""PyTorch functions as ansätze."""

import numpy as np
import pytest

from dfpde.ansatz import GaussianMixture, TorchFunction, check_ansatz
from dfpde.errors import ParameterError, ShapeError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
rng = np.random.default_rng(2)


def points(dim, n=10):
    return rng.uniform(-1.0, 1.0, (dim, n))


def mixture(theta, x):
    squares = ((x - theta["centers"]) ** 2).sum(1)
    return (theta["amplitudes"] * torch.exp(-0.5 * theta["scales"] ** 2 * squares)).sum()


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("kind", ["scalar", "system", "complex"])
def test_check_ansatz(dim, kind):
    net = torch.nn.Sequential(torch.nn.Linear(dim, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2)).double()

    def fn(theta, x):
        u = torch.func.functional_call(net, theta, (x,))
        return u if kind == "system" else u[0] if kind == "scalar" else torch.complex(u[0], u[1])

    ansatz = TorchFunction(fn, dict(net.named_parameters()), dim=dim, chunk=4)
    assert ansatz.shape == ((2,) if kind == "system" else ()) and "0.weight" in ansatz.slices() and ansatz.matrix_free
    assert ansatz.dtype is (complex if kind == "complex" else float)
    assert not check_ansatz(ansatz, points(dim), order=2).missing


@pytest.mark.parametrize("alpha", [(4, 0), (1, 2)])
def test_equals_the_analytic_mixture(alpha):
    exact = GaussianMixture.isotropic(2, 3)
    theta, x = rng.normal(size=exact.size), points(2)
    ansatz = TorchFunction(mixture, {name: block for name, block in exact.unpack(theta).items()}, dim=2)
    np.testing.assert_array_equal(ansatz.theta0, theta)
    for got, wanted in [
        (ansatz.derivative(theta, x, alpha), exact.derivative(theta, x, alpha)),
        (ansatz.tangent_derivative(theta, x, alpha), exact.tangent_derivative(theta, x, alpha)),
    ]:
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-10)


def test_misuse_is_named():
    with pytest.raises(ShapeError, match="float32"):
        TorchFunction(lambda theta, x: (theta * x).sum().float(), np.ones(2), dim=2)
    with pytest.raises(ParameterError, match="int64"):
        TorchFunction(lambda theta, x: x[0], torch.ones(2, dtype=torch.int64), dim=2)
