"""Networks: Cauchy's formula on an independent forward pass, adjoints, symmetries, seeds, refusals."""

import numpy as np
import pytest
from test_ansatz_gaussian import oracle, orders

from dfpde.ansatz.networks.activations import Gaussian, Rational, Sine, Softplus, Swish, Tanh
from dfpde.ansatz.networks.embedding import PeriodicEmbedding
from dfpde.ansatz.networks.network import Network
from dfpde.errors import MissingDerivative, ParameterError, ShapeError
from dfpde.leastsquares.sample import divided

ACTIVATIONS = {
    Tanh(): lambda z, c: np.tanh(z),
    Sine(): lambda z, c: np.sin(z),
    Gaussian(): lambda z, c: np.exp(-(z**2) / 2),
    Softplus(): lambda z, c: np.log(1 + np.exp(z)),
    Swish(): lambda z, c: z / (1 + np.exp(-z)),
    Rational(): lambda z, c: (c[0] + c[1] * z + c[2] * z**2 + c[3] * z**3) / (1 + (c[4] + c[5] * z) ** 2),
}
PERIODS = (8.0, None, 9.0)
CASES = [
    pytest.param(dim, activation, special, id=f"{dim}d-{type(activation).__name__}{'-periodic-residual' * special}")
    for dim, activation, special in [
        *((1, activation, special) for activation in ACTIVATIONS for special in (False, True)),
        (2, Tanh(), False),
        (2, Rational(), True),
        (3, Sine(), True),
        (3, Softplus(), False),
    ]
]


def build(dim, activation, special):
    """A plain network, or one with periodic embedding, residual connections and two components."""
    if special:
        embedding = PeriodicEmbedding(PERIODS[:dim], frequencies=2, shifts=2)
        network = Network(dim, (4, 4, 4), activation, embedding=embedding, residual=True, outputs=2)
    else:
        network = Network(dim, (4, 3), activation)
    rng = np.random.default_rng(dim)
    theta = network.initial(7) + 0.1 * rng.normal(size=network.size)
    return network, theta, rng.uniform(-1, 1, (dim, 6))


def formula(network, theta, x):
    """u(x) from the definition; θ and x may be complex.  Shape (m, N)."""
    block = {name: theta[part].reshape(shape) for name, (part, shape) in network.slices().items()}
    h = x
    if network.embedding is not None:
        rows, shifts = [], iter(block["shifts"])
        for axis, period in enumerate(network.embedding.periods):
            for f in (1, 2):
                if period is not None:
                    rows += [np.cos(2 * np.pi * f / period * (x[axis] - next(shifts))) for _ in range(2)]
        rows += [x[axis] for axis, period in enumerate(network.embedding.periods) if period is None]
        h = np.array(rows)
    for layer in range(network.depth):
        c = block["coefficients"][layer] if "coefficients" in block else None
        z = block[f"weights{layer}"] @ h + block[f"biases{layer}"][:, None]
        new = ACTIVATIONS[network.activation](z, c)
        h = new + h if network.residual and layer else new
    return block[f"weights{network.depth}"] @ h + block[f"biases{network.depth}"][:, None]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: type(a).__name__)
def test_activations_up_to_order_five(activation):
    z = np.linspace(-3, 3, 25)
    c = activation.initial() + 0.1
    found = activation.derivatives(z, 5, c)
    slopes = activation.with_slopes(z, 4, 4, c)[1]
    assert len(found) == 6 and len(slopes) == activation.size
    function = ACTIVATIONS[activation]
    for order in range(6):
        exact = oracle(lambda p: function(p[0], c), (order,), z[None], radius=0.3, nodes=40).real
        np.testing.assert_allclose(found[order], exact, atol=1e-9 * max(1, abs(exact).max()))
    for i, rows in enumerate(slopes):
        step = 1e-30j * np.eye(activation.size)[i]
        np.testing.assert_allclose(rows[0], function(z, c + step).imag / 1e-30, atol=1e-13)
        for order in range(1, 5):
            exact = oracle(
                lambda p, e=step / 1e-30j: function(p[0], c[:, None] + e[:, None] * p[1]),
                (order, 1),
                np.stack([z, 0 * z]),
                radius=0.1,
                nodes=16,
            )
            np.testing.assert_allclose(rows[order], exact.real, atol=1e-7 * max(1, abs(exact).max()))


@pytest.mark.parametrize("dim, activation, special", CASES)
def test_every_derivative_is_cauchys(dim, activation, special):
    network, theta, x = build(dim, activation, special)
    for alpha in orders(dim):
        for component in range(2 if special else 1):
            exact = oracle(
                lambda z, c=component: formula(network, theta.astype(complex), z)[c], alpha, x, radius=0.1, nodes=16
            )
            found = network.derivative(theta, x, alpha).reshape(-1, x.shape[1])[component]
            assert abs(found - exact).max() < 1e-6 * max(1.0, abs(exact).max()), alpha
    np.testing.assert_array_equal(network.gradient(theta, x), type(network).__mro__[1].gradient(network, theta, x))
    np.testing.assert_allclose(network.hessian(theta, x), type(network).__mro__[1].hessian(network, theta, x))
    np.testing.assert_allclose(network.laplacian(theta, x), np.einsum("ii...->...", network.hessian(theta, x)))


@pytest.mark.parametrize("dim, activation, special", CASES)
def test_tangent_is_the_complex_step(dim, activation, special):
    network, theta, x = build(dim, activation, special)
    tangent = network.tangent(theta, x)
    assert tangent.shape == (network.size, *network.shape, x.shape[1]) and tangent.flags.c_contiguous
    steps = [1e-30j * row for row in np.eye(network.size)]
    exact = np.array([formula(network, theta + step, x).imag / 1e-30 for step in steps])
    np.testing.assert_allclose(tangent.reshape(exact.shape), exact, atol=1e-13 * abs(exact).max())


@pytest.mark.parametrize("dim, activation, special", CASES)
def test_tangent_of_every_derivative(dim, activation, special):
    """Mixed derivatives of (x, h) ↦ u(θ + h v, x)."""
    network, theta, x = build(dim, activation, special)
    v = np.random.default_rng(9).normal(size=network.size)
    v /= np.linalg.norm(v)

    def function(z):
        columns = [formula(network, theta + h * v, point[:, None])[0] for h, point in zip(z[-1], z[:-1].T, strict=True)]
        return np.concatenate(columns)

    for alpha in {(1, 0, 0)[:dim], (0, 0, 2)[-dim:], (1, 1, 0)[:dim], (4,) if dim == 1 else (0, 1, 0)[:dim]}:
        exact = oracle(function, (*alpha, 1), np.vstack([x[:, :1], [[0.0]]]), radius=0.1, nodes=14)
        found = np.tensordot(v, network.tangent_derivative(theta, x[:, :1], alpha), 1).reshape(-1)[0]
        assert abs(found - exact).max() < 1e-5 * max(1.0, abs(exact).max()), alpha


@pytest.mark.parametrize("dim, activation, special", CASES)
def test_products_are_those_of_the_tangent(dim, activation, special):
    network, theta, _ = build(dim, activation, special)
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, (dim, 1500))  # two blocks
    v, y = rng.normal(size=network.size), rng.normal(size=(*network.shape, 1500))
    tangent = network.tangent(theta, x)
    assert network.matrix_free
    np.testing.assert_allclose(network.jvp(theta, x, v), np.tensordot(v, tangent, 1), atol=1e-11)
    np.testing.assert_allclose(network.vjp(theta, x, y), np.tensordot(tangent, y, y.ndim), atol=1e-9)
    left = np.vdot(network.jvp(theta, x, v), y)
    assert left == pytest.approx(v @ network.vjp(theta, x, y), rel=1e-11)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("dim, activation, special", CASES)
def test_the_linearization_is_the_tangent(dim, activation, special, kept, monkeypatch):
    """Its products, its columns at every k-th point of several blocks, and the derivatives beside it."""
    monkeypatch.setattr("dfpde.ansatz.networks.network.BLOCK", 4)
    if not kept:
        monkeypatch.setattr("dfpde.ansatz.networks.network.KEPT_BYTES", 0)
    network, theta, _ = build(dim, activation, special)
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (dim, 11))
    tangent, alphas = network.tangent(theta, x), [(0,) * dim, (2,) + (0,) * (dim - 1)]
    found, linear = network.linearize(theta, x, alphas)
    np.testing.assert_allclose(found, network.derivatives(theta, x, alphas), rtol=1e-13, atol=1e-13)
    v, y = rng.normal(size=network.size), rng.normal(size=(*network.shape, 11))
    np.testing.assert_allclose(linear.jvp(v), np.tensordot(v, tangent, 1), atol=1e-12)
    np.testing.assert_allclose(linear.vjp(y), tangent.reshape(network.size, -1) @ y.reshape(-1), atol=1e-12)
    for points in (slice(None), slice(1, 11, 3), slice(2, 9, 5), slice(5, 6)):
        np.testing.assert_array_equal(linear.columns(points), tangent[..., points])


@pytest.mark.parametrize("activation", [Tanh(), Rational()], ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("by_block", [True, False])
def test_a_sample_of_points_is_that_of_the_tangent(activation, by_block, monkeypatch):
    """B v, Bᵀ a and B D⁻² Bᵀ of weighted points from several blocks and several ranks, D constant in blocks or not."""
    monkeypatch.setattr("dfpde.ansatz.networks.network.BLOCK", 5)
    network = Network(1, (4, 3), activation, PeriodicEmbedding((8.0,), 2))
    rng = np.random.default_rng(5)
    theta, x = network.initial(3), rng.uniform(-1, 1, (1, 23))
    root = rng.uniform(0.5, 2, 12)
    rows = network.tangent(theta, x)[:, 1:23:2][:, :11] * root[:11]
    linear = network.linearize(theta, x)[1]
    whole = linear.sample(slice(1, 23, 2), root[:11])
    parts = linear.sample(slice(1, 12, 2), root[:6]), linear.sample(slice(13, 23, 2), root[6:11])
    d = rng.uniform(0.5, 2, network.size)
    if by_block:
        for part, _ in network.slices().values():
            d[part] = d[part.start]
        for layer in range(2 * bool(activation.size)):
            start = network.slices()["coefficients"][0].start + layer * activation.size
            d[start : start + activation.size] = d[start]
    v, a = rng.normal(size=network.size), rng.normal(size=11)
    for sample in (whole, parts[0].joined(parts[1:])):
        assert sample.rows == 11
        np.testing.assert_allclose(sample.array(), rows, rtol=1e-14)
        np.testing.assert_allclose(sample.apply(v), v @ rows, atol=1e-13)
        np.testing.assert_allclose(sample.adjoint(a), rows @ a, atol=1e-13)
        for scale in (d, None):
            scaled = rows if scale is None else rows / scale[:, None]
            inner, some, few = scaled.T @ scaled, np.array([7, 0, 3]), divided(sample, scale)
            np.testing.assert_allclose(np.tril(few.kernel()), np.tril(inner), rtol=1e-12)
            np.testing.assert_allclose(few.cross(few.at(some)), inner[:, some], rtol=1e-12)
            np.testing.assert_allclose(few.squares(), np.diag(inner), rtol=1e-12)


def test_a_subclass_with_products_of_its_own_keeps_them():
    class Doubled(Network):
        def tangent(self, theta, x):
            return 2 * super().tangent(theta, x)

        def jvp(self, theta, x, v):
            return 2 * super().jvp(theta, x, v)

        def vjp(self, theta, x, y):
            return 2 * super().vjp(theta, x, y)

    network, x, v = Doubled(1, (3,)), np.linspace(0, 1, 4)[None], np.arange(10.0)
    theta = network.initial(0)
    linear = network.linearize(theta, x)[1]
    np.testing.assert_allclose(linear.jvp(v), v @ network.tangent(theta, x), atol=1e-13)
    np.testing.assert_allclose(linear.vjp(np.ones(4)), network.tangent(theta, x).sum(axis=1), atol=1e-13)
    np.testing.assert_allclose(linear.columns(slice(1, 3)), network.tangent(theta, x)[:, 1:3])


def test_blocks_agree_with_single_points():
    network = Network(2, (5, 5), outputs=2)
    theta, x = network.initial(0), np.random.default_rng(0).uniform(-1, 1, (2, 5000))
    for method in ("value", "laplacian", "tangent"):
        whole = getattr(network, method)(theta, x)
        for k in (0, 1023, 1024, 4095, 4096, 4999):
            np.testing.assert_allclose(
                whole[..., k], getattr(network, method)(theta, x[:, k : k + 1])[..., 0], atol=1e-13
            )
    assert network.tangent(theta, x[:, :0]).shape == (network.size, 2, 0)


def test_neurons_permute_and_tanh_is_odd():
    network = Network(2, (5, 4))
    theta, x = network.initial(1), np.random.default_rng(1).uniform(-1, 1, (2, 9))
    block, order = network.unpack(theta), np.array([3, 0, 4, 1, 2])
    permuted = {**block, "weights0": block["weights0"][order], "biases0": block["biases0"][order]}
    permuted["weights1"] = block["weights1"][:, order]
    np.testing.assert_allclose(network.hessian(network.pack(**permuted), x), network.hessian(theta, x), atol=1e-13)
    signs = {**block, "weights0": -block["weights0"], "biases0": -block["biases0"], "weights1": -block["weights1"]}
    np.testing.assert_allclose(network.laplacian(network.pack(**signs), x), network.laplacian(theta, x), atol=1e-13)


def test_periodic_embedding_is_periodic_with_all_derivatives():
    network = Network(2, (6, 6), embedding=PeriodicEmbedding((2.0, None), frequencies=3))
    theta, x = network.initial(2), np.random.default_rng(2).uniform(-1, 1, (2, 9))
    moved = x + np.array([[-6.0], [0.0]])
    for alpha in ((0, 0), (1, 0), (2, 1), (4, 0)):
        np.testing.assert_allclose(
            network.derivative(theta, moved, alpha), network.derivative(theta, x, alpha), atol=1e-9
        )
    assert abs(network.value(theta, x + np.array([[0.0], [2.0]])) - network.value(theta, x)).max() > 1e-3
    # moving all shifts of the periodic axis moves the field
    shifted = {**network.unpack(theta), "shifts": network.unpack(theta)["shifts"] + 0.3}
    value = network.value(network.pack(**shifted), x + np.array([[0.3], [0.0]]))
    np.testing.assert_allclose(value, network.value(theta, x), atol=1e-13)


@pytest.mark.mpi
def test_seeds(comm):
    """The same seed gives the same network on all ranks, another seed another."""
    network = Network(1, (8, 8), Rational(), embedding=PeriodicEmbedding((1.0,)))
    thetas = comm.allgather(network.initial(3))
    for theta in thetas:
        np.testing.assert_array_equal(theta, thetas[0])
    assert not np.array_equal(network.initial(3), network.initial(4))
    assert network.initial(3) == pytest.approx(network.initial(3), abs=0)


def test_refusals():
    network = Network(1, (4, 4))
    theta, x = network.initial(0), np.zeros((1, 3))
    with pytest.raises(MissingDerivative, match=r"(?s)\(5,\).*JaxFunction"):
        network.derivative(theta, x, (5,))
    with pytest.raises(MissingDerivative, match=r"(?s)tangent of.*JaxFunction"):
        network.tangent_derivative(theta, x, (5,))
    with pytest.raises(ShapeError, match="multi-index"):
        network.derivative(theta, x, (1, 1))
    with pytest.raises(ParameterError, match="equal widths"):
        Network(1, (4, 5), residual=True)
    with pytest.raises(ParameterError, match="at least one hidden layer"):
        Network(1, ())
    with pytest.raises(ParameterError, match="one period for each axis"):
        Network(1, (4,), embedding=PeriodicEmbedding((1.0, 2.0)))
    with pytest.raises(ParameterError, match="positive period"):
        PeriodicEmbedding((-1.0,))
