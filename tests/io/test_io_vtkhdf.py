"""One VTKHDF file for a whole run: what VTK's own reader sees after every step, and after a kill within one."""

from __future__ import annotations

import math
import resource
import signal

import h5py
import numpy as np
import pytest

from dfpde.errors import CheckpointError, ParameterError
from dfpde.io import VTKHDFWriter, vtkhdf_file
from tests.series_files import MESHES, linear, volume
from tests.series_files import read_vtkhdf as steps


@pytest.mark.mpi
@pytest.mark.parametrize("kind", MESHES)
def test_cells_are_the_right_way_round_and_in_the_file_once(comm, shared_tmp_path, kind):
    path = shared_tmp_path / f"{kind}.vtkhdf"
    writer = VTKHDFWriter(path, MESHES[kind], comm)
    for t in range(3):
        writer.write(t, u=linear)
    comm.barrier()
    for _, parts in steps(path):
        assert sum(volume(part.grid) for part in parts) == pytest.approx(1, rel=1e-12)
    with h5py.File(path, locking=False) as file:
        assert len(file["VTKHDF/Types"]) == MESHES[kind].nelements


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
    for t, (part,) in found:
        kind = "quad" if t < 10 or t > 30 else "triangle"
        assert part.cells == MESHES[kind].nelements and abs(volume(part.grid) - 1) < 1e-12
        np.testing.assert_array_equal(part.data["u"], t * linear(part.points.T[:2]))
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
            for t, (part,) in found:
                np.testing.assert_array_equal(part.data["u"], t * linear(part.points.T[:2]))
                np.testing.assert_array_equal(part.data["v"], t * part.points)
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
def test_steps_with_other_fields_or_earlier_times_are_errors_on_all_ranks(comm, shared_tmp_path):
    path, mesh = shared_tmp_path / "run.vtkhdf", MESHES["triangle"]
    writer = VTKHDFWriter(path, mesh, comm)
    writer.write(0.0, u=linear)
    for fields in ({"v": linear}, {"u": lambda x: x}, {}, {"u": linear, "v": linear}):
        with pytest.raises(ParameterError, match="the same fields in all steps"):
            writer.write(1.0, **fields)
    with pytest.raises(ParameterError, match="separates groups"):
        VTKHDFWriter(shared_tmp_path / "other", mesh, comm).write(0.0, **{"a/b": linear})
    with pytest.raises(ParameterError, match="times that do not decrease"):
        writer.write(-1.0, u=linear)
    writer.write(1.0, u=linear)
    comm.barrier()
    assert len(steps(path)) == 2
    with pytest.raises(ParameterError, match="times that do not decrease"):
        VTKHDFWriter(path, mesh, comm, keep_until=0.5).write(-1.0, u=linear)
