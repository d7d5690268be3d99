"""Columns of a run, in memory and in a file that survives a break."""

import sys

import numpy as np
import pandas
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.diagnostics.plot_runs import plot_history
from dfpde.errors import MissingDependency, ParameterError, ShapeError
from tests.small import linear, vector_problem

COMM = MPI.COMM_SELF
ENERGY = {"energy": df.diagnostics.Functional.squared_norm(), "first": lambda problem, state: state.theta[0]}


def run(problem, start, history, until):
    for state in df.evolve(problem, start, until=until, regularization=df.Tikhonov(1e-9), controller=df.PI(rtol=1e-5)):
        history.record(state)
        yield state


def turning(comm=COMM):
    return vector_problem(linear(2), lambda t, c: [-c[1], 2.0 * c[0]], 2, comm), df.State(0.0, np.array([1.0, 0.0]))


@pytest.mark.mpi
def test_rows_are_what_the_states_measured(comm, shared_tmp_path):
    problem, start = turning(comm)
    path = shared_tmp_path / "history.csv"
    history = df.History(path, quantities=ENERGY, problem=problem)
    states = list(run(problem, start, history, 2.0))
    columns = history.to_dict()
    assert len(history) == len(states) and columns["step"].dtype.kind == "i"
    for i in (0, len(states) - 1):
        s = states[i].statistics
        expected = {"t": states[i].t, "step": states[i].step, "dt": s.dt, "defect": s.defect, "rhs_norm": s.rhs_norm,
                    "eps": s.eps, "rho": s.rho, "error": s.error, "iterations": s.iterations,
                    "relative_defect": s.relative_defect, "rejected": s.rejected,
                    "energy": problem.norm(states[i]) ** 2, "first": states[i].theta[0]}  # fmt: skip
        for name, value in expected.items():
            assert columns[name][i] == pytest.approx(value, rel=1e-12), name
    comm.Barrier()
    frame = pandas.read_csv(path, float_precision="round_trip")
    pandas.testing.assert_frame_equal(frame, history.to_pandas(), check_exact=True)
    again = df.History.read(path)
    assert again.columns == history.columns and len(again) == len(history) and len(again.plot().axes) >= 6


def test_equal_steps_are_drawn_as_equal():
    """Neither rounding fills the axis, nor is the misfit of a fit drawn as the error of a step."""
    rows = {name: np.full(4, 0.1) for name in ("dt", "rhs_norm", "defect", "error", "eps")} | {"t": np.arange(4.0)}
    rows["dt"] = np.array([np.nan, 0.1, 0.1 + 1e-17, 0.1 - 1e-17])
    figure = plot_history(rows)
    low, high = figure.axes[0].get_ylim()
    assert low < 0.05 and high > 0.2
    (error,) = figure.axes[2].get_lines()
    assert np.isnan(error.get_ydata()[0]) and np.all(error.get_ydata()[1:] == 0.1)


@pytest.mark.mpi
def test_a_run_that_is_broken_off_and_resumed_leaves_the_same_file(comm, shared_tmp_path):
    """Rows beyond the state and half a line are cut off, and every digit is kept."""
    problem, start = turning(comm)
    whole, broken = shared_tmp_path / "whole.csv", shared_tmp_path / "broken.csv"
    list(run(problem, start, df.History(whole, quantities=ENERGY, problem=problem), 2.0))
    run_until_killed = run(problem, start, df.History(broken, quantities=ENERGY, problem=problem), 2.0)
    states = [next(run_until_killed) for _ in range(9)]
    if comm.rank == 0:
        with broken.open("a") as file:
            file.write("0.123,10,0.0")
    comm.Barrier()
    history = df.History.resume(broken, states[4], quantities=ENERGY, problem=problem)
    assert len(history) == 5
    list(run(problem, states[4], history, 2.0))
    comm.Barrier()
    assert broken.read_bytes() == whole.read_bytes()


def test_what_is_no_history_is_refused(tmp_path):
    problem, start = turning()
    path = tmp_path / "history.csv"
    df.History(path).record(start)
    for make in (
        lambda: df.History(path),
        lambda: df.History.resume(path, start, quantities=ENERGY, problem=problem),
        lambda: df.History(quantities=ENERGY),
        lambda: df.History(quantities={"t": ENERGY["first"]}, problem=problem),
        lambda: df.History(quantities={"a,b": ENERGY["first"]}, problem=problem),
        lambda: df.History.read(tmp_path / "missing.csv"),
    ):
        with pytest.raises(ParameterError):
            make()
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(ParameterError, match="no history"):
        df.History.read(other)
    with pytest.raises(ShapeError, match="one real number"):
        df.History(quantities={"theta": lambda p, s: s.theta}, problem=problem).record(start)
    assert len(df.History.resume(tmp_path / "new.csv", start, comm=COMM)) == 0  # begun


def test_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependency, match="pandas"):
        df.History().to_pandas()
