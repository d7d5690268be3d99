"""Meshes to write time series on, and the series as other programs read them: meshio's .vtu, VTK's own VTKHDF."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import meshio
import numpy as np
import pytest
import skfem
from small_meshes import STRAIGHT

from dfpde.io import ParaViewWriter, SeriesWriter, VTKHDFWriter

MESHES = STRAIGHT | {"triangle6": skfem.MeshTri2.from_mesh(skfem.MeshTri().refined(1))}


def linear(x):
    return 1.0 + np.arange(1, len(x) + 1) @ x


@dataclass(frozen=True)
class Part:
    """What one rank wrote of one step: vertices (N, 3), number of cells, {name: values}, the reading program's grid."""

    points: np.ndarray
    cells: int
    data: dict[str, np.ndarray]
    grid: Any


Steps = list[tuple[float, list[Part]]]


def read_pvd(path: Path) -> Steps:
    """As ParaView would follow the references."""
    found = []
    for entry in ET.parse(path).getroot().iter("DataSet"):
        file = path.parent / entry.attrib["file"]
        pieces = [file]
        if file.suffix == ".pvtu":
            pieces = [file.parent / piece.attrib["Source"] for piece in ET.parse(file).getroot().iter("Piece")]
        grids = [meshio.read(piece) for piece in pieces]
        parts = [Part(grid.points, len(grid.cells[0].data), grid.point_data, grid) for grid in grids]
        found.append((float(entry.attrib["timestep"]), parts))
    return found


def read_vtkhdf(path: Path) -> Steps:
    vtk = pytest.importorskip("vtk")
    from vtk.util.numpy_support import vtk_to_numpy

    reader = vtk.vtkHDFReader()
    reader.SetFileName(os.fspath(path))
    reader.UpdateInformation()
    times = reader.GetOutputInformation(0).Get(vtk.vtkStreamingDemandDrivenPipeline.TIME_STEPS())
    if times is None:  # of a single step VTK does not tell the time
        with h5py.File(path, locking=False) as file:
            times = file["VTKHDF/Steps/Values"][()]
        assert len(times) == 1
    found = []
    for t in times:
        reader.UpdateTimeStep(t)
        output = reader.GetOutputDataObject(0)
        count = output.GetNumberOfPartitions() if output.IsA("vtkPartitionedDataSet") else None
        seen = []
        for part in [output] if count is None else [output.GetPartition(i) for i in range(count)]:
            data = part.GetPointData()
            arrays = {data.GetArrayName(i): vtk_to_numpy(data.GetArray(i)) for i in range(data.GetNumberOfArrays())}
            copy = part.NewInstance()  # the reader fills the same object again
            copy.ShallowCopy(part)
            seen.append(Part(vtk_to_numpy(part.GetPoints().GetData()), part.GetNumberOfCells(), arrays, copy))
        found.append((t, seen))
    return found


def volume(grid) -> float:
    """Length, area or volume of a grid of VTK by its own filter: right only where the cells are the right way round."""
    import vtk

    size = vtk.vtkCellSizeFilter()
    size.SetInputData(grid)
    size.Update()
    cells, data = range(grid.GetNumberOfCells()), size.GetOutput().GetCellData()
    return sum(data.GetArray(name).GetTuple1(i) for name in ("Length", "Area", "Volume") for i in cells)


@dataclass(frozen=True)
class Format:
    writer: type[SeriesWriter]
    suffix: str
    read: Callable[[Path], Steps]


FORMATS = (Format(ParaViewWriter, ".pvd", read_pvd), Format(VTKHDFWriter, ".vtkhdf", read_vtkhdf))
