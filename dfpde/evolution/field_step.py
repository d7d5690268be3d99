"""The field step: a time stepper of the field, then the parameters of its result.

    u* = S_h(Φ(θ_n)),    θ_{n+1} = argmin_θ ‖Φ(θ) − u*‖²_W + ε² ‖D(θ − θ_n − hρa)‖²,    a = (θ_n − θ_{n−1})/h_{n−1}

With S_h explicit Euler, the first Gauss–Newton iteration from θ_n is the inertial Dirac–Frenkel step.  Further
iterations remove the curvature of Φ, S_h takes the stiffness of the equation, and the gain ratio of Levenberg–Marquardt
replaces the choice of ε.  The error grows by no more than is computed, with ℓ the one-sided Lipschitz constant of f:

    e_{n+1} <= e^{ℓh} e_n + ‖error of S_h‖ + ‖Φ(θ_{n+1}) − u*‖.

Rothe's method with Gaussians: Schrader, Kristiansen, Pedersen, Kvaal, arXiv 2411.05459; with networks (TENG): Chen et
al., arXiv 2404.10771.  Inertia as prediction and anchor is derived here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..calculus import Field
from ..errors import ParameterError, ShapeError
from ..leastsquares import Solver
from ..leastsquares.nonlinear import Minimum
from ..model import Model
from ..parallel.collective import collective_errors, norm, require_finite
from ..regularization import Regularization, Velocity
from ..representation import represent
from .explicit import Step
from .projection import FIRST_DAMPING, LARGEST_DAMPING, FieldProjection
from .state import State

Array = NDArray[Any]

#: Relative tolerance of fixed steps.
DEFAULT = 1e-4
#: Share of the tolerance that is left to the misfit of a projection.
SHARE = 0.3
#: A misfit of up to this multiple of the last step's is put down to the ansatz: a shorter step would not lower it.
ALLOWED = 2.0
#: A larger one is put down to the step size if a step of a quarter of the size has less than this share of its defect.
BETTER = 0.9


class Stepper(Protocol):
    """One step of the field on the model's points."""

    @property
    def order(self) -> int | None:
        """Order in h; None for a stepper that is taken as exact."""
        ...

    def __call__(self, t: float, u: Array, dt: float, /) -> Array:
        """u(t + dt) from u(t), both `(*shape, N)` at this rank's points; collective."""
        ...


@runtime_checkable
class Embedded(Protocol):
    """A stepper that estimates its error itself."""

    @property
    def error_order(self) -> int:
        """Order of the embedded solution."""
        ...

    def pair(self, t: float, u: Array, dt: float, /) -> tuple[Array, Array]:
        """u(t + dt) and the estimate of its error, both `(*shape, N)` at this rank's points; collective."""
        ...


@runtime_checkable
class OfField(Protocol):
    """A stepper that asks for the field itself, at whatever points it needs."""

    @property
    def order(self) -> int | None:
        """As of `Stepper`."""
        ...

    def of_field(self, t: float, field: Field, dt: float, steps: int) -> Array:
        """u(t + dt) at this rank's points by this many steps, `(*shape, N)`."""
        ...


@runtime_checkable
class Ghosted(Protocol):
    """A model some of whose points on a rank are nodes of other ranks: its steppers see the rank's own."""

    def own(self, values: Array) -> Array:
        """The part `(*shape, n)` of values `(*shape, N)` at the points that is this rank's own."""
        ...

    def with_ghosts(self, values: Array) -> Array:
        """Values `(*shape, N)` at the points of those that the ranks own, `(*shape, n)`; collective."""
        ...


@dataclass(frozen=True)
@check.takes(advance=check.function, order=check.optional(check.integer(1)))
class BlackBox:
    """A function as stepper: whatever advances nodal values in time, an existing code for example.

    Parameters
    ----------
    advance : callable
        (t, u, dt) -> u(t + dt), both `(*shape, N)` at this rank's points; of a `fem.SemiDiscrete` at its `nodes`.
    order : int or None
        Order in dt, for the error by step doubling; None takes it as exact, and steps have to be `Fixed`.

    Raises
    ------
    ParameterError
        An order below 1.
    """

    advance: Callable[[float, Array, float], Array]
    order: int | None = None

    __repr__ = represent

    def __call__(self, t: float, u: Array, dt: float) -> Array:
        """See `Stepper`."""
        return self.advance(t, u, dt)


@dataclass(frozen=True)
@check.takes(
    stepper=check.having("a stepper: ETDRK4(...), BlackBox(advance), ...", "order"),
    rtol=check.optional(check.real(above=0, below=1)),
    atol=check.real(0),
    rho=check.real(0, 1),
    substeps=check.integer(1),
    projection=check.instance(FieldProjection, "a FieldProjection"),
)
class FieldStep:
    """Integrator that steps the field and projects the result on the ansatz.

    Parameters
    ----------
    stepper : Stepper or OfField
        S, for example `dfpde.steppers.ETDRK4`, `dfpde.steppers.Characteristics`, `dfpde.fem.CrankNicolson` or a
        `BlackBox`.
    rtol : float or None
        Tolerance of the misfit relative to ‖u‖: a projection ends below `SHARE` of it.  None is the controller's, and
        1e-4 for fixed steps.
    rho : float
        ρ, inertia: the projection may start at θ_n + hρa, and stays there in directions that do not move the field.
        0 forgets the velocity.
    substeps : int
        Steps of S in one step h.  The field costs little beside the projection, and fewer projections leave less error
        behind; 1 where a step of S is dear.
    projection : FieldProjection
        Metric and length of the iteration.
    atol : float
        Added to rtol ‖u‖, in units of u; the controller's where rtol is None.

    Notes
    -----
    The error of a step is that of S_h, by its embedded pair or by steps of half the size (Richardson).  The misfit is
    the defect of the step, ``statistics.defect`` = misfit / h, unless it could be less: where it exceeds the tolerance,
    and is more than `ALLOWED` times that of the step before, a step of a quarter of the size is fitted too.  If the
    defect of that one is less than `BETTER` of this one, the misfit counts as error, and the step is tried again
    with half its size or less; if not, no shorter step helps, and the defect is the ansatz's.
    The regularization of `evolve` is not used: ε and ρ are those here.  The problem's f serves only the first step
    size; ``PI(first=...)`` does without it.  Conditions are not supported: values on a boundary belong in S and in the
    ansatz.

    Raises
    ------
    ParameterError
        rtol or ρ out of range, no substep.
    """

    stepper: Stepper | OfField
    rtol: float | None = None
    rho: float = 1.0
    substeps: int = 8
    projection: FieldProjection = field(default_factory=FieldProjection)
    atol: float = 0.0

    __repr__ = represent

    @property
    def order(self) -> int:
        """Order of the stepper; 1 for one that is exact (the prediction is)."""
        return self.stepper.order or 1

    @property
    def error_order(self) -> int | None:
        """Order of the estimate of the stepper's error, None for one that is taken as exact."""
        return self.stepper.error_order if isinstance(self.stepper, Embedded) else self.stepper.order

    @property
    def implicit(self) -> bool:
        """True: rates of the equation are the stepper's business."""
        return True

    def with_tolerance(self, rtol: float, atol: float) -> FieldStep:
        """See `Toleranced`."""
        if self.rtol is not None or rtol + atol == 0:
            return self
        return replace(self, rtol=min(max(rtol, 2.0**-52), 0.5), atol=atol)

    def step(self, problem: Model, solver: Solver, regularization: Regularization, state: State, dt: float) -> Step:
        """See `Integrator`."""
        if problem.conditions:
            raise ParameterError(
                f"field steps with {len(problem.conditions)} condition(s)", "boundary values in the stepper"
            )
        field = problem.field(state)
        target, error = self.advance(problem, state.t, field, dt)
        error_norm, size = (norm(problem.weigh(values), problem.comm) for values in (error, target))
        damping = state.integrator_carry[0] if state.integrator_carry else FIRST_DAMPING
        fitted = partial(self._fitted, problem, state, solver, damping)
        wanted = self.atol + (DEFAULT if self.rtol is None else self.rtol) * size
        found = fitted(target, dt, SHARE * wanted)
        if found.misfit > max(wanted, ALLOWED * _before(state)):
            nearer = fitted(self.advance(problem, state.t, field, dt / 4)[0], dt / 4, SHARE * wanted / 4)
            if nearer.misfit < BETTER * found.misfit / 4:
                error_norm = max(found.misfit, 2.0 ** (1 + (self.error_order or 0)) * wanted)
        change = norm(problem.weigh(target - field.value), problem.comm) / dt
        value, defect = (found.theta - state.theta) / dt, found.misfit / dt
        last = Velocity(value, value, defect, change, self.projection.eps, self.rho, found.iterations, state.rule_carry)
        carry = (min(found.damping, LARGEST_DAMPING), found.misfit)
        return Step(found.theta, last, False, error_norm, defect, change, found.iterations, carry=carry)

    def advance(self, model: Model, t: float, field: Field, dt: float) -> tuple[Array, Array]:
        """u* = S_h u by `substeps` steps of the stepper, and the estimate of its error; collective.

        Raises
        ------
        ShapeError, NonFiniteError
            What the stepper returned has another shape than u, or is not finite.
        """
        if isinstance(self.stepper, Embedded):
            u, total = _own(model, field.value), np.zeros(1)
            for i in range(self.substeps):
                u, error = _checked(model, self.stepper.pair, t + i * dt / self.substeps, u, dt / self.substeps)
                total = total + error
            return _with_ghosts(model, u), _with_ghosts(model, total)
        if self.stepper.order is None:
            return self._march(model, t, field, dt, 1), np.zeros_like(field.value)
        coarse, fine = (self._march(model, t, field, dt, factor * self.substeps) for factor in (1, 2))
        return fine, (fine - coarse) / (2.0**self.stepper.order - 1)

    def _march(self, model: Model, t: float, field: Field, dt: float, steps: int) -> Array:
        stepper = self.stepper
        if isinstance(stepper, OfField):
            return _checked(model, lambda t, u, dt: stepper.of_field(t, field, dt, steps), t, field.value, dt)[0]
        u = _own(model, field.value)
        for i in range(steps):
            (u,) = _checked(model, stepper, t + i * dt / steps, u, dt / steps)
        return _with_ghosts(model, u)

    def _fitted(
        self, problem: Model, state: State, solver: Solver, damping: float, target: Array, dt: float, misfit: float
    ) -> Minimum:
        """The parameters of u* = `target` at t + dt, up to this misfit."""
        starts = [np.asarray(state.theta)]
        if state.velocity is not None and self.rho > 0:  # first: of equals, the prediction
            starts.insert(0, state.theta + dt * self.rho * state.velocity)
        return self.projection(problem, target, starts, misfit, solver, damping)


def _before(state: State) -> float:
    """Misfit of the step before; 0 before the first one."""
    return state.integrator_carry[1] if state.integrator_carry else 0.0


def _own(model: Model, values: Array) -> Array:
    return model.own(values) if isinstance(model, Ghosted) else values


def _with_ghosts(model: Model, values: Array) -> Array:
    return model.with_ghosts(values) if isinstance(model, Ghosted) else values


def _checked(model: Model, step: Callable[..., Any], t: float, u: Array, dt: float) -> tuple[Array, ...]:
    """What a stepper returns, of the shape of u and finite."""
    with collective_errors(model.comm), np.errstate(over="ignore", invalid="ignore"):
        result = step(t, u, dt)
        arrays = tuple(np.asarray(a) for a in (result if isinstance(result, tuple) else (result,)))
        for array in arrays:
            if array.shape != u.shape or (np.iscomplexobj(array) and not np.iscomplexobj(u)):
                raise ShapeError(
                    f"the stepper returned shape {array.shape} and dtype {array.dtype} for a field of shape {u.shape} "
                    f"and dtype {u.dtype}",
                    "one value for each component and point, points last",
                )
    require_finite(model.comm, "a smaller step, or a stepper for stiff equations", field=arrays[0])
    return arrays
