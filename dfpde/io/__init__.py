"""Output: checkpoints, time series for ParaView, snapshots on grids, the manifest and the progress of a run."""

from .checkpoint import load, save
from .grid_file import save_grid
from .manifest import RunManifest
from .paraview import ParaViewWriter
from .reporting import progress
from .series import SeriesWriter
from .vtkhdf import VTKHDFWriter

__all__ = ["ParaViewWriter", "RunManifest", "SeriesWriter", "VTKHDFWriter", "load", "progress", "save", "save_grid"]
