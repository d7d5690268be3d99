"""An ansatz that is even across straight and circular boundaries: no flux there, by images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

import dfpde as df

Map = Callable[[np.ndarray], np.ndarray]


class Mirrored(df.Ansatz):
    """u(x) = v(x) + Σ v(image of x): ∂u/∂n = 0 on a boundary whose image map is a reflection or a circle inversion.

    (With several boundaries up to images of images.)  Value and tangent only: for weak forms.
    """

    def __init__(self, v: df.Ansatz, images: Sequence[Map]) -> None:
        self.v, self.images = v, images
        self.dim, self.size = v.dim, v.size

    def value(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        """u."""
        return self.v.value(theta, x) + sum(self.v.value(theta, image(x)) for image in self.images)

    def tangent(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        """∂u/∂θ."""
        return self.v.tangent(theta, x) + sum(self.v.tangent(theta, image(x)) for image in self.images)


def inversion(center: Sequence[float], radius: float) -> Map:
    """x ↦ C + R² (x − C)/|x − C|²."""
    middle = np.array(center, dtype=float)[:, None]

    def image(x: np.ndarray) -> np.ndarray:
        away = x - middle
        return middle + radius**2 * away / np.sum(away**2, axis=0)

    return image


def reflection(axis: int, at: float) -> Map:
    """x_axis ↦ 2 at − x_axis."""

    def image(x: np.ndarray) -> np.ndarray:
        mirrored = x.copy()
        mirrored[axis] = 2 * at - x[axis]
        return mirrored

    return image
