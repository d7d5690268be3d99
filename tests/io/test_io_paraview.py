"""Series of .vtu files: cells, names and vectors as VTK wants them, and the index of a long series or after a kill."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import skfem
from mpi4py import MPI

from dfpde.errors import CheckpointError
from dfpde.io import ParaViewWriter, paraview
from tests.series_files import MESHES, linear, read_pvd, volume


def volumes(grid):
    """Signed volumes of the cells of a meshio mesh by the first corners, in VTK's order."""
    corners = grid.points[grid.cells[0].data]
    edges = {"triangle": (1, 2), "quad": (1, 3), "tetra": (1, 2, 3), "hexahedron": (1, 3, 4)}[grid.cells[0].type]
    columns = np.stack([corners[:, edge] - corners[:, 0] for edge in edges], axis=-1)[:, : len(edges)]
    return np.linalg.det(columns) / (6 if len(edges) == 3 else 2)


@pytest.mark.mpi
@pytest.mark.parametrize("refine", [0, 1, 2])
@pytest.mark.parametrize("kind", ["triangle", "quad", "tetra", "hexahedron"])
def test_cells_are_right_way_round(comm, shared_tmp_path, kind, refine):
    """scikit-fem sorts the vertices of triangles and tetrahedra; VTK integrates signed volumes."""
    mesh = MESHES[kind] if refine < 2 or kind != "hexahedron" else skfem.MeshHex()
    ParaViewWriter(shared_tmp_path / "run", mesh, comm, refine=refine).write(0.0, u=linear)
    comm.barrier()
    ((_, parts),) = read_pvd(shared_tmp_path / "run.pvd")
    signed = np.concatenate([volumes(part.grid) for part in parts])
    assert np.all(signed > 0)
    if kind in ("triangle", "tetra"):
        assert signed.sum() == pytest.approx(1, rel=1e-13)


NAMES = ["a<b & c", 'quotes "1" and \'2\'', "∂u/∂x – température", "line\nbreak", "bell \x07", "", " x ", "%s/{}\\"]


@pytest.mark.mpi
def test_fields_of_any_name(comm, shared_tmp_path):
    writer = ParaViewWriter(shared_tmp_path / "run", MESHES["triangle"], comm)
    writer.write(0.0, **{name: np.full(writer.x.shape[1], float(k)) for k, name in enumerate(NAMES)})
    comm.barrier()
    for file in sorted((shared_tmp_path / "run").glob("*.vtu")) + sorted((shared_tmp_path / "run").glob("*.pvtu")):
        data = next(ET.parse(file).getroot().iter("PPointData" if file.suffix == ".pvtu" else "PointData"))
        assert [entry.attrib["Name"] for entry in data] == [name.replace("\x07", "\ufffd") for name in NAMES]


def test_vectors_and_tensors_of_the_plane_have_a_third_direction(tmp_path):
    writer = ParaViewWriter(tmp_path / "run", MESHES["triangle"], MPI.COMM_SELF)
    x = writer.x
    writer.write(0.0, v=x, s=np.einsum("ik,jk->ijk", x, x), z=lambda x: 1j * x, pair=x[:1])
    ((_, (part,)),) = read_pvd(tmp_path / "run.pvd")
    three = np.stack([*x, 0 * x[0]], axis=1)
    np.testing.assert_array_equal(part.data["v"], three)
    np.testing.assert_array_equal(part.data["z_im"], three)
    np.testing.assert_array_equal(part.data["s"], np.einsum("ki,kj->kij", three, three).reshape(-1, 9))
    assert part.data["pair"].reshape(len(three), -1).shape[1] == 1


def test_a_step_of_a_long_series_writes_one_line(tmp_path):
    """The file stays the same one (its inode) and grows by one line, whatever its length."""
    lines = "".join(f'    <DataSet timestep="{0.1 * k}" part="0" file="run/{k:06d}.vtu"/>\n' for k in range(50_000))
    (tmp_path / "run.pvd").write_bytes(paraview.HEAD + lines.encode() + paraview.TAIL)
    writer = ParaViewWriter(tmp_path / "run", MESHES["line"], MPI.COMM_SELF, keep_until=np.inf)
    writer.write(5000.0, u=linear)
    before = (tmp_path / "run.pvd").stat()
    writer.write(5001.0, u=linear)
    after = (tmp_path / "run.pvd").stat()
    assert after.st_ino == before.st_ino and 0 < after.st_size - before.st_size < 100
    entries = list(ET.parse(tmp_path / "run.pvd").getroot().iter("DataSet"))
    assert len(entries) == 50_002 and entries[-1].attrib["file"] == "run/050001.vtu"


@pytest.mark.parametrize("lost", [1, 20, len(paraview.TAIL), len(paraview.TAIL) + 30])
def test_a_series_cut_in_its_last_line_goes_on(tmp_path, lost):
    """A process killed within the write of a line: the steps before it are kept."""
    first = ParaViewWriter(tmp_path / "run", MESHES["line"], MPI.COMM_SELF)
    for t in (0.0, 1.0, 2.0):
        first.write(t, u=linear)
    content = (tmp_path / "run.pvd").read_bytes()
    (tmp_path / "run.pvd").write_bytes(content[:-lost])
    second = ParaViewWriter(tmp_path / "run", MESHES["line"], MPI.COMM_SELF, keep_until=5.0)
    second.write(3.0, u=linear)
    kept = [0.0, 1.0] if lost > len(paraview.TAIL) else [0.0, 1.0, 2.0]
    assert [t for t, _ in read_pvd(tmp_path / "run.pvd")] == [*kept, 3.0]


def test_a_series_changed_by_another_program_is_left_alone(tmp_path):
    writer = ParaViewWriter(tmp_path / "run", MESHES["line"], MPI.COMM_SELF)
    writer.write(0.0, u=linear)
    (tmp_path / "run.pvd").write_text("something else")
    with pytest.raises(CheckpointError, match="another program"):
        writer.write(1.0, u=linear)
    assert (tmp_path / "run.pvd").read_text() == "something else"


@pytest.mark.parametrize("kind", MESHES)
def test_vtk_reads_cells_and_values(tmp_path, kind):
    vtk = pytest.importorskip("vtk")
    from vtk.util.numpy_support import vtk_to_numpy

    mesh = MESHES[kind]
    ParaViewWriter(tmp_path / "run", mesh, MPI.COMM_SELF).write(0.0, **{"a<b": linear, "v": lambda x: x})
    reader = vtk.vtkXMLUnstructuredGridReader()
    reader.SetFileName(str(tmp_path / "run" / "000000.vtu"))
    reader.Update()
    grid = reader.GetOutput()
    assert (grid.GetNumberOfCells(), grid.GetNumberOfPoints()) == (mesh.nelements, mesh.doflocs.shape[1])
    x = vtk_to_numpy(grid.GetPoints().GetData()).T[: mesh.dim()]
    np.testing.assert_array_equal(vtk_to_numpy(grid.GetPointData().GetArray("a<b")), linear(x))
    assert volume(grid) == pytest.approx(1, rel=1e-12)
