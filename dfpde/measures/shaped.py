"""Proposals with the solution's own shape: the Gaussians of a mixture, or mean and covariance of |u|."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, gammaln, ndtri

from .. import validation as check
from ..ansatz.base import Ansatz
from ..ansatz.mixtures.gaussian import GaussianMixture
from ..ansatz.mixtures.wavepacket import WavePackets
from ..errors import ParameterError, QuadratureError
from .proposals import Cloud, Proposal

Array = NDArray[Any]


@dataclass(frozen=True)
@check.takes(widen=check.real(above=0), even=check.real(0, 1))
class Components(Proposal):
    """q = Σ_i p_i N(b_i, widen² C_i), p_i = (1 − even) m_i/Σ m + even/n: the Gaussians of the ansatz itself.

    m_i = ∫ |a_i g_i| dx is their mass; for `WavePackets` the Gaussians are those of |ψ_i|².

    Parameters
    ----------
    widen : float
        Factor of the standard deviations.  Products with the tangent decay more slowly than u itself.
    even : float
        Share of the points that all n components get alike, 0 to 1.  By mass alone a component of little mass gets no
        points: nothing tells its parameters where to go, and it may leave the others.

    Raises
    ------
    ParameterError
        An ansatz that is no mixture of Gaussians on R^d, or a component without a finite mass.
    """

    widen: float = 1.2
    even: float = 0.0

    def points(self, cloud: Cloud, u: Array) -> Array:
        """See `Proposal`."""
        shares, means, factors = self._shares(cloud)
        z = self.widen * ndtri(u[1:])
        chosen = np.minimum(np.searchsorted(np.cumsum(shares), u[0], side="right"), len(shares) - 1)
        spreads = np.linalg.inv(factors).transpose(0, 2, 1)  # x = b + L⁻ᵀ z
        x = np.empty_like(z)
        for i in range(len(shares)):
            mine = chosen == i
            x[:, mine] = means[i][:, None] + spreads[i] @ z[:, mine]
        return x

    def density(self, cloud: Cloud, x: Array) -> Array:
        """See `Proposal`."""
        total = np.zeros(x.shape[1])
        for share, mean, factor in zip(*self._shares(cloud), strict=True):
            if share > 0:
                total += share * gaussian(x, mean, factor / self.widen)
        return total

    def _shares(self, cloud: Cloud) -> tuple[Array, Array, Array]:
        masses, means, factors = components(cloud.ansatz, cloud.theta)
        used = masses > 0
        return (1 - self.even) * masses + self.even * used / np.count_nonzero(used), means, factors


def components(ansatz: Ansatz, theta: Array) -> tuple[Array, Array, Array]:
    """Masses (n,) that sum to one, means (n, dim), and factors L (n, dim, dim) of the precisions L Lᵀ."""
    part = ansatz.unpack(theta)
    if isinstance(ansatz, GaussianMixture):
        factors, sizes = ansatz.factor.matrices(part["scales"]), np.abs(ansatz.amplitudes(theta))
    elif isinstance(ansatz, WavePackets):
        factors = np.linalg.cholesky(2 * ansatz.width_matrices(theta).imag)
        sizes = np.exp(-2 * (part["zeta"][:, 1] - np.min(part["zeta"][:, 1])))
    else:
        what = f"a {type(ansatz).__name__} has no Gaussian components"
        raise ParameterError(what, "FittedGaussian, FittedStudent, or Written")
    volumes = np.abs(np.prod(np.diagonal(factors, axis1=1, axis2=2), axis=1))
    used = sizes > 0
    if not (np.any(used) and np.all(volumes[used] > 0)):
        flat = np.flatnonzero(used & ~(volumes > 0)).tolist()
        raise ParameterError(f"components {flat} have no finite mass: a scale is zero", "FittedGaussian, or Written")
    masses = np.divide(sizes, volumes, out=np.zeros_like(sizes), where=used)
    factors[~used] = np.eye(ansatz.dim)
    return masses / masses.sum(), part["centers"], factors


def gaussian(x: Array, mean: Array, factor: Array) -> Array:
    """Density of N(mean, (L Lᵀ)⁻¹) at x (dim, N), L lower triangular."""
    z = factor.T @ (x - mean[:, None])
    scale = abs(float(np.prod(np.diag(factor)))) / (2 * math.pi) ** (len(x) / 2)
    density: Array = scale * np.exp(-0.5 * np.einsum("ij,ij->j", z, z))
    return density


@dataclass(frozen=True)
@check.takes(widen=check.real(above=0))
class FittedGaussian(Proposal):
    """q = N(m, widen² C), m and C mean and covariance of |u| as the points before measure them.

    Alone it misses what lies outside of it: blend it with a part that has heavy tails or covers the domain.

    Parameters
    ----------
    widen : float
        Factor of the standard deviations.
    """

    widen: float = 1.2

    def points(self, cloud: Cloud, u: Array) -> Array:
        """See `Proposal`."""
        x: Array = cloud.mean[:, None] + self.widen * _root(cloud.covariance) @ ndtri(u[1:])
        return x

    def density(self, cloud: Cloud, x: Array) -> Array:
        """See `Proposal`."""
        z, scale = _standard(cloud, x, self.widen)
        density: Array = scale / (2 * math.pi) ** (len(x) / 2) * np.exp(-0.5 * z)
        return density


@dataclass(frozen=True)
@check.takes(widen=check.real(above=0), freedom=check.real(above=0))
class FittedStudent(Proposal):
    """q ∝ (1 + |z|²/ν)^(−(ν + d)/2), z = C^(−1/2)(x − m)/widen: tails that fall like a power.

    Parameters
    ----------
    widen : float
        Factor of the lengths.
    freedom : float
        ν, degrees of freedom.
    """

    widen: float = 1.5
    freedom: float = 3.0

    def points(self, cloud: Cloud, u: Array) -> Array:
        """See `Proposal`."""
        chi2 = 2 * gammaincinv(self.freedom / 2, u[0])
        z = ndtri(u[1:]) * np.sqrt(self.freedom / np.maximum(chi2, np.finfo(float).tiny))
        x: Array = cloud.mean[:, None] + self.widen * _root(cloud.covariance) @ z
        return x

    def density(self, cloud: Cloud, x: Array) -> Array:
        """See `Proposal`."""
        (z, scale), nu, dim = _standard(cloud, x, self.widen), self.freedom, len(x)
        constant = gammaln((nu + dim) / 2) - gammaln(nu / 2) - dim / 2 * math.log(math.pi * nu)
        density: Array = scale * np.exp(constant - (nu + dim) / 2 * np.log1p(z / nu))
        return density


def _root(covariance: Array) -> Array:
    """Lower triangular root of the covariance of a cloud."""
    smallest = float(np.linalg.eigvalsh(covariance)[0]) if np.all(np.isfinite(covariance)) else math.nan
    if not smallest > 0:
        raise QuadratureError(
            f"the covariance of |u| at the points is not positive definite (smallest eigenvalue {smallest:.2e})",
            "more points, or a proposal whose points reach the solution",
        )
    return np.linalg.cholesky(covariance)


def _standard(cloud: Cloud, x: Array, widen: float) -> tuple[Array, float]:
    """|z|² of z = C^(−1/2)(x − m)/widen, and dz/dx."""
    inverse = np.linalg.inv(widen * _root(cloud.covariance))
    z = inverse @ (x - cloud.mean[:, None])
    return np.einsum("ij,ij->j", z, z), float(np.prod(np.diag(inverse)))
