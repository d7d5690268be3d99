"""Output: checkpoints, time series for ParaView, the manifest and the progress of a run."""

from .checkpoint import load, save
from .manifest import RunManifest
from .paraview import ParaViewWriter
from .reporting import progress

__all__ = ["ParaViewWriter", "RunManifest", "load", "progress", "save"]
