"""An equation with polynomial coefficients for Gaussians: Gram matrix and right-hand side in closed form.

    G = (Re⟨J_i, J_j⟩  Re⟨J_i, f⟩; ·  ‖f‖²) = RᵀR,      ‖J v − f‖ = |R (v, −1)|,      ⟨u, v⟩ = ∫ conj(u) v dx

R is a root of G from its eigenvalues.  Scalar products are exact; residuals below 1e-8 ‖f‖, the root of the
unit roundoff, are lost in forming them, and so are singular values below 1e-8 of the largest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import scipy.linalg
from mpi4py import MPI
from numpy.typing import NDArray

from .. import validation as check
from ..ansatz.base import Ansatz
from ..calculus import Field
from ..conditions import Condition
from ..errors import NonFiniteError, ParameterError, ShapeError
from ..leastsquares import DenseRows, Rows, Tangent, real_rows
from ..model import StageSystem
from ..parallel.collective import collective_errors
from ..parallel.communicator import communicator
from ..representation import represent
from .components import Component, bend, components, gram
from .operator import Operator
from .polynomials import Polynomials, stack

Array = NDArray[Any]


class ClosedFormSystem(StageSystem):
    """One stage without points: rows of a root of the Gram matrix."""

    pointwise = False
    #: Singular values below 2⁻²⁶ are rounding of the Gram matrix; ε is well above, or null directions are followed.
    smallest_eps = 2.0**-20

    def bend(self, step: Array) -> float:
        """‖d²Φ(θ + s·step)/ds²‖ at s = 0, in closed form."""
        ansatz: Any = self.field.ansatz
        return norm_of(components(ansatz, self.theta), bend(ansatz, self.theta, step))


@dataclass(frozen=True, eq=False)
@check.takes(
    ansatz=check.ansatz, operator=check.function, scale=check.optional(check.numbers(1, above=0))
)
class ClosedForm:
    """u_t = f(t, u) in L²(R^d) for a `GaussianMixture` or `WavePackets`: a model without points, in any dimension.

        ansatz = df.GaussianMixture.full(10, 2)
        model = df.closed_form.ClosedForm(ansatz, Operator.ornstein_uhlenbeck(A, c, D))
        for state in df.evolve(model, start, until=8.0): ...

    Parameters
    ----------
    ansatz : GaussianMixture or WavePackets
        n components; a stage costs O(n² d⁴) and O(p³).
    operator : Operator or callable
        f, or t -> Operator.
    scale : (p,) array or None
        Diagonal D of the metric of the parameters, None for the identity.
    comm : MPI.Comm, optional
        All rows are on rank 0.  May be left out in a job of one process.

    Raises
    ------
    ParameterError
        Another ansatz.
    ShapeError
        Operator and ansatz differ in their dimension; a complex operator for a real ansatz; scale is not (p,).
    """

    ansatz: Ansatz
    operator: Operator | Callable[[float], Operator]
    scale: Array | None = None
    comm: MPI.Comm = None  # type: ignore[assignment]  # becomes a communicator in __post_init__
    conditions: tuple[Condition, ...] = ()

    __repr__ = represent

    def __post_init__(self) -> None:
        object.__setattr__(self, "comm", communicator(self.comm))
        if self.conditions:
            raise ParameterError("conditions in closed form", "a Problem with a quadrature")
        if self.scale is not None and np.shape(self.scale) != (self.ansatz.size,):
            what = f"scale has shape {np.shape(self.scale)}"
            raise ShapeError(what, f"({self.ansatz.size},), one for each parameter")
        if self.scale is not None:
            object.__setattr__(self, "scale", np.asarray(self.scale, dtype=float))

    @property
    def points(self) -> Array:
        """None: (d, 0)."""
        return np.zeros((self.ansatz.dim, 0))

    @property
    def weights(self) -> Array:
        """None: (0,)."""
        return np.zeros(0)

    def field(self, state: Any, x: Array | None = None) -> Field:
        """u = Φ(θ) of a State, or of θ itself, at x, or at no points."""
        theta = self.ansatz.check_theta(getattr(state, "theta", state))
        return Field(self.ansatz, theta, self.points if x is None else self.ansatz.check_points(x))

    def weigh(self, values: Array) -> Array:
        """No rows, of values at no points."""
        return real_rows(values)

    def norm(self, state: Any) -> float:
        """‖Φ(θ)‖ of a State, of θ itself, or of a `Field`; collective in its errors."""
        with collective_errors(self.comm):
            parts = components(self.ansatz, self.ansatz.check_theta(getattr(state, "theta", state)))
            return norm_of(parts, [[np.array([part.amplitude])] for part in parts])

    def inner(self, theta: Array, operator: Operator) -> complex:
        """⟨u, A u⟩ of an operator A: an energy, a mean.

        Raises
        ------
        ParameterError, ShapeError
            θ is not one of the ansatz, or a component is not integrable.
        """
        parts = components(self.ansatz, self.ansatz.check_theta(theta))
        pairs = [stack([[np.array([part.amplitude])], operator.of(part)], self.ansatz.dim) for part in parts]
        return complex(sum(block[0, 1] for block in gram(parts, pairs).flat))

    def tangent(self, theta: Array) -> Tangent:
        """R without its last column, as many rows as in `system`; collective in its errors."""
        with collective_errors(self.comm):
            parts, p = components(self.ansatz, theta), self.ansatz.size
            matrix = np.zeros((p + 1, p + 1))
            matrix[:p, :p] = _matrix(p, parts, [part.tangent for part in parts])
            root = self._root(matrix)
            rows = DenseRows(np.ascontiguousarray(root.tangent[:p]), root.root)
        return Tangent((rows,), self.comm)

    def time_derivative(self, t: float, u: Field) -> Array:
        """f(t, u) at the points of a field, (N,)."""
        with collective_errors(self.comm):
            return self._at(t)(t, u.x, u)

    def system(self, t: float, theta: Array, field: Field | None = None) -> StageSystem:
        """Tangent and right-hand side at (t, θ); collective in its errors.

        Raises
        ------
        ParameterError
            A component that is not integrable.
        NonFiniteError
            Integrals that overflow.
        """
        with collective_errors(self.comm):
            operator, parts, p = self._at(t), components(self.ansatz, theta), self.ansatz.size
            functions = [stack([part.tangent, operator.of(part)], self.ansatz.dim) for part in parts]
            root = self._root(_matrix(p, parts, functions))
            rows = DenseRows(np.ascontiguousarray(root.tangent[:p]), root.root)
        f = np.ascontiguousarray(root.tangent[p])
        return ClosedFormSystem(Tangent((rows,), self.comm), f, self.scale, theta, _no_points, self.field(theta))

    def stage_field(self, theta: Array) -> Field:
        """u, at no points."""
        return self.field(theta)

    def pull_back(self, g: Array, field: Field, rows: Rows) -> Array:
        """Not there: functionals are integrals over points."""
        raise ParameterError("functionals without points", "ClosedForm.inner, or a Problem with a quadrature")

    def with_ansatz(self, ansatz: Ansatz, scale: Array | None) -> Self:
        """The same equation for another ansatz, with the metric of its parameters."""
        return replace(self, ansatz=ansatz, scale=scale)

    def for_run(self) -> Self:
        """Itself: its stages have nothing to remember."""
        return self

    def _at(self, t: float) -> Operator:
        operator = self.operator if isinstance(self.operator, Operator) else self.operator(t)
        if not isinstance(operator, Operator):
            raise check.wrong_type("operator(t)", operator, "an Operator")
        if operator.dim != self.ansatz.dim:
            raise ShapeError(f"an operator in {operator.dim} dimensions, an ansatz in {self.ansatz.dim}", "one space")
        tensors = (*operator.potential, *operator.drift, *operator.diffusion)
        if np.dtype(self.ansatz.dtype).kind != "c" and any(np.iscomplexobj(part) for part in tensors):
            raise ShapeError("a complex operator for a real ansatz", "WavePackets")
        return operator

    def _root(self, matrix: Array) -> DenseRows:
        """Rows R with RᵀR = G, all on rank 0, of a matrix that is scaled to a diagonal of ones first."""
        sizes = np.sqrt(np.maximum(np.diag(matrix), 0.0))
        safe = np.where(sizes > 0, sizes, 1.0)
        scaled = matrix / np.outer(safe, safe)
        if not np.all(np.isfinite(scaled)):  # of a stage far off: the step is tried again, smaller
            what = f"the Gram matrix of θ and f overflows: norms from {sizes.min():.1e} to {sizes.max():.1e}"
            raise NonFiniteError(what, "a smaller step or a smaller field")
        try:
            values, vectors = np.linalg.eigh(scaled)
        except np.linalg.LinAlgError:  # divide and conquer has failed on finite matrices of many null directions
            values, vectors = scipy.linalg.eigh(scaled, driver="ev")
        rounding = len(values) * np.finfo(float).eps * values[-1]  # what is smaller says nothing: a null direction
        root = (vectors * np.sqrt(np.where(values > rounding, values, 0.0))) * sizes[:, None]
        mine = root if self.comm.rank == 0 else root[:, :0]
        return DenseRows(np.ascontiguousarray(mine), np.ones(mine.shape[1]))


def norm_of(parts: list[Component], functions: list[Polynomials]) -> float:
    """‖Σ_i p_i exp(E_i)‖ of one polynomial for each component."""
    return math.sqrt(max(0.0, float(sum(block[0, 0].real for block in gram(parts, functions).flat))))


def _matrix(p: int, parts: list[Component], functions: list[Polynomials]) -> Array:
    """Real Gram matrix of all parameters, and of f where it is the last function of every component."""
    further = len(functions[0][0]) - len(parts[0].columns)
    matrix = np.zeros((p + further, p + further))
    columns = [np.append(part.columns, np.arange(p, p + further)) for part in parts]
    blocks = gram(parts, functions)
    for i, left in enumerate(columns):
        for k, right in enumerate(columns):
            matrix[np.ix_(left, right)] += blocks[i, k].real
    return matrix


def _no_points(theta: Array) -> Array:
    raise ParameterError("values of a field without points", "StageSystem.bend for its curvature")
