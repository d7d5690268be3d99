"""Functionals of the field: energies, invariants, quantities of interest, with their derivatives in θ.

    Q(u) = ∫ q(x, u, ∇u, …) dx,      dQ/dt = ⟨g, u_t⟩,   g = δQ/δu,      ∂Q(Φ(θ))/∂θ = Jᵀ g
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from . import validation as check
from .ansatz.mixtures import moments
from .ansatz.mixtures.gaussian import GaussianMixture
from .calculus import Field
from .errors import NonFiniteError, ParameterError, ShapeError
from .leastsquares import Rows
from .model import ImplicitSystem, Model, StageSystem
from .parallel.collective import collective_errors
from .representation import represent

Array = NDArray[Any]
Alpha = tuple[int, ...]
Variation = Array | Mapping[Alpha, Array]


@dataclass(frozen=True, eq=False)
@check.takes(density=check.function, variation=check.function, name=check.text)
class Functional:
    """Q(u) = ∫ q(x, u) dx by the points and weights of a model.

    Parameters
    ----------
    density : callable
        q(x, u) -> (N,), real, with x (dim, N) and u a `Field`.
    variation : callable
        g(x, u), the derivative of Q: either the array δQ/δu of shape `(*shape, N)`, with dQ = ∫ Re(conj(g) · du), or a
        mapping {alpha: array `(*shape, N)`} of the derivatives of q with respect to ∂^alpha u,
        dQ = Σ_alpha ∫ Re(conj(g_alpha) · ∂^alpha du).  The first is cheaper but integrates by parts: it is exact up to
        the quadrature error, and needs boundary terms that vanish.
    name : str
        For tables and messages.
    """

    density: Callable[[Array, Field], Array]
    variation: Callable[[Array, Field], Variation]
    name: str = "Q"

    __repr__ = represent

    @staticmethod
    @check.takes(weight=check.either(callable, check.function, check.numbers(kinds="fiuc")))
    def linear(weight: Callable[[Array], Array] | float = 1.0, name: str = "mass") -> Functional:
        """Q = ∫ Re(conj(ψ) · u) dx, ψ a number, an array `(*shape, 1)` or a function of x -> `(*shape, N)`."""

        def psi(x: Array, u: Field) -> Array:
            values: Array = np.asarray(weight(x) if callable(weight) else weight)
            return np.broadcast_to(values, (*u.ansatz.shape, x.shape[1]))

        return Functional(lambda x, u: _dot(psi(x, u), u.value), psi, name)

    @staticmethod
    def squared_norm(name: str = "norm²") -> Functional:
        """Q = ∫ |u|² dx, all components."""
        return Functional(lambda x, u: _dot(u.value, u.value), lambda x, u: 2 * u.value, name)

    @check.takes(problem=check.model)
    def value(self, problem: Model, theta: Array) -> float:
        """Q(Φ(θ)); collective."""
        return float(values(problem, (self,), problem.field(theta))[0][0])

    @check.takes(problem=check.model)
    def gradient(self, problem: Model, theta: Array) -> Array:
        """∂Q/∂θ, shape (p,); collective."""
        field = problem.field(theta)
        rows = problem.tangent(field.theta).blocks[0]
        gradient: Array = gradients(problem, (self,), field, rows)[0]
        return gradient


@dataclass(frozen=True, eq=False)
@check.takes(formula=check.function, slope=check.function, name=check.text)
class ParameterFunctional:
    """Q(θ), known from the parameters without an integral over points: its values do not depend on the points.

    Parameters
    ----------
    formula : callable
        Q(θ) -> float.
    slope : callable
        ∂Q/∂θ -> (p,).
    name : str
        For tables and messages.
    """

    formula: Callable[[Array], float]
    slope: Callable[[Array], Array]
    name: str = "Q"

    __repr__ = represent

    @staticmethod
    @check.takes(mixture=check.instance(GaussianMixture, "a GaussianMixture"))
    def mass(mixture: GaussianMixture) -> ParameterFunctional:
        """∫ u dx over R^d of a Gaussian mixture."""
        return ParameterFunctional(partial(moments.mass, mixture), partial(moments.mass_gradient, mixture), "mass")

    def value(self, problem: Model, theta: Array) -> float:
        """Q(θ), as of a `Functional`."""
        return float(values(problem, (self,), problem.field(theta))[0][0])

    def gradient(self, problem: Model, theta: Array) -> Array:
        """∂Q/∂θ, shape (p,), as of a `Functional`."""
        return self._slope_at(problem.field(theta).theta)

    def _slope_at(self, theta: Array) -> Array:
        slope = np.asarray(self.slope(theta))
        if slope.shape != theta.shape or np.iscomplexobj(slope):
            raise ShapeError(
                f"slope of {self.name!r} has shape {slope.shape} and dtype {slope.dtype}",
                f"one real number for each parameter: shape {theta.shape}",
            )
        return slope


#: What has a value and a gradient in θ.
Quantity = Functional | ParameterFunctional


def values(problem: Model, functionals: Sequence[Quantity], field: Field) -> tuple[Array, Array]:
    """Q_i and ∫|q_i|, the size its rounding error is relative to: shapes (m,), (m,); one reduction.

    Of a `ParameterFunctional` the size is |Q|.

    Raises
    ------
    ShapeError
        A density is complex or not of shape (N,), on all ranks.
    NonFiniteError
        An integral is not finite.
    """
    local = np.zeros((2, len(functionals)))
    with collective_errors(problem.comm):
        for column, functional in zip(local.T, functionals, strict=True):
            if isinstance(functional, Functional):
                density = _density(functional, field) * problem.weights
                column[:] = density.sum(), np.abs(density).sum()
            elif problem.comm.rank == 0:  # a sum over the ranks follows
                column[:] = functional.formula(field.theta)
                column[1] = abs(column[1])
    if problem.comm.size > 1:
        problem.comm.Allreduce(MPI.IN_PLACE, local)
    if not np.all(np.isfinite(local)):
        names = [q.name for q, size in zip(functionals, local[1], strict=True) if not np.isfinite(size)]
        error = NonFiniteError(f"the integral of {', '.join(names)} is not finite", "look at the density and the field")
        error.collective = True
        raise error
    return local[0], local[1]


def _density(functional: Functional, field: Field) -> Array:
    """q at the points, (N,)."""
    density = np.asarray(functional.density(field.x, field))
    if density.shape != field.x.shape[1:] or np.iscomplexobj(density):
        raise ShapeError(
            f"density of {functional.name!r} has shape {density.shape} and dtype {density.dtype}",
            f"one real number for each point: shape {field.x.shape[1:]}",
        )
    return density


def gradients(problem: Model, functionals: Sequence[Quantity], field: Field, rows: Rows) -> Array:
    """∂Q_i/∂θ, shape (m, p), with the field's rows √W J at the same θ; one reduction."""
    with collective_errors(problem.comm):
        total = np.stack([_local_gradient(problem, functional, field, rows) for functional in functionals])
    if problem.comm.size > 1:
        problem.comm.Allreduce(MPI.IN_PLACE, total)
    return total


def stage_gradients(problem: Model, functionals: Sequence[Quantity], system: StageSystem) -> Array:
    """∂Q_i/∂θ, shape (m, p), from a stage's field and tangent, which are not evaluated again.

    Raises
    ------
    ParameterError
        The system of an implicit scheme, whose tangent is not that of the field; an integral over points, at a stage
        that has others than the problem.
    """
    if isinstance(system, ImplicitSystem):
        error = ParameterError("functionals along the stages of an implicit scheme", "an explicit integrator")
        error.collective = True
        raise error
    return gradients(problem, functionals, system.field, system.tangent.blocks[0])


def _local_gradient(problem: Model, functional: Quantity, field: Field, rows: Rows) -> Array:
    if isinstance(functional, ParameterFunctional):  # a sum over the ranks follows
        slope = functional._slope_at(field.theta)
        return slope if problem.comm.rank == 0 else np.zeros_like(slope)
    if field.x is not problem.points and not np.array_equal(field.x, problem.points):
        raise ParameterError(
            f"{functional.name!r} is an integral over points, and the points have moved since its value was taken",
            "a ParameterFunctional, whose value does not depend on points, or a run without adapt",
        )
    g = functional.variation(field.x, field)
    zero = (0,) * problem.ansatz.dim
    terms: Mapping[Alpha, Array] = g if isinstance(g, Mapping) else {zero: g}
    shape = (*problem.ansatz.shape, field.x.shape[1])
    total: Array = np.zeros(problem.ansatz.size)
    for alpha, slope in terms.items():
        slope = np.asarray(slope)
        if slope.shape != shape:
            raise ShapeError(f"variation of {functional.name!r} has shape {slope.shape}", f"the field's: {shape}")
        if sum(alpha) == 0:
            total += problem.pull_back(slope, field, rows)
        else:
            tangent = problem.ansatz.tangent_derivative(field.theta, field.x, alpha)
            total += np.tensordot(tangent, np.conj(slope * problem.weights), tangent.ndim - 1).real
    return total


def _dot(a: Array, b: Array) -> Array:
    """Σ_components Re(conj(a) b), shape (N,)."""
    product = np.real(np.conj(a) * b)
    total: Array = product.reshape(-1, product.shape[-1]).sum(axis=0)
    return total
