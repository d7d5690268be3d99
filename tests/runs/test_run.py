"""Runs that are interrupted anywhere and go on by themselves: end, series and history are the same, bit for bit."""

from __future__ import annotations

import errno
import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import runs_job as job
from mpi4py import MPI

import dfpde as df
from dfpde.errors import CheckpointError, ParameterError, RunError, Stopped
from dfpde.runs import Run
from scripts.run_kills import children

SCRIPT = Path(job.__file__)
LIKE = {"controller": df.PI(rtol=1e-5, dt_max=0.02)}


def contents(directory: Path) -> dict[str, bytes]:
    """What two runs must have in common."""
    names = ("history.csv", "*.pvd", "*.vtkhdf", "outputs/*", "series/*")
    kept = [path for name in names for path in directory.glob(name)]
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in kept}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """An uninterrupted run of one process."""
    directory = tmp_path_factory.mktemp("whole") / "run"
    process = subprocess.run([sys.executable, SCRIPT, directory], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return contents(directory)


def begun(directory: Path, steps: int, *words: str) -> subprocess.Popen:
    """The job, once it has made so many steps."""
    process = subprocess.Popen([sys.executable, SCRIPT, directory, *words], stderr=subprocess.PIPE, text=True)
    history, end = directory / "history.csv", time.monotonic() + 120
    while not (history.exists() and history.read_text().count("\n") > steps + 1) and time.monotonic() < end:
        time.sleep(0.01)
    return process


def manifest(directory: Path) -> dict:
    return json.loads((directory / "manifest.json").read_text())


@pytest.mark.parametrize(
    ("number", "code", "status"),
    [(signal.SIGKILL, -9, "killed"), (signal.SIGINT, 75, "stopped by SIGINT")],
)
def test_a_run_that_is_killed_or_stopped_goes_on_as_if_it_had_not_been(tmp_path, whole, number, code, status):
    directory = tmp_path / "run"
    process = begun(directory, 7, "0.05")
    process.send_signal(number)
    assert process.wait(60) == code, process.stderr.read()
    assert 7 <= int((directory / "history.csv").read_text().splitlines()[-1].split(",")[1]) < 20
    again = subprocess.run([sys.executable, SCRIPT, directory], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert contents(directory) == whole
    (session,) = manifest(directory)["sessions"]
    assert session["status"] == status and manifest(directory)["status"] == "done"


def test_the_second_signal_ends_a_run_at_once(tmp_path):
    process = begun(tmp_path / "run", 1, "30")  # in the loop body, for 30 s
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    time.sleep(1.0)
    assert process.poll() is None
    while process.poll() is None and time.monotonic() - begin < 20:  # one soon after the first was noted is none
        process.send_signal(signal.SIGTERM)
        time.sleep(1.0)
    assert process.poll() == -signal.SIGTERM


# -- in one process ------------------------------------------------------------------------------------------
def go_on(directory: Path, stop: int | None = None, comm: MPI.Comm = MPI.COMM_SELF, **options) -> list[df.State]:
    """The run's states; `stop` leaves the loop at a step."""
    problem, seen = job.problem(comm), []
    with Run(directory, problem, **{"every_steps": 4, "every_seconds": None, **options}) as run:
        for state in run.evolve(lambda: job.start(problem), until=job.UNTIL, times=job.TIMES, every_step=True, **LIKE):
            seen.append(state)
            if state.step == stop:
                break
    return seen


def same(a: df.State, b: df.State) -> bool:
    return a.t == b.t and a.step == b.step and np.array_equal(a.theta, b.theta)


@pytest.mark.mpi
def test_a_loop_that_is_left_goes_on_where_it_was_left(comm, shared_tmp_path):
    whole = go_on(shared_tmp_path / "whole", comm=comm)
    for stop in (1, 6, 7):
        first = go_on(shared_tmp_path / str(stop), stop, comm)
        rest = go_on(shared_tmp_path / str(stop), comm=comm)
        assert [state.step for state in first + rest] == [state.step for state in whole]
        assert same(rest[-1], whole[-1])
        comm.barrier()
        names = [shared_tmp_path / str(stop) / "history.csv", shared_tmp_path / "whole" / "history.csv"]
        assert names[0].read_bytes() == names[1].read_bytes()


def test_time_limits_stop_a_run_again_and_again_and_it_ends_the_same(tmp_path, caplog, monkeypatch):
    go_on(tmp_path / "whole")
    codes, clock = [], itertools.count()
    # a clock that goes on by a second each time it is looked at
    monkeypatch.setattr("dfpde.runs.due.time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    while not codes or codes[-1] == 75:
        try:
            go_on(tmp_path / "run", max_seconds=7.0)
            codes.append(0)
        except Stopped as stopped:
            codes.append(stopped.code)
    assert 2 < len(codes) < 10 and "max_seconds = 7, stopped at t = " in caplog.text
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_a_finished_run_does_nothing_and_a_longer_one_goes_on(tmp_path):
    go_on(tmp_path)
    before = contents(tmp_path)
    assert go_on(tmp_path) == [] and contents(tmp_path) == before
    problem = job.problem(MPI.COMM_SELF)
    with Run(tmp_path, problem) as run:
        assert run.resumed and run.state.t == job.UNTIL
        longer = list(run.evolve(until=job.UNTIL + 0.1, **LIKE))
    assert longer[-1].t == job.UNTIL + 0.1 and longer[0].t > job.UNTIL


def test_the_last_checkpoints_and_all_output_times_are_kept(tmp_path):
    whole = go_on(tmp_path, keep=2, every_steps=1)
    times = [state.step for state in whole if state.t in (*job.TIMES, job.UNTIL)]
    assert [int(path.stem) for path in sorted((tmp_path / "outputs").iterdir())] == [0, *times]
    others = [state.step for state in whole if state.step not in times]
    assert [int(path.stem) for path in sorted((tmp_path / "checkpoints").iterdir())] == others[-2:]


def test_damaged_states_are_named_and_the_one_before_is_taken(tmp_path, caplog):
    whole = go_on(tmp_path / "whole")
    go_on(tmp_path / "run", 11)
    states = sorted([*(tmp_path / "run").glob("*/*.npz")], key=lambda path: path.stem)
    states[-1].write_bytes(states[-1].read_bytes()[:-200])
    states[-2].write_bytes(b"")
    rest = go_on(tmp_path / "run")
    assert rest[0].step == int(states[-3].stem) + 1 and same(rest[-1], whole[-1])
    assert caplog.text.count("falling back to the state before it") == 2 and states[-1].name in caplog.text
    assert len(list((tmp_path / "run").glob("*/*.damaged"))) == 2
    history = (tmp_path / "run" / "history.csv").read_bytes()
    assert history == (tmp_path / "whole" / "history.csv").read_bytes()


def test_without_an_intact_state_nothing_is_overwritten(tmp_path):
    go_on(tmp_path, 3)
    for path in tmp_path.glob("*/*.npz"):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"none of the 2 states .* is intact"):
        go_on(tmp_path)
    assert go_on(tmp_path, overwrite=True)[0].step == 1


def test_a_run_of_something_else_is_refused_until_changes_are_accepted(tmp_path):
    go_on(tmp_path, 5)
    problem = job.problem(MPI.COMM_SELF)
    other = df.Problem(problem.ansatz, problem.quadrature, lambda t, x, u: -df.dx(u))
    with pytest.raises(RunError, match=r"problem\.rhs\.") as caught, Run(tmp_path, other):
        pass
    assert "accept_changes=True" in caught.value.remedy
    with Run(tmp_path, problem) as run, pytest.raises(RunError, match=r"method\.controller\.rtol: 1e-05 -> 0\.001"):
        list(run.evolve(until=job.UNTIL, times=job.TIMES, every_step=True, controller=df.PI(rtol=1e-3, dt_max=0.02)))
    with Run(tmp_path, problem, accept_changes=True) as run:
        list(run.evolve(until=job.UNTIL, times=job.TIMES, every_step=True, controller=df.PI(rtol=1e-3, dt_max=0.02)))
    changed = ("controller.rtol", "regularization.tolerance")  # the rule follows the controller
    assert manifest(tmp_path)["changes"] == [f"method.{name}: 1e-05 -> 0.001" for name in changed]
    larger = df.Problem(df.GaussianMixture.isotropic(1, 3), problem.quadrature, problem.rhs)
    with pytest.raises((CheckpointError, RunError)), Run(tmp_path, larger):
        pass


def test_two_phases_of_a_run_go_on_each_with_its_own_method(tmp_path):
    def run(directory: Path, stop: int | None = None) -> df.State:
        problem = job.problem(MPI.COMM_SELF)
        with Run(directory, problem, every_steps=1) as run:
            for until, rtol in ((0.1, 1e-4), (0.2, 1e-6)):
                for state in run.evolve(lambda: job.start(problem), until=until, controller=df.PI(rtol=rtol)):
                    if state.step == stop:
                        return state
            return run.state

    whole = run(tmp_path / "whole")
    for stop in range(1, whole.step):
        run(tmp_path / str(stop), stop)
        assert same(run(tmp_path / str(stop)), whole)


def test_events_are_seen_and_gone_on_from(tmp_path):
    problem = job.problem(MPI.COMM_SELF)

    def run(directory: Path, stop: int | None = None) -> list[df.State]:
        kick = df.Event(lambda t, state: t - 0.155, lambda state: state.with_(theta=1.1 * state.theta))
        last = df.Event(lambda t, state: t - 0.33)
        seen = []
        with Run(directory, problem, every_steps=1) as run:
            for state in run.evolve(job.start(problem), until=0.4, times=[0.2], events=[kick, last], **LIKE):
                seen.append(state)
                if state.step == stop:
                    break
        return seen

    whole = run(tmp_path / "whole")
    assert [round(state.t, 6) for state in whole] == [0.155, 0.2, 0.33]
    assert run(tmp_path / "whole") == []  # it ended at the event
    run(tmp_path / "run", whole[0].step)
    rest = run(tmp_path / "run")
    assert len(rest) == 2 and same(rest[-1], whole[-1])


def test_rescue_is_called_by_errors_and_by_limits(tmp_path):
    problem, saved = job.problem(MPI.COMM_SELF), []

    def breaks(t, x, u):
        if t > 0.2:
            raise ValueError("no law beyond")
        return problem.rhs(t, x, u)

    broken = df.Problem(problem.ansatz, problem.quadrature, breaks)
    with pytest.raises(ValueError, match="no law"), Run(tmp_path / "a", broken, rescue=saved.append) as run:
        list(run.evolve(job.start(problem), until=0.4, times=[0.1], **LIKE))
    assert len(saved) == 1 and saved[0].t > 0.1
    assert manifest(tmp_path / "a")["status"] == "failed: ValueError: no law beyond"
    with Run(tmp_path / "a", broken) as run:
        assert same(run.state, saved[0])
    with pytest.raises(Stopped) as stopped, Run(tmp_path / "b", problem, max_seconds=1e-9, rescue=saved.append) as run:
        list(run.evolve(job.start(problem), until=0.4, **LIKE))
    assert stopped.value.code == 75 and len(saved) == 2
    assert manifest(tmp_path / "b")["status"] == "stopped by max_seconds = 1e-09"


def test_the_manifest_says_what_is_needed_to_repeat_a_run(tmp_path):
    problem = job.problem(MPI.COMM_SELF)
    with Run(tmp_path, problem, viscosity=0.1, seed=np.int64(3)) as run:
        list(run.evolve(job.start(problem), until=0.1, regularization=df.Inertia(1e-3, 0.9), solver=df.LSQR(), **LIKE))
    found = manifest(tmp_path)
    assert found["parameters"] == {"viscosity": 0.1, "seed": 3}
    made_of = found["problem"]
    assert made_of["ansatz"]["parameters"] == 6 and made_of["quadrature"]["points"] == problem.quadrature.size
    assert "np.sin(x[0])" in found["problem"]["rhs"]["source"]
    method = found["method"]
    assert method["regularization"] == {"class": "Inertia", "eps": 1e-3, "rho": 0.9}
    assert method["controller"]["rtol"] == 1e-5 and method["solver"]["class"] == "LSQR"
    assert "Dormand" in method["integrator"]["tableau"]
    with Run(tmp_path / "defaults", problem) as run:
        list(run.evolve(job.start(problem), until=0.02))
    method = manifest(tmp_path / "defaults")["method"]
    assert method["regularization"]["class"] == "AutoInertia" and method["regularization"]["tolerance"] == 1e-4
    assert method["solver"]["class"] in ("KSP", "LSQR") and method["controller"]["rtol"] == 1e-4
    assert found["heartbeat"]["t"] == found["finished"]["t"] == 0.1
    assert found["timing"]["steps"] == found["heartbeat"]["step"] > 0 and found["timing"]["seconds"]["stepping"] > 0
    assert found["versions"]["dfpde"] == df.__version__ and found["versions"]["numpy"] == np.__version__
    assert found["mpi"]["size"] == 1 and found["citation"]
    json.loads((tmp_path / "manifest.json").read_text(), parse_constant=pytest.fail)  # strict JSON: no Infinity


# -- disks and directories -----------------------------------------------------------------------------------
def test_files_that_are_not_of_a_run_are_not_overwritten(tmp_path):
    (tmp_path / "manifest.json").write_text('{"a": "user\'s"}')
    with pytest.raises(RunError, match="is not the manifest of a run"):
        go_on(tmp_path)
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "history.csv").write_text("a user's")
    with pytest.raises(RunError, match=r"holds history\.csv but no manifest\.json"):
        go_on(tmp_path, overwrite=True)
    assert (tmp_path / "history.csv").read_text() == "a user's"


def test_a_directory_that_is_a_file_or_in_use_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write"):
        go_on(tmp_path / "file")
    problem = job.problem(MPI.COMM_SELF)
    with Run(tmp_path / "run", problem), pytest.raises(RunError, match="in use by process"):
        go_on(tmp_path / "run")
    go_on(tmp_path / "run")


def test_a_full_disk_ends_a_run_that_goes_on_once_there_is_space(tmp_path):
    whole = go_on(tmp_path / "whole")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = (tmp_path / "whole" / "history.csv").stat().st_size
    try:  # a limit of the size of files fails like a full disk, in the midst of the history
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2 + 7, before[1]))
        with pytest.raises(CheckpointError, match="cannot write") as caught:
            go_on(tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "Try:" in str(caught.value)
    rest = go_on(tmp_path / "run")
    assert same(rest[-1], whole[-1])
    assert (tmp_path / "run" / "history.csv").read_bytes() == (tmp_path / "whole" / "history.csv").read_bytes()


def test_a_quota_that_is_used_up_ends_a_run_wherever_it_is_noticed(tmp_path, monkeypatch):
    go_on(tmp_path / "whole")
    real, left = os.fsync, 0

    def fsync(number):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        real(number)

    for left in (0, 1, 2, 4, 9, 20):  # noqa: B007  the lock, the manifest, the history, states
        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(CheckpointError, match="quota exceeded") as caught:
            go_on(tmp_path / "run")
        assert "free some of your quota" in caught.value.remedy
        monkeypatch.setattr(os, "fsync", real)
        for path in (tmp_path / "run").glob("*/*.npz"):
            df.load(path, MPI.COMM_SELF)
    go_on(tmp_path / "run")
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("mount") is None, reason="a file system of its own needs root")
def test_a_disk_that_is_full_or_read_only(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], check=False).returncode:
        pytest.skip("no tmpfs here")
    try:
        with pytest.raises(CheckpointError, match="No space left on device"):
            go_on(disk / "run", every_steps=1, keep=100)
        newest = max(disk.glob("run/*/*.npz"), key=lambda path: path.stem)
        df.load(newest, MPI.COMM_SELF)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(CheckpointError, match="Read-only file system"):
            go_on(disk / "run")
        subprocess.run(["mount", "-o", "remount,rw,size=1m", disk], check=True)
        assert go_on(disk / "run")[-1].t == job.UNTIL
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.mpi
def test_errors_of_rank_0_are_raised_on_all_ranks(comm, shared_tmp_path):
    (shared_tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write"):
        go_on(shared_tmp_path / "file", comm=comm)
    with pytest.raises(ParameterError, match="without a start"), Run(shared_tmp_path / "run", job.problem(comm)) as run:
        list(run.evolve(until=1.0))
    with pytest.raises(ParameterError, match="keep = 0"):
        Run(shared_tmp_path / "run", job.problem(comm), keep=0)


# -- ranks ---------------------------------------------------------------------------------------------------
def on_two_ranks(directory: Path, *words: str) -> subprocess.Popen:
    """The job on two ranks."""
    from dfpde.parallel.launch import find_launcher, ranks_environment

    command = find_launcher().command(2, [str(SCRIPT), str(directory), *words])
    return subprocess.Popen(command, env=ranks_environment(), stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def whole_on_two_ranks(tmp_path_factory) -> dict[str, bytes]:
    """An uninterrupted run of two ranks."""
    directory = tmp_path_factory.mktemp("whole") / "run"
    assert on_two_ranks(directory).wait(120) == 0
    return contents(directory)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_two_ranks_one_of_them_signalled(tmp_path, whole_on_two_ranks, number):
    """Rank 1 is killed, or told to stop: all end, and what goes on is what would have been."""
    process = on_two_ranks(tmp_path / "run", "0.1")
    history, end = tmp_path / "run" / "history.csv", time.monotonic() + 120
    while not (history.exists() and history.read_text().count("\n") > 6) and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(children(process.pid)[-1], number)
    code = process.wait(60)
    assert code == 75 if number == signal.SIGTERM else code != 0
    assert on_two_ranks(tmp_path / "run").wait(120) == 0
    assert contents(tmp_path / "run") == whole_on_two_ranks
