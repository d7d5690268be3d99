"""Runs in a directory: checkpoints by themselves, signals and limits, the record of a run, going on after a kill."""

from .run import Run

__all__ = ["Run"]
