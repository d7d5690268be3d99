"""Methods of comparison: each against its definition by a dense SVD, alone and in a run."""

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.regularization.rule import StageContext
from tests.small import last, linear, redundant, vector_problem

CONTEXT = StageContext(0.0, 0.1, 1, 3, 1)
COMM = MPI.COMM_SELF


def mixture(comm=COMM, scale=None):
    ansatz = df.GaussianMixture.isotropic(1, 4)
    q = df.Quadrature.gauss((-6, 6), 30, 6, comm)
    problem = df.Problem(ansatz, q, lambda t, x, u: df.laplacian(u) + np.sin(x[0]), scale=scale)
    return problem, ansatz.pack(
        amplitudes=[1, 0.5, -0.4, 0.2], centers=[[-1], [-0.3], [0.4], [1]], scales=[1, 1.1, 1.2, 1.3]
    )


def rows(problem, theta):
    system = problem.system(0.0, theta)
    return system, system.tangent.blocks[0].dense(), system.rhs


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("eps", [1e-1, 1e-3, 1e-5])
def test_truncated_svd(eps, scaled):
    problem, theta = mixture()
    problem = problem.scaled(theta) if scaled else problem
    d = problem.scale if scaled else np.ones(theta.size)
    system, J, f = rows(problem, theta)
    u, s, vt = np.linalg.svd(J / d, full_matrices=False)
    kept = s > eps
    expected = (vt[kept].T @ (u.T[kept] @ f / s[kept])) / d
    found = df.regularization.TruncatedSVD(eps).velocity(system, None, df.LSQR(), CONTEXT)
    assert 0 < kept.sum() <= len(s)
    assert np.allclose(J @ found.value, J @ expected, atol=1e-9)
    assert found.defect == pytest.approx(np.linalg.norm(J @ expected - f), rel=1e-9)


def test_onsager():
    """v = J_ε⁺ f + λ (I − V_ε V_εᵀ) m, m = β a + (1 − β) J_ε⁺ f; λ = 0 is the truncated SVD, no anchor starts m."""
    problem, theta = mixture()
    system, J, f = rows(problem, theta)
    u, s, vt = np.linalg.svd(J, full_matrices=False)
    eps = np.sqrt(s[5] * s[6])  # between two singular values
    v = vt[:6]
    informed = v.T @ (u.T[:6] @ f / s[:6])
    anchor = np.linspace(-1, 1, theta.size)
    mean = 0.7 * anchor + 0.3 * informed
    found = df.regularization.Onsager(eps, strength=0.8, average=0.7).velocity(system, anchor, df.LSQR(), CONTEXT)
    assert np.allclose(found.value, informed + 0.8 * (mean - v.T @ (v @ mean)), atol=1e-8)
    assert np.allclose(found.anchor, mean, atol=1e-8)
    plain = df.regularization.TruncatedSVD(eps).velocity(system, anchor, df.LSQR(), CONTEXT)
    assert np.allclose(
        df.regularization.Onsager(eps, strength=0.0).velocity(system, anchor, df.LSQR(), CONTEXT).value, plain.value
    )
    first = df.regularization.Onsager(eps).velocity(system, None, df.LSQR(), CONTEXT)
    assert np.allclose(first.value, plain.value, atol=1e-9)


@pytest.mark.mpi
def test_random_sparse_moves_few_parameters_and_is_keyed(comm):
    """As many as asked for, the best of these; the draw depends on seed and step alone, not on stage or ranks."""
    problem, theta = mixture(comm)
    system = problem.system(0.0, theta)
    rule = df.regularization.RandomSparse(5, 1e-8, seed=7)
    v = rule.velocity(system, None, df.LSQR(), CONTEXT).value
    moved = np.flatnonzero(v)
    assert len(moved) == 5
    assert np.array_equal(v, rule.velocity(system, None, df.LSQR(), CONTEXT).value)
    assert all(np.array_equal(moved, other) for other in comm.allgather(moved))
    same, *others = (
        np.flatnonzero(rule.velocity(system, None, df.LSQR(), StageContext(0.0, 0.1, 1, step, stage)).value)
        for step, stage in ((3, 0), (4, 1), (5, 2))
    )
    assert np.array_equal(moved, same)
    assert any(not np.array_equal(moved, other) for other in others)
    J = comm.allgather(system.tangent.blocks[0].dense())
    f = np.concatenate(comm.allgather(system.rhs))
    best = np.linalg.lstsq(np.vstack(J)[:, moved], f, rcond=None)[0]
    assert np.allclose(np.vstack(J)[:, moved] @ v[moved], np.vstack(J)[:, moved] @ best, atol=1e-6)
    everything = df.regularization.RandomSparse(1000, 1e-8).velocity(system, None, df.LSQR(), CONTEXT).value
    assert np.count_nonzero(everything) == theta.size


@pytest.mark.mpi
@pytest.mark.parametrize(
    "rule",
    [
        df.Tikhonov(1e-7),
        df.regularization.TruncatedSVD(1e-7),
        df.regularization.Onsager(1e-7),
        df.regularization.RandomSparse(3, 1e-9),
        df.InertiaFromMass(1e-9),
    ],
    ids=str,
)
def test_one_argument_changes_the_method(comm, rule):
    """At full rank all of them are Dirac–Frenkel: c' = A c to the accuracy of Runge–Kutta 4."""
    matrix = np.array([[-0.3, 1.0, 0.0], [-1.0, -0.3, 0.0], [0.2, 0.0, -0.5]])
    problem = vector_problem(linear(3), lambda t, c: matrix @ c, 3, comm)
    start = np.array([1.0, 0.0, 0.5])
    state = last(df.evolve(problem, df.State(0.0, start), until=1.0, regularization=rule, controller=df.Fixed(0.02),
                           integrator=df.RK4))  # fmt: skip
    values, vectors = np.linalg.eig(matrix)
    truth = (vectors @ (np.exp(values) * np.linalg.solve(vectors, start))).real
    assert np.linalg.norm(state.theta - truth) < 1e-6


def test_null_directions():
    """Truncated SVD leaves a null direction at rest, Onsager carries the average into it."""
    problem = vector_problem(redundant(), lambda t, c: [1.0], 1)
    system = problem.system(0.0, np.array([0.2, 0.5]))
    n, anchor = np.array([1.0, -1.0]) / np.sqrt(2), np.array([2.0, -1.0])
    assert df.regularization.TruncatedSVD(1e-6).velocity(system, anchor, df.LSQR(), CONTEXT).value @ n == pytest.approx(
        0, abs=1e-12
    )
    carried = df.regularization.Onsager(1e-6, 1.0, 0.9).velocity(system, anchor, df.LSQR(), CONTEXT).value
    assert carried @ n == pytest.approx(0.9 * (anchor @ n))


def test_bad_numbers_are_refused():
    for bad in (
        lambda: df.regularization.TruncatedSVD(0.0), lambda: df.regularization.Onsager(-1.0),
        lambda: df.regularization.Onsager(1e-3, average=1.0),
        lambda: df.regularization.RandomSparse(0, 1e-3), lambda: df.regularization.RandomSparse(3, np.nan),
        lambda: df.InertiaFromMass(0.0), lambda: df.InertiaFromMass(-1.0),
        lambda: df.Inertia(1e-3, 1.1), lambda: df.AutoInertia(0.0), lambda: df.AutoInertia(1e-4, safety=0.0),
    ):  # fmt: skip
        with pytest.raises(df.errors.ParameterError):
            bad()
