"""Conserved quantities, kept to machine precision: constraints of every solve, and a projection after every step.

    v = argmin ‖J v − f‖² + ε² ‖D(v − ρ a)‖²   subject to   C v = 0,     C_i = ∂Q_i(Φ(θ))/∂θ
    θ ← θ + G⁻¹ Cᵀ s   with   Q(θ) = Q(θ₀),                            G ≈ JᵀWJ + ε² D²

after Schwerdtner, Schulze, Berman, Peherstorfer, "Nonlinear embeddings for conserving Hamiltonians and other quantities
with Neural Galerkin schemes" (arXiv 2310.07485).  The constraint is part of the least-squares problem (`nullspace`);
the projection moves the field as little as it can, in the metric G of the preconditioner that the solver keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..calculus import Field
from ..errors import ParameterError, SolverError
from ..evolution.explicit import Integrator, Step, Wrapped
from ..evolution.field_step import FieldStep
from ..evolution.state import State
from ..functional import Functional, ParameterFunctional, Quantity, stage_gradients, values
from ..leastsquares import Solver, Tangent
from ..model import Model, StageSystem
from ..parallel.replicated import same_on_all_ranks
from ..regularization import Regularization, StageContext, Velocity
from ..representation import represent
from .nullspace import Constrained, ProjectedRows, Projector

Array = NDArray[Any]

#: Most corrections of one projection; one or two are usual.
CORRECTIONS = 10


class Conserving:
    """Regularization that keeps functionals of the field, and the integrator that goes with it.

    Parameters
    ----------
    problem : Problem
    quantities : sequence of Functional or ParameterFunctional
        Q_i, at least one; their gradients must be linearly independent.  With points that move (`adapt`) these must be
        `ParameterFunctional`s.
    regularization : Regularization
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
    >>> held = Conserving(problem, (Functional.linear(), energy), df.Inertia(1e-4, 0.97), start)
    >>> how = {"regularization": held, "integrator": held.integrator(df.RK4)}
    >>> for state in df.evolve(problem, start, until=1.0, **how): ...

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

    #: What checkpoints and ranks must agree on.
    described: ClassVar[tuple[str, ...]] = ("quantities", "regularization", "rtol")

    __repr__ = represent

    @check.takes(
        problem=check.model,
        quantities=check.each(check.instance((Functional, ParameterFunctional), "a Functional"), "Functionals"),
        regularization=check.rule,
        rtol=check.real(above=0, below=1),
    )
    def __init__(
        self,
        problem: Model,
        quantities: Sequence[Quantity],
        regularization: Regularization,
        start: State | Array,
        rtol: float = 1e-13,
    ) -> None:
        if not quantities:
            raise ParameterError("no quantities to conserve", "at least one Functional")
        same_on_all_ranks(problem.comm, quantities=tuple(quantities), rtol=rtol)
        self.problem = problem
        self.quantities = tuple(quantities)
        self.regularization = regularization
        self.chooses_metric = regularization.chooses_metric
        self.rtol = rtol
        self.targets, _ = values(problem, self.quantities, problem.field(start))
        self._gradients: Array | None = None
        self._solver: Constrained | None = None
        self._at_once = False  # the last projection had nothing to correct
        self._field: Field | None = None  # of the last stage, then of the projected θ: not to be evaluated twice

    def misfit(self, theta: State | Array) -> Array:
        """(Q_i(θ) − Q_i(θ₀)) / ∫|q_i|, shape (m,); collective."""
        found, size = values(self.problem, self.quantities, self.problem.field(theta))
        return np.asarray((found - self.targets) / np.where(size > 0, size, 1.0))

    def velocity(self, system: StageSystem, anchor: Array | None, solver: Solver, context: StageContext) -> Velocity:
        """The inner rule's velocity under C v = 0; see `Regularization`."""
        self._gradients, self._field = stage_gradients(self.problem, self.quantities, system), system.field
        projector = Projector.of(self._gradients, system.scale)
        blocks = tuple(ProjectedRows(block, projector) for block in system.tangent.blocks)
        reduced = replace(system, tangent=Tangent(blocks, system.tangent.comm))
        if anchor is not None:
            anchor = projector.apply(anchor)
        self._solver = Constrained(solver, projector)
        found = self.regularization.velocity(reduced, anchor, self._solver, context)
        return replace(found, value=projector.apply(found.value), anchor=projector.apply(found.anchor))

    def integrator(self, scheme: Integrator) -> _Projecting:
        """The scheme, followed by the projection: pass it to `evolve` together with this object as `regularization`."""
        return _Projecting(scheme, self)

    def project(self, problem: Model, theta: Array, prepare: bool = False) -> Array:
        """θ + G⁻¹Cᵀ s with Q(θ + G⁻¹Cᵀ s) = Q(θ₀), G and C of the last solve; Broyden's method in R^m; collective.

        `prepare` says that a stage at the result comes next: its tangent is evaluated with the field.

        Raises
        ------
        SolverError
            No convergence: the quantities changed too much in one step.  A controller tries a smaller one.
        """
        if self._gradients is None or self._solver is None:
            return theta
        directions = self._solver.directions(self._gradients)
        jacobian: Array = self._gradients @ directions.T
        previous: tuple[Array, Array] | None = None
        for _ in range(CORRECTIONS):
            if self._field is None or not np.array_equal(self._field.theta, theta):
                last = previous is not None or self._at_once  # likely the θ of the next stage
                self._field = problem.stage_field(theta) if prepare and last else problem.field(theta)
            found, size = values(problem, self.quantities, self._field)
            missing = self.targets - found
            relative = float(np.max(np.abs(missing) / np.where(size > 0, size, 1.0)))
            if previous is not None:  # Broyden's rank-one correction from the last move
                moved, before = previous
                jacobian += np.outer(before - missing - jacobian @ moved, moved) / (moved @ moved)
            if relative <= self.rtol:
                self._at_once = previous is None
                return theta
            try:
                move = np.linalg.solve(jacobian, missing)
            except np.linalg.LinAlgError:  # the quantities no longer change along the directions
                break
            theta = theta + move @ directions
            previous = move, missing
        raise self._unreached(missing, size)

    def _unreached(self, missing: Array, size: Array) -> SolverError:
        worst = int(np.argmax(np.abs(missing) / np.where(size > 0, size, 1.0)))
        error = SolverError(
            f"projection onto {self.quantities[worst].name!r} = {self.targets[worst]:.6e} is still off by "
            f"{missing[worst]:.1e} after at most {CORRECTIONS} corrections",
            "a smaller step; or a larger rtol, if the last misfit is at rounding level",
        )
        error.collective = True
        return error


@dataclass(frozen=True, eq=False)
class _Projecting(Wrapped):
    """Integrator whose steps end on the manifold of the conserved quantities."""

    held: Conserving

    def step(self, problem: Model, solver: Solver, regularization: Regularization, state: State, dt: float) -> Step:
        step = self.scheme.step(problem, solver, regularization, state, dt)
        if not np.all(np.isfinite(step.theta)):
            return step
        if isinstance(self.scheme, FieldStep):  # it solves for no velocity: gradients and metric at its end
            context = StageContext(state.t + dt, dt, 1, state.step, 0, state.rule_carry)
            self.held.velocity(problem.system(state.t + dt, step.theta), step.last.anchor, solver, context)
        theta = self.held.project(problem, step.theta, prepare=not step.at_end)
        return replace(step, theta=theta, field=self.held._field)
