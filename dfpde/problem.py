"""The evolution problem: (t, θ) -> a least-squares system for the velocity θ̇.

u_t = f(t, x, u) at quadrature points, u = Φ(θ): rows √w (J v − f).  Conditions add rows of their own, for example on a
boundary.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, KeysView
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from functools import cached_property, partial
from typing import Any, Self

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from . import validation as check
from .ansatz.base import Alpha, Ansatz
from .ansatz.linearization import Linearization
from .calculus import Field
from .conditions import Condition
from .domain.quadrature import Quadrature
from .errors import ShapeError
from .leastsquares import (
    DenseRows,
    MatrixFreeRows,
    Products,
    Rows,
    SparseRows,
    Tangent,
    block_metric,
    real_rows,
    root_weights,
)
from .leastsquares.events import RHS, TANGENT
from .model import StageSystem
from .parallel.collective import collective_errors
from .representation import represent

Array = NDArray[Any]
Rhs = Callable[[float, Array, Field], Array]

#: Largest tangent stored on one rank; beyond it rows are formed by chunks for every product.
STORED_BYTES = 1 << 30

#: Largest tangent stored for an ansatz with products of its own: what stays in a last-level cache.  Beyond it forming
#: and streaming J costs more than J v and Jᵀ y from the ansatz (`benchmarks/step.py` compares them).
CACHED_BYTES = 8 << 20


@dataclass(frozen=True, eq=False)
@check.takes(
    ansatz=check.ansatz,
    quadrature=check.quadrature,
    rhs=check.function,
    conditions=check.conditions,
    scale=check.optional(check.numbers(1, above=0)),
    storage=check.integer(0),
)
class Problem:
    """u_t = f(t, x, u) for u = Φ(θ), in the norm of a quadrature.

    Parameters
    ----------
    ansatz : Ansatz
        Φ, of p parameters.
    quadrature : Quadrature
        Points and weights of the norm, distributed over its communicator.
    rhs : callable
        f(t, x, u) -> (*shape, N), with x (dim, N) this rank's points and u a `Field` there.
    conditions : tuple of Condition
        Further rows.
    scale : (p,) array or None
        Diagonal D of the parameter metric in ε²‖D(v − ρa)‖² (units of the parameters); None for the identity.
    storage : int
        Largest number of bytes of a stored tangent on one rank; a larger tangent is applied by chunks, or by the
        products of the ansatz.

    Raises
    ------
    ShapeError
        Dimensions of ansatz and quadrature differ, or scale is not (p,).
    """

    ansatz: Ansatz
    quadrature: Quadrature
    rhs: Rhs
    conditions: tuple[Condition, ...] = ()
    scale: Array | None = None
    storage: int = STORED_BYTES
    _asked: list[KeysView[Alpha]] | None = attribute(default=None, init=False, repr=False)  # of one run, see for_run

    __repr__ = represent

    def __post_init__(self) -> None:
        if self.ansatz.dim != self.quadrature.x.shape[0]:
            raise ShapeError(
                f"the ansatz lives in {self.ansatz.dim} dimensions, the quadrature in {self.quadrature.x.shape[0]}",
                "build both for the same space",
            )
        if self.scale is not None and np.shape(self.scale) != (self.ansatz.size,):
            raise ShapeError(
                f"scale has shape {np.shape(self.scale)}", f"one number for each of {self.ansatz.size} parameters"
            )
        if self.scale is not None:
            object.__setattr__(self, "scale", np.asarray(self.scale, dtype=float))

    @property
    def comm(self) -> MPI.Comm:
        """Communicator of the quadrature."""
        return self.quadrature.comm

    def scaled(self, state: Any) -> Problem:
        """The same problem with the metric D of its parameters at a state, D_j = max ‖√W J e_i‖ in the block of j.

        Parameters have units (an amplitude, a length, a rate), and a plain ε²‖v‖² adds them up as if they had none: see
        `leastsquares.metric`.  `AutoInertia` does this by itself; it is for rules whose ε is given.  Collective.
        """
        theta = self.ansatz.check_theta(getattr(state, "theta", state))
        blocks = [part for part, _ in self.ansatz.slices().values()]
        return replace(self, scale=block_metric(self.tangent(theta).column_norms(), blocks))

    def field(self, state: Any, x: Array | None = None) -> Field:
        """u = Φ(θ) at the quadrature points (or at x); `state` is a State or θ itself."""
        theta = self.ansatz.check_theta(getattr(state, "theta", state))
        return Field(self.ansatz, theta, self.quadrature.x if x is None else self.ansatz.check_points(x))

    @property
    def points(self) -> Array:
        """This rank's points (dim, N)."""
        return self.quadrature.x

    @property
    def weights(self) -> Array:
        """This rank's weights (N,)."""
        return self.quadrature.w

    def for_run(self) -> Self:
        """The same problem with a memory of its own of what f asks of u, for `stage_field`."""
        mine = copy.copy(self)
        object.__setattr__(mine, "_asked", [])
        return mine

    def with_ansatz(self, ansatz: Ansatz, scale: Array | None) -> Self:
        """The same equation for another ansatz, with the metric of its parameters."""
        return replace(self, ansatz=ansatz, scale=scale)

    def with_quadrature(self, quadrature: Quadrature) -> Problem:
        """The same equation in the norm of another quadrature."""
        return replace(self, quadrature=quadrature)

    def weigh(self, values: Array) -> Array:
        """Rows √W u of values (*shape, N) at the points: their Euclidean norm over all ranks is ‖u‖_W."""
        rows: Array = self._root * real_rows(check.values("values", values, *self.ansatz.shape, self.quadrature.n))
        return rows

    @cached_property
    def _root(self) -> Array:
        return root_weights(self.quadrature.w, self.ansatz.shape, self.ansatz.dtype)

    def norm(self, state: Any) -> float:
        """‖Φ(θ)‖_W of a State, θ itself or its `Field` at the points; collective."""
        with collective_errors(self.comm):
            values = (state if isinstance(state, Field) else self.field(state)).value
        return self.quadrature.norm(values)

    @check.takes(u=check.field)
    def time_derivative(self, t: float, u: Field) -> Array:
        """f(t, x, u) at this rank's points, (*shape, N); collective in its errors."""
        with collective_errors(self.comm):
            return self._evaluate(t, u)

    def pull_back(self, g: Array, field: Field, rows: Rows) -> Array:
        """Jᵀ W g: local part, (p,), of g (*shape, N) and the field's rows √W J."""
        return rows.adjoint(self.weigh(g.astype(self.ansatz.dtype, copy=False)))

    def tangent(self, theta: Array) -> Tangent:
        """√W J(θ) alone, without conditions; collective in its errors."""
        with collective_errors(self.comm):
            block = field_rows(self.ansatz, theta, self.points, self._root, self.storage)
        return Tangent((block,), self.comm)

    def system(self, t: float, theta: Array, field: Field | None = None) -> StageSystem:
        """Rows of the equation and of the conditions at (t, θ); `field` is Φ(θ) where it has been evaluated already.

        Raises
        ------
        ShapeError
            f returned another shape than the field's.
        Exception
            Whatever f or the ansatz raises on some rank, on all ranks.
        """
        with collective_errors(self.comm):
            field = self.stage_field(theta) if field is None else field
            with RHS:
                f = self._evaluate(t, field)
            if self._asked is not None:
                self._asked[:] = [field.asked]
            blocks: list[Rows] = [field_rows(self.ansatz, theta, self.points, self._root, self.storage, field.tangent)]
            rhs = [self.weigh(f)]
            for condition in self.conditions:
                block, target = condition.rows(t, theta, self.ansatz)
                blocks.append(block)
                rhs.append(target)
        return StageSystem(
            Tangent(tuple(blocks), self.comm), np.concatenate(rhs), self.scale, theta,
            partial(self._rows_of_field, field), field,
        )  # fmt: skip

    def stage_field(self, theta: Array) -> Field:
        """u for `system`, with what f asked for at the stage before and the tangent, where one pass is cheaper."""
        x = self.quadrature.x
        alphas = [alpha for asked in self._asked or () for alpha in asked]
        if not (alphas and self.ansatz.one_pass) or self.ansatz.sparse:
            return Field(self.ansatz, theta, x)
        with TANGENT:
            return Field.evaluated(self.ansatz, theta, x, alphas, stored(self.ansatz, x.shape[1], self.storage))

    def _rows_of_field(self, known: Field, theta: Array) -> Array:
        return self.weigh(known.value if theta is known.theta else self.ansatz.value(theta, self.quadrature.x))

    def _evaluate(self, t: float, field: Field) -> Array:
        f = np.asarray(self.rhs(t, field.x, field))
        expected = (*self.ansatz.shape, field.x.shape[1])
        if f.shape != expected:
            raise ShapeError(
                f"the right-hand side returned shape {f.shape}, the field has shape {expected}",
                "return one value for each component and point, points last",
            )
        if np.iscomplexobj(f) and np.dtype(self.ansatz.dtype).kind != "c":
            raise ShapeError(
                "the right-hand side is complex, the ansatz is real", "a complex ansatz, or two real components"
            )
        return f.astype(self.ansatz.dtype, copy=False)


def stored(ansatz: Ansatz, points: int, storage: int) -> bool:
    """Whether the tangent at so many local points becomes an array."""
    size = 8 * ansatz.size * points * math.prod(ansatz.shape) * (np.dtype(ansatz.dtype).itemsize // 8)
    fits = size <= min(storage, CACHED_BYTES if ansatz.matrix_free else storage)
    return fits and not ansatz.sparse


def field_rows(
    ansatz: Ansatz,
    theta: Array,
    x: Array,
    root: Array,
    storage: int = STORED_BYTES,
    tangent: Array | Linearization | None = None,
) -> Rows:
    """√W J(θ) at the local points x, `root` from `root_weights`: sparse, matrix-free or stored; no communication.

    `tangent` is the ansatz's where it has been evaluated already; it becomes part of the rows.
    """
    if ansatz.sparse:
        return SparseRows(ansatz.sparse_tangent(theta, x), root)
    with TANGENT:
        if not stored(ansatz, x.shape[1], storage):
            linear = ansatz.linearize(theta, x)[1] if tangent is None or isinstance(tangent, np.ndarray) else tangent
            return MatrixFreeRows(_products(ansatz, linear, x.shape[1]), root, x.shape[1], ansatz.size)
        array = tangent if isinstance(tangent, np.ndarray) else ansatz.tangent(theta, x)
    line = 0 if ansatz.dim > 1 else 2 if np.dtype(ansatz.dtype).kind == "c" else 1
    return DenseRows(real_rows(array, 1), root, line)


def _products(ansatz: Ansatz, linear: Linearization, points: int) -> Products:
    """The ansatz's tangent as functions of real rows."""
    pair = 2 if np.dtype(ansatz.dtype).kind == "c" else 1
    field_shape = (*ansatz.shape, points)

    def columns_at(part: slice) -> Array:
        return real_rows(linear.columns(part), 1)

    def jvp(v: Array) -> Array:
        return real_rows(linear.jvp(v))

    def vjp(y: Array) -> Array:
        values = y.view(np.complex128) if pair == 2 else y
        return linear.vjp(values.reshape(field_shape))

    if ansatz.matrix_free:
        return Products(columns_at, pair, jvp, vjp, linear.sample if pair == 1 else None)
    return Products(columns_at, pair)
