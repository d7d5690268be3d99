"""Gaussian mixtures that cannot become negative: the logarithms of their amplitudes are the parameters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ... import validation as check
from ..base import Array, multi_index
from .exponential import Block
from .gaussian import GaussianMixture


class PositiveMixture(GaussianMixture):
    """u(x) = Σ_i exp(α_i − ½ |L_iᵀ (x − b_i)|²) > 0: a `GaussianMixture` with amplitudes a_i = exp(α_i).

    For densities.  Made by `PositiveMixture.isotropic`, `.diagonal` or `.full`; the block ``log_amplitudes`` α (n,)
    takes the place of ``amplitudes``, ``centers`` and ``scales`` are as there.

    With amplitudes of any sign, masses of components that overlap may grow against each other without a change of u;
    here their sum is bounded by the mass.  A component that is not needed decays: its α tends to −∞ and its column
    ∂u/∂α_i = a_i g_i to zero.  u is linear in no block, and a fit begins with all amplitudes equal to one.
    """

    linear_parameters = ()

    def slices(self) -> Mapping[str, tuple[slice, tuple[int, ...]]]:
        """Blocks of θ: "log_amplitudes" (n,), "centers" (n, dim), "scales" (n, ...)."""
        return {"log_amplitudes" if name == "amplitudes" else name: block for name, block in super().slices().items()}

    def amplitudes(self, theta: Array) -> Array:
        """a = exp α, shape (n,)."""
        with np.errstate(over="ignore"):  # of a stage far off: it has no finite field, and the step is tried again
            found: Array = np.exp(super().amplitudes(theta))
        return found

    def amplitude_slopes(self, theta: Array) -> Array:
        """∂a_i/∂α_i = a_i, shape (n,)."""
        return self.amplitudes(theta)

    def by_amplitudes(self, amplitudes: Array | float) -> dict[str, Array]:
        """The block ``log_amplitudes`` for amplitudes (n,), or one for all.

        Raises
        ------
        ParameterError
            An amplitude is not positive.
        ArgumentTypeError, NonFiniteError
            As of `GaussianMixture.by_amplitudes`.
        """
        check.numbers(above=0)("amplitudes", amplitudes)
        return {"log_amplitudes": np.log(np.asarray(amplitudes, float))}

    def _block(self, theta: Array, x: Array, order: int, tangent: int) -> Block:
        block = super()._block(theta, x, order, tangent)
        itself = {multi_index(self.dim): np.ones(())}  # ∂E/∂α
        rows = [(slice(0, self.n), itself), *block.parameters] if tangent >= 0 else []
        return Block(self.amplitudes(theta)[:, None] * block.g, None, block.exponent, rows)
