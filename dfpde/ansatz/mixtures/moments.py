"""Gaussian mixtures as densities: mass, mean, covariance, marginals and ‖u‖² in closed form.

    ∫ exp(−½ |Lᵀ(x − b)|²) dx = (2π)^(d/2)/|det L|,      ⟨g_i, g_j⟩ = (2π)^(d/2) det(P_i + P_j)^(−½) exp(−½ c_ij),
    c_ij = (b_i − b_j)ᵀ (P_i⁻¹ + P_j⁻¹)⁻¹ (b_i − b_j),    P = L Lᵀ
"""

from __future__ import annotations

import math

import numpy as np

from ... import validation as check
from ...errors import ParameterError
from ..base import Array
from .gaussian import GaussianMixture

_takes = check.takes(mixture=check.instance(GaussianMixture, "a GaussianMixture"))


@_takes
def masses(mixture: GaussianMixture, theta: Array) -> Array:
    """∫ a_i g_i dx, (n,).

    Raises
    ------
    ParameterError
        A scale is zero: the component is constant along a direction.
    """
    found: Array = mixture.amplitudes(theta) * _volumes(mixture, theta)
    return found


def _volumes(mixture: GaussianMixture, theta: Array) -> Array:
    """∫ g_i dx, (n,), without the amplitudes; raises what `masses` does."""
    factors = mixture.factor.matrices(mixture.unpack(theta)["scales"])
    determinants = np.abs(np.prod(np.diagonal(factors, axis1=1, axis2=2), axis=1))
    if not np.all(determinants > 0):
        flat = np.flatnonzero(~(determinants > 0)).tolist()
        raise ParameterError(f"components {flat} have no finite mass: a scale is zero", "positive or negative scales")
    found: Array = (2 * math.pi) ** (mixture.dim / 2) / determinants
    return found


@_takes
def mass(mixture: GaussianMixture, theta: Array) -> float:
    """∫ u dx."""
    return float(masses(mixture, theta).sum())


@_takes
def mass_gradient(mixture: GaussianMixture, theta: Array) -> Array:
    """∂/∂θ ∫ u dx, (p,)."""
    part, each = mixture.unpack(theta), masses(mixture, theta)
    diagonals = np.diagonal(mixture.factor.matrices(part["scales"]), axis1=1, axis2=2)
    by_scale = np.diagonal(mixture.factor.matrices(np.eye(mixture.factor.size)), axis1=1, axis2=2)  # 0 or 1
    scales = -each[:, None] * (1 / diagonals) @ by_scale.T
    amplitudes = _volumes(mixture, theta) * mixture.amplitude_slopes(theta)
    return np.concatenate([amplitudes, np.zeros(mixture.n * mixture.dim), scales.ravel()])


@_takes
def mean(mixture: GaussianMixture, theta: Array) -> Array:
    """∫ x u dx/∫ u dx, (dim,)."""
    shares = masses(mixture, theta)
    found: Array = shares @ mixture.unpack(theta)["centers"] / shares.sum()
    return found


@_takes
def covariance(mixture: GaussianMixture, theta: Array) -> Array:
    """∫ (x − m)(x − m)ᵀ u dx/∫ u dx, (dim, dim)."""
    shares = masses(mixture, theta)
    y = mixture.unpack(theta)["centers"] - mean(mixture, theta)
    own = np.linalg.inv(mixture.precisions(theta))
    found: Array = np.einsum("n,nij->ij", shares, own + y[:, :, None] * y[:, None]) / shares.sum()
    return found


@check.takes(
    mixture=check.instance(GaussianMixture, "a GaussianMixture"),
    axes=check.each(check.integer(0), "axes that are kept", 1),
)
def marginal(mixture: GaussianMixture, theta: Array, axes: tuple[int, ...]) -> tuple[GaussianMixture, Array]:
    """∫ u over all other axes, as a full mixture on the axes that are kept, and its parameters.

    Raises
    ------
    ParameterError
        Axes that the mixture does not have, or has only once.
    """
    kept = list(axes)
    if len(set(kept)) < len(kept) or max(kept) >= mixture.dim:
        raise ParameterError(f"axes {kept} of {mixture.dim}", "different axes from 0 to dim − 1")
    found = GaussianMixture.full(len(kept), mixture.n)
    own = np.linalg.inv(mixture.precisions(theta))[:, kept][:, :, kept]
    scales = found.scales(own)
    unit = found.pack(amplitudes=1.0, centers=mixture.unpack(theta)["centers"][:, kept], scales=scales)
    amplitudes = masses(mixture, theta) / masses(found, unit)
    return found, np.concatenate([amplitudes, unit[found.n :]])


@_takes
def squared_norm(mixture: GaussianMixture, theta: Array) -> float:
    """∫ u² dx.

    Raises
    ------
    ParameterError
        The precisions of two components have a singular sum: u is not square integrable.
    """
    amplitudes, centers = mixture.amplitudes(theta), mixture.unpack(theta)["centers"]
    precisions, total = mixture.precisions(theta), 0.0
    for a, b, precision in zip(amplitudes, centers, precisions, strict=True):
        y = centers - b
        both = precisions + precision
        determinants = np.linalg.det(both)
        if not np.all(determinants > 0):
            raise ParameterError("u is not square integrable: a scale is zero", "scales other than zero")
        pulled = np.linalg.solve(both, np.einsum("nij,nj->ni", precisions, y)[..., None])[..., 0]
        c = np.einsum("ni,ij,nj->n", y, precision, pulled)
        total += float(a * amplitudes @ (np.exp(-0.5 * c) / np.sqrt(determinants)))
    return float((2 * math.pi) ** (mixture.dim / 2)) * total
