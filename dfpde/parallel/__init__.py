"""Ranks and threads: errors that all ranks raise together, launching, what this machine has."""

from importlib import import_module
from typing import Any

_HOMES = {
    "collective": ("collective_errors", "raise_on_all", "require_finite"),
    "departure": ("run",),
    "replicated": ("same_on_all_ranks",),
}
__all__ = sorted(name for names in _HOMES.values() for name in names)


def __getattr__(name: str) -> Any:  # later than this module: `launch` and `environment` must work without mpi4py
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"dfpde.parallel has no name {name!r}")
