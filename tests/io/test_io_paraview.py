"""Time series on meshes: what a reader sees after every step."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import meshio
import numpy as np
import pytest
import skfem
from mpi4py import MPI

import dfpde as df
from dfpde.errors import CheckpointError, ParameterError, ShapeError
from dfpde.io import ParaViewWriter, paraview

MESHES = {
    "line": skfem.MeshLine().refined(3),
    "triangle": skfem.MeshTri().refined(2),
    "quad": skfem.MeshQuad().refined(2),
    "tetra": skfem.MeshTet().refined(1),
    "hexahedron": skfem.MeshHex().refined(1),
    "triangle6": skfem.MeshTri2.from_mesh(skfem.MeshTri().refined(1)),
}


def linear(x):
    return 1.0 + np.arange(1, len(x) + 1) @ x


def series(path):
    """[(t, [meshes])] as ParaView would follow the references."""
    found = []
    for entry in ET.parse(path).getroot().iter("DataSet"):
        file = path.parent / entry.attrib["file"]
        pieces = [file]
        if file.suffix == ".pvtu":
            pieces = [file.parent / piece.attrib["Source"] for piece in ET.parse(file).getroot().iter("Piece")]
        found.append((float(entry.attrib["timestep"]), [meshio.read(piece) for piece in pieces]))
    return found


@pytest.mark.mpi
@pytest.mark.parametrize("kind", MESHES)
def test_cells_vertices_and_values_of_the_whole_mesh(comm, shared_tmp_path, kind):
    mesh = MESHES[kind]
    writer = ParaViewWriter(shared_tmp_path / kind, mesh, comm)
    writer.write(0.5, u=linear)
    comm.barrier()
    ((t, pieces),) = series(shared_tmp_path / f"{kind}.pvd")
    assert t == 0.5
    assert sum(len(piece.cells[0].data) for piece in pieces) == mesh.nelements
    seen = set()
    for piece in pieces:
        assert piece.cells[0].type == kind
        x = piece.points.T[: mesh.dim()]
        np.testing.assert_array_equal(piece.point_data["u"], linear(x))
        seen |= set(map(tuple, x.T))
    assert seen == set(map(tuple, mesh.doflocs.T))


@pytest.mark.mpi
def test_the_series_is_complete_after_every_step(comm, shared_tmp_path):
    writer = ParaViewWriter(shared_tmp_path / "run.pvd", MESHES["triangle"], comm)
    times = []
    for t in (0.0, 0.1, 1 / 3):
        vector = np.array([*writer.x, writer.x[0] * writer.x[1]])
        writer.write(t, u=t * linear(writer.x), v=vector, z=lambda x: np.exp(1j * x[0]))
        times.append(t)
        comm.barrier()
        found = series(shared_tmp_path / "run.pvd")
        assert [entry[0] for entry in found] == times
        for t_read, pieces in found:
            for piece in pieces:
                x, y, _ = piece.points.T
                np.testing.assert_array_equal(piece.point_data["u"], t_read * linear(piece.points.T[:2]))
                np.testing.assert_array_equal(piece.point_data["v"], np.stack([x, y, x * y], axis=1))
                np.testing.assert_allclose(piece.point_data["z_re"] + 1j * piece.point_data["z_im"], np.exp(1j * x))
        comm.barrier()


@pytest.mark.mpi
def test_ranks_without_cells_and_refined_cells(comm, shared_tmp_path):
    mesh = skfem.MeshTri()  # two cells: on three ranks one has none
    ParaViewWriter(shared_tmp_path / "run", mesh, comm, refine=2).write(0.0, u=linear)
    comm.barrier()
    ((_, pieces),) = series(shared_tmp_path / "run.pvd")
    assert sum(len(piece.cells[0].data) for piece in pieces) == 2 * 16
    assert len(pieces) == min(comm.size, 2)


@pytest.mark.mpi
def test_a_field_of_an_ansatz(comm, shared_tmp_path):
    ansatz = df.Stack(df.GaussianMixture.isotropic(2, 1), df.GaussianMixture.isotropic(2, 1))
    theta = np.array([1.0, 0.5, 0.5, 3.0, 2.0, 0.2, 0.2, 2.0])
    quadrature = df.Quadrature.from_mesh(MESHES["triangle"], 2, comm)
    problem = df.Problem(ansatz, quadrature, lambda t, x, u: u.value)
    ParaViewWriter(shared_tmp_path / "run", MESHES["triangle"], comm).write(0.0, u=problem.field(theta))
    comm.barrier()
    ((_, pieces),) = series(shared_tmp_path / "run.pvd")
    for piece in pieces:
        np.testing.assert_array_equal(piece.point_data["u"][:, :2].T, ansatz.value(theta, piece.points.T[:2]))


@pytest.mark.mpi
def test_a_restart_goes_on_with_the_series(comm, shared_tmp_path):
    path = shared_tmp_path / "run.pvd"
    first = ParaViewWriter(path, MESHES["line"], comm)
    for t in (0.0, 1.0, 2.0):
        first.write(t, u=linear)
    second = ParaViewWriter(path, MESHES["line"], comm, keep_until=1.0)
    second.write(1.5, u=lambda x: 2 * linear(x))
    comm.barrier()
    found = series(path)
    assert [t for t, _ in found] == [0.0, 1.0, 1.5]
    for (_, pieces), factor in zip(found, (1, 1, 2), strict=True):
        for piece in pieces:
            np.testing.assert_array_equal(piece.point_data["u"], factor * linear(piece.points.T[:1]))


@pytest.mark.mpi
def test_errors_are_raised_on_all_ranks(comm, shared_tmp_path):
    mesh = MESHES["triangle"]
    (shared_tmp_path / "file").write_text("not a folder")
    with pytest.raises(CheckpointError, match="cannot write"):
        ParaViewWriter(shared_tmp_path / "file" / "run", mesh, comm).write(0.0, u=linear)
    (shared_tmp_path / "bad.pvd").write_text("no series")
    with pytest.raises(CheckpointError, match="cannot go on with"):
        ParaViewWriter(shared_tmp_path / "bad", mesh, comm, keep_until=1.0)
    with pytest.raises(ParameterError, match="two fields 'u_re'"):
        ParaViewWriter(shared_tmp_path / "run", mesh, comm).write(0.0, u=lambda x: 1j * x[0], u_re=linear)
    with pytest.raises(ShapeError, match=r"u has shape \(3,\)"):
        ParaViewWriter(shared_tmp_path / "run", mesh, comm).write(0.0, u=np.zeros(3))
    if comm.size > 1:
        with pytest.raises(ParameterError, match="communicator"):
            ParaViewWriter(shared_tmp_path / "run", mesh)


@pytest.mark.mpi
def test_a_restart_before_the_first_output_starts_the_series(comm, shared_tmp_path):
    writer = ParaViewWriter(shared_tmp_path / "run", MESHES["line"], comm, keep_until=1.0)
    writer.write(0.0, u=linear)
    comm.barrier()
    assert [t for t, _ in series(shared_tmp_path / "run.pvd")] == [0.0]


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
    ((_, pieces),) = series(shared_tmp_path / "run.pvd")
    signed = np.concatenate([volumes(piece) for piece in pieces])
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
    ((_, (grid,)),) = series(tmp_path / "run.pvd")
    three = np.stack([*x, 0 * x[0]], axis=1)
    np.testing.assert_array_equal(grid.point_data["v"], three)
    np.testing.assert_array_equal(grid.point_data["z_im"], three)
    np.testing.assert_array_equal(grid.point_data["s"], np.einsum("ki,kj->kij", three, three).reshape(-1, 9))
    assert grid.point_data["pair"].reshape(len(three), -1).shape[1] == 1


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
    assert [t for t, _ in series(tmp_path / "run.pvd")] == [*kept, 3.0]


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
    sizes = vtk.vtkCellSizeFilter()
    sizes.SetInputData(grid)
    sizes.Update()
    name = {1: "Length", 2: "Area", 3: "Volume"}[mesh.dim()]
    measured = vtk_to_numpy(sizes.GetOutput().GetCellData().GetArray(name))
    assert np.all(measured > 0) and measured.sum() == pytest.approx(1, rel=1e-12)


def test_a_failed_step_leaves_the_series_readable(tmp_path):
    writer = ParaViewWriter(tmp_path / "run", MESHES["line"], MPI.COMM_SELF)
    writer.write(0.0, u=linear)
    with pytest.raises(ShapeError):
        writer.write(1.0, u=np.zeros(2))
    writer.write(2.0, u=linear)
    assert [t for t, _ in series(tmp_path / "run.pvd")] == [0.0, 2.0]
    assert not [file for file in tmp_path.rglob(".*")]
