"""Checkpoints: bit for bit, atomic, and never silently wrong."""

from __future__ import annotations

import dataclasses
import resource
import signal

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.errors import CheckpointError
from dfpde.evolution import Statistics
from dfpde.io import load, save
from dfpde.io.files import remove_leftovers, replace

SERIAL = MPI.COMM_SELF


def full_state(size: int = 7) -> df.State:
    rng = np.random.default_rng(3)
    theta = rng.standard_normal(size) * 10.0 ** rng.integers(-300, 300, size)
    theta[:2] = -0.0, np.nextafter(1.0, 2.0)
    vectors = {"velocity": rng.standard_normal(size), "anchor": rng.standard_normal(size)}
    counts = {"step": 12, "at_end": True, "end_norms": (np.inf, 1 / 7)}
    carry = {"dt": np.float64(1 / 3), "controller_carry": (0.1, 5e-324), "rule_carry": (-0.0,)}
    statistics = Statistics(defect=np.pi, rhs_norm=np.nan, rejected=2, dt=1e-17)
    return df.State(0.1 + 0.2, theta, **vectors, **counts, **carry, statistics=statistics)


def same(a, b) -> bool:
    """Bit for bit, NaN included."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return isinstance(b, float) and np.float64(a).tobytes() == np.float64(b).tobytes()
    if isinstance(a, Statistics):
        return type(b) is Statistics and same(dataclasses.astuple(a), dataclasses.astuple(b))
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def same_states(a: df.State, b: df.State) -> bool:
    return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(df.State))


@pytest.mark.mpi
@pytest.mark.parametrize("state", [full_state(), df.State(t=0.0, theta=np.zeros(0)), df.State(1.0, np.ones(3))])
def test_every_field_comes_back_bit_for_bit_on_every_rank(comm, shared_tmp_path, state):
    path = shared_tmp_path / "new folder" / "run.npz"
    save(path, state, comm)
    assert same_states(state, load(path, comm))
    assert [entry.name for entry in path.parent.iterdir()] == ["run.npz"]


def test_a_flipped_bit_is_an_error_or_without_effect(tmp_path):
    path = tmp_path / "run.npz"
    state = full_state()
    save(path, state, SERIAL)
    content = path.read_bytes()
    noticed = 0
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(bytes(damaged))
        try:
            assert same_states(state, load(path, SERIAL)), f"byte {position} changed the state unnoticed"
        except CheckpointError:
            noticed += 1
    assert noticed > 0.5 * len(content)  # the rest: time stamps and attributes of the archive's entries


def test_truncated_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "run.npz"
    save(path, full_state(), SERIAL)
    content = path.read_bytes()
    for length in (0, 1, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"run\.npz \(\d+ bytes\) is no checkpoint"):
            load(path, SERIAL)
    np.savez(path, theta=np.ones(3))
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load(path, SERIAL)
    np.savez(path, header=np.array([full_state()], dtype=object))
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load(path, SERIAL)


@pytest.mark.mpi
def test_a_missing_file_is_an_error_on_all_ranks(comm, shared_tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.npz: No such file"):
        load(shared_tmp_path / "none.npz", comm)


@pytest.mark.mpi
def test_a_path_that_cannot_be_written_is_an_error_on_all_ranks(comm, shared_tmp_path):
    (shared_tmp_path / "file").write_text("not a folder")
    with pytest.raises(CheckpointError, match="cannot write") as caught:
        save(shared_tmp_path / "file" / "run.npz", full_state(), comm)
    assert "folder" in caught.value.remedy


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path):
    path = tmp_path / "run.npz"
    save(path, full_state(), SERIAL)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:  # a limit of the size of files fails like a full disk: in the midst of writing
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
        with pytest.raises(CheckpointError, match="cannot write"):
            save(path, full_state(5000), SERIAL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert same_states(full_state(), load(path, SERIAL))
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.npz"]


def test_a_symbolic_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk" / "real.npz", tmp_path / "run.npz"
    link.symlink_to(target)
    for state in (full_state(), df.State(1.0, np.ones(3))):  # dangling first, then onto the file
        save(link, state, SERIAL)
        assert link.is_symlink() and not target.is_symlink()
        assert same_states(state, load(target, SERIAL))
    assert [entry.name for entry in (tmp_path / "disk").iterdir()] == ["real.npz"]


def test_a_loop_of_symbolic_links_is_named(tmp_path):
    (tmp_path / "a.npz").symlink_to(tmp_path / "b.npz")
    (tmp_path / "b.npz").symlink_to(tmp_path / "a.npz")
    with pytest.raises(CheckpointError, match=r"cannot write .*a\.npz"):
        save(tmp_path / "a.npz", full_state(), SERIAL)


def test_leftovers_of_a_killed_write_are_deleted_and_nothing_else(tmp_path):
    def killed(beside):
        beside.write_bytes(b"half")
        raise KeyboardInterrupt

    for name in ("run.npz", "deep/er/000012.vtu", "case.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        with pytest.raises(KeyboardInterrupt):
            replace(tmp_path / name, killed)
    others = [tmp_path / ".hidden", tmp_path / ".run.npz", tmp_path / "besides.npz"]
    for path in others:
        path.write_text("a user's")
    assert len(remove_leftovers(tmp_path)) == 3
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(others)


def test_a_field_that_cannot_be_kept_is_named(tmp_path):
    state = full_state()
    object.__setattr__(state, "rule_carry", object())
    with pytest.raises(CheckpointError, match="field rule_carry of the state is a object"):
        save(tmp_path / "run.npz", state, SERIAL)


def advection(comm, n: int) -> df.Problem:
    ansatz = df.GaussianMixture.isotropic(1, n)
    return df.Problem(ansatz, df.Quadrature.gauss((-3, 5), 40, 5, comm), lambda t, x, u: -u.gradient[0])


@pytest.mark.mpi
def test_another_ansatz_is_refused(comm, shared_tmp_path):
    path = shared_tmp_path / "run.npz"
    save(path, df.State(0.0, np.ones(6)), comm, problem=advection(comm, 2))
    assert load(path, comm, problem=advection(comm, 2)).theta.size == 6
    with pytest.raises(CheckpointError, match="belongs to the ansatz"):
        load(path, comm, problem=advection(comm, 3))


@pytest.mark.mpi
@pytest.mark.parametrize("controller", [df.Fixed(0.05), df.PI(rtol=1e-5)])
def test_a_restarted_run_equals_the_uninterrupted_one(comm, shared_tmp_path, controller):
    """To rounding: the solver's preconditioner is built anew."""
    problem = advection(comm, 2)
    start = df.State(0.0, problem.ansatz.pack(amplitudes=[1.0, 0.5], centers=[[0.0], [0.7]], scales=[1.5, 2.0]))

    def run(state, times):
        inertia = df.Inertia(1e-4, 0.97)
        return list(df.evolve(problem, state, until=1.0, times=times, regularization=inertia, controller=controller))

    half, whole = run(start, (0.5,))
    save(shared_tmp_path / "half.npz", half, comm)
    (resumed,) = run(load(shared_tmp_path / "half.npz", comm), (1.0,))
    assert resumed.step == whole.step
    assert resumed.t == whole.t == 1.0
    np.testing.assert_allclose(resumed.theta, whole.theta, rtol=0, atol=1e-9)
