"""What all tests share: one thread a rank, the communicator, and agreement of the ranks on every outcome.

Under ``mpirun -n N python -m pytest`` only the tests marked ``mpi`` run.  Rank 0 prints the report; after each phase
of a test the ranks compare outcomes, so that a failure on one rank fails the test on all of them, with the failing
rank's traceback in rank 0's report.  A rank that fails while the others wait for it in a collective ends the run.
"""

from __future__ import annotations

import contextlib
import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # before NumPy is imported: ranks share the cores

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import hypothesis
import pytest

with contextlib.suppress(ImportError):  # before dolfinx, which brings another HDF5 that h5py must not be bound to
    import h5py  # noqa: F401

with contextlib.suppress(ImportError):
    import petsc4py

    petsc4py.init([])  # not sys.argv: pytest's options are not PETSc's

from mpi4py import MPI

WORLD = MPI.COMM_WORLD
GRACE = 30.0  # seconds the other ranks have to reach the end of a test that failed on one rank

# no examples kept from other runs; they depend on the modules a process has loaded, so each rank has its own: tests by
# hypothesis do not communicate
# no check of time: a busy machine is no failure
TIMED = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile(
    "dfpde", derandomize=True, database=None, deadline=None, suppress_health_check=TIMED
)
hypothesis.settings.load_profile("dfpde")


@pytest.fixture(scope="session")
def comm() -> MPI.Intracomm:
    """All ranks that run this test suite."""
    return WORLD


@pytest.fixture
def shared_tmp_path(tmp_path: Path) -> Path:
    """Rank 0's temporary directory, on every rank."""
    return Path(WORLD.bcast(tmp_path))


@pytest.fixture
def mpirun() -> Callable[..., CompletedProcess[str]]:
    """``mpirun(n, args, timeout=120)``: run ``python *args`` on n ranks, for tests that are serial themselves.

    Returns the completed process with its text output; raises ``subprocess.TimeoutExpired`` once all ranks are ended.
    """
    from dfpde.parallel.launch import run_ranks

    def run(n: int, args: str | Path | Sequence[str | Path], timeout: float = 120.0) -> CompletedProcess[str]:
        words = [args] if isinstance(args, str | Path) else args
        return run_ranks(n, [str(word) for word in words], timeout)

    return run


# -- several ranks -------------------------------------------------------------------------------------------
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Rank 0 alone prints the report."""
    if WORLD.rank > 0:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - pytest's reporter, built after this, keeps it
    if WORLD.size > 1:
        config.pluginmanager.register(Agreement(), "agreement")


def pytest_report_header() -> str:
    return f"MPI: {WORLD.size} rank(s), {MPI.Get_library_version().splitlines()[0].split(',')[0]}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    """Under mpirun leave out what several ranks say nothing about."""
    for item in items:
        if "comm" in item.fixturenames and hypothesis.is_hypothesis_test(item.obj):
            raise pytest.UsageError(f"{item.nodeid}: examples by hypothesis differ from rank to rank, so without comm")
    if WORLD.size > 1:
        serial = [item for item in items if item.get_closest_marker("mpi") is None]
        config.hook.pytest_deselected(items=serial)
        items[:] = [item for item in items if item.get_closest_marker("mpi") is not None]


class Agreement:
    """All ranks give every test the same outcome."""

    def __init__(self) -> None:
        self.comm = WORLD.Dup()  # tests may leave their own messages on COMM_WORLD

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        names = self.comm.allgather(([item.nodeid for item in session.items], session.testsfailed))
        if any(name != names[0] for name in names):
            pytest.exit("the ranks collected different tests", returncode=3)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report: pytest.TestReport = yield
        text = report.longreprtext + "".join(f"\n--- {name}\n{content}" for name, content in report.sections)
        self._wait(report, item.nodeid, text)
        outcomes = self.comm.allgather((report.outcome, text))
        if any(outcome != outcomes[0][0] for outcome, _ in outcomes):
            report.outcome = "failed"
            vars(report).pop("wasxfail", None)
        if report.failed:
            report.longrepr = "\n".join(
                f"----- rank {rank} of {self.comm.size}: {outcome}\n{text}"
                for rank, (outcome, text) in enumerate(outcomes)
                if outcome != "passed"
            )
        return report

    def _wait(self, report: pytest.TestReport, name: str, text: str) -> None:
        """Wait until all ranks end this phase; end the run when they cannot because this rank has failed."""
        request = self.comm.Ibarrier()
        start = time.monotonic()
        while not request.Test():
            if report.failed and time.monotonic() - start > GRACE:
                message = f"\n{name}: rank {self.comm.rank} failed while others still run; ending all\n{text}\n"
                os.write(2, message.encode())
                self.comm.Abort(1)
            time.sleep(1e-3)
