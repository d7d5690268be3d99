"""Densities that points are drawn from: x = X(u; what is known of the solution), u uniform in the unit cube.

Every proposal turns dim + 1 uniform numbers into a point, so that quasi-random numbers move smoothly with it, and knows
its normalized density q, so that w = ω/(N q) makes all integrals unbiased.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, gammaln, ndtri

from .. import validation as check
from ..ansatz.base import Ansatz
from ..ansatz.mixtures.gaussian import GaussianMixture
from ..ansatz.mixtures.wavepacket import WavePackets
from ..errors import ParameterError, QuadratureError
from ..representation import represent

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Cloud:
    """What is known of the solution when points are drawn; the same on all ranks.

    Attributes
    ----------
    ansatz : Ansatz
    theta : (p,) array
    mean : (dim,) array
        Of |u|, or |u|² where u is complex, as the points before measure it.
    covariance : (dim, dim) array
    """

    ansatz: Ansatz
    theta: Array
    mean: Array
    covariance: Array

    __repr__ = represent


class Proposal(Protocol):
    """A density q that follows the solution."""

    def points(self, cloud: Cloud, u: Array) -> Array:
        """x (dim, N) with density q from uniform numbers u (dim + 1, N); no communication."""
        ...

    def density(self, cloud: Cloud, x: Array) -> Array:
        """q (N,) at points x (dim, N), ∫ q dx = 1; no communication."""
        ...


@dataclass(frozen=True)
@check.takes(widen=check.real(above=0))
class Components(Proposal):
    """q = Σ_i p_i N(b_i, widen² C_i): the Gaussians of the ansatz itself, p_i ∝ their mass ∫ |a_i g_i| dx.

    For `WavePackets` the Gaussians are those of |ψ_i|².

    Parameters
    ----------
    widen : float
        Factor of the standard deviations.  Products with the tangent decay more slowly than u itself.

    Raises
    ------
    ParameterError
        An ansatz that is no mixture of Gaussians on R^d, or a component without a finite mass.
    """

    widen: float = 1.2

    def points(self, cloud: Cloud, u: Array) -> Array:
        """See `Proposal`."""
        masses, means, factors = components(cloud.ansatz, cloud.theta)
        z = self.widen * ndtri(u[1:])
        chosen = np.minimum(np.searchsorted(np.cumsum(masses), u[0], side="right"), len(masses) - 1)
        spreads = np.linalg.inv(factors).transpose(0, 2, 1)  # x = b + L⁻ᵀ z
        x = np.empty_like(z)
        for i in range(len(masses)):
            mine = chosen == i
            x[:, mine] = means[i][:, None] + spreads[i] @ z[:, mine]
        return x

    def density(self, cloud: Cloud, x: Array) -> Array:
        """See `Proposal`."""
        masses, means, factors = components(cloud.ansatz, cloud.theta)
        total = np.zeros(x.shape[1])
        for mass, mean, factor in zip(masses, means, factors, strict=True):
            if mass > 0:
                total += mass * gaussian(x, mean, factor / self.widen)
        return total


def components(ansatz: Ansatz, theta: Array) -> tuple[Array, Array, Array]:
    """Masses (n,) that sum to one, means (n, dim), and factors L (n, dim, dim) of the precisions L Lᵀ."""
    part = ansatz.unpack(theta)
    if isinstance(ansatz, GaussianMixture):
        factors, sizes = ansatz.factor.matrices(part["scales"]), np.abs(part["amplitudes"])
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


@dataclass(frozen=True)
class Uniform(Proposal):
    """q = 1/|B| on a box B = Π (a_i, b_i).

    Parameters
    ----------
    bounds : sequence of (a, b)
        One pair for each axis.

    Raises
    ------
    ParameterError, ShapeError, NonFiniteError
        No pairs of finite numbers a < b; at the first draw: as many pairs as the solution has dimensions.
    """

    bounds: Sequence[Sequence[float]]

    __repr__ = represent

    def __post_init__(self) -> None:
        check.numbers(2)("bounds", self.bounds)
        pairs = np.asarray(self.bounds, dtype=float)
        if pairs.shape[1:] != (2,) or not np.all(pairs[:, 0] < pairs[:, 1]):
            raise ParameterError(f"bounds {self.bounds!r}", "one pair (a, b), a < b, for each axis")
        object.__setattr__(self, "bounds", tuple((float(a), float(b)) for a, b in pairs))

    def points(self, cloud: Cloud, u: Array) -> Array:
        """See `Proposal`."""
        low, high = self._box(len(u) - 1)
        x: Array = low + (high - low) * u[1:]
        return x

    def density(self, cloud: Cloud, x: Array) -> Array:
        """See `Proposal`."""
        low, high = self._box(len(x))
        inside = np.all((x >= low) & (x <= high), axis=0)
        return np.where(inside, 1.0 / float(np.prod(high - low)), 0.0)

    def _box(self, dim: int) -> tuple[Array, Array]:
        if len(self.bounds) != dim:
            raise ParameterError(f"a box of {len(self.bounds)} axes in {dim} dimensions", "one pair for each axis")
        pairs = np.array(self.bounds)
        return pairs[:, :1], pairs[:, 1:]


@dataclass(frozen=True)
@check.takes(map=check.function, q=check.function)
class Written(Proposal):
    """A proposal of the user's own.

    Parameters
    ----------
    map : callable
        (cloud, u (dim + 1, N)) -> x (dim, N): points with density q from uniform numbers.
    q : callable
        (cloud, x) -> (N,): the density, normalized.
    """

    map: Callable[[Cloud, Array], Array]
    q: Callable[[Cloud, Array], Array]

    __repr__ = represent

    def points(self, cloud: Cloud, u: Array) -> Array:
        """See `Proposal`."""
        return np.asarray(self.map(cloud, u), dtype=float)

    def density(self, cloud: Cloud, x: Array) -> Array:
        """See `Proposal`."""
        return np.asarray(self.q(cloud, x), dtype=float)


@dataclass(frozen=True)
@check.takes(
    parts=check.each(check.having("a proposal: Components(), ...", "points", "density"), "proposals", 1),
    shares=check.each(check.real(above=0), "positive numbers", 1),
)
class Blend(Proposal):
    """q = Σ_i c_i q_i with shares c_i: every point is weighted with the density of all parts (balance heuristic).

    w ω⁻¹ ≤ 1/(N c_i q_i): a part with heavy tails bounds the weights of all points.

    Parameters
    ----------
    parts : sequence of Proposal
    shares : sequence of float
        Positive; divided by their sum.

    Raises
    ------
    ParameterError
        Numbers of parts and shares that differ, or a share that is not positive.

    References
    ----------
    E. Veach, L. J. Guibas, Optimally combining sampling techniques for Monte Carlo rendering, SIGGRAPH 1995.
    """

    parts: Sequence[Proposal]
    shares: Sequence[float]

    __repr__ = represent

    def __post_init__(self) -> None:
        if len(self.parts) != len(self.shares):
            raise ParameterError(f"{len(self.shares)} shares for {len(self.parts)} proposals", "one for each")
        total = float(sum(self.shares))
        object.__setattr__(self, "parts", tuple(self.parts))
        object.__setattr__(self, "shares", tuple(float(share) / total for share in self.shares))

    def points(self, cloud: Cloud, u: Array) -> Array:
        """See `Proposal`."""
        x, start = np.empty((len(u) - 1, u.shape[1])), 0.0
        for number, (part, share) in enumerate(zip(self.parts, self.shares, strict=True)):
            last = number == len(self.parts) - 1
            mine = (u[0] >= start) & ((u[0] < start + share) | last)
            own = u[:, mine]
            own[0] = np.clip((own[0] - start) / share, 2.0**-40, 1 - 2.0**-40)  # uniform again
            x[:, mine] = part.points(cloud, own)
            start += share
        return x

    def density(self, cloud: Cloud, x: Array) -> Array:
        """See `Proposal`."""
        pairs = zip(self.parts, self.shares, strict=True)
        total: Array = np.sum([share * part.density(cloud, x) for part, share in pairs], axis=0)
        return total
