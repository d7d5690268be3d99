"""Time series on meshes in every format: what another program reads after every step."""

from __future__ import annotations

import numpy as np
import pytest
import skfem

import dfpde as df
from dfpde.errors import CheckpointError, ParameterError, ShapeError
from tests.series_files import FORMATS, MESHES, linear

every_format = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.suffix)


@pytest.mark.mpi
@every_format
@pytest.mark.parametrize("kind", MESHES)
def test_cells_vertices_and_values_of_the_whole_mesh(comm, shared_tmp_path, form, kind):
    mesh = MESHES[kind]
    form.writer(shared_tmp_path / kind, mesh, comm).write(0.5, u=linear)
    comm.barrier()
    ((t, parts),) = form.read(shared_tmp_path / f"{kind}{form.suffix}")
    assert t == 0.5 and sum(part.cells for part in parts) == mesh.nelements
    seen = set()
    for part in parts:
        x = part.points.T[: mesh.dim()]
        np.testing.assert_array_equal(part.data["u"], linear(x))
        seen |= set(map(tuple, x.T))
    assert seen == set(map(tuple, mesh.doflocs.T))


@pytest.mark.mpi
@every_format
def test_the_series_is_complete_after_every_step(comm, shared_tmp_path, form):
    """Functions and values, vectors and complex fields; on ranks without cells, and beyond the space of a new file."""
    path, times = shared_tmp_path / f"run{form.suffix}", []
    writer = form.writer(path, skfem.MeshTri(), comm, refine=1)  # two cells: on three ranks one has none
    for k in range(18):
        t = k / 3
        vector = np.array([*writer.x, t + writer.x[0]])
        writer.write(t, u=t * linear(writer.x), v=vector, z=lambda x, t=t: np.exp(1j * t * x[0]))
        times.append(t)
        assert writer.steps == k + 1
        comm.barrier()
        if k in (0, 1, 15, 16, 17):
            found = form.read(path)
            assert [entry[0] for entry in found] == times
            for t_read, parts in found:
                assert len(parts) == min(comm.size, 2) and sum(part.cells for part in parts) == 2 * 4
                for part in parts:
                    x, y, _ = part.points.T
                    np.testing.assert_array_equal(part.data["u"], t_read * linear(part.points.T[:2]))
                    np.testing.assert_array_equal(part.data["v"], np.stack([x, y, t_read + x], axis=1))
                    np.testing.assert_allclose(part.data["z_re"] + 1j * part.data["z_im"], np.exp(1j * t_read * x))
        comm.barrier()


@pytest.mark.mpi
@every_format
def test_a_field_of_an_ansatz(comm, shared_tmp_path, form):
    ansatz = df.Stack(df.GaussianMixture.isotropic(2, 1), df.GaussianMixture.isotropic(2, 1))
    theta = np.array([1.0, 0.5, 0.5, 3.0, 2.0, 0.2, 0.2, 2.0])
    quadrature = df.Quadrature.from_mesh(MESHES["triangle"], 2, comm)
    problem = df.Problem(ansatz, quadrature, lambda t, x, u: u.value)
    form.writer(shared_tmp_path / "run", MESHES["triangle"], comm).write(0.0, u=problem.field(theta))
    comm.barrier()
    ((_, parts),) = form.read(shared_tmp_path / f"run{form.suffix}")
    for part in parts:
        np.testing.assert_array_equal(part.data["u"][:, :2].T, ansatz.value(theta, part.points.T[:2]))


@pytest.mark.mpi
@every_format
def test_a_restart_goes_on_with_the_series(comm, shared_tmp_path, form):
    """From a step in it, and where an interrupted run had not written any."""
    path = shared_tmp_path / f"run{form.suffix}"
    first = form.writer(path, MESHES["line"], comm, keep_until=1.0)
    assert first.steps == 0
    for t in (0.0, 1.0, 2.0):
        first.write(t, u=linear)
    second = form.writer(path, MESHES["line"], comm, keep_until=1.0)
    assert second.steps == 2
    second.write(1.5, u=lambda x: 2 * linear(x))
    comm.barrier()
    found = form.read(path)
    assert [t for t, _ in found] == [0.0, 1.0, 1.5]
    for (_, parts), factor in zip(found, (1, 1, 2), strict=True):
        for part in parts:
            np.testing.assert_array_equal(part.data["u"], factor * linear(part.points.T[:1]))
    comm.barrier()
    form.writer(path, MESHES["line"], comm).write(0.5, u=linear)
    comm.barrier()
    assert [t for t, _ in form.read(path)] == [0.5]


@pytest.mark.mpi
@every_format
def test_a_step_that_fails_on_all_ranks_leaves_the_series_readable(comm, shared_tmp_path, form):
    path = shared_tmp_path / f"run{form.suffix}"
    writer = form.writer(path, MESHES["triangle"], comm)
    writer.write(0.0, u_re=linear)
    with pytest.raises(ShapeError, match=r"u_re has shape \(3,\)"):
        writer.write(1.0, u_re=np.zeros(3))
    with pytest.raises(ParameterError, match="two fields 'u_re'"):
        writer.write(1.0, u=lambda x: 1j * x[0], u_re=linear)
    writer.write(2.0, u_re=linear)
    comm.barrier()
    assert [t for t, _ in form.read(path)] == [0.0, 2.0] and writer.steps == 2
    assert not [file for file in shared_tmp_path.rglob(".*")]


@pytest.mark.mpi
@every_format
def test_what_cannot_be_written_or_continued_is_an_error_on_all_ranks(comm, shared_tmp_path, form):
    mesh = MESHES["triangle"]
    (shared_tmp_path / "file").write_text("not a folder")
    with pytest.raises(CheckpointError, match="cannot write"):
        form.writer(shared_tmp_path / "file" / "run", mesh, comm).write(0.0, u=linear)
    (shared_tmp_path / f"bad{form.suffix}").write_text("no series")
    with pytest.raises(CheckpointError, match="cannot go on with"):
        form.writer(shared_tmp_path / "bad", mesh, comm, keep_until=1.0)
    if comm.size > 1:
        with pytest.raises(ParameterError, match="communicator"):
            form.writer(shared_tmp_path / "run", mesh)
