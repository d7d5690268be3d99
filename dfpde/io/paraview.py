"""Time series on meshes for ParaView, complete after every step: open the .pvd while the run goes on.

    out/run.pvd                          the series, a line longer after each step
    out/run/000012.vtu                   one step, one rank
    out/run/000012.pvtu, 000012_3.vtu    one step, several ranks: one piece for each
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import CheckpointError
from ..parallel.collective import collective_errors
from .files import append, replace
from .series import SeriesWriter
from .vtk import write_vtu

Array = NDArray[Any]

HEAD = b'<?xml version="1.0" encoding="utf-8"?>\n<VTKFile type="Collection" version="0.1">\n  <Collection>\n'
TAIL = b"  </Collection>\n</VTKFile>\n"


class ParaViewWriter(SeriesWriter):
    """A `SeriesWriter` of VTK XML files, some for each step, and an index of them, ``out/run.pvd``.

    Parameters
    ----------
    path, mesh, comm, refine, keep_until
        As for `SeriesWriter`.
    """

    SUFFIX = ".pvd"
    _kept: Sequence[tuple[float, str]] = ()  # on rank 0, which writes them with the first step
    _started = False

    def _keep(self, until: float) -> int:
        self._kept = [(t, name) for t, name in _series(self.path) if t <= until]
        return len(self._kept)

    def _append(self, t: float, data: dict[str, Array]) -> None:
        folder, stem = self.path.with_suffix(""), f"{self._count:06d}"
        pieces = self.comm.size > 1
        with collective_errors(self.comm):
            if self._grid is not None:
                grid = self._grid
                name = f"{stem}_{self.comm.rank}.vtu" if pieces else f"{stem}.vtu"
                replace(folder / name, lambda path: write_vtu(path, grid, data))
        columns = {name: values.shape[1] if values.ndim == 2 else 1 for name, values in data.items()}
        ranks = self.comm.gather(columns if self._grid is not None else None, root=0)
        step = (t, f"{folder.name}/{stem}{'.pvtu' if pieces else '.vtu'}")
        with collective_errors(self.comm):
            if self.comm.rank == 0 and ranks is not None:
                if pieces:
                    _replace_xml(folder / f"{stem}.pvtu", _parallel(stem, ranks))
                if self._started:
                    append(self.path, _entry(step), TAIL)
                else:
                    series = HEAD + b"".join(_entry(known) for known in (*self._kept, step)) + TAIL
                    replace(self.path, lambda path: path.write_bytes(series))
        self._started = True


def _entry(step: tuple[float, str]) -> bytes:
    t, name = step
    attributes = {"timestep": repr(t), "part": "0", "file": name}
    line: str = ET.tostring(ET.Element("DataSet", attributes), encoding="unicode")
    return f"    {line}\n".encode()


def _parallel(stem: str, ranks: list[dict[str, int] | None]) -> ET.Element:
    """Names the pieces of all ranks with cells, and the data they have."""
    root = ET.Element("VTKFile", type="PUnstructuredGrid", version="0.1")
    grid = ET.SubElement(root, "PUnstructuredGrid", GhostLevel="0")
    points = ET.SubElement(grid, "PPoints")
    ET.SubElement(points, "PDataArray", type="Float64", Name="Points", NumberOfComponents="3")
    names = next(columns for columns in ranks if columns is not None)
    data = ET.SubElement(grid, "PPointData")
    for name, count in names.items():
        ET.SubElement(data, "PDataArray", type="Float64", Name=name, NumberOfComponents=str(count))
    for rank, columns in enumerate(ranks):
        if columns is not None:
            ET.SubElement(grid, "Piece", Source=f"{stem}_{rank}.vtu")
    return root


def _replace_xml(path: Path, root: ET.Element) -> None:
    ET.indent(root)
    replace(path, lambda beside: ET.ElementTree(root).write(beside, encoding="utf-8", xml_declaration=True))


def _series(path: Path) -> list[tuple[float, str]]:
    """Times and files of a .pvd; none where there is no file yet."""
    if not path.exists():
        return []
    try:
        content = path.read_bytes()
        if content.startswith(HEAD) and not content.endswith(TAIL):  # killed within the write of a line
            content = content[: content.rfind(b"/>\n") + 3] + TAIL
        sets = ET.fromstring(content).iter("DataSet")
        return [(float(entry.attrib["timestep"]), entry.attrib["file"]) for entry in sets]
    except (OSError, ET.ParseError, KeyError, ValueError) as error:
        raise CheckpointError(f"cannot go on with {path}: {error}", "keep_until=None starts a new series") from error
