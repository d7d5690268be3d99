"""An existing finite-element model, followed by a nonlinear ansatz.

    M U̇ = F(t, U),   U = Φ(θ) at the nodes,   θ̇ = argmin_v ‖J v − M⁻¹F‖²_M + ε²‖v − ρa‖²,   ‖U‖²_M = Uᵀ M U

F is what the finite-element code assembles: weak forms, with boundary terms and discontinuous coefficients; the ansatz
is only evaluated at the nodes.  The normal equations JᵀMJ v = JᵀF would do without M⁻¹F, but the defect
‖J v − M⁻¹F‖_M, on which error bounds rest, is not known without it.  PETSc finds it by conjugate gradients with
Jacobi (mass matrices scaled by their diagonal are well conditioned, Wathen 1987), cheap beside the least squares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from scipy import sparse

from .. import validation as check
from ..ansatz.base import Ansatz
from ..calculus import Field, multi_index
from ..conditions import Condition
from ..errors import ShapeError
from ..leastsquares import MetricRows, Rows, SparseRows, Tangent, block_metric, real_rows
from ..model import StageSystem
from ..parallel.collective import collective_errors, norm, require_finite
from ..representation import represent
from .inverse import FixedNodes, MassInverse
from .mass import assembled_root, square_root
from .nodes import Nodes

Array = NDArray[Any]
Load = Callable[[float, Array], Array]


@dataclass(frozen=True, eq=False)
@check.takes(
    ansatz=check.ansatz,
    mass=check.matrix,
    rhs=check.function,
    nodes=check.nodes,
    conditions=check.conditions,
    fixed=check.optional(check.instance(FixedNodes, "FixedNodes")),
    scale=check.optional(check.numbers(1, above=0)),
    prefix=check.text,
)
class SemiDiscrete:
    """M U̇ = F(t, U) for U = Φ(θ), in the norm of M: a `Model` like `Problem`.

    Parameters
    ----------
    ansatz : Ansatz
    mass : scipy sparse (n, n) or PETSc.Mat
        M of one component.  SciPy: this rank's sub-assembled part (serial: the whole matrix); PETSc: assembled and
        distributed by rows, the nodes being those of the rank's own rows.
    rhs : callable
        F(t, U): U `(*shape, n)` at this rank's nodes -> its sub-assembled part of F, `(*shape, n)`.  With a
        sub-assembled stiffness matrix ``lambda t, U: -(K @ U)`` is complete on any number of ranks.
    nodes : Nodes
        Where this rank's degrees of freedom are, and their numbers.
    conditions : tuple of Condition
        Further rows, for example `Dirichlet` on a boundary quadrature.
    fixed : FixedNodes or None
        Essential conditions of the model.
    scale : (p,) array or None
        Diagonal of the parameter metric, as in `Problem`.
    prefix : str
        PETSc options of the solve with M.

    Raises
    ------
    ShapeError
        Sizes of ansatz, mass and nodes that do not match.
    ParameterError
        Degrees of freedom that are no values at the nodes (Hermite, Argyris, Morley, Raviart–Thomas, bubbles, vectors).
    MassError
        M is singular, indefinite or not symmetric.
    """

    ansatz: Ansatz
    mass: Any
    rhs: Load
    nodes: Nodes
    conditions: tuple[Condition, ...] = ()
    fixed: FixedNodes | None = None
    scale: Array | None = None
    prefix: str = "dfpde_fem_mass_"
    metric: Nodes = field(init=False, repr=False)
    _root: sparse.csr_array = field(init=False, repr=False)
    _squared: sparse.csr_array = field(init=False, repr=False)
    _inverse: MassInverse = field(init=False, repr=False)
    weights: Array = field(init=False, repr=False)

    __repr__ = represent

    def __post_init__(self) -> None:
        assembled = hasattr(self.mass, "getOwnershipRange")
        with collective_errors(self.comm):
            self._check(assembled)
        if assembled:
            metric, root = assembled_root(self.mass, self.nodes)
            matrix = self.mass
        else:
            with collective_errors(self.comm):
                metric, root = self.nodes, square_root(self.mass)
            matrix = self.nodes.matrix(self.mass)
        pair = 2 if np.dtype(self.ansatz.dtype).kind == "c" else 1
        wide = sparse.kron(sparse.eye_array(int(np.prod(self.ansatz.shape))), sparse.kron(root, sparse.eye_array(pair)))
        object.__setattr__(self, "metric", metric)
        object.__setattr__(self, "_root", sparse.csr_array(wide))
        object.__setattr__(self, "weights", root.T @ (root @ np.ones(root.shape[1])))
        object.__setattr__(self, "_squared", sparse.csr_array(wide.T @ wide))
        object.__setattr__(self, "_inverse", MassInverse(matrix, metric, self.fixed, self.prefix))

    def _check(self, assembled: bool) -> None:
        self.nodes.require_values("SemiDiscrete")
        if self.ansatz.dim != self.nodes.dim:
            raise ShapeError(
                f"the ansatz lives in {self.ansatz.dim} dimensions, the nodes in {self.nodes.dim}", "one space for both"
            )
        sizes = self.mass.getSizes() if assembled else (self.mass.shape, self.mass.shape)
        expected = (self.nodes.size,) * 2 if assembled else (self.nodes.n,) * 2
        found = (sizes[0][1], sizes[1][1]) if assembled else tuple(self.mass.shape)
        if found != expected:
            raise ShapeError(
                f"a mass matrix of shape {found} on rank {self.comm.rank}: {self.nodes.n} of {self.nodes.size} nodes",
                "SciPy: rows and columns of the rank's nodes; PETSc: of all nodes",
            )
        if self.scale is not None:
            object.__setattr__(self, "scale", np.asarray(self.scale, dtype=float))
        if self.scale is not None and self.scale.shape != (self.ansatz.size,):
            raise ShapeError(f"scale has shape {self.scale.shape}", f"({self.ansatz.size},), one for each parameter")

    @property
    def comm(self) -> MPI.Comm:
        """Communicator of the nodes."""
        return self.nodes.comm

    def scaled(self, state: Any) -> SemiDiscrete:
        """The same model with the metric D of its parameters at a state; collective.

        See `Problem.scaled`.
        """
        theta = self.ansatz.check_theta(getattr(state, "theta", state))
        blocks = [part for part, _ in self.ansatz.slices().values()]
        return replace(self, scale=block_metric(self.tangent(theta).column_norms(), blocks))

    @property
    def points(self) -> Array:
        """This rank's points (dim, N): its nodes, then those of other ranks that its part of the norm needs."""
        return self.metric.x

    def field(self, state: Any, x: Array | None = None) -> Field:
        """u = Φ(θ) at the nodes (or at x); `state` is a State or θ itself."""
        theta = self.ansatz.check_theta(getattr(state, "theta", state))
        return Field(self.ansatz, theta, self.points if x is None else self.ansatz.check_points(x))

    def own(self, values: Array) -> Array:
        """The part `(*shape, n)` at `nodes` of values `(*shape, N)` at `points`.

        Raises
        ------
        ShapeError
        """
        found: Array = check.values("values", values, *self.ansatz.shape, self.metric.n)[..., : self.nodes.n]
        return found

    def with_ghosts(self, values: Array) -> Array:
        """Values `(*shape, N)` at `points` of those at `nodes` `(*shape, n)`; collective.

        With an assembled matrix rank 0 has nodes of other ranks behind its own, for the norm: an existing code knows
        nothing of them.

        Raises
        ------
        ShapeError
        """
        with collective_errors(self.comm):
            values = check.values("values", values, *self.ansatz.shape, self.nodes.n)
        if self.metric is self.nodes:
            return values
        rows = [self._from_owners(row) for row in values.reshape(-1, self.nodes.n)]
        return np.array(rows, values.dtype).reshape(*values.shape[:-1], self.metric.n)

    def _from_owners(self, values: Array) -> Array:
        if np.iscomplexobj(values):
            both: Array = self._from_owners(values.real) + 1j * self._from_owners(values.imag)
            return both
        padded = np.zeros(self.metric.n)
        padded[: self.nodes.n] = values
        return self.metric.spread(self.metric.sum(padded))

    def weigh(self, values: Array) -> Array:
        """Rows R U of nodal values `(*shape, n)`: their Euclidean norm over all ranks is ‖U‖_M."""
        rows: Array = self._root @ real_rows(check.values("values", values, *self.ansatz.shape, self.metric.n))
        return rows

    def norm(self, state: Any) -> float:
        """‖Φ(θ)‖_M of a State, θ itself or its `Field` at the nodes; collective."""
        return self.distance((state if isinstance(state, Field) else self.field(state)).value)

    def distance(self, values: Array) -> float:
        """‖U‖_M of nodal values `(*shape, n)` at `points`; collective."""
        return norm(self.weigh(values), self.comm)

    def tangent(self, theta: Array) -> Tangent:
        """R J(θ) without conditions; collective in its errors."""
        with collective_errors(self.comm):
            block = self._block(theta)
        return Tangent((block,), self.comm)

    def velocity(self, t: float, values: Array) -> Array:
        """M⁻¹ F(t, U) at this rank's nodes, for nodal values U `(*shape, n)`; collective.

        Raises
        ------
        ShapeError, NonFiniteError, SolverError
        """
        with collective_errors(self.comm):
            load = np.asarray(self.rhs(t, values[..., : self.nodes.n].copy()))  # F may write to its argument
            expected = (*self.ansatz.shape, self.nodes.n)
            if load.shape != expected or (np.iscomplexobj(load) and np.dtype(self.ansatz.dtype).kind != "c"):
                raise ShapeError(
                    f"F(t, U) of shape {load.shape} and dtype {load.dtype}, the nodal values have shape {expected}",
                    "one number for each component and node, nodes last; complex only with a complex ansatz",
                )
        require_finite(self.comm, "look at the assembly of F and at U", F=load)
        found: Array = self._inverse.apply(t, load.reshape(-1, self.nodes.n))
        return found.reshape(*self.ansatz.shape, self.metric.n)

    @check.takes(u=check.field)
    def time_derivative(self, t: float, u: Field) -> Array:
        """M⁻¹ F(t, U) of a field at the nodes, `(*shape, n)`; collective."""
        return self.velocity(t, u.value)

    def pull_back(self, g: Array, field: Field, rows: Rows) -> Array:
        """Jᵀ m g with the row sums m = M1: the gradient of ∫ I_h q dx, I_h the interpolation at the nodes."""
        return self.ansatz.vjp(field.theta, field.x, self.weights * g)

    def with_ansatz(self, ansatz: Ansatz, scale: Array | None) -> Self:
        """The same model for another ansatz, with the metric of its parameters."""
        return replace(self, ansatz=ansatz, scale=scale)

    def for_run(self) -> Self:
        """Itself: its stages have nothing to remember."""
        return self

    def system(self, t: float, theta: Array, field: Field | None = None) -> StageSystem:
        """Rows of the model and of the conditions at (t, θ); collective.

        Raises
        ------
        ShapeError, NonFiniteError, SolverError
        Exception
            Whatever F or the ansatz raises on some rank, on all ranks.
        """
        with collective_errors(self.comm):
            found = self.stage_field(theta) if field is None else field
            values = found.value
        velocity = self.velocity(t, values)
        with collective_errors(self.comm):
            blocks = [self._block(theta, found.tangent)]
            rhs = [self.weigh(velocity.astype(self.ansatz.dtype, copy=False))]
            for condition in self.conditions:
                block, target = condition.rows(t, theta, self.ansatz)
                blocks.append(block)
                rhs.append(target)
        tangent = Tangent(tuple(blocks), self.comm)
        return StageSystem(tangent, np.concatenate(rhs), self.scale, theta, partial(self._rows_of_field, found), found)

    def _rows_of_field(self, known: Field, theta: Array) -> Array:
        return self.weigh(known.value if theta is known.theta else self.ansatz.value(theta, self.points))

    def stage_field(self, theta: Array) -> Field:
        """U, with the tangent where one pass for both saves work."""
        if not self.ansatz.one_pass or self.ansatz.sparse:
            return Field(self.ansatz, theta, self.points)
        return Field.evaluated(self.ansatz, theta, self.points, [multi_index(self.ansatz.dim)])

    def _block(self, theta: Array, tangent: Array | None = None) -> Rows:
        if self.ansatz.sparse:
            rows = sparse.csr_array(self._root @ self.ansatz.sparse_tangent(theta, self.points))
            return SparseRows(rows, np.ones(rows.shape[0]))
        tangent = self.ansatz.tangent(theta, self.points) if tangent is None else tangent
        return MetricRows(real_rows(tangent, 1), self._root, self._squared)
