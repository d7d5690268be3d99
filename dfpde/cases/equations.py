"""Equations of the gallery for case files: f(t, x, u), initial data, and the solution where it is known.

The fields of a class are the coefficients that ``[equation]`` sets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from ..calculus import Field, dot, dx, grad
from ..errors import ParameterError

Array = NDArray[Any]


class Equation(Protocol):
    """u_t = f(t, x, u); with initial data where it has a method `initial`, x ↦ u₀ (*shape, N)."""

    @property
    def dim(self) -> int | None:
        """Space dimension; None: any."""
        ...

    @property
    def components(self) -> int:
        """1 for a scalar, m for a system."""
        ...

    def rhs(self, t: float, x: Array, u: Field) -> Array:
        """f, (*shape, N), at points x (dim, N)."""
        ...


@dataclass(frozen=True)
class Rabi:
    """z_t = −b·∇z + ω R z, b = Ω(−y, x), R = [[0, 1], [−1, 0]]: a packet turns and swaps between two modes.

    Exact: z = (cos(ωt + φ), −sin(ωt + φ)) g(Q(t)ᵀx), Q the rotation by Ωt, g a Gaussian.

    Parameters
    ----------
    turn, swap : float
        Ω and ω, in 1/time.
    phase : float
        φ.
    radius, width : float
        Distance of the packet from the center, and its standard deviation.
    """

    turn: float = 1.0
    swap: float = 5.0
    phase: float = math.pi / 4
    radius: float = 0.5
    width: float = 0.15
    dim = 2
    components = 2

    def __post_init__(self) -> None:
        _positive(width=self.width)

    def rhs(self, t: float, x: Array, u: Field) -> Array:
        """−b·∇z + ω R z."""
        b = self.turn * np.stack([-x[1], x[0]])
        found: Array = -dot(b, grad(u)) + self.swap * np.stack([u.value[1], -u.value[0]])
        return found

    def initial(self, x: Array) -> Array:
        """The solution at t = 0."""
        return self.exact(0.0, x)

    def exact(self, t: float, x: Array) -> Array:
        """Closed form, (2, N)."""
        c, s = math.cos(self.turn * t), math.sin(self.turn * t)
        back = np.stack([c * x[0] + s * x[1] - self.radius, -s * x[0] + c * x[1]])
        packet = np.exp(-0.5 * np.sum(back**2, axis=0) / self.width**2)
        angle = self.swap * t + self.phase
        return np.stack([math.cos(angle) * packet, -math.sin(angle) * packet])


@dataclass(frozen=True)
class Burgers:
    """u_t + u u_x = ν u_xx, u₀ = −sin πx, on a line of period 2.

    Exact by Cole–Hopf (Basdevant et al., Comput. Fluids 14, 1986), its integrals by the trapezoidal rule.

    Parameters
    ----------
    viscosity : float
        ν.
    """

    viscosity: float = 0.01
    dim = 1
    components = 1

    def __post_init__(self) -> None:
        _positive(viscosity=self.viscosity)

    def rhs(self, t: float, x: Array, u: Field) -> Array:
        """ν u_xx − u u_x."""
        found: Array = self.viscosity * dx(u, 2) - u.value * dx(u)
        return found

    def initial(self, x: Array) -> Array:
        """−sin πx."""
        return np.asarray(-np.sin(np.pi * x[0]))

    def exact(self, t: float, x: Array) -> Array:
        """u = −2ν φ_x/φ, φ the solution of the heat equation."""
        if t == 0:
            return self.initial(x)
        eta = np.linspace(-9, 9, 400) * np.sqrt(4 * self.viscosity * t)
        y = x[0] - eta[:, None]
        exponent = -np.cos(np.pi * y) / (2 * np.pi * self.viscosity) - (eta**2 / (4 * self.viscosity * t))[:, None]
        weight = np.exp(exponent - exponent.max(axis=0))
        return np.asarray(-(weight * np.sin(np.pi * y)).sum(axis=0) / weight.sum(axis=0))


@dataclass(frozen=True)
class AllenCahn:
    """u_t = ν u_xx + u − u³ on a circle of length 2π, u₀ three bumps (Berman, Peherstorfer, arXiv 2310.04867).

    Parameters
    ----------
    diffusion : float
        ν.
    """

    diffusion: float = 5e-3
    dim = 1
    components = 1

    def __post_init__(self) -> None:
        _positive(diffusion=self.diffusion)

    def rhs(self, t: float, x: Array, u: Field) -> Array:
        """ν u_xx + u − u³."""
        found: Array = self.diffusion * dx(u, 2) + u.value - u.value**3
        return found

    def initial(self, x: Array) -> Array:
        """tanh(2 sin x)/3 and three narrow bumps."""
        y = x[0]
        bumps = ((-1.0, 23.5, np.pi / 2), (1.0, 27.0, 4.2), (1.0, 38.0, 5.4))
        return np.asarray(np.tanh(2 * np.sin(y)) / 3 + sum(a * np.exp(-s * (y - b) ** 2) for a, s, b in bumps))


@dataclass(frozen=True)
class Advection:
    """u_t + (A x)·∇u = 0, u₀ a sum of Gaussians.  Exact: u = u₀(e^{−tA} x).

    Parameters
    ----------
    flow : (dim, dim) matrix
        A.
    centers : (n, dim)
        Of the Gaussians.
    amplitudes, widths : (n,)
        widths are standard deviations.
    """

    flow: tuple[tuple[float, ...], ...]
    centers: tuple[tuple[float, ...], ...]
    amplitudes: tuple[float, ...]
    widths: tuple[float, ...]
    components = 1

    def __post_init__(self) -> None:
        dim, n = len(self.flow), len(self.amplitudes)
        shapes = [len(row) for row in self.flow], [len(row) for row in self.centers], len(self.widths)
        if dim == 0 or n == 0 or shapes != ([dim] * dim, [dim] * n, n):
            raise ParameterError(
                f"flow {dim} × {shapes[0]}, {len(self.centers)} centers, {n} amplitudes, {len(self.widths)} widths",
                "a square flow, and one center, amplitude and width for each Gaussian",
            )
        _positive(**{f"widths[{i}]": width for i, width in enumerate(self.widths)})

    @property
    def dim(self) -> int:
        """Of the flow."""
        return len(self.flow)

    def rhs(self, t: float, x: Array, u: Field) -> Array:
        """−(A x)·∇u."""
        found: Array = -dot(np.asarray(self.flow) @ x, grad(u))
        return found

    def initial(self, x: Array) -> Array:
        """Σ a exp(−|x − c|²/2w²)."""
        distance = np.sum((x[None] - np.asarray(self.centers)[:, :, None]) ** 2, axis=1)
        return np.asarray(self.amplitudes @ np.exp(-0.5 * distance / np.asarray(self.widths)[:, None] ** 2))

    def exact(self, t: float, x: Array) -> Array:
        """u₀ along the flow."""
        return self.initial(expm(-t * np.asarray(self.flow)) @ x)


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ParameterError(f"{name} = {value}", f"{name} > 0")
