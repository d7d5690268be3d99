"""One VTKHDF file for a whole run: what VTK's own reader sees after every step, and after a kill within one."""

from __future__ import annotations

import math
import os
import resource
import signal

import h5py
import numpy as np
import pytest
import skfem

from dfpde.errors import CheckpointError, ParameterError, ShapeError
from dfpde.io import VTKHDFWriter, vtkhdf_file

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


def steps(path) -> list:
    """[(t, [(points, VTK's grid, {name: values}) of each part])] by VTK's reader."""
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
        parts = [output] if count is None else [output.GetPartition(i) for i in range(count)]
        seen = []
        for part in parts:
            points = vtk_to_numpy(part.GetPoints().GetData())
            data = part.GetPointData()
            arrays = {data.GetArrayName(i): vtk_to_numpy(data.GetArray(i)) for i in range(data.GetNumberOfArrays())}
            copy = part.NewInstance()  # the reader fills the same object again
            copy.ShallowCopy(part)
            seen.append((points, copy, arrays))
        found.append((t, seen))
    return found


def volume(part) -> float:
    """Sum over cells by VTK: right only where they are the right way round."""
    import vtk

    size = vtk.vtkCellSizeFilter()
    size.SetInputData(part)
    size.Update()
    data = size.GetOutput().GetCellData()
    return sum(data.GetArray(name).GetTuple1(i) for name in ("Length", "Area", "Volume") for i in range(cells(part)))


def cells(part) -> int:
    return part.GetNumberOfCells()


@pytest.mark.mpi
@pytest.mark.parametrize("kind", MESHES)
def test_cells_vertices_and_values_of_the_whole_mesh(comm, shared_tmp_path, kind):
    mesh = MESHES[kind]
    writer = VTKHDFWriter(shared_tmp_path / kind, mesh, comm)
    writer.write(0.5, u=linear)
    comm.barrier()
    ((t, parts),) = steps(shared_tmp_path / f"{kind}.vtkhdf")
    assert t == 0.5 and sum(cells(part) for _, part, _ in parts) == mesh.nelements
    seen = set()
    for points, _, data in parts:
        x = points.T[: mesh.dim()]
        np.testing.assert_array_equal(data["u"], linear(x))
        seen |= set(map(tuple, x.T))
    assert seen == set(map(tuple, mesh.doflocs.T))
    assert abs(sum(volume(part) for _, part, _ in parts) - 1) < 1e-12


@pytest.mark.mpi
def test_the_file_is_complete_after_every_step_and_has_the_mesh_once(comm, shared_tmp_path):
    """Beyond the space of a new file, and on ranks without cells."""
    path, times = shared_tmp_path / "run.vtkhdf", []
    writer = VTKHDFWriter(path, skfem.MeshTri(), comm, refine=1)  # two cells: on three ranks one has none
    for k in range(18):
        t = 0.1 * k
        vector = np.array([*writer.x, t + writer.x[0]])
        writer.write(t, u=t * linear(writer.x), v=vector, z=lambda x, t=t: np.exp(1j * t * x[0]))
        times.append(t)
        assert writer.steps == k + 1
        comm.barrier()
        if k in (0, 1, 15, 16, 17):
            found = steps(path)
            assert [entry[0] for entry in found] == times
            for t_read, parts in found:
                assert len(parts) == min(comm.size, 2)
                for points, _, data in parts:
                    x, y, _ = points.T
                    np.testing.assert_array_equal(data["u"], t_read * linear(points.T[:2]))
                    np.testing.assert_array_equal(data["v"], np.stack([x, y, t_read + x], axis=1))
                    np.testing.assert_allclose(data["z_re"] + 1j * data["z_im"], np.exp(1j * t_read * x))
        comm.barrier()
    with h5py.File(path, locking=False) as file:
        assert len(file["VTKHDF/Types"]) == 2 * 4


@pytest.mark.mpi
def test_a_restart_goes_on_with_the_file_and_leaves_no_trace(comm, shared_tmp_path):
    def write(name: str, first: int, last: int, keep_until: float | None) -> bytes:
        path = shared_tmp_path / f"{name}.vtkhdf"
        writer = VTKHDFWriter(path, MESHES["quad"], comm, keep_until=keep_until)
        assert writer.steps == first
        for k in range(first, last):
            writer.write(float(k), u=lambda x, k=k: k * linear(x))
        comm.barrier()
        content = path.read_bytes()
        comm.barrier()
        return content

    for last in (5, 18):  # in the space of a new file, and beyond
        whole = write("whole", 0, last, None)
        for killed, kept in ((3, 2), (last - 1, last - 2), (last, last - 3), (2, 0)):
            write("run", 0, killed, None)
            assert write("run", kept, last, kept - 0.5) == whole
        assert write("run", last, last, np.inf) == whole
        (shared_tmp_path / "new.vtkhdf").unlink(missing_ok=True)
        comm.barrier()
        assert write("new", 0, last, np.inf) == whole  # where there is no file yet


def test_another_mesh_goes_on_in_the_same_file(tmp_path):
    """As where a run goes on with another number of ranks, whose parts are others."""
    path = tmp_path / "run.vtkhdf"
    for k, kind in enumerate(("quad", "triangle", "triangle", "quad")):
        for last in (10 * k + 1, 10 * k + 2):
            VTKHDFWriter(path, MESHES[kind], keep_until=np.inf).write(last, u=lambda x, t=last: t * linear(x))
    found = steps(path)
    assert [t for t, _ in found] == [1, 2, 11, 12, 21, 22, 31, 32]
    for t, ((points, part, data),) in found:
        kind = "quad" if t < 10 or t > 30 else "triangle"
        assert cells(part) == MESHES[kind].nelements and abs(volume(part) - 1) < 1e-12
        np.testing.assert_array_equal(data["u"], t * linear(points.T[:2]))
    with h5py.File(path, locking=False) as file:
        assert len(file["VTKHDF/NumberOfPoints"]) == 3  # the mesh that stays is there once


class Killed(BaseException):
    """In place of the end of the process."""


def test_whole_steps_are_seen_wherever_the_writer_is_killed(tmp_path, monkeypatch):
    """In the midst of every write to the file, and before and after what puts a larger one in place."""
    path, put = tmp_path / "run.vtkhdf", vtkhdf_file._put

    def killed_after(left: float):
        def write(number, content, at):
            nonlocal left
            if left < len(content):
                if len(content) > 64:  # a few bytes are there as a whole or not at all
                    put(number, content[: int(left)], at)
                raise Killed
            put(number, content, at)
            left -= len(content)

        return write

    def fields(t):
        return {"u": lambda x: t * linear(x), "v": lambda x: t * x}

    def write(k: int, left: float) -> bool:
        """Go on with the file; whether step k was killed after so many bytes."""
        writer = VTKHDFWriter(path, MESHES["quad"], keep_until=k - 1.5)
        for step in range(writer.steps, k + 1):
            monkeypatch.setattr(vtkhdf_file, "_put", killed_after(left if step == k else math.inf))
            try:
                writer.write(float(step), **fields(step))
            except Killed:
                return True
        return False

    everything = 8 * (25 + 25 * 3 + 1 + 6)  # u, v with its third component, the time, and what is between the marks
    for k in (0, 1, 16, 17):
        for left in (0, 100, 500, everything - 50, everything - 1):
            assert write(k, left) or (k % 16 == 0 and left > 50)
            found = steps(path) if path.exists() else []
            assert len(found) in ((k, k + 1) if k % 16 == 0 else (k,))
            for t, ((points, _, data),) in found:
                np.testing.assert_array_equal(data["u"], t * linear(points.T[:2]))
                np.testing.assert_array_equal(data["v"], t * points)
        assert not write(k, math.inf)
    assert len(steps(path)) == 18


def test_a_step_is_seen_by_one_write_within_a_page(tmp_path):
    for kind in ("line", "hexahedron"):
        writer = VTKHDFWriter(tmp_path / kind, MESHES[kind])
        for k in range(17):
            writer.write(float(k), u=linear, v=lambda x: x)
        (first, last), page = sorted(writer._layout.marks), resource.getpagesize()
        assert first // page == (last + 7) // page and writer._layout.kept == 16


def test_a_full_disk_leaves_the_steps_before(tmp_path):
    """A limit of the size of files fails like one, in the space for more steps and where it is made."""
    path, handler = tmp_path / "run.vtkhdf", signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before, writer = resource.getrlimit(resource.RLIMIT_FSIZE), VTKHDFWriter(path, MESHES["quad"])
    try:
        for k in range(34):
            if k in (7, 16):
                size = path.stat().st_size - (25 * 8 * 8 if k == 7 else 0)
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
                with pytest.raises(CheckpointError, match="cannot write") as caught:
                    writer.write(float(k), u=linear)
                assert "File too large" in str(caught.value) and "Try:" in str(caught.value)
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
                assert [t for t, _ in steps(path)] == [float(i) for i in range(k)]
            writer.write(float(k), u=linear)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert len(steps(path)) == 34 and [file.name for file in tmp_path.iterdir()] == ["run.vtkhdf"]


@pytest.mark.mpi
def test_what_cannot_be_written_is_an_error_on_all_ranks(comm, shared_tmp_path):
    path, mesh = shared_tmp_path / "run.vtkhdf", MESHES["triangle"]
    writer = VTKHDFWriter(path, mesh, comm)
    writer.write(0.0, u=linear)
    for fields in ({"v": linear}, {"u": lambda x: x}, {}, {"u": linear, "v": linear}):
        with pytest.raises(ParameterError, match="the same fields in all steps"):
            writer.write(1.0, **fields)
    with pytest.raises(ParameterError, match="separates groups"):
        VTKHDFWriter(shared_tmp_path / "other", mesh, comm).write(0.0, **{"a/b": linear})
    with pytest.raises(ShapeError):
        writer.write(1.0, u=np.zeros(3))
    with pytest.raises(ParameterError, match="times that do not decrease"):
        writer.write(-1.0, u=linear)
    writer.write(1.0, u=linear)
    comm.barrier()
    assert len(steps(path)) == 2
    comm.barrier()
    if comm.rank == 0:
        path.write_bytes(b"no HDF5")
    comm.barrier()
    with pytest.raises(CheckpointError, match="cannot go on with"):
        VTKHDFWriter(path, mesh, comm, keep_until=0.0)
