"""Identical components of a mixture, set apart without a change of mass, mean and covariance.

    b_j = b + √c L⁻ᵀ z_j,   Σ_j z_j = 0,   (1/n) Σ_j z_j z_jᵀ = I,   P_j = P/(1 − c)

What symmetric dynamics cannot tell apart stays identical: equal components have equal columns of the tangent, hence
equal velocities, whatever the regularization.  Rounding breaks the symmetry in the end, a split does so at the start.
"""

from __future__ import annotations

import numpy as np

from ... import validation as check
from ...errors import ParameterError
from ..base import Array
from .gaussian import GaussianMixture


@check.takes(
    mixture=check.instance(GaussianMixture, "a GaussianMixture"),
    share=check.real(above=0, below=1),
    seed=check.integer(0),
)
def split(mixture: GaussianMixture, theta: Array, share: float, seed: int = 0) -> Array:
    """θ with n identical components of a mixture set apart.

    Moments up to the third stay what they are, so the field changes by O(share²).

    Parameters
    ----------
    mixture : GaussianMixture
    theta : (p,) array
        Components that are identical.
    share : float
        c, 0 < c < 1: the part of the covariance that the centers take over.
    seed : int
        Of the directions.

    Raises
    ------
    ParameterError
        Components that differ, or an odd number of them, or fewer than 2 dim: they cannot span all directions.
    """
    part, n, d = mixture.unpack(theta), mixture.n, mixture.dim
    if any(not np.all(np.abs(block - block[:1]) <= 1e-12 * np.max(np.abs(block))) for block in part.values()):
        raise ParameterError("components that differ", "identical ones: split sets apart what is one")
    if n % 2 or n < 2 * d:
        raise ParameterError(f"{n} components in {d} dimensions", f"an even number, at least {2 * d}")
    half = np.random.default_rng(seed).normal(size=(n // 2, d))
    z = np.vstack([half, -half])
    z = z @ np.linalg.inv(np.linalg.cholesky(z.T @ z / n)).T
    factor = mixture.factor.matrices(part["scales"])[0]
    narrow = 1.0 / np.sqrt(1.0 - share)
    return mixture.pack(
        **mixture.by_amplitudes(mixture.amplitudes(theta) * narrow**d),
        centers=part["centers"] + np.sqrt(share) * np.linalg.solve(factor.T, z.T).T,
        scales=part["scales"] * narrow,
    )
