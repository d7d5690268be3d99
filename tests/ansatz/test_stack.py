"""Systems of equations: block structure of the tangent, shared parameters, names."""

import numpy as np
import pytest
from waves import Waves

from dfpde.ansatz.composites.stack import Stack
from dfpde.errors import ParameterError, ShapeError

rng = np.random.default_rng(5)


def points(dim, n=7):
    return rng.uniform(-1.0, 1.0, (dim, n))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_separate_parameters_block_diagonal(dim):
    first, second = Waves(2, dim), Waves(3, dim, complex)
    system = Stack(first, second, names=("first", "second"))
    theta, x = rng.normal(size=system.size), points(dim)
    a, b = theta[: first.size], theta[first.size :]
    assert system.shape == (2,) and system.dtype is complex and system.size == first.size + second.size
    np.testing.assert_array_equal(system.value(theta, x), [first.value(a, x), second.value(b, x)])
    for alpha in [(1,) + (0,) * (dim - 1), (0,) * (dim - 1) + (3,)]:
        expected = np.zeros((system.size, 2, x.shape[1]), complex)
        expected[: first.size, 0] = first.tangent_derivative(a, x, alpha)
        expected[first.size :, 1] = second.tangent_derivative(b, x, alpha)
        np.testing.assert_array_equal(system.tangent_derivative(theta, x, alpha), expected)
        expected = [first.derivative(a, x, alpha), second.derivative(b, x, alpha)]
        np.testing.assert_array_equal(system.derivative(theta, x, alpha), expected)
    for name, lead in [("gradient", (dim,)), ("hessian", (dim, dim)), ("laplacian", ())]:
        got = getattr(system, name)(theta, x)
        assert got.shape == (*lead, 2, x.shape[1])
        np.testing.assert_array_equal(got[..., 0, :], getattr(first, name)(a, x))
        np.testing.assert_array_equal(got[..., 1, :], getattr(second, name)(b, x))
    tangent = system.tangent(theta, x)
    assert tangent.flags.c_contiguous and not tangent[: first.size, 1].any() and not tangent[first.size :, 0].any()


@pytest.mark.parametrize("shared", [(), ("wave_vectors",), ("phases", "amplitudes", "wave_vectors")])
def test_products_and_names(shared):
    system = Stack(Waves(2, 2), Waves(2, 2, complex), shared=shared)
    assert system.size == 16 - {0: 0, 1: 4, 3: 8}[len(shared)]
    theta, x = rng.normal(size=system.size), points(2)
    blocks = system.unpack(theta)
    assert set(shared) <= set(blocks) and len(blocks) == 6 - len(shared)
    np.testing.assert_array_equal(system.pack(**blocks), theta)
    tangent = system.tangent(theta, x)
    v, y = rng.normal(size=system.size), rng.normal(size=(2, 7)) + 1j * rng.normal(size=(2, 7))
    np.testing.assert_allclose(system.jvp(theta, x, v), np.tensordot(v, tangent, 1), atol=1e-13)
    np.testing.assert_allclose(system.vjp(theta, x, y), np.einsum("pmn,mn->p", tangent, y.conj()).real, atol=1e-13)
    step = 1e-6
    difference = (system.value(theta + step * v, x) - system.value(theta - step * v, x)) / (2 * step)
    np.testing.assert_allclose(system.jvp(theta, x, v), difference, atol=1e-8)


def test_systems_of_systems_and_empty_ranks():
    inner = Stack(Waves(1, 1), Waves(2, 1), names=("a", "b"))
    outer = Stack(inner, Waves(1, 1), names=("pair", "last"))
    theta = rng.normal(size=outer.size)
    assert outer.shape == (3,) and "pair.a.phases" in outer.unpack(theta)
    x = points(1)
    np.testing.assert_array_equal(outer.value(theta, x)[:2], inner.value(theta[: inner.size], x))
    y = rng.normal(size=(3, 7))
    np.testing.assert_allclose(outer.vjp(theta, x, y), np.tensordot(outer.tangent(theta, x), y, 2), atol=1e-13)
    assert outer.tangent(theta, np.empty((1, 0))).shape == (outer.size, 3, 0)
    assert outer.hessian(theta, np.empty((1, 0))).shape == (1, 1, 3, 0)


def test_misuse_is_named():
    with pytest.raises(ShapeError, match="dimensions"):
        Stack(Waves(1, 1), Waves(1, 2))
    with pytest.raises(ParameterError, match="'widths' to share"):
        Stack(Waves(1, 1), Waves(1, 1), shared=("widths",))
    with pytest.raises(ShapeError, match="shapes"):
        Stack(Waves(1, 1), Waves(2, 1), shared=("phases",))
    with pytest.raises(ParameterError, match="name of its own"):
        Stack(Waves(1, 1), Waves(1, 1), names=("u", "u"))
