"""From a table of a case file to arguments: every key is known, of the right type, and named where it is wrong."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ..errors import CaseError, DfpdeError

T = TypeVar("T")

_WORDS: dict[Any, str] = {float: "a number", int: "an integer", bool: "true or false", str: "a string"}


def read(maker: Callable[..., T], table: Mapping[str, Any], key: str, known: Iterable[str] = ()) -> T:
    """Call `maker` (a class or function) with the keys of a table as its arguments.

    Parameters
    ----------
    maker : callable
        Annotated; arguments whose annotation no TOML value fits cannot be set.
    table : mapping
    key : str
        Where the table is in the file, ``regularization``.
    known : iterable of str
        Keys of the table that were read before, for the suggestions.

    Raises
    ------
    CaseError
        Names the key: unknown (with the nearest known one), missing, of a wrong type, or refused by `maker`.
    """
    hints = _hints(maker)
    refuse_unknown(table, [*known, *hints], key)
    arguments = {name: convert(table[name], hints[name], f"{key}.{name}") for name in table if name in hints}
    parameters = inspect.signature(maker).parameters
    missing = [name for name in hints if parameters[name].default is inspect.Parameter.empty and name not in arguments]
    if missing:
        raise CaseError("is missing", f"add {missing[0]} = {words(hints[missing[0]])}", f"{key}.{missing[0]}")
    return refused(lambda: maker(**arguments), key)


def refused(make: Callable[[], T], key: str) -> T:
    """What `make` returns; its complaint becomes one about the key."""
    try:
        return make()
    except CaseError as error:
        raise error if error.key else CaseError(error.what, error.remedy, key) from error
    except DfpdeError as error:
        raise CaseError(error.what, error.remedy, key) from error


def refuse_unknown(table: Mapping[str, Any], known: Iterable[str], key: str = "") -> None:
    """Refuse a key that nobody reads, and name the nearest one."""
    names = list(dict.fromkeys(known))
    for name in table:
        if name not in names:
            raise CaseError("is not known", nearest(name, names), f"{key}.{name}" if key else name)


def choose(options: Mapping[str, T], value: Any, key: str) -> T:
    """One of several by its name."""
    if not isinstance(value, str) or value not in options:
        raise CaseError(f"{value!r} is not known", nearest(str(value), list(options)), key)
    return options[value]


def nearest(name: str, known: list[str]) -> str:
    """``did you mean 'rtol'? Known: ...``."""
    lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    hint = f"did you mean {lower[close[0]]!r}? " if close else ""
    return f"{hint}known: {', '.join(known)}"


def _hints(maker: Callable[..., Any]) -> dict[str, Any]:
    source = maker
    if inspect.isclass(maker) and not dataclasses.is_dataclass(maker):
        source = maker.__init__
    hints = get_type_hints(source)
    names = inspect.signature(maker).parameters
    return {name: hints[name] for name in names if name in hints and _readable(hints[name])}


def _readable(hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return any(_readable(part) for part in get_args(hint) if part is not type(None))
    return hint in _WORDS or hint is dict or get_origin(hint) in (tuple, dict, Literal)


# -- values --------------------------------------------------------------------------------------------------
def convert(value: Any, hint: Any, key: str) -> Any:
    """A TOML value as an annotation asks for it.

    Raises
    ------
    CaseError
        It does not fit.
    """
    fitted = _fit(value, hint)
    if fitted is _NO:
        what = f"{value!r} is {_WORDS.get(type(value), 'a table' if isinstance(value, dict) else 'a list')}"
        if isinstance(value, float) and not math.isfinite(value):
            what = f"{value!r} is not finite"
        if get_origin(hint) is Literal:
            raise CaseError(f"{value!r} is not known", nearest(str(value), [str(a) for a in get_args(hint)]), key)
        raise CaseError(what, f"give {words(hint)}", key)
    return fitted


_NO = object()


def _fit(value: Any, hint: Any) -> Any:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        found = (_fit(value, part) for part in parts if part is not type(None))
        return next((fitted for fitted in found if fitted is not _NO), _NO)
    if origin is Literal:
        return value if value in parts else _NO
    if origin is tuple:
        return _entries(value, parts)
    if origin is dict or hint is dict:
        return value if isinstance(value, dict) else _NO
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return float(value) if number else _NO
    return value if type(value) is hint else _NO


def _entries(value: Any, parts: tuple[Any, ...]) -> Any:
    if not isinstance(value, list):
        return _NO
    hints = [parts[0]] * len(value) if len(parts) == 2 and parts[1] is Ellipsis else list(parts)
    if len(hints) != len(value):
        return _NO
    fitted = tuple(_fit(entry, part) for entry, part in zip(value, hints, strict=True))
    return _NO if any(entry is _NO for entry in fitted) else fitted


def words(hint: Any, many: bool = False) -> str:
    """What a value must be: ``a number or a list of numbers``."""
    origin, parts = get_origin(hint), [part for part in get_args(hint) if part is not type(None)]
    if origin in (Union, types.UnionType):
        text = " or ".join(words(part, many) for part in parts if _readable(part))
    elif origin is Literal:
        text = f"one of {', '.join(map(repr, parts))}"
    elif origin is tuple:
        inner = words(parts[0], True)
        several = parts[-1] is Ellipsis
        text = f"{'lists' if many else 'a list'} of {inner if several else f'{len(parts)} {inner}'}"
    else:
        text = _WORDS.get(hint, "a table")
        text = text.removeprefix("an ").removeprefix("a ") + "s" * (hint is not bool) if many else text
    return text
