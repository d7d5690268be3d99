"""``python -m dfpde``: facts for a bug report on whole and on broken installations, and starting ranks."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import meshio
import numpy as np
import pytest
from mpi4py import MPI

from dfpde import Quadrature, read_mesh
from dfpde.cli import main
from dfpde.parallel import environment, launch


def dfpde(*words, **variables):
    command = [sys.executable, "-m", "dfpde", *words]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=120)


def broken(folder, package, line):
    """PYTHONPATH under which importing this package fails with the given statement."""
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text(line)
    return str(folder)


def fake_launcher(folder, version, start):
    """A launcher that says which MPI it is of, and starts ``"$@"`` as the shell lines do."""
    path = folder / "mpiexec"
    path.write_text(f'#!/bin/bash\nif [ "$1" = --version ]; then echo "{version}"; exit; fi\n{start}\n')
    path.chmod(0o755)
    return str(path)


def test_info_names_what_a_bug_report_needs():
    result = dfpde("info")
    assert result.returncode == 0, result.stdout + result.stderr
    petsc = ("float64 scalars", "BLAS of PETSc") if find_spec("petsc4py") else ("PETSc", "LSQR")
    for word in ("dfpde", "Python", "numpy", "petsc4py", "jax", "MPI", "launcher", *petsc):
        assert word in result.stdout
    assert "2 ranks see sizes [2, 2]" in result.stdout


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("raise ImportError('libpetsc.so: cannot open shared object file')", "libpetsc.so: cannot open shared object"),
        ("import os; os.abort()", "ended by signal 6"),
    ],
)
def test_info_works_where_petsc4py_does_not_import(tmp_path, line, says):
    result = dfpde("info", PYTHONPATH=broken(tmp_path, "petsc4py", line))
    assert result.returncode == 1
    assert "WARNING: petsc4py" in result.stdout and says in result.stdout and "docs/installation.md" in result.stdout
    assert "2 ranks see sizes [2, 2]" in result.stdout, result.stdout  # the rest is still reported


def test_petsc4py_that_is_not_there_is_no_fault(monkeypatch):
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    ((_, text),), warnings = environment._petsc({}, {})[0]
    assert "LSQR" in text and warnings == [] and environment._petsc({}, {})[1]


def test_info_says_whether_the_environment_of_set_up_is_in_use(tmp_path, monkeypatch):
    assert environment._environment((tmp_path,)) == ([], [])
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "pyvenv.cfg").touch()
    ((_, text),), (warning,) = environment._environment((tmp_path / "elsewhere", tmp_path))
    assert "not in use" in text and f". {tmp_path}/.venv/bin/activate" in warning
    monkeypatch.setattr("sys.prefix", str(tmp_path / ".venv"))
    ((_, text),), warnings = environment._environment((tmp_path,))
    assert "(in use)" in text and warnings == []


def test_info_works_without_mpi4py(tmp_path):
    result = dfpde("info", PYTHONPATH=broken(tmp_path, "mpi4py", "raise ImportError('libmpi.so.40: not found')"))
    assert result.returncode == 1
    assert "WARNING: mpi4py" in result.stdout and "libmpi.so.40: not found" in result.stdout


def test_petsc4py_of_another_numpy_is_explained():
    error = "ValueError: numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header"
    _, (warning,) = environment._no_petsc({"numpy": "2.1.0", "petsc4py": "3.18.5"}, error)
    assert "built for NumPy 1" in warning and 'pip install "numpy<2"' in warning


def test_launcher_of_another_mpi_is_named(tmp_path, monkeypatch):
    copies = 'shift 2; for i in 1 2; do echo "<size 1>"; done'
    monkeypatch.setenv("MPIEXEC", fake_launcher(tmp_path, "HYDRA build details", copies))
    _, (warning,) = environment._launch(2, "Open MPI v4.1.4")
    assert "belongs to another MPI" in warning and "every rank sees size 1" in warning


def test_launcher_that_fails_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("MPIEXEC", fake_launcher(tmp_path, "Open MPI", 'echo "no slots" >&2; exit 7'))
    _, (warning,) = environment._launch(2, "Open MPI v4.1.4")
    assert "exit code 7: no slots" in warning


def test_threads_times_ranks_beyond_the_cores_are_reported(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    assert environment._numerics(launch.cores())[1] == []
    _, (warning,) = environment._numerics(launch.cores() + 1)
    assert "OMP_NUM_THREADS=1" in warning


def test_mpirun_gives_each_rank_one_thread_and_passes_the_exit_code(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    n = 2
    code = "import os; from mpi4py import MPI; os.write(1, b'%d:%s;' % (MPI.COMM_WORLD.size, os.environb[b'{}']))"
    result = dfpde("mpirun", "-n", str(n), "--", "-c", code.format("OMP_NUM_THREADS"))
    assert result.stdout == f"{n}:1;" * n, result.stdout + result.stderr
    assert dfpde("mpirun", "-n", "2", "--", "-c", "raise SystemExit(3)").returncode == 3


def test_no_launcher_is_an_error_with_a_remedy(monkeypatch, capsys):
    monkeypatch.setenv("MPIEXEC", "no-such-launcher")
    assert main(["mpirun", "-n", "2", "script.py"]) == 1
    assert "MissingDependency" in (message := capsys.readouterr().err) and "MPIEXEC" in message


def test_ranks_that_hang_are_ended_in_time(mpirun):
    with pytest.raises(subprocess.TimeoutExpired):
        mpirun(2, ["-c", "import time; from mpi4py import MPI; time.sleep(60)"], timeout=3)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["chek-mesh", "disk.msh"], "did you mean 'check-mesh'?"),
        (["inof"], "did you mean 'info'?"),
        (["mpirn", "-n", "2"], "did you mean 'mpirun'?"),
        (["mpirun", "-n", "0", "script.py"], "0 is not positive"),
        (["mpirun", "script.py"], "required: -n"),
        ([], "required: COMMAND"),
    ],
)
def test_misuse_is_explained(words, says, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert says in capsys.readouterr().err


DISK = str(Path(__file__).parents[1] / "meshes" / "disk.msh")


def test_check_mesh_describes_a_sound_mesh(capsys):
    assert main(["check-mesh", DISK]) == 0
    said = capsys.readouterr().out
    assert "2D" in said and "triangle cells" in said and "Nothing is wrong" in said


def test_check_mesh_names_faults_and_repairs_them(tmp_path, capsys):
    mesh = meshio.read(DISK)
    (block,) = (block for block in mesh.cells if block.type == "triangle")
    block.data[7] = block.data[7][::-1].copy()
    mesh.points = np.vstack([mesh.points, [[9.0, 9.0, 0.0]]])
    broken, mended = str(tmp_path / "broken.msh"), str(tmp_path / "mended.msh")
    mesh.write(broken, file_format="gmsh22", binary=False)

    assert main(["check-mesh", broken]) == 0
    said = capsys.readouterr().out
    assert "HARMLESS: 1 inverted cells: 7" in said and "HARMLESS: 1 unused vertices" in said
    assert main(["check-mesh", broken, "--repair", mended]) == 0
    assert main(["check-mesh", mended]) == 0

    before, after = (read_mesh(path, MPI.COMM_SELF) for path in (DISK, mended))
    assert after.boundaries == before.boundaries and after.subdomains == before.subdomains and before.boundaries
    for name in before.boundaries:
        lengths = [Quadrature.boundary(m, name, 2, MPI.COMM_SELF).w.sum() for m in (before, after)]
        assert lengths[0] == pytest.approx(lengths[1], rel=1e-14)


def test_check_mesh_refuses_what_harms_an_integral(tmp_path, capsys):
    mesh = meshio.read(DISK)
    (block,) = (block for block in mesh.cells if block.type == "triangle")
    block.data[7, 1] = block.data[7, 0]
    mesh.write(tmp_path / "flat.msh", file_format="gmsh22", binary=False)
    assert main(["check-mesh", str(tmp_path / "flat.msh")]) == 1
    assert "WRONG: 1 zero-volume cells: 7" in capsys.readouterr().out


def test_check_mesh_of_no_file_is_an_error_with_a_remedy(tmp_path, capsys):
    assert main(["check-mesh", str(tmp_path / "none.msh")]) == 1
    assert "MeshError" in (message := capsys.readouterr().err) and "Try:" in message
