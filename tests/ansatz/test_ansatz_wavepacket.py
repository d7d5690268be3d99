"""Wave packets: Cauchy's formula as oracle, closure under quadratic Hamiltonians, norm, refusals."""

import numpy as np
import pytest
from test_ansatz_gaussian import oracle, orders

from dfpde.ansatz.mixtures.wavepacket import WavePackets
from dfpde.errors import ParameterError


def width(dim, rng):
    """A complex symmetric matrix with positive definite imaginary part."""
    real, factor = rng.normal(size=(2, dim, dim))
    return real + real.T + 1j * (factor @ factor.T + 0.3 * np.eye(dim))


def formula(packets, theta, x, fixed=None):
    """u(x) from the definition; θ and x may be complex (then u is the analytic continuation)."""
    n, dim = packets.n, packets.dim
    blocks = {name: theta[part].reshape(shape) for name, (part, shape) in packets.slices().items()}
    lower = np.tril_indices(dim)
    total = 0
    for j in range(n):
        if fixed is None:
            chirp, factor = np.zeros((2, dim, dim), theta.dtype)
            chirp[lower] = blocks["chirps"][j]
            factor[lower] = blocks["scales"][j]
            c = chirp + np.tril(chirp, -1).T + 1j * factor @ factor.T
        else:
            c = fixed
        y = x - blocks["centers"][j][:, None]
        zeta = blocks["zeta"][j, 0] + 1j * blocks["zeta"][j, 1]
        quadratic = 0.5 * np.einsum("kN,km,mN->N", y, c, y)
        total = total + np.exp(1j * (quadratic + blocks["momenta"][j] @ y + zeta))
    return total


CASES = [
    pytest.param(dim, frozen, id=f"{'frozen' if frozen else 'thawed'}-{dim}d")
    for dim in (1, 2, 3)
    for frozen in (False, True)
]


def setting(dim, frozen, n=2, points=5):
    rng = np.random.default_rng(dim)
    fixed = width(dim, rng) if frozen else None
    packets = WavePackets(dim, n, width=fixed)
    return packets, rng.normal(size=packets.size), rng.uniform(-1, 1, (dim, points)), fixed


@pytest.mark.parametrize("dim, frozen", CASES)
def test_every_derivative_is_cauchys(dim, frozen):
    packets, theta, x, fixed = setting(dim, frozen)
    for alpha in orders(dim):
        exact = oracle(lambda z: formula(packets, theta, z, fixed), alpha, x)
        assert abs(packets.derivative(theta, x, alpha) - exact).max() < 1e-9 * max(1.0, abs(exact).max()), alpha


@pytest.mark.parametrize("dim, frozen", CASES)
def test_every_tangent_is_cauchys(dim, frozen):
    packets, theta, x, fixed = setting(dim, frozen)
    x = x[:, :1]
    for alpha in [(0,) * dim, (0,) * (dim - 1) + (1,), (2,) + (0,) * (dim - 1), (1, 1, 0)[:dim]]:
        tangent = packets.tangent_derivative(theta, x, alpha)
        assert tangent.dtype == complex and tangent.flags.c_contiguous
        mixed = sum(a > 0 for a in alpha) > 1
        vectors = np.eye(packets.size) if sum(alpha) == 0 else np.random.default_rng(4).normal(size=(2, packets.size))
        for v in vectors / np.linalg.norm(vectors, axis=1, keepdims=True):

            def function(z, v=v):
                pairs = zip(z[-1], z[:-1].T, strict=True)
                return np.concatenate([formula(packets, theta + h * v, point[:, None], fixed) for h, point in pairs])

            exact = oracle(function, (*alpha, 1), np.vstack([x, [[0.0]]]), radius=0.1, nodes=14 if mixed else 16)
            assert abs(v @ tangent - exact).max() < 1e-7 * max(1.0, abs(exact).max()), alpha


@pytest.mark.parametrize("dim", (1, 2, 3))
def test_quadratic_potentials_close(dim):
    """Heller's equations: q̇ = p, ṗ = −V', Ċ = −C² − V'', ζ̇ = ½p² − V + ½ i tr C give −iHu exactly."""
    rng = np.random.default_rng(10 + dim)
    packets = WavePackets(dim, 1)
    theta, x = rng.normal(size=packets.size), rng.normal(size=(dim, 40))
    hessian, slope = rng.normal(size=(dim, dim)), rng.normal(size=dim)
    hessian = hessian + hessian.T
    q, p = packets.unpack(theta)["centers"][0], packets.unpack(theta)["momenta"][0]
    c = packets.width_matrices(theta)[0]
    rate = -c @ c - hessian
    zeta = 0.5 * p @ p - (0.5 * q @ hessian @ q + slope @ q) + 0.5j * np.trace(c)
    factor = np.zeros((dim, dim))
    factor[np.tril_indices(dim)] = packets.unpack(theta)["scales"][0]
    inverse = np.linalg.inv(factor)
    middle = np.tril(inverse @ rate.imag @ inverse.T)
    moved = factor @ (middle - 0.5 * np.diag(np.diag(middle)))
    lower = np.tril_indices(dim)
    velocity = packets.pack(
        centers=p,
        momenta=-(hessian @ q + slope),
        zeta=[zeta.real, zeta.imag],
        chirps=rate.real[lower],
        scales=moved[lower],
    )
    potential = 0.5 * np.einsum("kN,km,mN->N", x, hessian, x) + slope @ x
    exact = -1j * (-0.5 * packets.laplacian(theta, x) + potential * packets.value(theta, x))
    np.testing.assert_allclose(packets.jvp(theta, x, velocity), exact, atol=1e-11 * abs(exact).max())


@pytest.mark.parametrize("frozen", (False, True))
def test_harmonic_oscillator_lies_in_the_tangent_space(frozen):
    """Several packets, no formula: the least-squares residual of i u_t = −½ Δu + ½ |x|² u is rounding."""
    dim, n = 2, 3
    rng = np.random.default_rng(5)
    packets = WavePackets(dim, n, width=1j * np.eye(dim) if frozen else None)
    blocks = {"centers": rng.normal(size=(n, dim)), "momenta": rng.normal(size=(n, dim)), "zeta": 0.1}
    theta = packets.pack(**blocks) if frozen else packets.pack(**blocks, chirps=0.2, scales=[1.0, 0.3, 0.8])
    x = rng.normal(size=(dim, 300)) * 1.5
    u = packets.value(theta, x)
    rate = -1j * (-0.5 * packets.laplacian(theta, x) + 0.5 * np.sum(x * x, axis=0) * u)
    tangent = packets.tangent(theta, x)
    rows = np.vstack([tangent.real.T, tangent.imag.T])
    target = np.concatenate([rate.real, rate.imag])
    velocity = np.linalg.lstsq(rows, target, rcond=None)[0]
    assert np.linalg.norm(rows @ velocity - target) < 1e-12 * np.linalg.norm(target)
    anharmonic = np.concatenate([(rate - 0.1j * x[0] ** 4 * u).real, (rate - 0.1j * x[0] ** 4 * u).imag])
    velocity = np.linalg.lstsq(rows, anharmonic, rcond=None)[0]
    assert np.linalg.norm(rows @ velocity - anharmonic) > 1e-3 * np.linalg.norm(anharmonic)


def test_norm_of_one_packet():
    """‖u‖² = (π^d / det Im C)^½ exp(−2 Im ζ), by the trapezoidal rule (exponentially accurate)."""
    packets = WavePackets(2, 1)
    c = np.array([[1.0, 0.4], [0.4, -0.5]]) + 1j * np.array([[1.2, 0.3], [0.3, 0.9]])
    zeta = 0.25 * np.log(np.pi**2 / np.linalg.det(c.imag))
    theta = packets.pack(centers=[0.3, -0.2], momenta=[2.0, 1.0], zeta=[0.7, zeta], **packets.widths(c))
    np.testing.assert_allclose(packets.width_matrices(theta)[0], c, atol=1e-14)
    line = np.linspace(-9, 9, 181)
    x = np.stack(np.meshgrid(line, line)).reshape(2, -1)
    assert np.sum(abs(packets.value(theta, x)) ** 2) * 0.01 == pytest.approx(1, abs=1e-12)


def test_adjoint_and_global_phase():
    packets, theta, x, _ = setting(3, False, n=3, points=50)
    rng = np.random.default_rng(0)
    v, y = rng.normal(size=packets.size), rng.normal(size=50) + 1j * rng.normal(size=50)
    left = np.sum((np.conj(y) * packets.jvp(theta, x, v)).real)
    assert left == pytest.approx(v @ packets.vjp(theta, x, y), rel=1e-11)
    turn = packets.pack(centers=0, momenta=0, zeta=[1.0, 0.0], chirps=0, scales=0)
    np.testing.assert_allclose(packets.jvp(theta, x, turn), 1j * packets.value(theta, x), atol=1e-13)
    np.testing.assert_allclose(packets.value(theta + 0.4 * turn, x), np.exp(0.4j) * packets.value(theta, x), atol=1e-12)


def test_refusals():
    with pytest.raises(ParameterError, match=r"C − Cᵀ"):
        WavePackets(2, 1, width=np.array([[1j, 0.1], [0.0, 1j]]))
    with pytest.raises(ParameterError, match="positive definite imaginary part"):
        WavePackets(2, 1, width=np.diag([1j, -1j]))
    with pytest.raises(ParameterError, match=r"shape \(3, 3\)"):
        WavePackets(2, 1, width=1j * np.eye(3))
