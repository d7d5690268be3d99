"""The main job: error against the closed form, files on disk, agreement of ranks, failures that end all ranks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from demos import rabi

ROOT = Path(__file__).resolve().parents[2]
JOB = ROOT / "demos" / "rabi.py"


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A quick serial run: its figures and its folder."""
    from mpi4py import MPI

    out = tmp_path_factory.mktemp("rabi")
    return rabi.main(["--quick", "--out", str(out)], MPI.COMM_SELF), out


def test_error_against_the_closed_form(alone):
    figures, _ = alone
    assert figures["error"] < 1e-6  # adaptive
    assert figures["field_step"] < 1e-9
    assert figures["best_inertia"] < 1e-5 < 10 * figures["best_inertia"] < figures["best_tikhonov"]
    assert figures["energy_drift"] < 1e-6


def test_it_writes_what_it_says(alone):
    figures, out = alone
    manifest = json.loads((out / "rabi.json").read_text())
    assert manifest["status"] == "done" and manifest["results"]["error"] == figures["error"]
    assert (out / "rabi.png").stat().st_size > 10_000
    assert (out / "rabi.pvd").read_text().count("DataSet") == 6


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_agree(alone, ranks, mpirun, tmp_path):
    done = mpirun(ranks, [JOB, "--quick", "--out", tmp_path], timeout=300)  # seconds on an idle machine
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "rabi.json").read_text())["results"]
    np.testing.assert_allclose(results["theta"], alone[0]["theta"], atol=1e-9)


def test_a_misspelt_option_ends_all_ranks_with_a_suggestion(mpirun, tmp_path):
    pytest.importorskip("petsc4py")
    done = mpirun(2, [JOB, "--quick", "--out", tmp_path, "-dfpde_ksp_typ", "cgls"], timeout=60)
    assert done.returncode != 0
    assert done.stderr.count("OptionsError") == 1 and "did you mean -dfpde_ksp_type" in done.stderr


def test_a_missing_mesh_ends_all_ranks_with_one_message(mpirun, tmp_path):
    done = mpirun(2, [JOB, "--quick", "--mesh", tmp_path / "none.msh", "--out", tmp_path], timeout=60)
    assert done.returncode != 0
    assert done.stderr.count("dfpde: MeshError") == 1 and "Try:" in done.stderr


FAILURES = {
    "exception": "raise ZeroDivisionError('on one rank only')",
    "nan": "return np.full(u.value.shape, np.nan)",
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_right_hand_side_that_fails_on_one_rank(kind, mpirun, tmp_path):
    """All ranks end within seconds, one message, a code other than zero."""
    script = tmp_path / "fails.py"
    script.write_text(f"""
import numpy as np
from mpi4py import MPI
import dfpde as df
comm = MPI.COMM_WORLD
def rhs(t, x, u):
    if comm.rank == 1 and t > 0.3:
        {FAILURES[kind]}
    return -u.value
q = df.Quadrature.gauss((-1, 1), 10, 3, comm)
problem = df.Problem(df.GaussianMixture.isotropic(1, 1), q, rhs)
with df.parallel.run(comm):
    for state in df.evolve(problem, df.State(0.0, np.array([1.0, 0.0, 2.0])), until=1.0,
                           regularization=df.Tikhonov(1e-6), controller=df.Fixed(0.1), integrator=df.RK4):
        pass
    print("unreachable")
""")
    done = mpirun(2, script, timeout=60)
    assert done.returncode != 0 and "unreachable" not in done.stdout
    assert done.stderr.count("dfpde: ") == 1, done.stderr


def test_an_exception_between_the_calls_aborts_all_ranks(mpirun, tmp_path):
    script = tmp_path / "user.py"
    script.write_text("""
from mpi4py import MPI
import dfpde as df
comm = MPI.COMM_WORLD
with df.parallel.run(comm):
    if comm.rank == 1:
        raise RuntimeError("the user's own mistake")
    comm.barrier()
""")
    done = mpirun(2, script, timeout=60)
    assert done.returncode != 0
    assert done.stderr.count("dfpde: RuntimeError (rank 1 of 2)") == 1
