"""Case files: a run described in TOML instead of a script."""

from .case import Case, Setup

__all__ = ["Case", "Setup"]
