"""A rank that leaves alone ends the job; a fifth of the table of `scripts/mpi_faults.py`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dfpde.parallel.departure import exit_code
from scripts.mpi_faults import Fault, messages, run, run_all

PARTS = [
    Fault("rhs", 1, 2, "mpirun", False),
    Fault("value", 1, 3, "dfpde mpirun", True),
    Fault("event", 1, 1, "mpirun -m mpi4py", False),
    Fault("action", 0, 4, "mpirun", True),
    Fault("rescue", 1, 2, "mpirun", False),
    Fault("initial", 1, 0, "dfpde mpirun", True),
    Fault("rhs-shape", 1, 5, "mpirun", True),
    Fault("rhs-interrupt", 1, 2, "mpirun", False),
    Fault("loop-raise", 1, 3, "mpirun -m mpi4py", False),
    Fault("loop-raise", 0, 3, "mpirun", True),
    Fault("loop-exit", 1, 3, "mpirun", False),
    Fault("loop-exit", 0, 3, "mpirun -m mpi4py", False),
    Fault("loop-text", 1, 3, "dfpde mpirun", True),
    Fault("loop-interrupt", 1, 3, "dfpde mpirun", False),
    Fault("before", 0, 1, "mpirun", False),
    Fault("after", 1, 1, "mpirun", True),
    Fault("condition-nan", 1, 3, "mpirun", False),
    Fault("loop-kill", 0, 2, "dfpde mpirun", False),
    Fault("other-theta", 1, 1, "mpirun -m mpi4py", False),
]


@pytest.fixture(scope="module")
def outcomes():
    """All of them, several at a time."""
    return dict(zip(PARTS, run_all(PARTS), strict=True))


@pytest.mark.parametrize("fault", PARTS, ids=lambda f: f"{f.what}-{f.rank}-{f.launcher}-{f.guarded}".replace(" ", "_"))
def test_a_fault_on_one_rank_ends_the_job_with_a_code_and_one_message(fault, outcomes):
    outcome = outcomes[fault]
    assert outcome.good(fault), (outcome, outcome.output)


def test_the_traceback_of_the_failing_rank_is_seen():
    outcome = run(Fault("rhs", 1, 2, "mpirun", True))
    assert "in breaks" in outcome.output and "OSError: disk of rank 1" in outcome.output
    assert "dfpde: RemoteError: rank 1 raised OSError" in outcome.output


def test_reports_are_counted_once():
    one = "Traceback (most recent call last):\n  File\nOSError: a\n"
    assert messages("") == 0 and messages(one) == 1 and messages(one + one) == 2
    assert messages(f"{one}\nDuring handling of the above exception, another exception occurred:\n\n{one}") == 1
    assert messages(f"{one}dfpde: OSError (rank 1 of 2): a\n") == 1


GOES_ON = """
import sys, time
import numpy as np
from mpi4py import MPI
import dfpde as df
comm = MPI.COMM_WORLD
df.Quadrature(np.full((1, 1), comm.rank), np.ones(1), comm)
{}
comm.barrier()
"""
ENDS_WELL = {
    "a rank that has done its work": "if comm.rank: sys.exit(0)\ntime.sleep(0.5); sys.exit()",
    "sys.exit that is caught": "try: sys.exit(comm.rank)\nexcept SystemExit: pass",
    "sys.exit that is caught before another end": "try: sys.exit(comm.rank)\nexcept SystemExit: pass\nraise SystemExit",
    "another hook of the user": "sys.excepthook = print",
}


@pytest.mark.parametrize("body", ENDS_WELL.values(), ids=ENDS_WELL.keys())
def test_runs_that_end_well_are_left_alone(mpirun, tmp_path, body):
    (tmp_path / "script.py").write_text(GOES_ON.format(body))
    result = mpirun(2, tmp_path / "script.py", timeout=100)
    assert result.returncode == 0, result.stderr


CAUGHT = """
problem = df.Problem(df.GaussianMixture.isotropic(1, 2), df.Quadrature.gauss((-3.0, 3.0), 20, 4, comm), lambda t, x, u:
                     1 / 0 if comm.rank == 1 and t > 0.05 else -df.dx(u))
theta = problem.ansatz.pack(amplitudes=1.0, centers=[[0.0], [1.0]], scales=1.5)
try:
    list(df.evolve(problem, df.State(0.0, theta), until=1.0, controller=df.Fixed(0.05), integrator=df.RK4,
                   regularization=df.Inertia(1e-3), solver=df.KSP()))
except (df.errors.RemoteError, ZeroDivisionError):
    pass
"""


def test_an_error_that_is_handled_leaves_nothing_that_hangs_the_exit(mpirun, tmp_path):
    """PETSc's exit handler is collective: what the error held must be freed on all ranks or on none."""
    pytest.importorskip("petsc4py")
    (tmp_path / "script.py").write_text(GOES_ON.format(CAUGHT))
    result = mpirun(2, tmp_path / "script.py", timeout=100)
    assert result.returncode == 0, result.stderr


HOOKED = """
import subprocess
import sys
sys.excepthook = lambda *error: sys.stderr.write(f"my own hook: {error[1]}\\n")
""" + GOES_ON.format("if comm.rank == 1: raise ValueError('of one rank')")


def test_hooks_of_others_are_called_first(mpirun, tmp_path):
    (tmp_path / "script.py").write_text(HOOKED)
    result = mpirun(2, tmp_path / "script.py", timeout=100)
    assert result.returncode != 0
    assert "my own hook: of one rank" in result.stderr and "Traceback" not in result.stderr


def test_all_ranks_that_exit_with_a_code_keep_it(mpirun, tmp_path):
    (tmp_path / "script.py").write_text(GOES_ON.format("sys.exit(7)"))
    result = mpirun(2, tmp_path / "script.py", timeout=100)
    assert result.returncode == 7 and "ABORT" not in result.stderr


def test_one_process_keeps_its_hooks(tmp_path):
    import numpy as np
    from mpi4py import MPI

    import dfpde as df

    before = sys.excepthook, sys.exit
    df.Quadrature(np.zeros((1, 1)), np.ones(1), MPI.COMM_SELF)
    with df.parallel.run(MPI.COMM_SELF):
        pass
    assert (sys.excepthook, sys.exit) == before


@pytest.mark.parametrize(("code", "number"), [(None, 0), (0, 0), (3, 3), (True, 1), ("no", 1), (2.0, 1)])
def test_exit_codes_are_those_of_python(code, number):
    assert exit_code(code) == number


def test_a_rank_that_breaks_out_is_ended_by_the_launcher_s_time_out(tmp_path):
    """Nobody can tell a ``break`` on one rank from work: the time-out is what there is."""
    (tmp_path / "script.py").write_text(GOES_ON.format("if comm.rank == 1: comm.recv(source=0)"))
    command = [sys.executable, "-m", "dfpde", "mpirun", "-n", "2", "--timeout", "8", str(tmp_path / "script.py")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert result.returncode != 0 and "8 seconds" in result.stderr


ALONE = """
import sys, time
from pathlib import Path
import numpy as np
from mpi4py import MPI
import dfpde as df
df.Quadrature(np.ones((1, 1)), np.ones(1), MPI.COMM_SELF)
if MPI.COMM_WORLD.rank == 1:
    raise ValueError("of one process")
time.sleep(4.0)  # longer than the others are waited for
Path(sys.argv[1]).touch()
"""


def test_processes_that_work_alone_end_alone(mpirun, tmp_path):
    (tmp_path / "script.py").write_text(ALONE)
    result = mpirun(2, [tmp_path / "script.py", tmp_path / "done"], timeout=100)
    assert result.returncode != 0 and "of one process" in result.stderr
    assert (tmp_path / "done").exists()
