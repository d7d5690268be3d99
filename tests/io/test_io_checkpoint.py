"""Checkpoints: bit for bit, atomic, and never silently wrong."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import resource
import signal
import stat
import time
import warnings
import zipfile

import numpy as np
import pytest
import skfem
from mpi4py import MPI

import dfpde as df
from dfpde.errors import CheckpointError, ReplicationError
from dfpde.evolution import Statistics
from dfpde.io import checkpoint, load, save
from dfpde.io.files import ABANDONED, remove_leftovers, replace
from dfpde.leastsquares import default_solver
from tests.small import linear, vector_problem

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


def test_devices_and_pipes_stay_what_they_are(tmp_path):
    pipe = tmp_path / "run.npz"
    os.mkfifo(pipe)
    for path in (pipe, "/dev/null", tmp_path):
        with pytest.raises(CheckpointError, match="no regular file"):
            save(path, full_state(), SERIAL)
    assert stat.S_ISFIFO(pipe.stat().st_mode) and stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.npz"]


def test_what_a_killed_process_left_goes_with_a_later_save(tmp_path):
    old, new = tmp_path / ".run.1.beside.npz", tmp_path / ".run.2.beside.npz"
    for left in (old, new, tmp_path / ".other.1.beside.npz"):
        left.write_bytes(b"half of it")
    for left in (old, tmp_path / ".other.1.beside.npz"):
        os.utime(left, (0, time.time() - 2 * ABANDONED))
    save(tmp_path / "run.npz", full_state(), SERIAL)
    assert {entry.name for entry in tmp_path.iterdir()} == {"run.npz", new.name, ".other.1.beside.npz"}


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def interrupted(beside):
        beside.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace(tmp_path / "run.npz", interrupted)
    assert not list(tmp_path.iterdir())


def test_a_loop_of_symbolic_links_is_named(tmp_path):
    (tmp_path / "a.npz").symlink_to(tmp_path / "b.npz")
    (tmp_path / "b.npz").symlink_to(tmp_path / "a.npz")
    with pytest.raises(CheckpointError, match=r"cannot write .*a\.npz"):
        save(tmp_path / "a.npz", full_state(), SERIAL)


def test_leftovers_of_a_killed_write_are_deleted_and_nothing_else(tmp_path):
    names = []
    for name in ("run.npz", "deep/er/000012.vtu", "case.toml"):
        replace(tmp_path / name, lambda beside: (names.append(beside), beside.write_bytes(b"all")))
        (tmp_path / name).rename(names[-1])  # as a kill in the midst of writing leaves it
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
    with pytest.raises(CheckpointError, match=r"ansatz\.n is 2 in the file, 3 here"):
        load(path, comm, problem=advection(comm, 3))


def refused(path, given, other, comm=SERIAL) -> str:
    """Message for a state saved with one lot of arguments and loaded with another; the same lot is accepted."""
    save(path, df.State(0.0, np.ones(3)), comm, **given)
    assert load(path, comm, **given).t == 0.0
    assert load(path, comm).t == 0.0
    with pytest.raises(CheckpointError) as caught:
        load(path, comm, **other)
    assert caught.value.collective
    return str(caught.value)


def problem_of(ansatz, points=None, comm=SERIAL, **choices):
    points = df.Quadrature.periodic((-1.0, 1.0), 40, comm) if points is None else points
    return df.Problem(ansatz, points, lambda t, x, u: -df.dx(u), **choices)


def waves(period=2.0):
    return df.PeriodicGaussianMixture.isotropic((period,), 3)


def network(**choices):
    return df.Network(1, (4, 4), **choices)


def frozen(width, names="scales", indices=()):
    mixture = df.GaussianMixture.isotropic(1, 2)
    theta = mixture.pack(amplitudes=1.0, centers=[[0.0], [1.0]], scales=width)
    return df.ansatz.Frozen(mixture, theta, names=(names,), indices=indices)


def pair(**choices):
    return df.Sum(waves(), waves(3.0), **choices)


def on_a_mesh(middle):
    mesh = skfem.MeshLine(np.array([-1.0, -0.5, 0.0, 0.5 * middle, 1.0]))
    return df.FiniteElement(skfem.Basis(mesh, skfem.ElementLineP1()))


def nudged(comm, part):
    """The points of `problem_of` with one of the last rank's points or weights changed by 1e-6."""
    q = df.Quadrature.periodic((-1.0, 1.0), 40, comm)
    change = 1e-6 * (np.arange(q.n) == 3) * (comm.rank == comm.size - 1)
    return df.Quadrature(q.x + (part == "x") * change, q.w + (part == "w") * change, comm)


OTHERS = {
    "period": (waves(), waves(2.5), r"ansatz\.periods\[0\] is 2 in the file, 2\.5 here"),
    "class": (waves(), df.GaussianMixture.isotropic(1, 3), "ansatz is PeriodicGaussianMixture"),
    "activation": (network(), network(activation=df.ansatz.Sine()), r"ansatz\.activation is Tanh in the file, Sine"),
    "constant": (frozen(1.0), frozen(2.0), r"ansatz\.constants is float64 of shape \(6,\)"),
    "which are fixed": (frozen(1.0), frozen(1.0, "centers"), r"ansatz\.places is int64 of shape \(4,\)"),
    "which of a block": (frozen(1.0, indices=[0]), frozen(1.0, indices=[1]), r"ansatz\.places is int64"),
    "which are shared": (pair(shared=["centers"]), pair(shared=["scales"]), r"ansatz\.shared\[0\] is 'centers' in the"),
    "mesh": (on_a_mesh(1.0), on_a_mesh(1.5), r"ansatz\.nodes is float64 of shape \(1, 5\)"),
    "part of a sum": (df.Sum(waves(), network()), df.Sum(waves(), network(residual=True)), r"\[1\]\.residual is 0"),
}


@pytest.mark.parametrize(("given", "other", "words"), OTHERS.values(), ids=OTHERS.keys())
def test_constants_of_the_ansatz_are_compared(tmp_path, given, other, words):
    message = refused(tmp_path / "run.npz", {"problem": problem_of(given)}, {"problem": problem_of(other)})
    assert re.search(words, message), message


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda comm: df.Quadrature.periodic((-1.0, 1.0), 41, comm), "points is 40 in 1-D in the file, 41 in 1-D here"),
        (lambda comm: df.Quadrature.periodic((-1.0, 1.1), 40, comm), "points or weights"),
        (lambda comm: nudged(comm, "x"), "points or weights"),
        (lambda comm: nudged(comm, "w"), "points or weights"),
    ],
    ids=["number", "interval", "one point", "one weight"],
)
def test_points_and_weights_are_compared(comm, shared_tmp_path, make, words):
    given, other = problem_of(waves(), None, comm), problem_of(waves(), make(comm))
    assert words in refused(shared_tmp_path / "run.npz", {"problem": given}, {"problem": other}, comm)


@pytest.mark.mpi
@pytest.mark.parametrize("cells", [8, 33])
def test_points_are_the_same_on_any_number_of_ranks(comm, shared_tmp_path, cells):
    """Distributed points and all points on each rank have the same sums, in one and in two dimensions."""
    for dim, bounds in ((1, (-1e-9, 2e-9)), (2, ((-3.0, 5.0), (0.0, 1e3)))):
        ansatz = df.GaussianMixture.isotropic(dim, 1)
        path = shared_tmp_path / "run.npz"
        theta = np.ones(ansatz.size)
        save(path, df.State(0.0, theta), comm, problem=problem_of(ansatz, df.Quadrature.gauss(bounds, cells, 4, comm)))
        alone = problem_of(ansatz, df.Quadrature.gauss(bounds, cells, 4, SERIAL))
        np.testing.assert_array_equal(load(path, comm, problem=alone).theta, theta)


def test_scale_label_and_methods_are_compared(tmp_path):
    path, problem = tmp_path / "run.npz", problem_of(waves())
    scale = np.linspace(1, 2, 9)
    scaled = dataclasses.replace(problem, scale=scale)
    rounded = dataclasses.replace(problem, scale=scale * (1 + 1e-14))
    assert "scale is 9 numbers in the file, None here" in refused(path, {"problem": scaled}, {"problem": problem})
    assert load(path, SERIAL, problem=rounded).t == 0.0  # sums over another number of ranks round otherwise
    wrong = dataclasses.replace(problem, scale=scale * (1 + 1e-6 * (np.arange(9) == 4)))
    assert "scale is 1.5 at index 4 in the file" in refused(path, {"problem": scaled}, {"problem": wrong})
    assert "label is 'nu = 0.01' in the file, 'nu = 0.1'" in refused(
        path, {"label": "nu = 0.01"}, {"label": "nu = 0.1"}
    )
    assert "regularization.rho is 0.9 in the file, 0.97 here" in refused(
        path, {"regularization": df.Inertia(1e-3, 0.9)}, {"regularization": df.Inertia(1e-3, 0.97)}
    )
    assert "controller is PI in the file, Fixed here" in refused(
        path, {"controller": df.PI(1e-4)}, {"controller": df.Fixed(0.1)}
    )
    assert "integrator.tableau.name" in refused(path, {"integrator": df.RK4}, {"integrator": df.DormandPrince})
    assert "solver.rtol is 1e-11 in the file, 1e-09 here" in refused(
        path, {"solver": df.LSQR()}, {"solver": df.LSQR(rtol=1e-9)}
    )
    assert "solver.preconditioner.rank is 64 in the file, 8 here" in refused(
        path, *({"solver": df.LSQR(preconditioner=df.leastsquares.Nystrom(rank))} for rank in (64, 8))
    )
    start, functional = df.State(0.0, np.ones(9)), df.diagnostics.Functional
    kept, other = (
        df.constraints.Conserving(problem, quantities, df.Tikhonov(1e-3), start)
        for quantities in ([functional.squared_norm()], [functional.squared_norm(), functional.linear()])
    )
    assert "regularization.quantities[1]" in refused(path, {"regularization": kept}, {"regularization": other})


def forged(header, compression=zipfile.ZIP_STORED, **arrays) -> bytes:
    """A file with this header, and a checksum that is right."""
    if isinstance(header, dict):
        header = header | {"sha256": checkpoint._digest(header, arrays)}
    words = header if isinstance(header, str) else json.dumps(header)
    text = np.frombuffer(words.encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, array in {"header": text, **{f"array_{name}": array for name, array in arrays.items()}}.items():
            part = io.BytesIO()
            np.save(part, array)
            archive.writestr(f"{name}.npy", part.getvalue())
    return buffer.getvalue()


GOOD = {"format": checkpoint.FORMAT, "version": checkpoint.VERSION, "belongs": {"texts": {}}}
T = {"t": 0.0, "theta": {"array": "theta"}}
FORGED = {
    "compressed zeros": lambda: forged(GOOD | {"fields": T}, zipfile.ZIP_DEFLATED, theta=np.zeros(10**7)),
    "no fields": lambda: forged(GOOD),
    "no theta": lambda: forged(GOOD | {"fields": {"t": 0.0}}),
    "unknown field": lambda: forged(GOOD | {"fields": T | {"mass": 1.0}}, theta=np.zeros(2)),
    "array that is not there": lambda: forged(GOOD | {"fields": T}),
    "matrix": lambda: forged(GOOD | {"fields": T}, theta=np.zeros((2, 2))),
    "NaN": lambda: forged(GOOD | {"fields": T}, theta=np.full(2, np.nan)),
    "unknown kind": lambda: forged(GOOD | {"fields": T | {"dt": {"code": "import os"}}}, theta=np.zeros(2)),
    "nested too deep": lambda: forged('{"list": [' * 10**5 + "]}" * 10**5),
    "no JSON object": lambda: forged([1, 2]),
    "belongs to nothing": lambda: forged(GOOD | {"fields": T, "belongs": 3}, theta=np.zeros(2)),
}


@pytest.mark.parametrize("make", FORGED.values(), ids=FORGED.keys())
def test_forged_files_end_early(tmp_path, make):
    path = tmp_path / "run.npz"
    path.write_bytes(make())
    with pytest.raises(CheckpointError):
        load(path, SERIAL, problem=problem_of(waves()))


def test_an_array_that_claims_to_be_huge_takes_no_memory(tmp_path):
    part = io.BytesIO()
    np.save(part, np.zeros(4))
    huge = part.getvalue().replace(b"(4,), }" + 12 * b" ", b"(9999999999999,), }")
    assert b"9999" in huge
    path = tmp_path / "run.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.npy", huge)
    with pytest.raises(CheckpointError):
        load(path, SERIAL)


@pytest.mark.parametrize("version", [1, 2, checkpoint.VERSION + 1, "three", None])
def test_other_versions_are_refused_by_name(tmp_path, version):
    path = tmp_path / "run.npz"
    path.write_bytes(forged({"format": checkpoint.FORMAT, "version": version, "ansatz": None, "fields": T}))
    with pytest.raises(CheckpointError, match=f"of version {version}; this dfpde reads"):
        load(path, SERIAL)


@pytest.mark.mpi
def test_what_is_no_file_is_not_read(comm, shared_tmp_path):
    if comm.rank == 0:
        os.mkfifo(shared_tmp_path / "pipe")
    comm.barrier()
    for path in ("/dev/zero", shared_tmp_path / "pipe", shared_tmp_path):
        with pytest.raises(CheckpointError, match="no regular file"):
            load(path, comm)


@pytest.mark.mpi
def test_states_that_differ_between_ranks_are_not_saved(comm, shared_tmp_path):
    if comm.size == 1:
        pytest.skip("one rank agrees with itself")
    with pytest.raises(ReplicationError, match=r"state\.theta"):
        save(shared_tmp_path / "run.npz", df.State(0.0, np.full(3, float(comm.rank))), comm)
    assert not (shared_tmp_path / "run.npz").exists()


RESUMED = {
    "DormandPrince": (df.DormandPrince, df.PI(rtol=1e-6, dt_max=0.02), None),
    "RK4": (df.RK4, df.Fixed(0.01), None),
    "SDIRK4": (df.integrators.SDIRK4, df.PI(rtol=1e-4), None),
    "ROS2": (df.integrators.ROS2, df.PI(rtol=1e-4), None),
    "RadauIIA": (df.integrators.RadauIIA, df.Fixed(0.02), None),
    "automatic": (df.DormandPrince, df.PI(rtol=1e-6, dt_max=0.02), df.AutoInertia()),
    "Dense": (df.integrators.ROS2, df.PI(rtol=1e-4), df.Inertia(1e-3, 0.9)),
}


@pytest.mark.mpi
@pytest.mark.parametrize("name", RESUMED)
def test_a_resumed_run_is_bitwise_the_uninterrupted_one(comm, shared_tmp_path, name):
    """From any of its states, with a new solver, and again with a solver that has done another run."""
    integrator, controller, rule = RESUMED[name]
    problem = advection(comm, 4)
    theta = problem.ansatz.pack(amplitudes=[1, 0.5, 0.3, -0.2], centers=[[0.0], [0.7], [1.1], [-0.4]], scales=1.5)
    rule = df.Inertia(1e-4, 0.97) if rule is None else rule
    make = df.Dense if name == "Dense" else default_solver

    def run(state, solver):
        choices = {"integrator": integrator, "controller": controller, "regularization": rule, "solver": solver}
        return list(df.evolve(problem, state, until=0.1, **choices))

    start, used = df.State(0.0, theta), make()
    states = run(start, used)
    assert len(states) >= 3 and same_states(run(start, used)[-1], states[-1])
    path = shared_tmp_path / "cut.npz"
    for cut in {0, len(states) // 2, len(states) - 2}:
        save(path, states[cut], comm, problem=problem)
        after = load(path, comm, problem=problem)
        for solver in (make(), used):
            again = run(after, solver)
            assert len(again) == len(states) - 1 - cut
            assert all(map(same_states, again, states[cut + 1 :]))


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


@pytest.mark.mpi
def test_a_checkpoint_taken_at_an_event_keeps_what_the_event_did(comm, shared_tmp_path):
    """u' = 0.8 − 0.1 u, halved at t = 0.35 and lowered by 0.4 wherever it reaches 0.6: resumed from every event."""

    problem = vector_problem(linear(1), lambda t, c: 0.8 - 0.1 * c, 1, comm)
    half = df.Event(lambda t, s: t - 0.35, lambda s: s.with_(theta=0.5 * s.theta))
    above = df.Event(lambda t, s: s.theta[0] - 0.6, lambda s: s.with_(theta=s.theta - 0.4))
    choices = {"until": 2.0, "events": (half, above), "controller": df.PI(1e-6, dt_max=0.1)}
    states = list(df.evolve(problem, df.State(0.0, np.zeros(1)), regularization=df.Tikhonov(1e-8), **choices))
    jumps = [k for k in range(1, len(states)) if states[k].theta[0] < states[k - 1].theta[0]]
    assert len(jumps) >= 3
    for cut in jumps:
        save(shared_tmp_path / "cut.npz", states[cut], comm)
        after = load(shared_tmp_path / "cut.npz", comm)
        again = list(df.evolve(problem, after, regularization=df.Tikhonov(1e-8), **choices))
        assert len(again) == len(states) - 1 - cut
        assert all(map(same_states, again, states[cut + 1 :]))


@pytest.mark.mpi
def test_a_finished_run_resumed_yields_nothing(comm, shared_tmp_path):
    problem = advection(comm, 2)
    theta = problem.ansatz.pack(amplitudes=[1.0, 0.5], centers=[[0.0], [0.7]], scales=[1.5, 2.0])
    choices = {"until": 0.1, "controller": df.Fixed(0.05), "integrator": df.RK4, "regularization": df.Inertia(1e-4)}
    *_, end = df.evolve(problem, df.State(0.0, theta), **choices)
    save(shared_tmp_path / "end.npz", end, comm, problem=problem)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(df.evolve(problem, load(shared_tmp_path / "end.npz", comm), **choices)) == []
    with pytest.warns(df.errors.DfpdeWarning, match="2 output times up to the state's t = 0.1 are skipped"):
        later = list(df.evolve(problem, end, **(choices | {"until": 0.2}), times=(0.05, 0.1, 0.15)))
    assert [state.t for state in later] == [0.15, 0.2]


@pytest.mark.parametrize("cut", range(3, 9))
def test_events_happen_also_where_a_checkpoint_is_a_rounding_before_or_after(cut, tmp_path):
    """θ grows by 0.1 a step and is thrown back at 0.5, of which a step falls short by a rounding."""
    ansatz = linear(1)
    problem = df.Problem(ansatz, df.Quadrature.gauss((0, 1), 12, 8), lambda t, x, u: np.sqrt(2) * np.sin(np.pi * x[0]))
    back = df.Event(lambda t, state: state.theta[0] - 0.5, action=lambda state: state.with_(theta=state.theta - 1.0))
    how = dict(until=1.0, events=[back], regularization=df.Tikhonov(1e-10), controller=df.Fixed(0.1))
    states = list(df.evolve(problem, df.State(0.0, np.full(1, -1e-15)), **how))
    assert any(0 < 0.5 - state.theta[0] < 1e-14 for state in states)
    df.save(tmp_path / "s.npz", states[cut], problem=problem)
    (*_, last) = df.evolve(problem, df.load(tmp_path / "s.npz", problem=problem), **how)
    assert np.array_equal(last.theta, states[-1].theta) and last.step == states[-1].step
