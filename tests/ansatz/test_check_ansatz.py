"""check_ansatz passes for what is right and names what is wrong."""

import re

import numpy as np
import pytest
from waves import Waves

from dfpde.ansatz import GaussianMixture, Network, PeriodicGaussianMixture, PositiveMixture, WavePackets, check_ansatz
from dfpde.ansatz.base import Ansatz
from dfpde.errors import AnsatzError

rng = np.random.default_rng(3)


def points(dim, n=12):
    return rng.uniform(-1.0, 1.0, (dim, n))


BUILT_IN = {
    "isotropic": lambda dim: GaussianMixture.isotropic(dim, 2),
    "diagonal": lambda dim: GaussianMixture.diagonal(dim, 2),
    "full": lambda dim: GaussianMixture.full(dim, 2),
    "positive": lambda dim: PositiveMixture.full(dim, 2),
    "periodic": lambda dim: PeriodicGaussianMixture.diagonal((2.0, 3.0, 4.0)[:dim], 2),
    "thawed": lambda dim: WavePackets(dim, 2),
    "frozen": lambda dim: WavePackets(dim, 2, width=1j * np.eye(dim)),
    "network": lambda dim: Network(dim, (3, 2)),
    "waves": lambda dim: Waves(2, dim),
    "complex waves": lambda dim: Waves(2, dim, complex),
}


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in(name, dim):
    report = check_ansatz(BUILT_IN[name](dim), points(dim), order=3 if dim == 1 else 2)
    assert not report.missing and len(report.checks) > 30
    assert "laplacian" in str(report) and "WRONG" not in str(report)


class Wrong(Waves):
    """Overridden below, one mistake at a time."""

    def __init__(self, dtype=float):
        super().__init__(2, 2, dtype)


class SignOfOneColumn(Wrong):
    def tangent(self, theta, x):
        tangent = super().tangent(theta, x)
        tangent[3] *= -1.0
        return tangent


class GradientTransposed(Wrong):
    def gradient(self, theta, x):
        return super().gradient(theta, x)[::-1].copy()


class LaplacianFactor(Wrong):
    def laplacian(self, theta, x):
        return 0.5 * super().laplacian(theta, x)


class HessianWithoutMixed(Wrong):
    def hessian(self, theta, x):
        return super().hessian(theta, x) * np.eye(2)[:, :, None]


class NotAdjoint(Wrong):
    def vjp(self, theta, x, y):
        return super().vjp(theta, x, np.conj(y))


class JvpScaled(Wrong):
    def jvp(self, theta, x, v):
        return 1.001 * super().jvp(theta, x, v)


class SinglePrecision(Wrong):
    def value(self, theta, x):
        return super().value(theta, x).astype(np.float32)


class PointsFirst(Wrong):
    def tangent(self, theta, x):
        return np.ascontiguousarray(super().tangent(theta, x).T)


class FortranOrder(Wrong):
    def tangent(self, theta, x):
        return np.asfortranarray(super().tangent(theta, x))


class WritesToTheta(Wrong):
    def value(self, theta, x):
        values = super().value(theta, x)
        theta *= 1.0 + 1e-15
        return values


class RemembersTheLastCall(Wrong):
    last = None

    def value(self, theta, x):
        if self.last is None or self.last[0] is not x:
            self.last = (x, super().value(theta, x))
        return self.last[1].copy()


class ReusesItsBuffer(Wrong):
    buffer = None

    def tangent(self, theta, x):
        tangent = super().tangent(theta, x)
        if self.buffer is None or self.buffer.shape != tangent.shape:
            self.buffer = np.empty_like(tangent)
        self.buffer[...] = tangent
        return self.buffer


class NormalizedOverThePoints(Wrong):
    def value(self, theta, x):
        values = super().value(theta, x)
        return values / max(np.max(np.abs(values), initial=0.0), 1e-300)


class MixedDerivative(Wrong):
    def derivative(self, theta, x, alpha):
        return super().derivative(theta, x, (2, 0) if alpha == (1, 1) else alpha)


class TangentOfDerivative(Wrong):
    def tangent_derivative(self, theta, x, alpha):
        tangent = super().tangent_derivative(theta, x, alpha)
        if alpha == (0, 2):
            tangent[5] *= 1.0 + 1e-4
        return tangent


class WrongSlices(Wrong):
    def slices(self):
        return {name: part for name, part in super().slices().items() if name != "phases"}

    def _parts(self, theta, x):
        p = {name: theta[part].reshape(shape) for name, (part, shape) in super().slices().items()}
        return p["amplitudes"], p["wave_vectors"], p["wave_vectors"] @ x + p["phases"][:, None]


@pytest.mark.parametrize(
    "mistake, named",
    [
        (SignOfOneColumn, r"tangent wave_vectors is wrong at wave_vectors\[0, 1\]"),
        (GradientTransposed, "gradient is wrong"),
        (LaplacianFactor, "laplacian is wrong"),
        (HessianWithoutMixed, "hessian is wrong"),
        (JvpScaled, r"jvp .* is wrong"),
        (SinglePrecision, "value dtype is wrong at float32, expected float64"),
        (PointsFirst, r"tangent shape is wrong at \(12, 8\), expected \(8, 12\)"),
        (FortranOrder, "tangent C order is wrong"),
        (WritesToTheta, "value leaves theta and x alone is wrong"),
        (RemembersTheLastCall, "value is repeatable is wrong"),
        (ReusesItsBuffer, "tangent returns its own array is wrong"),
        (NormalizedOverThePoints, "value is pointwise is wrong"),
        (MixedDerivative, r"derivative \(1, 1\) is wrong"),
        (TangentOfDerivative, r"tangent_derivative \(0, 2\) wave_vectors is wrong at wave_vectors\[1, 1\]"),
        (WrongSlices, "slices is wrong at cover 6 of 8"),
    ],
)
def test_planted_mistakes_are_named(mistake, named):
    with pytest.raises(AnsatzError, match=named) as caught:
        check_ansatz(mistake(), points(2))
    assert re.search(r"WRONG .*\n", str(caught.value)) and "Try: correct" in str(caught.value)


def test_adjoint_of_a_complex_tangent():
    check_ansatz(Wrong(complex), points(2))
    with pytest.raises(AnsatzError, match=r"vjp .* is wrong"):
        check_ansatz(NotAdjoint(complex), points(2))


class ValueAndTangentOnly(Ansatz):
    dim, size = 1, 2

    def value(self, theta, x):
        return theta[0] * np.exp(theta[1] * x[0])

    def tangent(self, theta, x):
        e = np.exp(theta[1] * x[0])
        return np.stack([e, theta[0] * x[0] * e])


class WithGradient(ValueAndTangentOnly):
    def gradient(self, theta, x):
        return theta[1] * self.value(theta, x)[None]


def test_what_is_absent_is_no_mistake():
    report = check_ansatz(ValueAndTangentOnly(), points(1))
    assert "gradient" in report.missing and "tangent_derivative (1,)" in report.missing
    assert "not provided: derivative (1,)" in str(report)
    report = check_ansatz(WithGradient(), points(1))
    assert "gradient" not in report.missing and any(check.name == "gradient" for check in report.checks)


def test_differences_reach_their_stated_accuracy():
    """The largest error over all correct comparisons stays far below rtol, so rtol = 1e-6 is no weak test."""
    report = check_ansatz(GaussianMixture.full(2, 3), points(2))
    assert max(check.error for check in report.checks) < 1e-9
