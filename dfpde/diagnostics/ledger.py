"""Energy ledger of a run: where kinetic and potential energy go.

    d/dt (μ/2 |D θ̇|² + E(Φ(θ))) = −‖J θ̇‖² − κ |D θ̇|² + ⟨J θ̇, f + ∇E⟩

from μ D² θ̈ + κ D² θ̇ + Jᵀ(J θ̇ − f) = 0 tested with θ̇ (derived here).  For a gradient flow, f = −∇E, the last term,
the work of the non-gradient part, is zero.  The three powers on the right are integrated with the Runge–Kutta weights
of the run itself, as if they were further unknowns, so the balance closes at the order to which the run solves the
equation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from .. import validation as check
from ..errors import ParameterError
from ..evolution.continuous import ContinuousInertia
from ..evolution.explicit import ExplicitRungeKutta, Step, Wrapped
from ..evolution.state import State
from ..functional import Functional, stage_gradients, values
from ..leastsquares import Solver
from ..model import Model, StageSystem
from ..regularization.rule import Anchored, Regularization, StageContext, Velocity
from ..representation import represent

Array = NDArray[Any]
Scheme = ExplicitRungeKutta | ContinuousInertia


@dataclass(frozen=True)
class Entry:
    """The books at time t; energies in units of E, cumulative since the first entry where marked ∫.

    Attributes
    ----------
    t : float
    kinetic : float
        μ/2 |D θ̇|².
    potential : float
        E(Φ(θ)).
    dissipation : float
        ∫ ‖J θ̇‖² dt.
    friction : float
        ∫ κ |D θ̇|² dt.
    work : float
        ∫ ⟨J θ̇, f + ∇E⟩ dt, the work of the non-gradient part of f.
    drift : float
        kinetic + potential + dissipation + friction − work, less its value at the first entry.
    """

    t: float
    kinetic: float
    potential: float
    dissipation: float = 0.0
    friction: float = 0.0
    work: float = 0.0
    drift: float = 0.0


class EnergyLedger:
    """Observer of a run: wrap the integrator, record the states.

    Parameters
    ----------
    problem : Problem
    potential : Functional
        E.
    regularization : Inertia, InertiaFromMass or Tikhonov
        The regularization of the run: its mass and friction.  `Inertia` (and `Tikhonov`) has μ = ε² ρ τ and
        κ = ε² (1 − ρ), τ the time between solves: constant only with fixed steps.

    Examples
    --------
    >>> ledger = EnergyLedger(problem, energy, rule)
    >>> for state in df.evolve(..., regularization=rule, integrator=ledger.integrator(df.RK4)):
    ...     ledger.record(state)
    >>> ledger.entries[-1].drift

    Raises
    ------
    ParameterError
        A regularization that is not of this form.

    Notes
    -----
    The cost is one product with J and one with Jᵀ for each stage, and the energy for each recorded state.  `Inertia`
    solves the equation with mass to first order (one implicit Euler step in θ̇ for each stage): its balance closes at
    first order for fixed μ > 0, whatever the scheme; `Tikhonov` (μ = 0) and `ContinuousInertia` close at the order of
    the scheme.
    """

    __repr__ = represent

    @check.takes(problem=check.model, potential=check.instance(Functional, "a Functional"), regularization=check.rule)
    def __init__(self, problem: Model, potential: Functional, regularization: Anchored) -> None:
        if not isinstance(regularization, Anchored):
            raise ParameterError(f"no mass and friction in {regularization}", "Inertia, InertiaFromMass or Tikhonov")
        self.problem = problem
        self.potential = potential
        self.regularization = regularization
        self._books: list[Entry] = []
        self._totals = np.zeros(3)
        self._pending: tuple[int, Array, Array, float] | None = None
        self._last: Array | None = None  # powers of the last stage, the first of the next step
        self._tau = np.nan
        self._powers = np.zeros((0, 3))
        self._first: Array | None = None
        self._step_of_last = -1

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries; the first is the start of the run."""
        return tuple(self._books)

    def columns(self) -> dict[str, Array]:
        """The entries as arrays by name, for tables and plots."""
        return {name: np.array([getattr(entry, name) for entry in self._books]) for name in Entry.__dataclass_fields__}

    def integrator(self, scheme: Scheme) -> _Watched:
        """The scheme, watched: pass it to `evolve`."""
        if not isinstance(scheme, ExplicitRungeKutta | ContinuousInertia):
            raise ParameterError(f"no ledger for {scheme}", "an explicit Runge–Kutta scheme or ContinuousInertia")
        return _Watched(scheme, self)

    def record(self, state: State) -> Entry:
        """Enter an accepted state, once; collective.

        Raises
        ------
        ParameterError
            No watched step has been made.
        """
        if not self._books:
            raise ParameterError("nothing to enter yet", "evolve with integrator=ledger.integrator(scheme)")
        self._commit(state)
        if state.step == self._step_of_last:
            return self._books[-1]
        self._step_of_last = state.step
        velocity = state.velocity if state.velocity is not None else np.zeros(state.theta.size)
        entry = self._entry(state, velocity)
        first = self._books[0]
        drift = _balance(entry) - _balance(first)
        self._books.append(replace(entry, drift=drift))
        return self._books[-1]

    # -- pieces ----------------------------------------------------------------------------------------------
    def _coefficients(self, tau: float) -> tuple[float, float]:
        if not math.isfinite(tau):  # before the first step
            tau = 1.0
        eps, rho = self.regularization.coefficients(tau)
        return eps**2 * rho * tau, eps**2 * (1 - rho)

    def _entry(self, state: State, velocity: Array) -> Entry:
        mass, _ = self._coefficients(self._tau)
        energy = float(values(self.problem, (self.potential,), self.problem.field(state))[0][0])
        kinetic = 0.5 * mass * _square(velocity, self.problem.scale) if mass else 0.0
        return Entry(state.t, kinetic, energy, *(float(total) for total in self._totals))

    def _commit(self, state: State) -> None:
        if self._pending is not None and self._pending[0] == state.step:
            _, gained, self._last, self._tau = self._pending
            self._totals = self._totals + gained
        self._pending = None

    def _step(self, scheme: Scheme, solver: Solver, regularization: Regularization, state: State, dt: float) -> Step:
        self._commit(state)
        tableau = scheme.tableau
        tau = dt / (tableau.solves if isinstance(scheme, ExplicitRungeKutta) else tableau.stages)
        self._powers, self._first = np.full((tableau.stages, 3), np.nan), None
        if isinstance(scheme, ExplicitRungeKutta):
            if tableau.fsal and state.at_end and state.velocity is not None:
                if self._last is None:
                    self.stage(0, self.problem.system(state.t, state.theta), state.velocity, tau)
                else:
                    self._powers[0] = self._last
            step = scheme.step(self.problem, solver, _Spy(regularization, self), state, dt)
        else:
            watched = replace(scheme, observe=lambda i, system, v: self.stage(i, system, v, tau))
            step = watched.step(self.problem, solver, regularization, state, dt)
        if not self._books:
            self._tau = tau
            velocity = state.velocity if state.velocity is not None else self._first
            self._step_of_last = state.step
            self._books.append(self._entry(state, np.zeros(state.theta.size) if velocity is None else velocity))
        self._pending = (state.step + 1, dt * (np.asarray(tableau.b) @ self._powers), self._powers[-1], tau)
        return step

    def stage(self, i: int, system: StageSystem, v: Array, tau: float) -> None:
        """Powers ‖J v‖², κ|D v|², ⟨J v, f⟩ + ∂E/∂θ · v of stage i; collective."""
        if self._first is None:
            self._first = v
        forward = system.tangent.apply(v)
        sums = np.array([forward @ forward, forward @ system.rhs])
        if self.problem.comm.size > 1:
            self.problem.comm.Allreduce(MPI.IN_PLACE, sums)
        slope = stage_gradients(self.problem, (self.potential,), system)[0]
        _, friction = self._coefficients(tau)
        self._powers[i] = sums[0], friction * _square(v, self.problem.scale), sums[1] + slope @ v


@dataclass(frozen=True, eq=False)
class _Watched(Wrapped):
    """Integrator that reports its stages to a ledger."""

    scheme: Scheme
    ledger: EnergyLedger

    def step(self, problem: Model, solver: Solver, regularization: Regularization, state: State, dt: float) -> Step:
        return self.ledger._step(self.scheme, solver, regularization, state, dt)


@dataclass(frozen=True, eq=False)
class _Spy(Regularization):
    """Regularization that reports the velocities it finds."""

    inner: Regularization
    ledger: EnergyLedger

    def velocity(self, system: StageSystem, anchor: Array | None, solver: Solver, context: StageContext) -> Velocity:
        found = self.inner.velocity(system, anchor, solver, context)
        self.ledger.stage(context.stage, system, found.value, context.dt / context.stages)
        return found


def _square(v: Array, scale: Array | None) -> float:
    w = v if scale is None else scale * v
    return float(w @ w)


def _balance(entry: Entry) -> float:
    return entry.kinetic + entry.potential + entry.dissipation + entry.friction - entry.work
