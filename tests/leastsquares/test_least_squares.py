"""The engine against LAPACK: shapes, conditioning, ranks, refusal of what is not finite."""

from __future__ import annotations

import dataclasses
import weakref

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mpi4py import MPI

import dfpde as df
from dfpde.errors import NonFiniteError, OptionsError, ParameterError, ShapeError, SolverError
from dfpde.leastsquares import (
    LSQR,
    DenseRows,
    DualCholesky,
    GramCholesky,
    LeastSquares,
    MatrixFreeRows,
    Nystrom,
    PivotedCholesky,
    Products,
    SparseRows,
    Tangent,
    default_solver,
    singular_values,
)
from dfpde.leastsquares.pivoted import TAIL
from dfpde.leastsquares.rows import stride
from dfpde.leastsquares.sampling import Sampling

pytestmark = pytest.mark.mpi

FORMS = ("dense", "chunked", "products", "sparse", "two blocks")


def share(comm, n):
    """This rank's block of n rows."""
    return slice(n * comm.rank // comm.size, n * (comm.rank + 1) // comm.size)


def make_tangent(comm, matrix, root, form="dense"):
    """√W J from a replicated matrix (rows × p) in one of the forms the engine knows."""
    part = share(comm, len(matrix))
    local, weights = np.ascontiguousarray(matrix[part].T), root[part]
    p, n = local.shape
    columns = lambda points: np.array(local[:, points])  # noqa: E731
    if form == "dense":
        blocks = (DenseRows(local, weights),)
    elif form == "chunked":
        blocks = (MatrixFreeRows(Products(columns), weights, n, p),)
    elif form == "products":
        blocks = (MatrixFreeRows(Products(columns, 1, lambda v: v @ local, lambda y: local @ y), weights, n, p),)
    elif form == "sparse":
        from scipy.sparse import csr_array

        blocks = (SparseRows(csr_array(local.T), weights),)
    else:
        half = n // 2
        blocks = tuple(
            DenseRows(np.ascontiguousarray(local[:, s]), weights[s]) for s in (slice(0, half), slice(half, n))
        )
    return Tangent(blocks, comm)


def graded(n, p, condition, seed=0):
    """A matrix with singular values graded geometrically from 1 to 1/condition."""
    rng = np.random.default_rng(seed)
    u = np.linalg.qr(rng.standard_normal((n, p)))[0]
    v = np.linalg.qr(rng.standard_normal((p, p)))[0]
    return (u * np.geomspace(1, 1 / condition, p)) @ v.T


@pytest.mark.parametrize("form", FORMS)
def test_adjoint_identity(comm, form):
    rng = np.random.default_rng(3)
    tangent = make_tangent(comm, rng.standard_normal((53, 7)), rng.random(53) + 0.1, form)
    v, part = rng.standard_normal(7), share(comm, 53)
    y = rng.standard_normal(53)[part]
    left = comm.allreduce(float(tangent.apply(v) @ y))
    assert left == pytest.approx(float(v @ tangent.adjoint(y)), rel=1e-13)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_matrix(comm, form):
    rng = np.random.default_rng(4)
    matrix, root = rng.standard_normal((40, 6)), rng.random(40)
    weighted = root[:, None] * matrix
    tangent = make_tangent(comm, matrix, root, form)
    v = rng.standard_normal(6)
    np.testing.assert_allclose(tangent.apply(v), (weighted @ v)[share(comm, 40)], rtol=1e-13, atol=1e-13)
    gram = comm.allreduce(tangent.local_gram())
    np.testing.assert_allclose(np.tril(gram), np.tril(weighted.T @ weighted), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(tangent.column_norms(), np.linalg.norm(weighted, axis=0), rtol=1e-13)
    np.testing.assert_allclose(singular_values(tangent), np.linalg.svd(weighted)[1], rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("every", [1, 3])
def test_normal_matrix_gives_the_gradient(comm, form, every):
    """AᵀA, A = [√W J, y] of every k-th row of each block, times k (a sparse tangent takes all its rows)."""
    rng = np.random.default_rng(5)
    n, p = 60 * comm.size, 6
    tangent, y = make_tangent(comm, rng.standard_normal((n, p)), rng.random(n) + 0.1, form), rng.standard_normal(60)
    expected, start = np.zeros((p + 1, p + 1)), 0
    for block in tangent.blocks:
        k = 1 if form == "sparse" else every
        rows = np.sqrt(k) * np.column_stack([block.dense(), y[start : start + block.rows]])[k // 2 :: k]
        expected, start = expected + rows.T @ rows, start + block.rows
    found = tangent.local_normal(y, 60 / len(tangent.blocks) / every)
    np.testing.assert_allclose(found[:, :p], np.tril(expected)[:, :p], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_one_sweep_is_two_products(comm, form):
    rng = np.random.default_rng(14)
    tangent = make_tangent(comm, rng.standard_normal((53, 7)), rng.random(53) + 0.1, form)
    v, before = rng.standard_normal(7), rng.standard_normal(53)[share(comm, 53)]
    y = before.copy()
    local = tangent.sweep(v, y)
    np.testing.assert_allclose(y, tangent.apply(v) - before, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(local, tangent.local_adjoint(y), rtol=1e-13, atol=1e-13)


@pytest.fixture
def options():
    """PETSc's options database for the prefix "dfpde_kind_", emptied afterwards."""
    pytest.importorskip("petsc4py")
    from dfpde.leastsquares.petsc import PETSc

    prefix, database = "dfpde_kind_", PETSc.Options()
    yield lambda name, value: database.setValue(prefix + name, value)
    for name in list(database.getAll()):
        if name.startswith(prefix):
            database.delValue(name)


@pytest.mark.parametrize("kind", ["lsqr", "cgls", "cg", "minres"])
def test_other_solvers_of_petsc(comm, options, kind):
    """Selected by an option, each finds LAPACK's solution; PETSc's LSQR in as many iterations as the own one."""
    n, p, eps = 300, 20, 1e-2
    rng = np.random.default_rng(15)
    matrix, rhs = graded(n, p, 1e4), rng.standard_normal(n)
    options("ksp_type", kind)
    if kind == "cgls":
        options("pc_type", "none")
    system = LeastSquares(make_tangent(comm, matrix, np.ones(n)), rhs[share(comm, n)], eps)
    prefixes = ("dfpde_kind_", "dfpde_")
    found, own = (df.KSP(prefix=name, preconditioner=GramCholesky()).solve(system) for name in prefixes)
    oracle, tangent = df.Dense().solve(system), system.tangent
    for solution, bound in ((found, 1e-7), (own, 1e-10)):
        error = tangent.norm(tangent.apply(solution.value - oracle.value))
        assert error <= bound * tangent.norm(tangent.apply(oracle.value))
        assert solution.defect == pytest.approx(oracle.defect, rel=1e-9)
    if kind == "lsqr":  # PETSc's starts from zero, and tests for convergence one iteration later
        assert 0 <= found.iterations - own.iterations <= 2


@pytest.mark.parametrize("kind", ["none", "jacobi"])
def test_other_preconditioners_of_petsc(comm, options, kind):
    options("pc_type", kind)
    rng = np.random.default_rng(16)
    matrix, rhs = graded(90, 12, 30.0), rng.standard_normal(90)
    system = LeastSquares(make_tangent(comm, matrix, np.ones(90)), rhs[share(comm, 90)], 1e-2)
    found, oracle = df.KSP(prefix="dfpde_kind_", rtol=1e-12).solve(system), df.Dense().solve(system)
    np.testing.assert_allclose(found.value, oracle.value, atol=1e-8 * np.abs(oracle.value).max())


@pytest.mark.parametrize(
    ("option", "value"), [("ksp_type", "lsqrr"), ("pc_type", "nonsense"), ("ksp_max_it", "-5"), ("ksp_type", "preonly")]
)
def test_options_that_petsc_refuses_are_named(comm, options, option, value):
    options(option, value)
    system = LeastSquares(make_tangent(comm, np.eye(4), np.ones(4)), np.ones(4)[share(comm, 4)], 1e-2)
    with pytest.raises(OptionsError, match="under the prefix -dfpde_kind_"):
        df.KSP(prefix="dfpde_kind_").solve(system)


@given(st.integers(1, 5000), st.floats(0.5, 5000), st.sampled_from([0, 1, 2]))
def test_stride_keeps_enough_rows(rows, keep, line):
    k = stride(rows, keep, line)
    assert k == 1 or rows / k >= keep
    assert k % 2 == 1 or (line == 1 and rows % k == 0)


@given(st.integers(256, 40_000), st.integers(1, 600), st.lists(st.integers(0, 40), min_size=1, max_size=80))
@settings(max_examples=50, deadline=None)
def test_samples_stay_in_range_and_survive_a_restart(n, p, needed):
    """Whatever iterations are reported: from 32 rows to all of them, and the same choices from what was carried."""
    tangent = Tangent((DenseRows(np.empty((p, 0)), np.empty(0), 1),), MPI.COMM_SELF)
    tangent.blocks[0].rows = n
    one = Sampling()
    for iterations in needed:
        other = Sampling()
        other.carry = one.carry
        keep, patience = one.choose(tangent)
        assert (keep, patience) == other.choose(tangent)
        assert patience >= 1 and min(n, 32) <= keep <= n
        one.learn(iterations)
        other.learn(iterations)
        assert other.carry == one.carry
        if iterations >= patience:
            assert one.choose(tangent)[0] > keep


def test_one_factor_of_a_sample_may_serve_many_solves(comm):
    """Every solve reports its iterations to the sample that it had; the next tangent takes the sample chosen then."""
    rng = np.random.default_rng(8)
    tangent = make_tangent(comm, rng.standard_normal((9000, 30)), np.ones(9000))
    solver = LSQR()
    for _ in range(30):
        solution = solver.solve(LeastSquares(tangent, rng.standard_normal(9000)[share(comm, 9000)], 1e-3))
    assert solution.stats["builds"] == 0
    sampling = solver.preconditioner.sampling
    assert set(sampling.seen) <= {sampling._used} and abs(sampling.level - sampling._used) <= 1


def test_equispaced_points_of_a_periodic_problem_need_no_iteration(comm):
    """The coarser quadrature of a band-limited tangent is exact, so the start from its rows is the solution."""
    n, modes = 2400, np.arange(1, 40)
    q = df.Quadrature.periodic((0, 2 * np.pi), n, MPI.COMM_SELF)
    matrix = np.concatenate([np.sin(np.outer(q.x[0], modes)), np.cos(np.outer(q.x[0], modes))], axis=1)
    rhs = np.exp(np.sin(q.x[0]))
    rows = DenseRows(np.ascontiguousarray(matrix.T), np.sqrt(q.w), 1)
    system = LeastSquares(Tangent((rows,), MPI.COMM_SELF), np.sqrt(q.w) * rhs, 1e-3)
    solver = LSQR()
    assert solver.solve(system).iterations == 0
    assert solver.carry[0] > 0  # from every third row or fewer


def test_complex_systems_by_chunks_keep_the_order_of_rows(comm):
    """Rows (component, point, Re/Im) of a chunked tangent equal those of the stored one."""
    ansatz = df.Stack(df.WavePackets(2, 2), df.WavePackets(2, 1))
    rng = np.random.default_rng(5)
    q = df.Quadrature(rng.standard_normal((2, 11)), rng.random(11), comm, replicated=True)
    theta = rng.standard_normal(ansatz.size)
    f = lambda t, x, u: 1j * u.value  # noqa: E731
    stored = df.Problem(ansatz, q, f).tangent(theta)
    chunked = df.Problem(ansatz, q, f, storage=0).tangent(theta)
    assert stored.stored_bytes > 0 == chunked.stored_bytes
    v, y = rng.standard_normal(ansatz.size), rng.standard_normal(stored.rows)
    np.testing.assert_allclose(chunked.apply(v), stored.apply(v), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(chunked.adjoint(y), stored.adjoint(y), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(chunked.blocks[0].dense(), stored.blocks[0].dense(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("condition", [1e2, 1e6, 1e10, 1e12])
@pytest.mark.parametrize("eps", [1e-2, 1e-4, 1e-6])
def test_solution_equals_lapack(comm, condition, eps):
    """Issue: 1e-10 relative in ‖J·‖ for κ(J) up to 1e12 with ε ≥ 1e-6 ‖J‖, with a fresh and with a lagged factor."""
    n, p = 300, 30
    rng = np.random.default_rng(1)
    matrix = graded(n, p, condition)
    rhs = matrix @ rng.standard_normal(p) + 1e-2 * rng.standard_normal(n)
    root = np.ones(n)
    solver = LSQR()
    moved = matrix + 1e-2 * eps * rng.standard_normal((n, p))
    for current in (moved, matrix):  # the second solve uses the factor of the first
        system = LeastSquares(make_tangent(comm, current, root), rhs[share(comm, n)], eps)
        found, oracle = solver.solve(system), df.Dense().solve(system)
        tangent = system.tangent
        error = tangent.norm(tangent.apply(found.value - oracle.value))
        assert error <= 1e-10 * tangent.norm(tangent.apply(oracle.value))
        assert found.defect == pytest.approx(oracle.defect, rel=1e-9)


EPS = [1e-1, 1e-3, 1e-6]
KINDS = ["plain", "zero column", "duplicated column", "zero rows", "low rank"]
SOLVERS = [
    LSQR,
    lambda: LSQR(preconditioner=GramCholesky()),
    lambda: LSQR(preconditioner=DualCholesky()),
    lambda: LSQR(preconditioner=PivotedCholesky(max_rank=25)),
]


def against_the_oracle(comm, n, p, seed, eps, kind, form, solver):
    """N < p, N = p, N > p, no rows, zero and duplicated columns, weights over eight orders; ε in units of ‖√W J D⁻¹‖.

    1e-10 ‖r‖ in the field, and ε times the same bound in the parameters.
    """
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((n, p))
    if kind == "zero column":
        matrix[:, -1] = 0
    elif kind == "duplicated column":
        matrix[:, -1] = matrix[:, 0]
    elif kind == "zero rows":
        matrix[: n // 2] = 0
    elif kind == "low rank":
        matrix[:, p // 2 :] = matrix[:, : p // 2] @ rng.standard_normal((p // 2, p - p // 2))
    rhs, root = rng.standard_normal(n), 10.0 ** rng.uniform(-4, 0, n)
    scale = rng.random(p) + 0.5
    eps *= max(1e-300, float(np.linalg.norm(root[:, None] * matrix / scale, 2)) if n else 1.0)
    system = LeastSquares(make_tangent(comm, matrix, root, form), rhs[share(comm, n)], eps, scale)
    found, oracle = solver().solve(system), df.Dense().solve(system)
    tangent, size = system.tangent, float(np.linalg.norm(rhs))
    assert tangent.norm(tangent.apply(found.value - oracle.value)) <= 1e-10 * size + 1e-300
    assert eps * np.linalg.norm(scale * (found.value - oracle.value)) <= 1e-9 * size + 1e-300
    assert found.defect == pytest.approx(oracle.defect, rel=1e-7, abs=1e-9 * size)


@settings(max_examples=40)
@example(25, 25, 0, 1e-6, "plain", "dense", LSQR)
@example(25, 25, 1, 1e-6, "low rank", "products", lambda: LSQR(preconditioner=DualCholesky()))
@given(
    st.integers(0, 25),
    st.integers(1, 25),
    st.integers(0, 10**6),
    st.sampled_from(EPS),
    st.sampled_from(KINDS),
    st.sampled_from(FORMS),
    st.sampled_from(SOLVERS),
)
def test_random_shapes_against_the_oracle(n, p, seed, eps, kind, form, solver):
    against_the_oracle(MPI.COMM_SELF, n, p, seed, eps, kind, form, solver)


@pytest.mark.parametrize("seed", range(60))
def test_random_shapes_on_all_ranks(comm, seed):
    """Hypothesis' examples depend on the modules that a process has loaded, so ranks may get different ones."""
    rng = np.random.default_rng(seed)
    eps, kind, form, solver = (options[rng.integers(len(options))] for options in (EPS, KINDS, FORMS, SOLVERS))
    against_the_oracle(comm, int(rng.integers(26)), int(rng.integers(1, 26)), seed, eps, kind, form, solver)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["rhs", "tangent"])
@pytest.mark.parametrize("solver", [default_solver, df.Dense])
def test_not_finite_is_refused_on_all_ranks(comm, bad, where, solver):
    rng = np.random.default_rng(0)
    matrix, rhs = rng.standard_normal((30, 4)), rng.standard_normal(30)
    (rhs if where == "rhs" else matrix)[29 if where == "rhs" else (29, 2)] = bad  # on the last rank only
    system = LeastSquares(make_tangent(comm, matrix, np.ones(30)), rhs[share(comm, 30)], 1e-3)
    with pytest.raises(NonFiniteError, match="NaN") as caught:
        solver().solve(system)
    assert caught.value.collective and "Try:" in str(caught.value)


def test_a_tangent_that_becomes_nan_after_the_factor_was_built(comm):
    rng = np.random.default_rng(0)
    matrix, rhs = rng.standard_normal((30, 4)), rng.standard_normal(30)[share(comm, 30)]
    solver = LSQR()
    solver.solve(LeastSquares(make_tangent(comm, matrix, np.ones(30)), rhs, 1e-3))
    matrix[3, 1] = np.nan
    with pytest.raises(NonFiniteError, match="tangent"):
        solver.solve(LeastSquares(make_tangent(comm, matrix, np.ones(30)), rhs, 1e-3))


def test_sudden_changes_are_safe(comm):
    """Another matrix, another ε, another shape: the kept factor never spoils the solution."""
    rng = np.random.default_rng(2)
    solver = LSQR()
    for n, p, eps, factor in [
        (80, 10, 1e-3, 1),
        (80, 10, 1e-3, 1e4),
        (80, 10, 1e-7, 1e4),
        (80, 10, 1.0, 1e-3),
        (60, 12, 1e-3, 1),
    ]:
        matrix, rhs = factor * rng.standard_normal((n, p)), rng.standard_normal(n)
        system = LeastSquares(make_tangent(comm, matrix, np.ones(n)), rhs[share(comm, n)], eps)
        found, oracle = solver.solve(system), df.Dense().solve(system)
        tangent = system.tangent
        assert tangent.norm(tangent.apply(found.value - oracle.value)) <= 1e-10 * np.linalg.norm(rhs)


@pytest.mark.parametrize("eps", [1e-2, 1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("scaled", [False, True])
def test_the_dual_factor_is_the_inverse_however_small_eps_is(comm, eps, scaled):
    """(BᵀB + ε²D²)⁻¹ of few rows with singular values over eight orders, from their eigenvectors."""
    m, p = 12 * comm.size, 40 * comm.size
    rng = np.random.default_rng(11)
    u, v = np.linalg.qr(rng.standard_normal((m, m)))[0], np.linalg.qr(rng.standard_normal((p, m)))[0]
    scale = rng.random(p) + 0.5 if scaled else np.ones(p)
    sigma = np.geomspace(1, 1e-8, m)
    matrix = (u * sigma) @ v.T * scale
    system = LeastSquares(make_tangent(comm, matrix, np.ones(m)), np.ones(m)[share(comm, m)], eps, scale)
    preconditioner = DualCholesky()
    for current in (dataclasses.replace(system, eps=1.0, scale=None), system):
        preconditioner.build(current) if current.eps == 1.0 else preconditioner.shift(current)
    if comm.rank == 0:
        for y in (v[:, 0], v[:, m // 2], v[:, -1], rng.standard_normal(p)):
            inside = v.T @ y
            exact = (v @ (inside / (sigma**2 + eps**2)) + (y - v @ inside) / eps**2) / scale
            found = preconditioner.solve(scale * y)
            energy = lambda x: np.sqrt(np.sum((matrix @ x) ** 2) + eps**2 * np.sum((scale * x) ** 2))  # noqa: E731
            assert energy(found - exact) <= max(1e-6, 1e-15 / eps**2) * energy(exact)


@pytest.mark.parametrize("eps", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("scaled", [False, True])
def test_pivoted_factor_holds_the_informed_directions(comm, eps, scaled):
    """Eigenvalues of P⁻¹(BᵀB + ε²D²) in [1/(2 + TAIL), 2 + TAIL], by few pivots, though one row alone decides one."""
    m, p = 60 * comm.size, 40
    rng = np.random.default_rng(12)
    scale = rng.random(p) + 0.5 if scaled else np.ones(p)
    matrix = graded(m, p, 1e10)
    alone = np.linalg.qr(matrix.T @ rng.standard_normal((m, 1)))[0][:, 0]
    matrix -= np.outer(matrix @ alone, alone)
    matrix[m // 3] += alone
    system = LeastSquares(make_tangent(comm, matrix * scale, np.ones(m)), np.ones(m)[share(comm, m)], eps, scale)
    preconditioner = PivotedCholesky(max_rank=p)
    preconditioner.build(dataclasses.replace(system, eps=1.0, scale=None))
    preconditioner.shift(dataclasses.replace(system, eps=10 * eps))
    preconditioner.shift(system)
    sigma = np.linalg.svd(matrix, compute_uv=False)
    assert preconditioner.complete and preconditioner.rank <= 1.5 * np.sum(sigma > eps / 10) + 2
    if comm.rank == 0:
        inverse = np.stack([preconditioner.solve(row) for row in np.diag(scale)]) * scale
        energy = np.linalg.cholesky(matrix.T @ matrix + eps**2 * np.eye(p))
        values = np.linalg.eigvalsh(energy.T @ (inverse + inverse.T) @ energy / 2)
        assert values[0] >= 1 / (2 + TAIL) and values[-1] <= 2 + TAIL


def test_thousands_of_parameters_take_pivots_where_few_directions_are_informed(comm):
    """`Sampled` on 1100 columns: of rank 30 by pivots, of full rank by another factor, LAPACK's solution both times."""
    n, p = 1500, 1100
    rng = np.random.default_rng(13)
    thin = rng.standard_normal((n, 30)) @ rng.standard_normal((30, p))
    solver, kinds = LSQR(), []
    for matrix in (thin, rng.standard_normal((n, p))):
        rhs = rng.standard_normal(n)
        system = LeastSquares(make_tangent(comm, matrix, np.ones(n)), rhs[share(comm, n)], 1e-2)
        found = solver.solve(system)
        kinds.append(solver.preconditioner.sampling.rank)
        inner = matrix.T @ (rhs - matrix @ found.value) - 1e-4 * found.value
        assert np.linalg.norm(inner) <= 1e-9 * np.linalg.norm(matrix.T @ rhs)
    assert 30 <= kinds[0] <= 60 and kinds[1] <= 0  # CUT, or forgotten since


def test_the_same_tangent_is_factored_once(comm):
    """Another ε and right-hand side: no new Gram matrix, the same solution as from the beginning."""
    rng = np.random.default_rng(6)
    tangent = make_tangent(comm, rng.standard_normal((400, 60)), np.ones(400))
    solver, builds = LSQR(), []
    for eps in (1e-3, 1e-1, 1.0):
        system = LeastSquares(tangent, rng.standard_normal(400)[share(comm, 400)], eps)
        found, oracle = solver.solve(system), df.Dense().solve(system)
        builds.append(found.stats["builds"])
        assert tangent.norm(tangent.apply(found.value - oracle.value)) <= 1e-10 * tangent.norm(system.rhs)
    assert builds[0] >= 1 and builds[1:] == [0, 0]


def test_a_factor_of_too_few_rows_is_replaced(comm):
    """A carried level of very coarse sampling on a tangent of much information: finer factors until it converges."""
    rng = np.random.default_rng(9)
    system = LeastSquares(
        make_tangent(comm, rng.standard_normal((3000, 40)), np.ones(3000)),
        rng.standard_normal(3000)[share(comm, 3000)], 1e-6,
    )  # fmt: skip
    solver = LSQR()
    solver.carry = (7.0, 1.0, 0.0)
    found, oracle = solver.solve(system), df.Dense().solve(system)
    assert found.stats["builds"] > 1 and solver.carry[0] < 7
    np.testing.assert_allclose(found.value, oracle.value, atol=1e-9 * np.abs(oracle.value).max())


def test_petsc_runs_the_same_iteration(comm):
    """`KSP` and `LSQR`: the same iterates to rounding, whatever the number of iterations, the same carry."""
    pytest.importorskip("petsc4py")
    rng = np.random.default_rng(10)
    one, two = LSQR(), df.KSP()
    for k in range(6):
        matrix, rhs = graded(900, 30, 1e5, seed=k), rng.standard_normal(900)[share(comm, 900)]
        system = LeastSquares(make_tangent(comm, matrix, np.ones(900)), rhs, 1e-4)
        own, petsc = one.solve(system), two.solve(system)
        assert (own.iterations, own.reason, one.carry) == (petsc.iterations, petsc.reason, two.carry)
        np.testing.assert_allclose(petsc.value, own.value, atol=1e-14 * np.abs(own.value).max())
        assert petsc.defect == pytest.approx(own.defect, rel=1e-13)


def test_a_run_does_not_depend_on_what_its_solver_did_before(comm):
    """Two runs with one solver, and the same run with another one: the same bits."""
    ansatz = df.PeriodicGaussianMixture.isotropic((2.0,), 10)
    problem = df.Problem(ansatz, df.Quadrature.periodic((-1, 1), 800, comm), lambda t, x, u: -df.dx(u))
    theta = ansatz.pack(amplitudes=1.0, centers=np.linspace(-1, 0.8, 10)[:, None], scales=4.0)
    solver, found = default_solver(), []
    for used in (solver, solver, default_solver()):
        *_, state = df.evolve(
            problem, df.State(0.0, theta), until=0.05, controller=df.Fixed(0.01), integrator=df.RK4, solver=used
        )  # fmt: skip
        found.append(state.theta)
    assert solver.carry
    np.testing.assert_array_equal(found[1:], found[:1] * 2)


def test_solvers_that_are_gone_leave_nothing_behind(comm):
    """PETSc objects hold Python objects that garbage collection does not see through: the tangent must go with them."""
    tangent = make_tangent(comm, np.random.default_rng(0).standard_normal((30, 4)), np.ones(30))
    solver, other = default_solver(), weakref.ref(tangent)
    solver.solve(LeastSquares(tangent, np.ones(tangent.rows), 1e-3))
    del solver, tangent
    assert other() is None


def test_agreement_with_one_rank(comm):
    """Any number of ranks: differences stay below C κ_ε u with κ_ε = ‖J‖/ε (see docs/least_squares.md)."""
    n, p, eps = 200, 20, 1e-4
    rng = np.random.default_rng(8)
    matrix, rhs = graded(n, p, 1e8), rng.standard_normal(n)
    alone = LeastSquares(make_tangent(MPI.COMM_SELF, matrix, np.ones(n)), rhs, eps)
    spread = LeastSquares(make_tangent(comm, matrix, np.ones(n)), rhs[share(comm, n)], eps)
    one, many = LSQR().solve(alone), LSQR().solve(spread)
    difference = alone.tangent.norm(alone.tangent.apply(one.value - many.value))
    assert difference <= 10 * (1 / eps) * 2.0**-53 * np.linalg.norm(rhs) + 2 * 1e-11 * np.linalg.norm(rhs)
    assert len(set(comm.allgather(many.value.tobytes()))) == 1  # bitwise the same on every rank


def test_misuse_is_named(comm):
    tangent = make_tangent(comm, np.ones((12, 2)), np.ones(12))
    good = np.ones(tangent.rows)
    with pytest.raises(ShapeError, match="right-hand side"):
        LSQR().solve(LeastSquares(tangent, np.ones(tangent.rows + 1), 1.0))
    with pytest.raises(ParameterError, match="eps"):
        LSQR().solve(LeastSquares(tangent, good, -1.0))
    with pytest.raises(ParameterError, match="scale"):
        LSQR().solve(LeastSquares(tangent, good, 1.0, np.array([1.0, 0.0])))
    with pytest.raises(SolverError, match="DIVERGED_MAX_IT") as caught:
        rng = np.random.default_rng(0)
        matrix = graded(60, 20, 1e6)
        solver = LSQR(max_it=1, preconditioner=Nystrom(rank=1))
        solver.solve(
            LeastSquares(make_tangent(comm, matrix, np.ones(60)), rng.standard_normal(60)[share(comm, 60)], 1e-6)
        )
    assert caught.value.collective and caught.value.iterations >= 1


def test_zero_right_hand_side(comm):
    tangent = make_tangent(comm, np.ones((12, 2)), np.ones(12))
    found = LSQR().solve(LeastSquares(tangent, np.zeros(tangent.rows), 1e-3))
    assert not found.value.any() and found.defect == 0
