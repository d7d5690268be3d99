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
from dfpde.io import ParaViewWriter

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
    with pytest.raises(CheckpointError, match="cannot go on with"):
        ParaViewWriter(shared_tmp_path / "none", mesh, comm, keep_until=1.0)
    with pytest.raises(ShapeError, match=r"u has shape \(3,\)"):
        ParaViewWriter(shared_tmp_path / "run", mesh, comm).write(0.0, u=np.zeros(3))
    with pytest.raises(ParameterError, match="communicator"):
        ParaViewWriter(shared_tmp_path / "run", mesh)


def test_a_failed_step_leaves_the_series_readable(tmp_path):
    writer = ParaViewWriter(tmp_path / "run", MESHES["line"], MPI.COMM_SELF)
    writer.write(0.0, u=linear)
    with pytest.raises(ShapeError):
        writer.write(1.0, u=np.zeros(2))
    writer.write(2.0, u=linear)
    assert [t for t, _ in series(tmp_path / "run.pvd")] == [0.0, 2.0]
    assert not [file for file in tmp_path.rglob(".*")]
