"""Derivatives of a run with respect to coefficients of the equation and initial parameters (tangent-linear model).

A stage velocity solves G v = Jᵀ f + ε² D² ρ a with G = JᵀJ + ε² D² (adjoints in ⟨·,·⟩_W).  Its derivative, by implicit
differentiation of this equation and not of an iteration, solves

    G v' = Jᵀ(f' − J' v) + J'ᵀ(f − J v) + ε² D² ρ a'

that is, with v' = ρ a' + δ',    δ' = argmin ‖J δ' − (f' − J' v − ρ J a')‖² + ‖ε D δ' − D⁻¹ J'ᵀ(f − J v)/ε‖²,

the same type of least-squares problem, with the same preconditioner.  Runge–Kutta combines v' like v.  The directional
derivatives f' − J' v and J'ᵀ r at one (t, θ) are central differences of fourth order of fields and tangents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .. import validation as check
from ..errors import ParameterError, ShapeError
from ..evolution.explicit import RK4, ExplicitRungeKutta
from ..evolution.state import State
from ..functional import Functional
from ..leastsquares import LeastSquares, Solver, SparseRows, Tangent, default_solver
from ..leastsquares.rows import CHUNK_BYTES
from ..model import Model, StageSystem
from ..parallel.replicated import same_on_all_ranks
from ..parallel.threads import one_thread
from ..regularization.rule import FIRST_SOLVES, Anchored
from ..representation import represent

Array = NDArray[Any]

#: Relative step η of the differences: rounding u/η against truncation η⁴ (table in docs/diagnostics.md).
STEP = 3e-4


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """A state of the run and its derivatives.

    Attributes
    ----------
    state : State
    derivative : (p, q) array
        ∂θ/∂(c, s): one column for each coefficient, then one for each initial direction.
    """

    state: State
    derivative: Array

    __repr__ = represent

    def of(self, quantity: Functional, problem: Model) -> Array:
        """dQ(Φ(θ))/d(c, s), shape (q,), of a functional that does not depend on them itself; collective."""
        return quantity.gradient(problem, self.state.theta) @ self.derivative


@check.takes(
    problem_of=check.function,
    coefficients=check.numbers(1),
    start=check.state,
    initial=check.optional(check.numbers(2)),
    until=check.real(),
    steps=check.integer(1),
    regularization=check.rule,
    integrator=check.having("an explicit scheme: RK4, ...", "tableau"),
    solver=check.optional(check.solver),
)
def sensitivities(
    problem_of: Callable[[Array], Model],
    coefficients: Array,
    start: State,
    initial: Array | None = None,
    *,
    until: float,
    steps: int,
    regularization: Anchored,
    integrator: ExplicitRungeKutta = RK4,
    solver: Solver | None = None,
) -> Iterator[Sensitivity]:
    """Run with fixed steps and carry ∂θ/∂c and ∂θ/∂s along; θ is that of `evolve` with `Fixed`.

    Parameters
    ----------
    problem_of : callable
        c -> Problem; ansatz, quadrature and scale must not depend on c.
    coefficients : (q_c,) array
        c, coefficients of the equation; may be empty.
    start : State
        θ₀, and a first anchor that is taken as given (not differentiated).
    initial : (p, q_s) array or None
        Directions ∂θ₀/∂s; None is no directions.
    until : float
        Time of the end.
    steps : int
        Steps of equal size from `start.t` to `until`.
    regularization : Inertia, InertiaFromMass or Tikhonov
        A rule whose ε is given; that of `AutoInertia` is not differentiated.
    integrator : ExplicitRungeKutta
        Its error estimate is not used.
    solver : Solver or None
        None is one of its own, as in `evolve`.

    Yields
    ------
    Sensitivity
        After every step.

    Raises
    ------
    ParameterError, ShapeError
    ReplicationError
        Ranks that bring different arguments.

    Notes
    -----
    One direction costs one solve and four evaluations of the system for each stage.
    """
    c = np.array(coefficients, dtype=float).reshape(-1)
    p = start.theta.size
    extra = np.zeros((p, 0)) if initial is None else np.asarray(initial, float)
    if extra.ndim != 2 or extra.shape[0] != p:
        raise ShapeError(f"initial directions of shape {extra.shape}", f"one column of {p} numbers for each direction")
    if not (steps >= 1 and until > start.t):
        raise ParameterError(f"until = {until} in {steps} steps from t = {start.t}", "a later time, steps >= 1")
    if not isinstance(regularization, Anchored):
        raise ParameterError(f"no derivative of {regularization}", "dfpde.Inertia, InertiaFromMass or Tikhonov")
    same_on_all_ranks(
        problem_of(c).comm, coefficients=c, t=start.t, theta=start.theta, initial=extra, until=until, steps=steps,
        regularization=regularization, integrator=integrator, solver=solver,
    )  # fmt: skip
    dual = np.concatenate([start.theta[None], np.zeros((c.size, p)), extra.T])
    run = _Run(problem_of, c, regularization, integrator, default_solver() if solver is None else solver)
    return run.states(start, dual, (until - start.t) / steps, steps)


@dataclass(frozen=True, eq=False)
class _Run:
    """Everything a stage needs; a *dual* is an array (1 + q, p): a value and its derivatives."""

    problem_of: Callable[[Array], Model]
    c: Array
    regularization: Anchored
    integrator: ExplicitRungeKutta
    solver: Solver

    def states(self, start: State, theta: Array, dt: float, steps: int) -> Iterator[Sensitivity]:
        tableau = self.integrator.tableau
        eps, rho = self.regularization.coefficients(dt / tableau.solves)
        anchor = None if start.anchor is None else np.vstack([start.anchor[None], np.zeros_like(theta[1:])])
        k = np.zeros((tableau.stages, *theta.shape))
        for n in range(steps):
            first = 1 if tableau.fsal and n > 0 else 0
            if first:
                k[0] = k[-1]
            for i in range(first, tableau.stages):
                stage = theta + dt * np.tensordot(tableau.a[i], k[:i], 1) if i else theta
                k[i] = anchor = self._velocity(start.t + (n + tableau.c[i]) * dt, stage, anchor, eps, rho)
            theta = theta + dt * np.tensordot(tableau.b, k, 1)
            state = State(start.t + (n + 1) * dt, theta[0], start.step + n + 1, k[-1, 0], k[-1, 0], tableau.fsal)
            yield Sensitivity(state, theta[1:].T.copy())

    @one_thread()
    def _velocity(self, t: float, theta: Array, anchor: Array | None, eps: float, rho: float) -> Array:
        """v and v', as `dfpde.regularization.anchored` defines v."""
        rounds = 1 if anchor is not None or rho == 0 else FIRST_SOLVES
        if anchor is None:
            anchor, rho = np.zeros_like(theta), 1.0
        system = self.problem_of(self.c).system(t, theta[0])
        stacked = _Stacked(system, eps, self.solver)
        for _ in range(rounds):
            begin = rho * anchor
            anchor = np.empty_like(theta)
            anchor[0] = begin[0] + stacked.solve(system.rhs - system.tangent.apply(begin[0]))
            residual = system.rhs - system.tangent.apply(anchor[0])
            for j in range(1, len(theta)):
                change, force = self._differences(t, theta, j, anchor[0], residual)
                anchor[j] = begin[j] + stacked.solve(change - system.tangent.apply(begin[j]), force)
        return anchor

    def _differences(self, t: float, theta: Array, j: int, v: Array, residual: Array) -> tuple[Array, Array]:
        """f' − J' v (local rows) and J'ᵀ r (p,) along the j-th direction."""
        along_c = np.zeros_like(self.c)
        if j <= self.c.size:
            along_c[j - 1] = 1.0
        relative = np.concatenate([
            np.abs(theta[j]) / np.maximum(np.abs(theta[0]), 1.0),
            np.abs(along_c) / np.where(self.c != 0, np.abs(self.c), 1.0),
        ])  # fmt: skip
        largest = float(relative.max())
        if largest == 0.0:
            return np.zeros_like(residual), np.zeros_like(v)
        s = STEP / largest

        def at(multiple: int) -> tuple[Array, Array]:
            shift = multiple * s
            system = self.problem_of(self.c + shift * along_c).system(t, theta[0] + shift * theta[j])
            return system.rhs - system.tangent.apply(v), system.tangent.adjoint(residual)

        pairs = [at(2), at(1), at(-1), at(-2)]
        (a2, b2), (a1, b1), (m1, n1), (m2, n2) = pairs
        return (8 * (a1 - m1) - (a2 - m2)) / (12 * s), (8 * (b1 - n1) - (b2 - n2)) / (12 * s)


class _Diagonal(SparseRows):
    """Rows of the regularization: all of them in every sample of rows for a preconditioner."""

    def chunks(self, stride: int = 1, y: Array | None = None, size: int = CHUNK_BYTES) -> Iterator[Array]:
        return super().chunks(1, y, size)

    def add_gram(self, gram: Array, y: Array | None = None, stride: int = 1) -> None:
        super().add_gram(gram, y)


class _Stacked:
    """min ‖J δ − y‖² + ‖ε D δ − D⁻¹ g/ε‖² with the regularization as rows of its own, on rank 0."""

    def __init__(self, system: StageSystem, eps: float, solver: Solver) -> None:
        p, comm = system.tangent.columns, system.tangent.comm
        d = np.ones(p) if system.scale is None else system.scale
        count = p if comm.rank == 0 else 0
        index = np.arange(count)
        rows = _Diagonal(csr_array(((eps * d)[:count], (index, index)), shape=(count, p)), np.ones(count))
        self.tangent = Tangent((*system.tangent.blocks, rows), comm)
        self.weights = 1.0 / (eps * d[:count])
        self.solver = solver

    def solve(self, y: Array, g: Array | None = None) -> Array:
        """δ."""
        z = np.zeros(self.weights.size) if g is None else self.weights * g[: self.weights.size]
        return self.solver.solve(LeastSquares(self.tangent, np.concatenate([y, z]), 0.0)).value
