"""Elliptic subproblems inside f: a field that depends on u at every instant.

    a(c, v) = ∫ u v   for all v of the space,   c = g on Γ_D,       for example −Δc + c = u with natural conditions

The matrix is assembled and its multigrid hierarchy built once; a stage costs a product, a solve and a product back to
the quadrature points, on the rank that owns them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from skfem.models import mass

from .. import validation as check
from ..errors import ParameterError, ShapeError
from ..parallel.collective import collective_errors, require_finite
from ..representation import represent
from .linear import LinearSolver
from .nodes import VALUES
from .nullspace import constants
from .skfem_adapter import Space
from .transfer import Function

Array = NDArray[Any]
Value = float | Callable[[Array], Array]


class Elliptic:
    """c with a(c, v) = ∫ u v + l(v), on a scikit-fem space; collective, and fixed once made.

    Where the form does not see constants (−Δc = u without boundary values, periodic, a pressure), the solution is that
    with mean zero, on every separate part of the mesh; the source and l must then have mean zero there, up to a
    relative quadrature error of 1e-3, which is taken out (beyond 1e-8 with a warning).

    Parameters
    ----------
    space : Space
        Where c lives; any scalar element, a Lagrange one for Dirichlet values.
    form : skfem.BilinearForm
        a, on the cells.
    boundary : mapping of name -> skfem.BilinearForm, optional
        Further parts of a on named boundaries (Robin conditions, Nitsche's method).
    load : (n,) array, optional
        l, sub-assembled (`Space.vector`): fluxes through boundaries, sources that do not change.
    dirichlet : mapping of name -> float or callable, optional
        g on named boundaries; x (dim, d) -> (d,).
    prefix : str
        PETSc options; conjugate gradients with algebraic multigrid by default.
    rtol : float
        Relative tolerance of the solve.

    Raises
    ------
    ParameterError
        On all ranks: a boundary that the mesh does not have; Dirichlet values for degrees of freedom that are none;
        a form whose null space is not that of its adjoint.
    """

    __repr__ = represent

    @check.takes(
        space=check.space,
        form=check.function,
        boundary=check.optional(check.functions),
        load=check.optional(check.numbers(1)),
        dirichlet=check.optional(check.instance(Mapping, "a mapping of boundary names to values")),
        prefix=check.text,
        rtol=check.real(above=0, below=1),
    )
    def __init__(
        self,
        space: Space,
        form: Any,
        *,
        boundary: Mapping[str, Any] | None = None,
        load: Array | None = None,
        dirichlet: Mapping[str, Value] | None = None,
        prefix: str = "dfpde_fem_elliptic_",
        rtol: float = 1e-11,
    ) -> None:
        self.space = space
        nodes = space.nodes
        with collective_errors(space.comm):
            if dirichlet:
                nodes.require_values("dirichlet")
            local = space.matrix(form)
            for name, part in (boundary or {}).items():
                local = local + space.matrix(part, name)
            self._load = np.zeros(nodes.n) if load is None else np.asarray(load, dtype=float)
            if self._load.shape != (nodes.n,):
                raise ShapeError(f"a load of shape {self._load.shape} for {nodes.n} nodes", "give `Space.vector(...)`")
        self._known, fixed = np.zeros(nodes.n), []
        for name, value in (dirichlet or {}).items():
            chosen = space.boundary_nodes(name)
            fixed.append(chosen)
            with collective_errors(space.comm):
                self._known[chosen] = value(nodes.x[:, chosen]) if callable(value) else value
        if not space.comm.allreduce(float(np.max(np.abs(local.data), initial=0.0)), op=MPI.MAX) > 0:
            raise ParameterError("the form of the elliptic problem is zero", "a form of u and v")
        self.matrix = nodes.matrix(local)
        numbers = np.unique(np.concatenate(fixed)) if fixed else np.zeros(0, dtype=int)
        self._constants = constants(nodes, local, numbers, self._one(), space.integrals)
        numbers = np.union1d(numbers, self._constants.pins())
        anywhere = space.comm.allreduce(numbers.size) > 0
        self.solver = LinearSolver(nodes, self.matrix, prefix, numbers if anywhere else None, pc="gamg", rtol=rtol)

    def _one(self) -> Array:
        """Coefficients of the constant 1."""
        if self.space.nodes.kind == VALUES:
            return np.ones(self.space.nodes.n)
        with collective_errors(self.space.comm):
            local = self.space.matrix(mass)
        return LinearSolver(self.space.nodes, self.space.nodes.matrix(local), "dfpde_fem_mass_").solve(
            self.space.integrals
        )

    def solve(self, source: Array) -> Function:
        """c for a source u given at the points of ``space.quadrature``, (N,).

        Raises
        ------
        ParameterError
            On all ranks: the problem has no solution, because constants solve it without a source and u has a mean.
        ShapeError, NonFiniteError, SolverError
            On all ranks.
        """
        space = self.space
        with collective_errors(space.comm):
            check.numbers(finite=False)("source", source)
            source = np.asarray(source, dtype=float)
            if source.shape != (space.quadrature.n,):
                raise ShapeError(
                    f"a source of shape {source.shape} on rank {space.comm.rank}",
                    f"give one number for each of the {space.quadrature.n} points of space.quadrature there",
                )
        require_finite(space.comm, "look at the source of the elliptic problem", source=source)
        load = self._constants.compatible(self._load + space.weighted(source))
        return Function(space, self._constants.without_means(self.solver.solve(load, self._known)))
