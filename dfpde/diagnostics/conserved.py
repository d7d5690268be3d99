"""Conserved quantities, kept to machine precision: constraints of every solve, and a projection after every step.

    v = argmin ‖J v − f‖² + ε² ‖D(v − ρ a)‖²   subject to   C v = 0,     C_i = ∂Q_i(Φ(θ))/∂θ
    θ ← θ + G⁻¹ Cᵀ s   with   Q(θ) = Q(θ₀),                            G ≈ JᵀWJ + ε² D²

after Schwerdtner, Schulze, Berman, Peherstorfer, "Nonlinear embeddings for conserving Hamiltonians and other quantities
with Neural Galerkin schemes" (arXiv 2310.07485).  With orthonormal rows N of C D⁻¹ the constraint is δ = P δ,
P = I − D⁻¹ NᵀN D, in increment form.  The minimizer over all δ of ‖J P δ − r‖² + ε²‖Dδ‖² satisfies it by itself, so
every solver can be used; for the Krylov solver the preconditioner is projected as well (constraint preconditioner: Gould,
Hribar, Nocedal, SIAM J. Sci. Comput. 23, 2001), which costs m triangular solves and leaves the iterations as they were.
The projection moves the field as little as it can: G is the Gram matrix the preconditioner keeps (in the Euclidean metric
of θ the gradients of different invariants are often nearly parallel: with 8 Gaussians on two KdV solitons the smallest
singular value of the three normalized gradients is 5e-5, and Newton's method fails).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..collective import together
from ..errors import ParameterError, StepError
from ..evolution.explicit import Integrator, Step
from ..evolution.state import State
from ..inertia import Regularization, StageContext, Velocity
from ..leastsquares import KSP, GramCholesky, LeastSquares, Rows, Solution, Solver, Tangent
from ..leastsquares.preconditioners import Preconditioner
from ..problem import Problem, StageSystem
from .functional import Functional, stage_gradients, values

Array = NDArray[Any]

#: Most Newton corrections of one projection; each shortens the misfit by the distance moved, three are usual.
CORRECTIONS = 10


class Conserving:
    """Regularization that keeps functionals of the field, and the integrator that goes with it.

    Parameters
    ----------
    problem : Problem
    quantities : sequence of Functional
        Q_i, at least one; their gradients must be linearly independent.
    inertia : Regularization
        The rule the constraint is added to.
    start : State or (p,) array
        Where the values to be kept are taken.
    rtol : float
        The projection ends when |Q_i(θ) − Q_i(θ₀)| ≤ rtol ∫|q_i|.

    Attributes
    ----------
    targets : (m,) array
        Q_i(θ₀).

    Examples
    --------
    ::

        held = Conserving(problem, (Functional.linear(), energy), df.Inertia.per_step(1e-4, 0.97), start)
        for state in df.evolve(problem, start, inertia=held, integrator=held.integrator(df.RK4), ...):

    Raises
    ------
    ParameterError
        No quantities.

    Notes
    -----
    Without the projection the quantities drift with the order of the scheme (they are nonlinear in θ); without the
    constraint the projection would have to move θ by the defect.  A `KSP` that solves for it gets its preconditioner
    wrapped in a `NullSpace`, which does nothing outside of these solves.
    """

    def __init__(
        self,
        problem: Problem,
        quantities: Sequence[Functional],
        inertia: Regularization,
        start: State | Array,
        rtol: float = 1e-14,
    ) -> None:
        if not quantities:
            raise ParameterError("no quantities to conserve", "at least one Functional")
        self.problem = problem
        self.quantities = tuple(quantities)
        self.inertia = inertia
        self.rtol = rtol
        self.targets, _ = values(problem, self.quantities, problem.field(start))
        self._gradients: Array | None = None
        self._solver: _Constrained | None = None

    def misfit(self, theta: State | Array) -> Array:
        """(Q_i(θ) − Q_i(θ₀)) / ∫|q_i|, shape (m,); collective."""
        found, size = values(self.problem, self.quantities, self.problem.field(theta))
        misfit: Array = (found - self.targets) / np.where(size > 0, size, 1.0)
        return misfit

    def velocity(self, system: StageSystem, anchor: Array | None, solver: Solver, context: StageContext) -> Velocity:
        """The inner rule's velocity under C v = 0; see `dfpde.inertia.Regularization`."""
        self._gradients = stage_gradients(self.problem, self.quantities, system)
        projector = Projector.of(self._gradients, system.scale)
        blocks = tuple(ProjectedRows(block, projector) for block in system.tangent.blocks)
        reduced = replace(system, tangent=Tangent(blocks, system.tangent.comm, system.tangent.origin))
        if anchor is not None:
            anchor = projector.apply(anchor)
        self._solver = _Constrained(solver, projector)
        found = self.inertia.velocity(reduced, anchor, self._solver, context)
        return replace(found, value=projector.apply(found.value), anchor=projector.apply(found.anchor))

    def integrator(self, scheme: Integrator) -> _Projecting:
        """The scheme, followed by the projection: pass it to `evolve` together with this object as `inertia`."""
        return _Projecting(scheme, self)

    def project(self, theta: Array) -> Array:
        """θ + G⁻¹Cᵀ s with Q(θ + G⁻¹Cᵀ s) = Q(θ₀), G and C of the last solve; Broyden's method in R^m; collective.

        Raises
        ------
        StepError
            No convergence: the quantities changed too much in one step.
        """
        if self._gradients is None or self._solver is None:
            return theta
        directions = self._solver.directions(self._gradients)
        jacobian = self._gradients @ directions.T
        previous: tuple[Array, Array] | None = None
        for _ in range(CORRECTIONS):
            found, size = values(self.problem, self.quantities, self.problem.field(theta))
            missing = self.targets - found
            if np.all(np.abs(missing) <= self.rtol * size):
                return theta
            if previous is not None:  # Broyden's rank-one correction from the last move
                moved, before = previous
                jacobian = jacobian + np.outer(before - missing - jacobian @ moved, moved) / (moved @ moved)
            move = np.linalg.solve(jacobian, missing)
            previous = move, missing
            theta = theta + move @ directions
        worst = int(np.argmax(np.abs(missing) / np.where(size > 0, size, 1.0)))
        error = StepError(
            f"projection onto {self.quantities[worst].name!r} = {self.targets[worst]:.6e} is still off by "
            f"{missing[worst]:.1e} after {CORRECTIONS} corrections",
            "a smaller step; or a larger rtol, if the last misfit is at rounding level",
        )
        error.collective = True
        raise error


@dataclass(frozen=True, eq=False)
class _Projecting:
    """Integrator whose steps end on the manifold of the conserved quantities."""

    scheme: Integrator
    held: Conserving

    @property
    def order(self) -> int:
        return self.scheme.order

    @property
    def error_order(self) -> int | None:
        return self.scheme.error_order

    def step(self, problem: Problem, solver: Solver, inertia: Regularization, state: State, dt: float) -> Step:
        step = self.scheme.step(problem, solver, inertia, state, dt)
        if not np.all(np.isfinite(step.theta)):
            return step
        return replace(step, theta=self.held.project(step.theta))


# -- linear algebra ------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Projector:
    """P = I − D⁻¹ NᵀN D onto C v = 0, orthogonal in the metric D².

    Attributes
    ----------
    normals : (m, p) array
        N, orthonormal rows spanning those of C D⁻¹.
    scale : (p,) array or None
        D.
    """

    normals: Array
    scale: Array | None

    @classmethod
    def of(cls, gradients: Array, scale: Array | None) -> Projector:
        """From C (m, p).

        Raises
        ------
        ParameterError
            The gradients are numerically dependent.
        """
        scaled = gradients if scale is None else gradients / scale
        sizes = np.linalg.norm(scaled, axis=1, keepdims=True)
        _, sigma, vt = np.linalg.svd(scaled / np.where(sizes > 0, sizes, 1.0), full_matrices=False)
        if sizes.min() == 0 or sigma[-1] <= scaled.shape[1] * 2.0**-52 * sigma[0]:
            error = ParameterError(
                f"gradients of the {len(scaled)} conserved quantities are dependent: norms {sizes.ravel()}, singular "
                f"values {sigma} of the normalized ones",
                "leave out a quantity that follows from the others, or perturb a start at which one is stationary",
            )
            error.collective = True
            raise error
        return cls(vt, scale)

    @property
    def constraint(self) -> Array:
        """N D, (m, p): the constraint is N D v = 0."""
        return self.normals if self.scale is None else self.normals * self.scale

    def apply(self, v: Array) -> Array:
        """P v."""
        along = self.constraint @ v @ self.normals
        return v - (along if self.scale is None else along / self.scale)

    def transposed(self, g: Array) -> Array:
        """Pᵀ g."""
        along: Array = self.normals @ (g if self.scale is None else g / self.scale)
        return g - along @ self.constraint


class ProjectedRows(Rows):
    """√W J P; its chunks, of which preconditioners are made, are those of √W J itself."""

    def __init__(self, rows: Rows, projector: Projector) -> None:
        self.inner = rows
        self.projector = projector
        self.rows, self.columns = rows.rows, rows.columns

    @property
    def stored_bytes(self) -> int:
        return self.inner.stored_bytes

    def apply(self, v: Array) -> Array:
        return self.inner.apply(self.projector.apply(v))

    def adjoint(self, y: Array) -> Array:
        return self.projector.transposed(self.inner.adjoint(y))

    def chunks(self) -> Iterator[Array]:
        return self.inner.chunks()

    def add_gram(self, gram: Array) -> None:
        self.inner.add_gram(gram)

    def squared_norms(self) -> Array:
        return self.inner.squared_norms()

    def dense(self) -> Array:
        matrix = self.inner.dense()
        scale = self.projector.scale
        normals = self.projector.normals if scale is None else self.projector.normals / scale
        projected: Array = matrix - (matrix @ normals.T) @ self.projector.constraint
        return projected


class NullSpace:
    """Preconditioner P⁻¹ restricted to C v = 0: y = (I − Z (C Z)⁻¹ C) P⁻¹ x with Z = P⁻¹ Cᵀ; P⁻¹ alone without C."""

    def __init__(self, inner: Preconditioner) -> None:
        self.inner = inner
        self._constraint: Array | None = None
        self._inverse: Array | None = None
        self.built = False  # once it has been asked for

    @property
    def constraint(self) -> Array | None:
        """C (m, p), or None."""
        return self._constraint

    @constraint.setter
    def constraint(self, constraint: Array | None) -> None:
        self._constraint, self._inverse = constraint, None

    def build(self, system: LeastSquares) -> None:
        """See `Preconditioner`."""
        self._inverse, self.built = None, True
        self.inner.build(system)

    def shift(self, system: LeastSquares) -> None:
        """See `Preconditioner`."""
        self._inverse = None
        self.inner.shift(system)

    def solve(self, y: Array) -> Array:
        """See `Preconditioner`; on rank 0."""
        found = self.inner.solve(y)
        if self._constraint is None:
            return found
        if self._inverse is None:  # (C Z)⁻¹ Zᵀ, kept until P or C change
            z = np.stack([self.inner.solve(row) for row in self._constraint])
            self._inverse = np.linalg.solve(self._constraint @ z.T, z)
            self._z = z
        return found - (self._inverse @ y) @ self._z

    def build_cost(self, tangent: Tangent) -> float:
        """See `Preconditioner`."""
        return self.inner.build_cost(tangent)


class _Constrained:
    """Solver that projects the preconditioner of a `KSP` during its solves, and remembers the last system."""

    def __init__(self, solver: Solver, projector: Projector) -> None:
        self.solver = solver
        self.projector = projector
        self.system: LeastSquares | None = None
        self.nullspace: NullSpace | None = None
        if isinstance(solver, KSP):
            if not isinstance(solver.preconditioner, NullSpace):
                solver.preconditioner = NullSpace(solver.preconditioner)
            self.nullspace = solver.preconditioner

    def solve(self, system: LeastSquares) -> Solution:
        """See `Solver`."""
        self.system = system
        if self.nullspace is None:
            return self.solver.solve(system)
        try:
            self.nullspace.constraint = self.projector.constraint
            return self.solver.solve(system)
        finally:
            self.nullspace.constraint = None

    def directions(self, gradients: Array) -> Array:
        """G⁻¹Cᵀ as rows (m, p), on all ranks: with the kept preconditioner, or one made for it; collective."""
        if self.system is None:
            return gradients
        preconditioner = None if self.nullspace is None else self.nullspace.inner
        comm, kept = self.system.comm, self.nullspace is not None and self.nullspace.built
        if preconditioner is None or not kept:
            preconditioner = GramCholesky()
            preconditioner.build(self.system)
        found = np.empty_like(gradients)
        with together(comm):
            if comm.rank == 0:
                for row, gradient in zip(found, gradients, strict=True):
                    row[:] = preconditioner.solve(gradient)
        if comm.size > 1:
            comm.Bcast(found, root=0)
        return found
