"""Ranks and threads: errors that all ranks raise together, launching, what this machine has."""

from typing import Any

__all__ = ["collective_errors", "raise_on_all", "require_finite", "run"]


def __getattr__(name: str) -> Any:  # later than this module: `launch` and `environment` must work without mpi4py
    if name in __all__:
        from . import collective

        return getattr(collective, name)
    raise AttributeError(f"dfpde.parallel has no name {name!r}")
