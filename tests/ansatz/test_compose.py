"""Compositions: exact derivatives by the chain rule, parameters by name, and what each composition promises."""

import numpy as np
import pytest
from waves import Waves

from dfpde.ansatz import (
    Frozen,
    GaussianMixture,
    Known,
    Masked,
    Network,
    Periodic,
    Polynomial,
    Product,
    Stack,
    Sum,
    Symmetric,
    Transform,
    WavePackets,
    check_ansatz,
    exp,
    softplus,
    square,
)
from dfpde.ansatz.multiindex import partitions, splits
from dfpde.errors import MissingDerivative, ParameterError, ShapeError

rng = np.random.default_rng(11)


def points(dim, n=9):
    return rng.uniform(-0.9, 0.9, (dim, n))


def gauss(dim):
    return GaussianMixture.isotropic(dim, 2)


def frozen(ansatz, *names):
    return Frozen(ansatz, np.random.default_rng(1).normal(size=ansatz.size), names)


def periodic(inner, dim):
    """Periodic in the first coordinate."""
    return Periodic(inner(dim + 1), (2.5,) + (None,) * (dim - 1))


def even(ansatz):
    return Symmetric(ansatz, [((-1,) * ansatz.dim, 1)], center=(0.1,) * ansatz.dim)


def box(dim):
    return Polynomial.box((-1.0,) * dim, (1.0,) * dim)


ONE_DEEP = {
    "sum": lambda dim: Sum(gauss(dim), Waves(1, dim), names=("left", "right")),
    "product": lambda dim: Product(gauss(dim), Waves(1, dim)),
    "product of three": lambda dim: Product(Waves(1, dim), Waves(1, dim, complex), Waves(1, dim)),
    "shared": lambda dim: Product(Waves(2, dim), Waves(2, dim), shared=("wave_vectors",)),
    "masked": lambda dim: Masked(gauss(dim), box(dim), lift=Polynomial({(1,) * dim: 2.0})),
    "exp": lambda dim: Transform(gauss(dim), exp),
    "softplus": lambda dim: Transform(gauss(dim), softplus),
    "square": lambda dim: Transform(Waves(2, dim, complex), square),
    "frozen": lambda dim: frozen(gauss(dim), "centers"),
    "symmetric": lambda dim: even(gauss(dim)),
    "periodic": lambda dim: periodic(gauss, dim),
    "stack": lambda dim: Stack(gauss(dim), Waves(1, dim, complex)),
}
TWO_DEEP = {
    "positive product": lambda dim: Transform(Product(gauss(dim), Waves(1, dim)), softplus),
    "masked periodic": lambda dim: Masked(periodic(gauss, dim), box(dim)),
    "exp of periodic": lambda dim: Transform(periodic(gauss, dim), exp),
    "frozen in sum": lambda dim: Sum(frozen(gauss(dim), "scales"), even(gauss(dim))),
    "sum frozen": lambda dim: frozen(Sum(gauss(dim), gauss(dim), names=("a", "b")), "a", "b.centers"),
    "periodic product": lambda dim: periodic(lambda d: Product(gauss(d), Waves(1, d)), dim),
    "symmetric exp": lambda dim: even(Transform(gauss(dim), exp)),
    "scalar times system": lambda dim: Product(gauss(dim), Stack(gauss(dim), Waves(1, dim, complex))),
    "masked system": lambda dim: Masked(Stack(gauss(dim), Waves(1, dim)), box(dim)),
    "sum of systems": lambda dim: Sum(*(Stack(gauss(dim), gauss(dim), shared=("centers",)) for _ in range(2))),
    "mirrored vector": lambda dim: Symmetric(Stack(gauss(dim), Waves(1, dim)), [((-1,) + (1,) * (dim - 1), (-1, 1))]),
    "sum with positive network": lambda dim: Sum(Transform(Network(dim, (3,)), softplus), gauss(dim)),
    "masked packets": lambda dim: Masked(Sum(WavePackets(dim, 1), Waves(1, dim, complex)), box(dim)),
    "stack of positive": lambda dim: Stack(Transform(gauss(dim), exp), periodic(gauss, dim)),
}


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("name", [*ONE_DEEP, *TWO_DEEP])
def test_check_ansatz(name, dim):
    ansatz = (ONE_DEEP | TWO_DEEP)[name](dim)
    report = check_ansatz(ansatz, points(dim), 0.7 * rng.normal(size=ansatz.size), order=4 if dim == 1 else 2)
    assert not report.missing


@pytest.mark.parametrize("name", ["product", "masked", "softplus", "symmetric", "periodic", "positive product"])
def test_third_and_fourth_derivatives_in_the_plane(name):
    ansatz = (ONE_DEEP | TWO_DEEP)[name](2)
    check_ansatz(ansatz, points(2, 5), 0.7 * rng.normal(size=ansatz.size), order=4)


class Counted(Network):
    """A network that counts its passes."""

    passes = 0

    def derivatives(self, theta, x, alphas):
        self.passes += 1
        return super().derivatives(theta, x, alphas)


def test_a_component_is_asked_once_for_all_derivatives():
    network = Counted(4, (5,))
    ansatz, x = Product(GaussianMixture.full(4, 1), Transform(network, exp)), points(4)
    theta = 0.5 * rng.normal(size=ansatz.size)
    alphas = [tuple(row) for row in (*np.zeros((1, 4), int), *np.eye(4, dtype=int), *2 * np.eye(4, dtype=int))]
    each = np.stack([ansatz.derivative(theta, x, alpha) for alpha in alphas])
    network.passes = 0
    np.testing.assert_allclose(ansatz.derivatives(theta, x, alphas), each, rtol=1e-11, atol=1e-13)
    assert network.passes == 1


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("name", [*ONE_DEEP, *TWO_DEEP])
def test_the_linearization_is_the_tangent(name, dim):
    """Its products, its columns at every second point, and the derivatives beside it."""
    ansatz, x = (ONE_DEEP | TWO_DEEP)[name](dim), points(dim)
    theta, v = 0.7 * rng.normal(size=ansatz.size), rng.normal(size=ansatz.size)
    y = rng.normal(size=(*ansatz.shape, 9)) + (1j * rng.normal(size=9) if ansatz.dtype is complex else 0.0)
    alphas = [(0,) * dim, (1,) + (0,) * (dim - 1), (0,) * (dim - 1) + (2,)]
    found, linear = ansatz.linearize(theta, x, alphas)
    close = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(found, ansatz.derivatives(theta, x, alphas), **close)
    np.testing.assert_allclose(linear.jvp(v), ansatz.jvp(theta, x, v), **close)
    np.testing.assert_allclose(linear.vjp(y), ansatz.vjp(theta, x, y), **close)
    np.testing.assert_allclose(linear.columns(slice(1, 8, 2)), ansatz.tangent(theta, x)[..., 1:8:2], **close)


def test_a_transformed_network_is_sampled_as_the_network_is():
    """exp(network) times what is known has the factored rows of the network, scaled."""
    network, x = Network(2, (5, 4)), points(2)
    root, theta = rng.uniform(0.5, 1.0, 9), 0.7 * rng.normal(size=network.size)
    ansatz = Product(frozen(gauss(2), *gauss(2).slices()), Transform(network, exp))
    sample = ansatz.linearize(theta, x)[1].sample(slice(1, 8, 2), root[1:8:2])
    np.testing.assert_allclose(sample.array(), (root * ansatz.tangent(theta, x))[:, 1:8:2], atol=1e-13)
    assert Sum(network, Network(2, (3,))).linearize(np.ones(network.size + 13), x)[1].sample(slice(9), root) is None


def test_combinatorics():
    bell = [1, 1, 2, 5, 15, 52]
    for order, number in enumerate(bell):
        assert sum(count for count, _ in partitions((order,))) == number
    assert sum(count for count, _ in partitions((2, 1, 1))) == bell[4]
    assert {blocks: count for count, blocks in partitions((4,))}[((2,), (2,))] == 3
    assert sum(count for count, _ in splits((3, 2), 4)) == 4**5


def test_names_and_shared_parameters():
    product = ONE_DEEP["shared"](2)
    theta = rng.normal(size=product.size)
    blocks = product.unpack(theta)
    assert list(blocks) == ["wave_vectors", "0.amplitudes", "0.phases", "1.amplitudes", "1.phases"]
    np.testing.assert_array_equal(product.pack(**blocks), theta)
    one = Waves(2, 2)
    x = points(2)
    factors = [
        one.value(one.pack(**{k: blocks[k if k in blocks else f"{i}.{k}"] for k in one.slices()}), x) for i in (0, 1)
    ]
    np.testing.assert_allclose(product.value(theta, x), factors[0] * factors[1], rtol=1e-14)


def test_masked_keeps_its_boundary_values():
    lift = Known(2, {(0, 0): lambda x: np.exp(x[0]) * x[1]})
    ansatz = Masked(gauss(2), box(2), lift)
    side = rng.uniform(-1, 1, 20)
    x = np.array([np.where(np.arange(20) % 2, side, 1.0), np.where(np.arange(20) % 2, -1.0, side)])
    theta = rng.normal(size=ansatz.size)
    np.testing.assert_allclose(ansatz.value(theta, x), np.exp(x[0]) * x[1], atol=1e-14)
    np.testing.assert_allclose(ansatz.tangent(theta, x), 0.0, atol=1e-14)
    with pytest.raises(MissingDerivative, match=r"derivatives\[\(1, 0\)\]"):
        ansatz.gradient(theta, x)


def test_polynomials_by_hand():
    q = Polynomial({(3, 1): 2.0, (0, 0): 1.0})
    x = points(2)
    nothing = np.empty(0)
    np.testing.assert_allclose(q.derivative(nothing, x, (2, 1)), 12.0 * x[0], rtol=1e-15)
    np.testing.assert_array_equal(q.derivative(nothing, x, (0, 2)), 0.0)
    hump = Polynomial.box([0.0, -1.0], [2.0, 3.0])
    np.testing.assert_allclose(hump.value(nothing, np.array([[1.0, 0.0, 2.0], [1.0, 2.0, -1.0]])), [1.0, 0.0, 0.0])


@pytest.mark.parametrize("order", [0, 1, 3])
def test_periodic_for_every_theta(order):
    ansatz = Periodic(GaussianMixture.full(3, 4), (2.0, None))
    theta, x = 3.0 * rng.normal(size=ansatz.size), points(2)
    shifted = x + np.array([[2.0], [0.0]])
    for alpha in [(order, 0), (0, order)]:
        left, right = ansatz.derivative(theta, x, alpha), ansatz.derivative(theta, shifted, alpha)
        np.testing.assert_allclose(left, right, atol=1e-12 * np.max(np.abs(left)))
    e = ansatz.embed(x)
    np.testing.assert_allclose(np.hypot(e[0], e[1]), 1.0 / np.pi, rtol=1e-14)  # circumference 2
    np.testing.assert_array_equal(e[2], x[1])


def test_symmetric_for_every_theta():
    ansatz = Symmetric(GaussianMixture.full(2, 3), [((-1, 1), 1), ((1, -1), -1)], center=(0.5, 0.0))
    theta, x = rng.normal(size=ansatz.size), points(2)
    u = ansatz.value(theta, x)
    mirror = np.array([1.0 - x[0], x[1]])
    np.testing.assert_allclose(ansatz.value(theta, mirror), u, rtol=1e-12)
    np.testing.assert_allclose(ansatz.value(theta, x * [[1], [-1]]), -u, rtol=1e-12)
    again = Symmetric(ansatz, [((-1, 1), 1)], center=(0.5, 0.0))  # a projection changes no symmetric field
    np.testing.assert_allclose(again.value(theta, x), u, rtol=1e-12)


def test_mirrored_velocity():
    """At the mirror x = 0 the normal component vanishes and the tangential one has no normal derivative."""
    ansatz = TWO_DEEP["mirrored vector"](2)
    theta, wall = rng.normal(size=ansatz.size), np.array([[0.0, 0.0], [0.3, -0.5]])
    assert np.all(ansatz.value(theta, wall)[0] == 0.0)
    assert np.all(ansatz.gradient(theta, wall)[0, 1] == 0.0)


@pytest.mark.parametrize("function", [exp, softplus])
def test_transform_is_positive_and_stable(function):
    ansatz = Transform(gauss(1), function)
    theta = ansatz.pack(amplitudes=[-30.0, 600.0], centers=[[-5.0], [5.0]], scales=1.0)
    u = ansatz.value(theta, np.array([[-5.0, 0.0, 5.0]]))
    assert np.all(u > 0) and np.all(np.isfinite(u))
    assert np.all(np.isfinite(ansatz.tangent_derivative(theta, np.array([[-5.0, 5.0]]), (4,))))


def test_frozen_moves_nothing_else():
    mixture = gauss(2)
    whole = rng.normal(size=mixture.size)
    ansatz = Frozen(mixture, whole, ("centers", "scales"))
    theta, x = ansatz.free(whole), points(2)
    np.testing.assert_array_equal(ansatz.value(theta, x), mixture.value(whole, x))
    new = theta + 1.0
    assert list(ansatz.slices()) == ["amplitudes"]
    kept = mixture.unpack(ansatz.full(new))
    np.testing.assert_array_equal(kept["centers"], mixture.unpack(whole)["centers"])
    np.testing.assert_array_equal(kept["amplitudes"], mixture.unpack(whole)["amplitudes"] + 1.0)
    everything = Frozen(mixture, whole, tuple(mixture.slices()))
    assert everything.size == 0 and everything.tangent(np.empty(0), x).shape == (0, 9)


def test_missing_derivatives_are_named():
    known = Known(1, {(0,): lambda x: x[0] ** 2})
    with pytest.raises(MissingDerivative, match=r"Known does not provide the derivative"):
        Product(known, gauss(1)).laplacian(np.zeros(6), points(1))


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda: Sum(gauss(1), gauss(2)), ShapeError, "dimensions"),
        (lambda: Sum(gauss(1), Stack(gauss(1))), ShapeError, "sum of fields of the shapes"),
        (lambda: Product(Stack(gauss(1)), Stack(gauss(1), gauss(1))), ShapeError, "product of fields"),
        (lambda: Sum(), ParameterError, "0 components"),
        (lambda: Masked(gauss(1), gauss(1)), ParameterError, "free parameters"),
        (lambda: Masked(gauss(1), box(1), Known(1, {(0,): lambda x: x}, shape=(1,))), ShapeError, "scalar mask"),
        (lambda: frozen(gauss(1), "widths"), ParameterError, "widths"),
        (lambda: Periodic(gauss(1), (1.0,)), ParameterError, "embedding 2"),
        (lambda: Periodic(gauss(2), (-1.0,)), ParameterError, "periods"),
        (lambda: Symmetric(gauss(2), [((-1, 2), 1)]), ParameterError, "only"),
        (lambda: Symmetric(gauss(2), [((-1,), 1)]), ShapeError, "one sign for each"),
        (lambda: Symmetric(gauss(1), [((-1,), 1), ((-1,), -1)]), ParameterError, "only u = 0"),
        (lambda: Symmetric(gauss(1), [((-1,), 1)], center=(0.0, 1.0)), ShapeError, "center"),
        (lambda: Known(1, {(1,): np.cos}), ParameterError, "the value"),
        (lambda: Polynomial({(1,): 1.0, (1, 0): 1.0}), ParameterError, "multi-indices"),
        (lambda: Sum(gauss(1)).derivative(np.zeros(6), points(1), (1, 0)), ShapeError, "multi-index"),
        (lambda: Known(1, {(0,): lambda x: x}).value(np.empty(0), points(1)), ShapeError, "return shape"),
    ],
)
def test_misuse_is_named(make, error, text):
    with pytest.raises(error, match=text):
        make()
