"""Periodic features of the coordinates, the first layer of a `Network` on a periodic box."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from ... import validation as check
from ..base import Alpha, Array, multi_index
from ..elementary import cos_sin
from ..mixtures.exponential import Jet, add


@dataclass(frozen=True)
@check.takes(
    periods=check.each(check.optional(check.real(above=0)), "a positive period, or None, for each axis", 1),
    frequencies=check.integer(1),
    shifts=check.integer(1),
)
class PeriodicEmbedding:
    """e_kfj(x) = cos(f κ_k (x_k − φ_kfj)), κ_k = 2π/period_k, f = 1..frequencies, j = 1..shifts, shifts φ learned.

    What is computed from these features is periodic and smooth across the ends of the box, for every θ.  An axis with
    period None is not periodic: its coordinate is a feature itself.

    Parameters
    ----------
    periods : tuple of dim floats or None
        Periods of the box.
    frequencies : int
        Multiples of the fundamental frequency, 1..frequencies.
    shifts : int
        Features for each axis and frequency; two or more tell x from its mirror image.

    Raises
    ------
    ParameterError
        A period, frequencies or shifts is not positive.
    """

    periods: tuple[float | None, ...]
    frequencies: int = 1
    shifts: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "periods", tuple(self.periods))

    @property
    def dim(self) -> int:
        """Space dimension."""
        return len(self.periods)

    @property
    def waves(self) -> list[tuple[int, float]]:
        """(axis, wave number f κ) of each periodic feature, in the order of the shifts."""
        return [
            (axis, 2 * np.pi * f / period)
            for axis, period in enumerate(self.periods)
            if period is not None
            for f in range(1, self.frequencies + 1)
            for _ in range(self.shifts)
        ]

    @property
    def plain(self) -> list[int]:
        """Axes that are not periodic: their features come after the periodic ones."""
        return [axis for axis, period in enumerate(self.periods) if period is None]

    @property
    def size(self) -> int:
        """Number of features."""
        return len(self.waves) + len(self.plain)

    def initial(self, rng: np.random.Generator) -> Array:
        """Shifts to start from: equispaced over half a wavelength from a random origin (two: cosine and sine)."""
        found = np.empty(len(self.waves))
        for group in range(0, len(found), self.shifts):
            wavelength = 2 * np.pi / self.waves[group][1]
            found[group : group + self.shifts] = wavelength * (
                rng.uniform() + np.arange(self.shifts) / (2 * self.shifts)
            )
        return found

    def jet(self, x: Array, shifts: Array, alphas: Collection[Alpha]) -> Jet:
        """∂^alpha of all features, each (size, B); those that are zero are left out."""
        found: Jet = {}
        periodic = len(self.waves)
        axes = np.array([axis for axis, _ in self.waves], dtype=int)
        kappa = np.array([wave for _, wave in self.waves])[:, None]
        cosine, sine = cos_sin(kappa * (x[axes] - shifts[:, None]))
        for alpha in alphas:
            order, used = sum(alpha), [axis for axis, a in enumerate(alpha) if a]
            if len(used) > 1:
                continue
            value = np.zeros((self.size, x.shape[1]))
            factor = kappa**order if order % 4 in (0, 3) else -(kappa**order)  # cos, −sin, −cos, sin
            np.multiply(factor, sine if order % 2 else cosine, out=value[:periodic])
            if used:
                value[:periodic][axes != used[0]] = 0.0
            for i, axis in enumerate(self.plain):
                value[periodic + i] = x[axis] if order == 0 else float(alpha == multi_index(self.dim, axis))
            found[alpha] = value
        return found

    def slopes(self, x: Array, shifts: Array, alphas: Collection[Alpha]) -> Jet:
        """∂^alpha ∂e/∂φ of the periodic features, each (len(shifts), B): ∂/∂φ = −∂/∂x of a feature's axis."""
        found: Jet = {}
        axes = np.array([axis for axis, _ in self.waves], dtype=int)
        for alpha in alphas:
            raised = {axis: add(alpha, multi_index(self.dim, axis)) for axis in set(axes)}
            jet = self.jet(x, shifts, raised.values())
            value = np.zeros((len(shifts), x.shape[1]))
            for axis, beta in raised.items():
                if beta in jet:
                    value[axes == axis] = -jet[beta][: len(shifts)][axes == axis]
            found[alpha] = value
        return found
