"""JAX functions as ansätze: against analytic derivatives, double precision, one compilation."""

import sys

import numpy as np
import pytest

from dfpde.ansatz import GaussianMixture, JaxFunction, Transform, check_ansatz, exp
from dfpde.ansatz.autodiff.differentiated import rounded
from dfpde.errors import MissingDependency, ParameterError, ShapeError

jax = pytest.importorskip("jax", reason="JAX is not installed")
jax.config.update("jax_enable_x64", True)
jnp = jax.numpy
rng = np.random.default_rng(2)


def points(dim, n=10):
    return rng.uniform(-1.0, 1.0, (dim, n))


def mixture(theta, x):
    """The same field as GaussianMixture.isotropic."""
    squares = jnp.sum((x - theta["centers"]) ** 2, axis=1)
    return jnp.sum(theta["amplitudes"] * jnp.exp(-0.5 * theta["scales"] ** 2 * squares))


def network(theta, x):
    hidden = jnp.tanh(theta["first"][0] @ x + theta["first"][1])
    return theta["last"] @ hidden


def start(dim, components=()):
    return {"first": [rng.normal(size=(3, dim)), rng.normal(size=3)], "last": rng.normal(size=(*components, 3))}


@pytest.mark.parametrize(
    "dim, order, components, oscillating",
    [(1, 2, (), False), (2, 2, (), False), (3, 1, (), False), (2, 1, (2,), False), (1, 1, (2,), True)],
)
def test_check_ansatz(dim, order, components, oscillating):
    def wave(theta, x):
        return jnp.exp(1j * x[0]) * network(theta, x)

    ansatz = JaxFunction(wave if oscillating else network, start(dim, components), dim=dim)
    assert ansatz.shape == components and ansatz.dtype is (complex if oscillating else float) and ansatz.matrix_free
    assert not check_ansatz(ansatz, points(dim), order=order).missing


def test_composition():
    ansatz = Transform(JaxFunction(network, start(1), dim=1), exp)
    assert ansatz.matrix_free
    check_ansatz(ansatz, points(1), order=1)


@pytest.mark.parametrize("dim, alpha", [(1, (4,)), (2, (2, 2)), (2, (1, 0)), (3, (1, 1, 1))])
def test_equals_the_analytic_mixture(dim, alpha):
    exact = GaussianMixture.isotropic(dim, 3)
    theta = rng.normal(size=exact.size)
    ansatz = JaxFunction(mixture, exact.unpack(theta), dim=dim)
    assert list(ansatz.slices()) == sorted(exact.slices())  # JAX sorts the keys of a dict
    np.testing.assert_array_equal(ansatz.theta0, ansatz.pack(**exact.unpack(theta)))
    x = points(dim)
    np.testing.assert_allclose(
        ansatz.derivative(ansatz.theta0, x, alpha), exact.derivative(theta, x, alpha), rtol=1e-10, atol=1e-11
    )
    got = ansatz.tangent_derivative(ansatz.theta0, x, alpha)
    wanted = exact.tangent_derivative(theta, x, alpha)
    for name, (part, _) in exact.slices().items():
        np.testing.assert_allclose(got[ansatz.slices()[name][0]], wanted[part], rtol=1e-10, atol=1e-10)


def test_names_and_trees():
    ansatz = JaxFunction(network, start(2), dim=2)
    assert list(ansatz.slices()) == ["first.0", "first.1", "last"]
    tree = ansatz.tree(np.arange(12.0))
    np.testing.assert_array_equal(tree["first"][1], [6.0, 7.0, 8.0])
    assert list(JaxFunction(lambda theta, x: theta @ x, np.ones(2), dim=2).slices()) == ["theta"]


@jax.tree_util.register_pytree_with_keys_class
class Module:
    """What an equinox module is to JAX: arrays, an integer and a function as leaves."""

    def __init__(self, weight, power, activation):
        self.weight, self.power, self.activation = weight, power, activation

    def tree_flatten_with_keys(self):
        return [(jax.tree_util.GetAttrKey(k), v) for k, v in vars(self).items()], None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)

    def __call__(self, x):
        return self.activation(self.weight @ x) ** self.power


def test_modules_keep_what_is_no_parameter():
    module = Module(rng.normal(size=2).astype(np.float32), 2, jnp.tanh)
    ansatz = JaxFunction(lambda module, x: module(x), module, dim=2)
    assert list(ansatz.slices()) == ["weight"] and ansatz.theta0.dtype == np.float64
    x = points(2)
    np.testing.assert_allclose(ansatz.value(ansatz.theta0, x), np.tanh(ansatz.theta0 @ x) ** 2, rtol=1e-14)


def test_compiled_once_whatever_the_last_chunk():
    traced = []

    def fn(theta, x):
        traced.append(x)
        return theta @ x

    ansatz = JaxFunction(fn, np.ones(2), dim=2, chunk=64)
    traced.clear()
    theta = np.array([1.0, -2.0])
    for n in (250, 251, 256):  # four chunks of 63 or 64 points, padded to 64
        x = points(2, n)
        np.testing.assert_allclose(ansatz.value(theta, x), theta @ x, rtol=1e-14)
        np.testing.assert_array_equal(ansatz.tangent(theta, x), x)
        y = rng.normal(size=n)
        np.testing.assert_allclose(ansatz.vjp(theta, x, y), x @ y, rtol=1e-12)
        np.testing.assert_allclose(ansatz.jvp(theta, x, y[:2]), y[:2] @ x, rtol=1e-12)
    assert len(traced) == 4  # value, tangent, vjp, jvp


def test_shapes_of_chunks_are_few():
    assert all(n <= rounded(n) <= max(1.25 * n, n) for n in range(1, 3000))
    assert len({rounded(n) for n in range(1, 4097)}) <= 4 * 12


def test_single_precision_is_refused():
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(ParameterError, match="jax_enable_x64"):
            JaxFunction(lambda theta, x: theta @ x, np.ones(2), dim=2)
    finally:
        jax.config.update("jax_enable_x64", True)
    with pytest.raises(ShapeError, match="float32"):
        JaxFunction(lambda theta, x: (theta @ x).astype(jnp.float32), np.ones(2), dim=2)


def test_misuse_is_named(monkeypatch):
    with pytest.raises(ShapeError, match=r"shape \(1, 2\)"):
        JaxFunction(lambda theta, x: (theta * x)[None], np.ones(2), dim=2)
    with pytest.raises(ParameterError, match="complex"):
        JaxFunction(lambda theta, x: theta @ x, np.ones(2, complex), dim=2)
    with pytest.raises(ParameterError, match="chunk"):
        JaxFunction(lambda theta, x: theta @ x, np.ones(2), dim=2, chunk=0)
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(MissingDependency, match="pip install jax"):
        JaxFunction(lambda theta, x: theta @ x, np.ones(2), dim=2)
