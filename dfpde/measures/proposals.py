"""Densities that points are drawn from: x = X(u; what is known of the solution), u uniform in the unit cube.

Every proposal turns dim + 1 uniform numbers into a point, so that quasi-random numbers move smoothly with it, and knows
its normalized density q, so that w = ω/(N q) makes all integrals unbiased.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..ansatz.base import Ansatz
from ..errors import ParameterError
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
