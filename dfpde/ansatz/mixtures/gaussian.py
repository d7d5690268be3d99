"""Gaussian mixtures on R^d and on periodic boxes, with derivatives and tangents of any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from ... import validation as check
from ...errors import ParameterError
from ..base import Array, multi_index
from ..elementary import exponential, versine_sin
from .exponential import Block, Exponentials, Jet, shifted
from .quadratic import Cholesky
from .spread import spread

_PERIODS = check.each(check.real(above=0), "a positive period for each axis", 1)


class _Mixture(Exponentials):
    """Parameter blocks shared by the mixtures: amplitudes, centers, scales."""

    linear_parameters: tuple[str, ...] = ("amplitudes",)
    periods: tuple[float, ...] | None = None

    @check.takes(
        dim=check.integer(1), factor=check.instance(Cholesky, "isotropic, diagonal or full of GaussianMixture")
    )
    def __init__(self, dim: int, n: int, factor: Cholesky) -> None:
        super().__init__(dim, n)
        if factor.dim != dim:
            raise ParameterError(f"factors of dimension {factor.dim} for dim = {dim}", "one dimension for both")
        self.factor = factor
        self.size = n * (1 + dim + factor.size)

    def slices(self) -> Mapping[str, tuple[slice, tuple[int, ...]]]:
        """Blocks of θ: "amplitudes" (n,), "centers" (n, dim), "scales" (n, ...)."""
        first, second = self.n, self.n * (1 + self.dim)
        return {
            "amplitudes": (slice(0, first), (self.n,)),
            "centers": (slice(first, second), (self.n, self.dim)),
            "scales": (slice(second, self.size), (self.n, *self.factor.shape)),
        }

    def guess(self, x: Array, seed: int = 0) -> Array:
        """Centers with the density of the points x, isotropic widths that overlap with the neighbours, amplitudes 0."""
        check.integer(0)("seed", seed)
        centers, deviation = spread(self.check_points(x), self.n, self.periods, seed)
        isotropic = np.eye(self.dim) / deviation[:, None, None]
        blocks = {"centers": centers, "scales": self.factor.scales(isotropic)}  # a = 0, or α = 0 of a positive mixture
        return self.pack(**dict.fromkeys(self.slices(), 0.0) | blocks)

    def _distance(self, centers: Array, x: Array) -> Array:
        """x − b, shape (dim, n, B)."""
        y: Array = x[:, None, :] - centers.T[:, :, None]
        return y

    def _parameters(self, exponent: Jet, slopes: Sequence[Jet], order: int) -> list[tuple[slice, Jet]]:
        """Rows and jets of centers (∂E/∂b_k = −∂_k E) up to `order`, and of scales."""
        stop = self.n * (1 + self.dim)
        exponent = {alpha: value for alpha, value in exponent.items() if sum(alpha) <= order + 1}
        rows = [(slice(self.n + k, stop, self.dim), shifted(exponent, k, -1)) for k in range(self.dim)]
        rows += [(slice(stop + i, self.size, self.factor.size), slope) for i, slope in enumerate(slopes)]
        return rows


class GaussianMixture(_Mixture):
    """u(x) = Σ_i a_i exp(−½ |L_iᵀ (x − b_i)|²), Gaussians with precision matrices L_i L_iᵀ.

    Made by `GaussianMixture.isotropic`, `.diagonal` or `.full`.  Parameters by name: ``amplitudes`` a (n,),
    ``centers`` b (n, dim), and ``scales``, the entries of L:

    =============  ======================  ==============================================
    constructor    scales                  L
    =============  ======================  ==============================================
    `isotropic`    (n,)                    s I: 1/s is the standard deviation
    `diagonal`     (n, dim)                diag(s_1, ..., s_dim)
    `full`         (n, dim (dim + 1)/2)    lower triangular, by rows L_00, L_10, L_11, ...
    =============  ======================  ==============================================

    Scales have the unit 1/length, amplitudes that of u.  The precision is positive semidefinite for every θ, so no time
    step can leave the parameter set, and u is entire in θ.  Signs of the columns of L do not matter; the price of
    smoothness is ∂u/∂s = 0 at s = 0, where a component is constant along a direction.  (A logarithmic scale
    would move that point to infinity, at the price of parameters that grow exponentially with θ.)

    Value, tangent, all derivatives and their tangents are analytic and computed by blocks of points.
    """

    @classmethod
    @check.takes(dim=check.integer(1))
    def isotropic(cls, dim: int, n: int) -> Self:
        """n components with one scale each: p = n (dim + 2)."""
        return cls(dim, n, Cholesky.isotropic(dim))

    @classmethod
    @check.takes(dim=check.integer(1))
    def diagonal(cls, dim: int, n: int) -> Self:
        """n components with one scale for each axis: p = n (2 dim + 1)."""
        return cls(dim, n, Cholesky.diagonal(dim))

    @classmethod
    @check.takes(dim=check.integer(1))
    def full(cls, dim: int, n: int) -> Self:
        """n components with full precision matrices: p = n (1 + dim + dim (dim + 1)/2)."""
        return cls(dim, n, Cholesky.full(dim))

    def amplitudes(self, theta: Array) -> Array:
        """a, shape (n,)."""
        return self.check_theta(theta)[: self.n]

    def amplitude_slopes(self, theta: Array) -> Array:
        """∂a_i/∂θ_i, shape (n,): the first n parameters belong to the amplitudes."""
        return np.ones(self.n)

    def by_amplitudes(self, amplitudes: Array | float) -> dict[str, Array]:
        """The block of amplitudes a (n,), or one a for all: ``pack(**mixture.by_amplitudes(a), centers=b, ...)``.

        Raises
        ------
        ArgumentTypeError, NonFiniteError
            No finite numbers; from `pack`, ShapeError: not n of them.
        """
        check.numbers()("amplitudes", amplitudes)
        return {"amplitudes": np.asarray(amplitudes, float)}

    def precisions(self, theta: Array) -> Array:
        """Precision matrices L Lᵀ, shape (n, dim, dim)."""
        factors = self.factor.matrices(self.unpack(theta)["scales"])
        product: Array = factors @ factors.transpose(0, 2, 1)
        return product

    def scales(self, covariance: Array) -> Array:
        """Block ``scales`` for covariance matrices (n, dim, dim) or (dim, dim).

        What the mixture cannot hold (off-diagonal entries of a diagonal one) is dropped.

        Raises
        ------
        ParameterError
            A covariance is not positive definite.
        """
        shape = (self.n, self.dim, self.dim)
        try:
            precision = np.linalg.inv(np.broadcast_to(np.asarray(covariance, float), shape))
            return self.factor.scales(np.linalg.cholesky(precision))
        except ValueError as error:  # LinAlgError is one
            raise ParameterError(
                f"covariance of shape {np.shape(covariance)}: {error}",
                f"give symmetric positive definite matrices, shape {shape} or {shape[1:]}",
            ) from error

    def _block(self, theta: Array, x: Array, order: int, tangent: int) -> Block:
        part = self.unpack(theta)
        quadratic = self.factor.at(part["scales"], self._distance(part["centers"], x))
        exponent = quadratic.exponent(order)
        parameters: list[tuple[slice, Jet]] = []
        if tangent >= 0:
            slopes = [quadratic.slope(i, tangent) for i in range(self.factor.size)]
            parameters = self._parameters(exponent, slopes, tangent)
        return Block(exponential(exponent[multi_index(self.dim)]), self.amplitudes(theta), exponent, parameters)


class PeriodicGaussianMixture(_Mixture):
    """u(x) = Σ_i a_i exp(−½ Σ_k s_ik² (2/κ_k)² sin²(½ κ_k (x_k − b_ik))), κ_k = 2π/period_k, on a periodic box.

    One scale for each component, or with `PeriodicGaussianMixture.diagonal` one for each of its axes.  Blocks:
    ``amplitudes`` (n,), ``centers`` (n, dim), ``scales`` (n,) or (n, dim).  The exponent tends to −½ s² (x − b)² for
    s ≫ κ: 1/s is the standard deviation of a narrow component, as in `GaussianMixture`.  Derivatives and tangents of
    any order are analytic.

    Parameters
    ----------
    periods : float or sequence of dim floats
        Periods of the box, positive; a number for one dimension.
    n : int
        Number of components.
    factor : Cholesky, optional
        Which scales there are; None: one for each component.

    Raises
    ------
    ParameterError
        A period is not positive.
    """

    periods: tuple[float, ...]

    @check.takes(
        periods=check.either(check.is_real, check.real(above=0), _PERIODS),
        factor=check.optional(check.instance(Cholesky, "isotropic or diagonal of PeriodicGaussianMixture")),
    )
    def __init__(self, periods: float | Sequence[float], n: int, factor: Cholesky | None = None) -> None:
        given: Any = (periods,) if check.is_real(periods) else periods
        self.periods = tuple(float(period) for period in given)
        factor = Cholesky.isotropic(len(self.periods)) if factor is None else factor
        super().__init__(factor.dim, n, factor)
        if not all(0 < period < np.inf for period in self.periods):
            raise ParameterError(f"periods {self.periods}", "give one positive finite period for each axis")

    @classmethod
    @check.takes(periods=_PERIODS)
    def isotropic(cls, periods: Sequence[float], n: int) -> PeriodicGaussianMixture:
        """n components with one scale each: p = n (dim + 2)."""
        return cls(periods, n)

    @classmethod
    @check.takes(periods=_PERIODS)
    def diagonal(cls, periods: Sequence[float], n: int) -> PeriodicGaussianMixture:
        """n components with one scale for each axis: p = n (2 dim + 1)."""
        return cls(periods, n, Cholesky.diagonal(len(periods)))

    def period(self, axis: int) -> float | None:
        return self.periods[axis]

    def _block(self, theta: Array, x: Array, order: int, tangent: int) -> Block:
        part = self.unpack(theta)
        y = self._distance(part["centers"], x)
        columns = part["scales"].reshape(self.n, -1).T[..., None]
        exponent: Jet = {}
        slopes: list[Jet] = [{} for _ in columns]
        for number, entries in enumerate(self.factor.entries):
            for k, _ in entries:
                s, jet = columns[number], _cosine(y[k], 2 * np.pi / self.periods[k], order)
                for m, derivative in enumerate(jet):
                    alpha = multi_index(self.dim, *(k,) * m)
                    exponent[alpha] = exponent.get(alpha, 0) + s * s * derivative
                    if m <= tangent:
                        slopes[number][alpha] = slopes[number].get(alpha, 0) + 2 * s * derivative
        parameters = self._parameters(exponent, slopes, tangent) if tangent >= 0 else []
        return Block(exponential(exponent[multi_index(self.dim)]), part["amplitudes"], exponent, parameters)


def _cosine(y: Array, kappa: float, order: int) -> list[Array]:
    """Derivatives 0..order of −½ (2/κ)² sin²(½ κ y) = −(1 − cos κy)/κ²."""
    versine, sine = versine_sin(kappa * y)
    jet = [versine * (-1.0 / kappa**2)]
    if order > 0:
        jet.append(sine * (-1.0 / kappa))
    if order > 1:
        jet.append(versine - 1.0)
    for m in range(3, order + 1):
        jet.append(jet[m - 2] * -(kappa**2))
    return jet
