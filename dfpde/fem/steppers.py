"""Time steps of a finite-element model, for `dfpde.integrators.FieldStep`: implicit where it is stiff.

    M U̇ = −K U + F(t, U),      every stage one system with M + γhK
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .. import validation as check
from ..errors import ParameterError, ShapeError
from ..parallel.collective import collective_errors
from ..representation import represent
from ..steppers.imex import ARS443, ImexTableau, imex_step
from .linear import LinearSolver
from .nodes import Nodes

Array = NDArray[Any]

#: Shifts γh whose solvers are kept: those of a step and of its halves, before and after a change of the step.
KEPT = 4


@dataclass(frozen=True, eq=False)
@check.takes(
    nodes=check.nodes,
    mass=check.matrix,
    load=check.optional(check.function),
    fixed=check.optional(check.indices),
    values=check.optional(check.function),
    prefix=check.text,
)
class StiffModel:
    """M U̇ = −K U + F(t, U) on nodes, with essential boundary values U_D = g(t).

    Parameters
    ----------
    nodes : Nodes
        Where the degrees of freedom are.
    mass : scipy sparse (n, n)
        This rank's sub-assembled part of M of one component.
    stiffness : scipy sparse (n, n), or a sequence of them
        K, the same for all components or one for each.
    load : callable or None
        F: (t, U `(*m, n)`) -> this rank's sub-assembled part, `(*m, n)`; None is zero.
    fixed : (d,) array of int or None
        This rank's local numbers of D, for example `Space.boundary_nodes`.
    values : callable or None
        g: (t, x (dim, d)) -> `(*m, d)`; None is zero.
    prefix : str
        PETSc options of the solves: GMRES with block Jacobi and ILU(0) by default.

    Raises
    ------
    ShapeError
        On all ranks: matrices of another size than the nodes.
    """

    nodes: Nodes
    mass: Any
    stiffness: Any
    load: Callable[[float, Array], Array] | None = None
    fixed: Array | None = None
    values: Callable[[float, Array], Array] | None = None
    prefix: str = "dfpde_fem_step_"
    _solvers: dict[tuple[int, float], LinearSolver] = field(default_factory=dict, init=False, repr=False)

    __repr__ = represent

    def __post_init__(self) -> None:
        n = self.nodes.n
        with collective_errors(self.nodes.comm):
            for name, matrix in (("mass", self.mass), *(("stiffness", k) for k in self.stiffnesses)):
                check.matrix(name, matrix)
                if matrix.shape != (n, n):
                    raise ShapeError(f"a {name} matrix of shape {matrix.shape} for {n} nodes", "sub-assembled (n, n)")

    @property
    def stiffnesses(self) -> Sequence[Any]:
        """K of each component, or the one of all."""
        if sparse.issparse(self.stiffness):
            return (self.stiffness,)
        check.each(check.matrix, "a sparse matrix, or one for each component", 1)("stiffness", self.stiffness)
        return tuple(self.stiffness)

    def apply_mass(self, u: Array) -> Array:
        """M U, sub-assembled."""
        u = check.values("u", u, self.nodes.n, kinds="fiu")
        return np.array([self.mass @ row for row in u.reshape(-1, self.nodes.n)]).reshape(u.shape)

    def apply_stiffness(self, u: Array) -> Array:
        """K U, sub-assembled."""
        u = check.values("u", u, self.nodes.n, kinds="fiu")
        rows = u.reshape(-1, self.nodes.n)
        return np.array([self._stiffness(i) @ row for i, row in enumerate(rows)]).reshape(u.shape)

    def loads(self, t: float, u: Array) -> Array:
        """F(t, U), sub-assembled."""
        return np.zeros(u.shape) if self.load is None else np.asarray(self.load(t, u.copy()))

    @check.takes(shift=check.real())
    def solve(self, shift: float, load: Array, t: float) -> Array:
        """U of (M + γhK) U = load with `shift` = γh and the boundary values of time t; collective.

        Raises
        ------
        SolverError
        """
        with collective_errors(self.nodes.comm):
            load = check.values("load", load, self.nodes.n, kinds="fiu")
        known = np.zeros(load.shape)
        if self.fixed is not None and self.values is not None:
            with collective_errors(self.nodes.comm):
                known[..., self.fixed] = self.values(t, self.nodes.x[:, self.fixed])
        rows = zip(load.reshape(-1, self.nodes.n), known.reshape(-1, self.nodes.n), strict=True)
        found = [self._solver(i, shift).solve(row, value) for i, (row, value) in enumerate(rows)]
        return np.array(found).reshape(load.shape)

    def _stiffness(self, component: int) -> Any:
        parts = self.stiffnesses
        return parts[0] if len(parts) == 1 else parts[component]

    def _solver(self, component: int, shift: float) -> LinearSolver:
        key = (component % len(self.stiffnesses), shift)
        if key not in self._solvers:
            while len(self._solvers) >= KEPT * len(self.stiffnesses):
                del self._solvers[next(iter(self._solvers))]
            matrix = self.nodes.matrix(self.mass + shift * self._stiffness(component))
            self._solvers[key] = LinearSolver(
                self.nodes, matrix, self.prefix, self.fixed, ksp="gmres", pc="bjacobi", rtol=1e-12
            )
        return self._solvers[key]


@dataclass(frozen=True, eq=False)
@check.takes(model=check.instance(StiffModel, "a StiffModel"))
class CrankNicolson:
    """(M + h/2 K) U⁺ = (M − h/2 K) U: order 2, A-stable, for linear models without load.

    Raises
    ------
    ParameterError
        A model with a load: `ImplicitExplicit` takes it.
    """

    model: StiffModel

    order = 2

    __repr__ = represent

    def __post_init__(self) -> None:
        if self.model.load is not None:
            raise ParameterError("Crank–Nicolson steps of a model with a load", "ImplicitExplicit(model)")

    def __call__(self, t: float, u: Array, dt: float) -> Array:
        """U(t + dt) at this rank's nodes; collective."""
        model = self.model
        rhs = model.apply_mass(u) - dt / 2 * model.apply_stiffness(u)
        return model.solve(dt / 2, rhs, t + dt)


@dataclass(frozen=True, eq=False)
@check.takes(
    model=check.instance(StiffModel, "a StiffModel"),
    tableau=check.instance(ImexTableau, "an ImexTableau: ARS443, ARS222"),
)
class ImplicitExplicit:
    """IMEX Runge–Kutta steps: K by an L-stable SDIRK scheme, the load explicitly; without load that SDIRK scheme.

    Parameters
    ----------
    model : StiffModel
    tableau : ImexTableau
        `dfpde.steppers.ARS443` (order 3, default) or `ARS222` (order 2).
    """

    model: StiffModel
    tableau: ImexTableau = ARS443

    __repr__ = represent

    @property
    def order(self) -> int:
        """Order of the tableau."""
        return self.tableau.order

    def __call__(self, t: float, u: Array, dt: float) -> Array:
        """U(t + dt) at this rank's nodes; collective."""
        model, shift = self.model, dt * self.tableau.gamma
        return imex_step(
            self.tableau, t, u, dt,
            mass=model.apply_mass,
            linear=lambda stage: -model.apply_stiffness(stage),
            explicit=model.loads,
            solve=lambda rhs, t: model.solve(shift, rhs, t),
        )  # fmt: skip
