"""The manifest and the progress of a run."""

from __future__ import annotations

import io
import json
import logging
import os
import re

import numpy as np
import pytest

import dfpde as df
from dfpde.errors import CheckpointError
from dfpde.evolution import Statistics
from dfpde.io import RunManifest, progress, reporting
from dfpde.io.reporting import start_logging


def states(n: int = 4):
    for k in range(1, n + 1):
        yield df.State(t=k / n, theta=np.zeros(1), step=k, statistics=Statistics(dt=1 / n, defect=1e-3, error=2e-5))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.mpi
def test_a_manifest_is_there_during_the_run_and_complete_after_it(comm, shared_tmp_path):
    path = shared_tmp_path / "out" / "run.json"
    with RunManifest(path, comm, nu=np.float64(0.01), sizes=np.arange(2), folder=shared_tmp_path) as run:
        comm.barrier()
        during = json.loads(path.read_text())
        comm.barrier()
        run.record(error=1e-4, steps=np.int64(3))
    comm.barrier()
    after = json.loads(path.read_text())
    assert during["status"] == "running" and after["status"] == "done"
    assert during["parameters"] == {"nu": 0.01, "sizes": [0, 1], "folder": os.fspath(shared_tmp_path)}
    assert after["results"] == {"error": 1e-4, "steps": 3}
    assert after["mpi"]["size"] == comm.size and after["versions"]["numpy"] == np.__version__
    assert after["seconds"] >= during["seconds"] >= 0
    assert after["revision"] is None or set(after["revision"].rstrip("+")) <= set("0123456789abcdef")


@pytest.mark.mpi
def test_a_failed_run_says_so(comm, shared_tmp_path):
    path = shared_tmp_path / "run.json"
    with pytest.raises(ValueError, match="wrong"), RunManifest(path, comm):
        raise ValueError("wrong")
    comm.barrier()
    assert json.loads(path.read_text())["status"] == "failed: ValueError: wrong"


@pytest.mark.mpi
def test_a_parameter_that_is_not_json_is_an_error_on_all_ranks(comm, shared_tmp_path):
    with pytest.raises(CheckpointError, match=r"run\.json: function is not JSON"):
        RunManifest(shared_tmp_path / "run.json", comm, f=lambda: None)


@pytest.mark.mpi
def test_progress_passes_states_on_and_reports_on_rank_0_only(comm):
    stream = io.StringIO()
    passed = list(progress(states(), 1.0, comm, stream, every=0.0))
    assert [state.step for state in passed] == [1, 2, 3, 4]
    lines = stream.getvalue().splitlines()
    assert len(lines) == (4 if comm.rank == 0 else 0)
    if comm.rank == 0:
        assert lines[1].startswith(" 50.0 %  t = 0.5 of 1  step 2  dt 2.50e-01  defect 1.0e-03  error 2.0e-05")
        assert lines[3].startswith("100.0 %")


def test_progress_rewrites_one_line_on_a_terminal_without_tqdm(comm, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    stream = Terminal()
    list(progress(states(), 1.0, comm, stream, every=0.0))
    text = stream.getvalue()
    assert text.count("\n") == 1 and text.count("\r") == 5
    assert "[" + 12 * "#" + 12 * " " + "]" in text and "[" + 24 * "#" + "]" in text


def test_progress_on_a_terminal_is_the_bar_of_tqdm(comm):
    pytest.importorskip("tqdm")
    stream = Terminal()
    list(progress(states(), 1.0, comm, stream, every=0.0))
    last = stream.getvalue().rstrip("\n").split("\r")[-1]
    assert re.match(r"100 % \|[█#]{24}\| t = 1 of 1  step 4  dt 2.50e-01", last)


def shrinking(factor: float):
    t = 0.0
    for k in range(1, 41):
        dt = 0.01 * factor**k
        t += dt
        yield df.State(t, np.zeros(1), step=k, dt=dt, statistics=df.evolution.Statistics(dt=dt))


def test_progress_says_when_steps_are_shrinking(comm):
    for factor, said in ((0.9, True), (1.0, False), (1.05, False)):
        stream = io.StringIO()
        list(progress(shrinking(factor), 10.0, comm, stream, every=0.0))
        assert ("steps are shrinking" in stream.getvalue().splitlines()[-1]) == said


def test_the_time_left_follows_from_the_step_size(comm, monkeypatch):
    """One second for each step, 0.1 of t behind and steps of 0.05 ahead of 0.9: 18 s."""
    clock = iter(range(1000))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    meter = reporting._Meter(1.0, 0.0)
    for k in range(1, 3):
        meter.add(df.State(0.05 * k, np.zeros(1), step=k, dt=0.05))
    assert meter.left() == pytest.approx(18.0)


@pytest.mark.mpi
def test_logging_shows_rank_0_everything_and_the_others_warnings(comm, shared_tmp_path, capfd):
    start_logging(comm, shared_tmp_path / "logs")
    try:
        logging.getLogger("dfpde.x").info("informs")
        logging.getLogger("dfpde.x").warning("warns")
    finally:
        logger = logging.getLogger("dfpde")
        for handler in list(logger.handlers):
            handler.flush()
            logger.removeHandler(handler)
        logger.propagate = True
    err = capfd.readouterr().err
    assert ("informs" in err) == (comm.rank == 0) and "warns" in err
    text = (shared_tmp_path / "logs" / f"log.{comm.rank}.txt").read_text()
    assert "INFO informs" in text and "WARNING warns" in text


def test_progress_reports_rarely_but_the_last_state_always(comm):
    stream = io.StringIO()
    list(progress(states(100), 1.0, comm, stream, every=1e6))
    assert stream.getvalue().splitlines()[0].startswith("100.0 %")


def test_progress_reports_the_state_before_a_failure(comm):
    def fails():
        yield from states(2)
        raise ArithmeticError("blow-up")

    stream = io.StringIO()
    with pytest.raises(ArithmeticError):
        list(progress(fails(), 2.0, comm, stream, every=1e6))
    assert "t = 1 of 2" in stream.getvalue()
