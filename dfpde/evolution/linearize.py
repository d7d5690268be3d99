"""Derivative of θ ↦ f(t, x, Φ(θ)) for a right-hand side that is a function of u and its derivatives at each point.

    F_θ = Σ_α (∂f/∂u_α) ∂_θ ∂^α u,      u_α = ∂^α u

The derivatives that f asks its `Field` for are recorded, f is differentiated by each of them pointwise (central
differences: one pair of evaluations of f for each component of each derivative, none of the ansatz), and the tangents
∂_θ ∂^α u come from `Ansatz.tangent_derivative`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ansatz.base import Alpha, Ansatz
from ..calculus import Field
from ..errors import MissingDerivative, ParameterError
from ..model import Model
from ..problem import Problem

Array = NDArray[Any]

#: Relative step of a central difference, ∛u: truncation and rounding errors balance at about 4e-11.
DIFFERENCE = 2.0 ** (-53 / 3)


class _Jets(Ansatz):
    """An ansatz seen at fixed θ and x: each derivative is evaluated once, kept, and may be replaced."""

    def __init__(self, ansatz: Ansatz, theta: Array, x: Array, jets: dict[Alpha, Array]) -> None:
        self.dim, self.size, self.shape, self.dtype = ansatz.dim, ansatz.size, ansatz.shape, ansatz.dtype
        self.ansatz, self.theta, self.x, self.jets = ansatz, theta, x, jets

    def derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        if x is not self.x:
            raise MissingDerivative(
                "the right-hand side evaluates u at other points than its own: its derivative is not pointwise",
                "an explicit integrator (DormandPrince, ...), or a right-hand side of u and its derivatives at x",
            )
        alpha = tuple(int(a) for a in alpha)
        if alpha not in self.jets:
            self.jets[alpha] = self.ansatz.derivative(self.theta, self.x, alpha)
        return self.jets[alpha]

    def value(self, theta: Array, x: Array) -> Array:
        return self.derivative(theta, x, (0,) * self.dim)

    def tangent(self, theta: Array, x: Array) -> Array:
        raise self._missing("a tangent inside the right-hand side", "tangent")


def pointwise(model: Model) -> Problem:
    """The model, if its f is a function of u and its derivatives at each point.

    Raises
    ------
    ParameterError
        It is not (`fem.SemiDiscrete`: every nodal velocity depends on all nodal values); on all ranks.
    """
    if isinstance(model, Problem):
        return model
    error = ParameterError(
        f"{type(model).__name__}: its right-hand side cannot be differentiated point by point, as implicit schemes "
        "and `growth_rate` do",
        "an explicit integrator (DormandPrince, RK4), or a dfpde.Problem of the same equation",
    )
    error.collective = True
    raise error


def linearized(problem: Problem, t: float, theta: Array) -> tuple[Array, Array]:
    """f (*shape, N) and F_θ (p, *shape, N) at the local points; no communication.

    Raises
    ------
    MissingDerivative
        The ansatz has no tangents of the derivatives that f uses, or f is not pointwise.
    """
    ansatz, x = problem.ansatz, problem.quadrature.x
    jets: dict[Alpha, Array] = {}

    def f(values: dict[Alpha, Array]) -> Array:
        return np.asarray(problem.rhs(t, x, Field(_Jets(ansatz, theta, x, values), theta, x)))

    base = f(jets)
    derivative: Array = np.zeros((ansatz.size, *base.shape), dtype=ansatz.dtype)
    for alpha in list(jets):
        tangent = ansatz.tangent_derivative(theta, x, alpha)
        for component in np.ndindex(*ansatz.shape):
            columns = tangent[(slice(None), *component)]  # type: ignore[arg-type]
            for unit, part in _directions(ansatz, columns):
                slope = _slope(f, jets, alpha, component, unit)
                derivative += slope * part.reshape(len(part), *(1,) * len(ansatz.shape), -1)
    return base, derivative


def _directions(ansatz: Ansatz, columns: Array) -> list[tuple[complex, Array]]:
    """Real directions of a component: Re and Im of a complex field, because f need not be holomorphic (|u|²u)."""
    if np.dtype(ansatz.dtype).kind == "c":
        return [(1.0, columns.real), (1.0j, columns.imag)]
    return [(1.0, columns)]


def _slope(f: Any, jets: dict[Alpha, Array], alpha: Alpha, component: tuple[int, ...], unit: complex) -> Array:
    """∂f/∂u_{α, component} along `unit` at every point, shape (*shape, N)."""
    values = jets[alpha]
    largest = float(np.max(np.abs(values[component]), initial=0.0))
    step = DIFFERENCE * (largest if largest > 0 else 1.0)
    sides = []
    for sign in (1.0, -1.0):
        moved = np.array(values)
        moved[component] += sign * step * unit
        sides.append(f({**jets, alpha: moved}))
    slope: Array = (sides[0] - sides[1]) / (2 * step)
    return slope
