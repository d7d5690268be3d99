"""The suite itself under MPI: one rank's failure fails the test on all ranks, and nothing hangs."""

from __future__ import annotations

from pathlib import Path

import pytest

SUITE = """
import pytest

pytestmark = pytest.mark.mpi

def test_one_rank_fails(comm):
    assert comm.rank != 1, "only rank 1 sees this"

def test_one_rank_skips(comm):
    if comm.rank == 1:
        pytest.skip("not here")

def test_goes_on(comm, shared_tmp_path):
    assert comm.allreduce(1) == comm.size
    assert comm.allgather(shared_tmp_path) == [shared_tmp_path] * comm.size
"""
HANG = """
import pytest

@pytest.mark.mpi
def test_others_wait(comm):
    assert comm.rank != 1, "only rank 1 sees this"
    comm.barrier()
"""


def run_suite(mpirun, folder: Path, text: str, grace: float):
    conftest = Path(__file__).parents[1].joinpath("conftest.py").read_text()
    (folder / "conftest.py").write_text(conftest.replace("GRACE = 30.0", f"GRACE = {grace}"))
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = mpi\n")
    (folder / "test_inner.py").write_text(text)
    return mpirun(2, ["-m", "pytest", "-q", "--color=no", folder], timeout=100)


def test_failure_of_one_rank_fails_all_and_the_suite_goes_on(mpirun, tmp_path):
    result = run_suite(mpirun, tmp_path, SUITE, grace=30)
    assert result.returncode != 0
    assert result.stdout.count("2 failed, 1 passed") == 1, result.stdout + result.stderr
    assert "rank 1 of 2: failed" in result.stdout and "only rank 1 sees this" in result.stdout
    assert "rank 1 of 2: skipped" in result.stdout


def test_failure_that_others_wait_for_ends_the_run(mpirun, tmp_path):
    result = run_suite(mpirun, tmp_path, HANG, grace=1)
    assert result.returncode != 0
    assert "only rank 1 sees this" in result.stderr, result.stdout + result.stderr


@pytest.mark.mpi
def test_every_rank_is_here(comm, shared_tmp_path):
    assert sorted(comm.allgather(comm.rank)) == list(range(comm.size))
    assert len(set(comm.allgather(shared_tmp_path))) == 1
