"""Periodic and symmetric fields for every θ, from any ansatz."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ... import validation as check
from ...errors import ParameterError, ShapeError
from ..base import Alpha, Ansatz, Array, multi_index
from ..multiindex import partitions
from .compose import Composite, Local, Term, add_up


class Symmetric(Composite):
    """u = Π_r ½ (1 + s_r R_r) v: even or odd under reflections (R v)(x) = v(c + σ∘(x − c)), for every θ.

    Parameters
    ----------
    ansatz : Ansatz
        v; its parameters are those of u and keep their names.
    reflections : sequence of (signs, parity)
        ``signs``: dim numbers ±1, −1 for the coordinates that change sign.  ``parity``: +1 even, −1 odd; for a
        system also m numbers, one for each component (a velocity normal to a mirror is odd, the others even).
        ``[((-1, 1), 1), ((1, -1), -1)]``: even in x, odd in y; ``[((-1, -1), 1)]``: u(−x) = u(x).
    center : array (dim,), optional
        c, the origin by default.

    Raises
    ------
    ParameterError
        Signs or parities other than ±1, or a combination that allows only u = 0.
    ShapeError
        Lengths that do not fit.

    Notes
    -----
    k reflections cost 2ᵏ evaluations of v.  Derivatives: ∂^α u = Σ_images weight σ^α (∂^α v)(image of x).
    """

    @check.takes(ansatz=check.ansatz, center=check.optional(check.numbers(1)))
    def __init__(
        self,
        ansatz: Ansatz,
        reflections: Sequence[tuple[Sequence[int], int | Sequence[int]]],
        center: Sequence[float] | None = None,
    ) -> None:
        self.center = np.zeros(ansatz.dim) if center is None else np.asarray(center, float)
        if self.center.shape != (ansatz.dim,):
            raise ShapeError(f"center has shape {self.center.shape}", f"give {ansatz.dim} coordinates")
        self.images = _images(ansatz, reflections)
        count = len(self.images)
        super().__init__([ansatz] * count, [slice(0, ansatz.size)] * count, dict(ansatz.slices()))
        self.shape = ansatz.shape

    def _points(self, x: Array) -> Sequence[Array]:
        c = self.center[:, None]
        return [c + np.array(signs)[:, None] * (x - c) for signs, _ in self.images]

    def _factors(self, alpha: Alpha) -> list[Array]:
        return [
            weight[..., None] * math.prod(s**a for s, a in zip(signs, alpha, strict=True))
            for signs, weight in self.images
        ]

    def _used(self, alphas: Sequence[Alpha]) -> Iterable[Alpha]:
        return alphas

    def _derivative(self, parts: Sequence[Local], alpha: Alpha) -> Array:
        return add_up(f * part(alpha) for f, part in zip(self._factors(alpha), parts, strict=True))

    def _linear(self, parts: Sequence[Local], alpha: Alpha) -> Iterable[Term]:
        return [(number, alpha, factor) for number, factor in enumerate(self._factors(alpha))]


def _pair(name: str, value: Any) -> None:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise check.wrong_type(name, value, "a pair")


def _images(
    ansatz: Ansatz, reflections: Sequence[tuple[Sequence[int], int | Sequence[int]]]
) -> list[tuple[tuple[int, ...], Array]]:
    """Signs and weight (shape of the field) of every image: the expanded product Π_r ½ (1 + s_r R_r)."""
    images: dict[tuple[int, ...], Array] = {(1,) * ansatz.dim: np.ones(ansatz.shape)}
    check.each(_pair, "pairs (signs, parity)")("reflections", reflections)
    for signs, parity in reflections:
        check.numbers(1)("signs", signs)
        if len(signs) != ansatz.dim or np.shape(parity) not in ((), ansatz.shape):
            raise ShapeError(
                f"reflection {signs} with parity {parity} for dim {ansatz.dim} and shape {ansatz.shape}",
                "give one sign for each coordinate, and one parity or one for each component",
            )
        if not {*signs, *np.ravel(parity).tolist()} <= {1, -1}:
            raise ParameterError(f"reflection {signs} with parity {parity}", "use only +1 and -1")
        product: dict[tuple[int, ...], Array] = {}
        for (old, weight), mirrored in itertools.product(images.items(), (False, True)):
            new = tuple(s * t for s, t in zip(old, signs, strict=True)) if mirrored else old
            product[new] = product.get(new, 0.0) + 0.5 * weight * (np.asarray(parity) if mirrored else 1.0)
        images = product
    total = np.sum([np.abs(weight) for weight in images.values()], axis=0)
    if not np.all(total > 0):
        raise ParameterError(f"the reflections {list(reflections)} allow only u = 0", "remove a contradicting parity")
    return [(signs, weight) for signs, weight in images.items() if np.any(weight)]


class Periodic(Composite):
    """u(x) = v(E(x)) with the periodic embedding E: exactly periodic for every θ.

    A coordinate of period L becomes a circle of circumference L, x ↦ (r cos(x/r), r sin(x/r)) with r = L/2π, so
    lengths (widths, scales) keep their meaning; a coordinate with period None stays as it is.

    Parameters
    ----------
    ansatz : Ansatz
        v, in as many dimensions as E has entries: two for each periodic coordinate, one for each other; its
        parameters are those of u and keep their names.  Use `embed` to place centers.
    periods : sequence of dim floats or None
        Periods.

    Raises
    ------
    ParameterError
        A period that is not positive and finite, or v of another dimension.

    Notes
    -----
    An embedding rather than a sum of images v(x − nL): images are periodic only up to the tail that is cut
    off, and a center that drifts out of the period, as in any travelling wave, leaves them.  The price is one
    parameter more for each center (its distance from the circle), a direction with little influence.
    `PeriodicGaussianMixture` has no such direction.  Derivatives by Faà di Bruno's formula.
    """

    @check.takes(
        ansatz=check.ansatz,
        periods=check.each(check.optional(check.real(above=0)), "a positive period, or None, for each axis", 1),
    )
    def __init__(self, ansatz: Ansatz, periods: Sequence[float | None]) -> None:
        self.periods = tuple(None if period is None else float(period) for period in periods)
        if not self.periods or not all(period is None or 0 < period < math.inf for period in self.periods):
            raise ParameterError(f"periods {self.periods}", "give a positive period, or None, for each coordinate")
        sizes = [1 if period is None else 2 for period in self.periods]
        if ansatz.dim != sum(sizes):
            raise ParameterError(
                f"the ansatz has dimension {ansatz.dim}, the embedding {sum(sizes)}",
                "give an ansatz with two dimensions for each periodic coordinate, one for each other",
            )
        super().__init__([ansatz], [slice(0, ansatz.size)], dict(ansatz.slices()))
        self.dim, self.shape = len(self.periods), ansatz.shape
        starts = np.cumsum([0, *sizes]).tolist()
        self._outputs = [range(start, stop) for start, stop in itertools.pairwise(starts)]

    def period(self, axis: int) -> float | None:
        return self.periods[axis]

    def embed(self, x: Array) -> Array:
        """E(x), shape (dimension of the ansatz inside, N)."""
        x = self.check_points(x)
        return np.concatenate([self._curve(axis, x, 0) for axis in range(self.dim)])

    def _curve(self, axis: int, x: Array, order: int) -> Array:
        """Derivative of the given order of the entries of E that depend on the given coordinate."""
        period = self.periods[axis]
        if period is None:
            return x[axis : axis + 1] if order == 0 else np.full((1, x.shape[1]), float(order == 1))
        r = period / (2.0 * np.pi)
        phase = x[axis] / r + order * (np.pi / 2)
        curve: Array = r ** (1 - order) * np.stack([np.cos(phase), np.sin(phase)])
        return curve

    def _points(self, x: Array) -> Sequence[Array]:
        return [self.embed(x)]

    def _coefficients(self, x: Array, alpha: Alpha) -> dict[Alpha, Any]:
        """c_β with ∂^α u = Σ_β c_β (∂^β v)(E(x)): every block of a partition lies on one coordinate."""
        total: dict[Alpha, Any] = {}
        for count, blocks in partitions(alpha):
            if any(sum(order > 0 for order in block) > 1 for block in blocks):
                continue
            axes = [next(axis for axis, order in enumerate(block) if order) for block in blocks]
            curves = [self._curve(axis, x, sum(block)) for axis, block in zip(axes, blocks, strict=True)]
            for entries in itertools.product(*(range(len(curve)) for curve in curves)):
                beta = multi_index(
                    self.components[0].dim, *(self._outputs[a][e] for a, e in zip(axes, entries, strict=True))
                )
                term = math.prod((c[e] for c, e in zip(curves, entries, strict=True)), start=np.float64(count))
                total[beta] = total.get(beta, 0.0) + term
        return total

    def _derivative(self, parts: Sequence[Local], alpha: Alpha) -> Array:
        v = parts[0]
        return add_up(c * v(beta) for beta, c in self._coefficients(v.points, alpha).items())

    def _linear(self, parts: Sequence[Local], alpha: Alpha) -> Iterable[Term]:
        return [(0, beta, c) for beta, c in self._coefficients(parts[0].points, alpha).items()]
