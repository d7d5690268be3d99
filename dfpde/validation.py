"""Arguments of public functions and classes: a named error where a type or a value is wrong.

    @takes(mass=real(above=0), n=integer(1), mask=optional(function))

A check is a function (name, value) -> None that raises.  Each runs once at the call, before anything is computed.
"""

from __future__ import annotations

import functools
import inspect
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np

from .errors import ArgumentTypeError, NonFiniteError, ParameterError, ShapeError
from .representation import part

LARGEST = 2**63 - 1  # integer of 64 bits

Check = Callable[[str, Any], None]
T = TypeVar("T", bound=Callable[..., Any])


def takes(**checks: Check) -> Callable[[T], T]:
    """Decorator of a function, an ``__init__``, or a dataclass (below ``@dataclass``): check the named arguments."""

    def decorate(target: T) -> T:
        if isinstance(target, type):
            _check_fields(target, checks)
            return target
        parameters = inspect.signature(target).parameters.values()
        names = [parameter.name for parameter in parameters if parameter.kind <= parameter.POSITIONAL_OR_KEYWORD]

        @functools.wraps(target)
        def checked(*args: Any, **kwargs: Any) -> Any:
            require(checks, dict(zip(names, args, strict=False), **kwargs))
            return target(*args, **kwargs)  # a missing or an unknown argument: Python's own words

        return checked  # type: ignore[return-value]

    return decorate


def _check_fields(cls: Any, checks: Mapping[str, Check]) -> None:
    """Let ``__post_init__`` begin with the checks; `dataclass` calls it, also for derived classes."""
    inner = getattr(cls, "__post_init__", None)

    def __post_init__(self: Any, *variables: Any) -> None:
        require(checks, {name: getattr(self, name) for name in checks})
        if inner is not None:
            inner(self, *variables)

    cls.__post_init__ = __post_init__


def require(checks: Mapping[str, Check], given: Mapping[str, Any]) -> None:
    """Run the checks of those arguments that are given."""
    for name, check in checks.items():
        if name in given:
            check(name, given[name])


def wrong_type(name: str, value: Any, expected: str) -> ArgumentTypeError:
    """The error of a value of another type."""
    kind = f"the class {value.__name__}" if isinstance(value, type) else f"{part(value)} of type {type(value).__name__}"
    return ArgumentTypeError(f"{name} is {kind}", f"{name}: {expected}")


def is_real(value: Any) -> bool:
    """Whether a value is one real number; truth values are none."""
    if isinstance(value, Real):
        return not isinstance(value, bool)
    return getattr(value, "ndim", None) == 0 and np.asarray(value).dtype.kind in "fiu"


# -- makers of checks ----------------------------------------------------------------------------------------
def real(
    low: float = -math.inf,
    high: float = math.inf,
    *,
    above: float = math.nan,
    below: float = math.nan,
    infinite: bool = False,
) -> Check:
    """One real number, finite unless `infinite`, low <= value <= high, above < value < below."""

    def check(name: str, value: Any) -> None:
        if not is_real(value):
            raise wrong_type(name, value, "a real number")
        number = float(value) if not abs(value) > sys.float_info.max else math.inf if value > 0 else -math.inf
        inside = low <= number <= high and not (number <= above or number >= below)  # NaN: no bound
        if not (inside and (math.isfinite(number) or (infinite and value == number))):
            finite = "" if infinite else "finite "
            raise ParameterError(f"{name} = {number}", f"a {finite}{name}{_range(low, high, above, below)}")

    return check


def _range(low: float, high: float, above: float = math.nan, below: float = math.nan) -> str:
    bounds = {">=": low, ">": above, "<=": high, "<": below}
    return " and".join(f" {sign} {bound:g}" for sign, bound in bounds.items() if math.isfinite(bound))


def integer(low: float = -math.inf, high: float = math.inf) -> Check:
    """One integer, low <= value <= high."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise wrong_type(name, value, "an integer")
        if not max(low, -LARGEST) <= int(value) <= min(high, LARGEST):
            raise ParameterError(f"{name} = {part(value)}", f"a whole number {name}{_range(low, high)} of 64 bits")

    return check


def optional(check: Check) -> Check:
    """None, or what the check wants."""
    return lambda name, value: None if value is None else check(name, value)


def either(choice: Callable[[Any], bool], yes: Check, no: Check) -> Check:
    """The check `yes` for values of which `choice` is true, else `no`."""
    return lambda name, value: (yes if choice(value) else no)(name, value)


def instance(kind: type | tuple[type, ...], expected: str) -> Check:
    """An object of a class."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, kind):
            raise wrong_type(name, value, expected)

    return check


def having(expected: str, *attributes: str) -> Check:
    """An object (no class) with these attributes; ``"step()"`` is a method."""

    def has(value: Any, name: str) -> bool:
        return callable(getattr(value, name[:-2], None)) if name.endswith("()") else hasattr(value, name)

    def check(name: str, value: Any) -> None:
        if isinstance(value, type) or not all(has(value, attribute) for attribute in attributes):
            raise wrong_type(name, value, expected)

    return check


def one_of(*choices: str) -> Check:
    """One of some words."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, str):
            raise wrong_type(name, value, f"one of {', '.join(map(repr, choices))}")
        if value not in choices:
            raise ParameterError(f"{name} = {value!r}", f"one of {', '.join(map(repr, choices))}")

    return check


def each(check: Check, expected: str, least: int = 0) -> Check:
    """A sequence or array whose entries pass a check: no string, no set, no iterator, which can be read only once."""

    def check_all(name: str, value: Any) -> None:
        listed = isinstance(value, Sequence) or hasattr(value, "__array__")
        if not listed or isinstance(value, str | bytes | type) or getattr(value, "ndim", 1) == 0:
            raise wrong_type(name, value, expected)
        entries = list(value)
        if len(entries) < least:
            raise ParameterError(f"{name} has {len(entries)} entries", expected)
        for i, entry in enumerate(entries):
            try:
                check(f"{name}[{i}]", entry)
            except ParameterError as error:
                raise type(error)(error.what, f"{expected}: {error.remedy}") from None

    return check_all


def mapping(entry: Check, expected: str) -> Check:
    """A mapping from names whose values pass a check."""

    def check_all(name: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise wrong_type(name, value, expected)
        for key, one in value.items():
            text(f"a key of {name}", key)
            entry(f"{name}[{key!r}]", one)

    return check_all


def array(name: str, value: Any, expected: str = "an array of numbers") -> Any:
    """`value` as an array of whatever it holds; rows of different length, or masked entries, are an error."""
    if isinstance(value, np.ma.MaskedArray) and np.any(value.mask):
        raise ShapeError(f"{name} has {np.sum(value.mask)} masked entries", "values without gaps")
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ShapeError(f"{name} is no array: {error}", f"{name}: {expected}, rows of equal length") from None


def numbers(*ndim: int, kinds: str = "fiu", finite: bool = True, above: float = -math.inf) -> Check:
    """An array of numbers: its dimensions (any when none is given), NumPy's letters of its types, all > above."""
    expected = f"an array of {'real or complex' if 'c' in kinds else 'real'} numbers"

    def check(name: str, value: Any) -> None:
        given = array(name, value, expected)
        if given.dtype.kind == "c" and "c" not in kinds:
            raise ShapeError(f"{name} has dtype {given.dtype}", f"{name}: {expected}")
        if given.dtype.kind not in kinds:
            raise wrong_type(name, value, expected)
        if ndim and given.ndim not in ndim:
            wanted = " or ".join(map(str, ndim))
            raise ShapeError(f"{name} has shape {given.shape}", f"{name}: {expected} with {wanted} dimension(s)")
        if finite and not np.all(np.isfinite(given)):
            bad = int(np.flatnonzero(~np.isfinite(given))[0])
            raise NonFiniteError(f"{name} is not finite at flat index {bad} of shape {given.shape}", "finite numbers")
        if above > -math.inf and not np.all(given > above):
            raise ParameterError(f"the smallest entry of {name} is {np.min(given)}", f"numbers > {above:g}")

    return check


def values(name: str, value: Any, *shape: int, kinds: str = "fiuc") -> Any:
    """`value` as an array of numbers whose last axes have this shape."""
    if not (type(value) is np.ndarray and value.dtype.kind in kinds):
        numbers(kinds=kinds, finite=False)(name, value)
        value = np.asarray(value)
    if value.shape[-len(shape) :] != shape:
        wanted = ", ".join(map(str, shape))
        raise ShapeError(f"{name} has shape {value.shape}", f"{name} of shape (..., {wanted}), points last")
    return value


# -- checks --------------------------------------------------------------------------------------------------
def function(name: str, value: Any) -> None:
    """Something that can be called."""
    if not callable(value):
        raise wrong_type(name, value, "a function")


def truth(name: str, value: Any) -> None:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise wrong_type(name, value, "True or False")


def path(name: str, value: Any) -> None:
    """A path."""
    instance((str, os.PathLike), "a path: a string or pathlib.Path")(name, value)
    if "\0" in str(value):
        raise ParameterError(f"{name} = {value!r} has a zero byte", "a path without one")


def matrix(name: str, value: Any) -> None:
    """A matrix of SciPy or PETSc."""
    if isinstance(value, type) or not (hasattr(value, "getOwnershipRange") or getattr(value, "ndim", 0) == 2):
        raise wrong_type(name, value, "a sparse matrix")


def indices(name: str, value: Any) -> None:
    """Integers, none or more."""
    if np.size(array(name, value)):
        numbers(kinds="iu")(name, value)


text: Check = instance(str, "a string")
words: Check = either(lambda value: isinstance(value, str), text, each(text, "a string or several"))
ansatz: Check = having("an ansatz (GaussianMixture, Network, ...)", "size", "dim", "shape", "value()", "tangent()")
model: Check = having("a Problem or fem.SemiDiscrete", "ansatz", "comm", "points", "weigh()", "system()")
field: Check = having("a Field: problem.field(state)", "value", "x")
system: Check = having("a LeastSquares(tangent, rhs, eps)", "tangent", "rhs", "eps", "checked_norm")
form: Check = having("a form of scikit-fem: BilinearForm, LinearForm or Functional", "assemble()")
quadrature: Check = having("a Quadrature", "x", "w", "comm", "inner()")
solver: Check = having("a solver: KSP(), LSQR() or Dense()", "solve()")
preconditioner: Check = having("a preconditioner: Sampled(), Nystrom(), ...", "build()", "solve()")
rule: Check = having("a rule: AutoInertia(), Inertia(eps), Tikhonov(eps), ...", "velocity()")
controller: Check = having("a controller: PI(rtol), PID(rtol) or Fixed(dt)", "decide()")
integrator: Check = having("an integrator: DormandPrince, RK4, SDIRK4, FieldStep(stepper), ...", "step()")
state: Check = having("a State: State(t, theta), or what fit, load and evolve return", "t", "theta", "statistics")
conditions: Check = each(having("a condition: Dirichlet(quadrature, g), ...", "rows()"), "a sequence of conditions")
names: Check = each(text, "a sequence of strings")
functions: Check = mapping(function, "a mapping of names to functions")
quantity: Check = either(callable, function, having("a function (problem, state) -> float, or a Functional", "value()"))
quantities: Check = mapping(quantity, "a mapping of names to functions or functionals")
space: Check = having("a fem.Space", "basis", "nodes", "matrix")
nodes: Check = having("Nodes, for example of a fem.Space", "x", "comm", "numbers")
