"""Cells that follow the solution: exact and unbiased integrals, coefficients, restarts, ranks, and what is lost."""

import warnings

import numpy as np
import pytest
import skfem
from mpi4py import MPI

import dfpde as df
from dfpde import fem
from dfpde.errors import CheckpointError, ParameterError, QuadratureError
from dfpde.measures import CellPoints, MarkedCells, SamplingWarning
from tests.small import last
from tests.small_meshes import cube, monomials

SELF = MPI.COMM_SELF
G = df.GaussianMixture.full(2, 1)


def plume(center, variance=0.01):
    return G.pack(amplitudes=1.0, centers=[center], scales=G.scales(variance * np.eye(2)))


def square(comm=SELF, n=24):
    """[−1, 1]² in 2 n² triangles, inner vertices shaken."""
    mesh = cube("triangle", n)
    return df.Mesh.from_skfem(skfem.MeshTri(2 * mesh.p - 1, mesh.t), comm)


def turning(mesh):
    """u_t + v·∇u = 0, v = (−y, x), a finite-element function; and the right-hand side at given points."""
    space = fem.Space(mesh, skfem.ElementTriP1(), 1)
    velocity = fem.Function(space, np.array([-space.nodes.x[1], space.nodes.x[0]]))

    def equation(points):
        v = velocity.at(points)
        return lambda t, x, u: -df.dot(v, df.grad(u))

    return equation


large = pytest.mark.filterwarnings("ignore::dfpde.measures.SamplingWarning")  # u is larger than the mesh


# -- integrals ---------------------------------------------------------------------------------------------------
@large
@pytest.mark.mpi
@pytest.mark.parametrize("kind", ["line", "triangle", "quad", "tetra", "hexahedron", "triangle6"])
def test_polynomials_are_exact_where_all_cells_are_taken(kind, comm):
    """Marked or drawn with probability one: the points and weights are those of `Quadrature.from_mesh`."""
    mesh = df.Mesh.from_skfem(cube(kind, 3), comm)
    ansatz = df.GaussianMixture.isotropic(mesh.dim, 1)
    state = df.State(0.0, ansatz.pack(amplitudes=1.0, centers=0.5, scales=1.0))
    whole = df.Quadrature.from_mesh(mesh, 4)
    for choice in ({"tolerance": 1e-30, "rest": 0}, {"tolerance": 0.9, "rest": mesh.n_cells}):
        cells = MarkedCells(mesh, 4, lambda points: lambda t, x, u: 0 * u, **choice)
        problem, state = cells.start(ansatz, state.with_(measure_carry=()))
        q = problem.quadrature
        assert np.array_equal(q.x, whole.x) and np.array_equal(q.w, whole.w)
        assert state.statistics.sampling_error == 0.0
    if not kind.endswith("6"):  # whose cells are not straight
        for k in monomials(mesh.dim, 2):
            exact = np.prod(1 / (np.array(k) + 1.0))
            assert q.integrate(np.prod(q.x ** np.array(k)[:, None], axis=0)) == pytest.approx(exact, rel=1e-12)


@large
@pytest.mark.mpi
def test_a_rank_without_cells(comm):
    mesh = df.Mesh.from_skfem(skfem.MeshTri(), comm)
    cells = MarkedCells(mesh, 2, lambda points: lambda t, x, u: 0 * u)
    problem, _ = cells.start(G, df.State(0.0, plume([0.5, 0.5], 1.0)))
    assert problem.quadrature.measure == pytest.approx(1.0)


def draws(cells, theta, count):
    """Quadratures and statistics of so many steps."""
    for step in range(count):
        yield cells.start(G, df.State(0.0, theta, step=step))


@large
def test_the_rest_is_unbiased_and_its_error_is_the_stated_one():
    """Means over 600 steps of ∫ p dx within four standard errors, for all p of degree 2; variance (1/π − 1) Σ (∫_c p)²;
    and the stated error of ‖u‖ is the spread of ‖u‖."""
    mesh, theta = square(n=6), plume([0.2, 0.1], 0.1)
    cells = MarkedCells(mesh, 4, lambda points: lambda t, x, u: 0 * u, tolerance=0.6, rest=20)
    found = list(draws(cells, theta, 600))
    points = CellPoints.of(mesh, 4, np.arange(mesh.n_cells))
    powers = [np.array(k)[:, None] for k in monomials(2, 2)]
    p = np.array([np.prod(points.x**k, axis=0) for k in powers])
    sums = np.array([[problem.quadrature.integrate(np.prod(problem.points**k, axis=0)) for k in powers]
                     for problem, _ in found])  # fmt: skip
    exact = (p * points.w).sum(axis=1)
    assert np.all(np.abs(sums.mean(axis=0) - exact) < 4 * sums.std(axis=0) / np.sqrt(600))
    centres = mesh.local.p[:, mesh.local.t].mean(axis=1)
    size = G.value(theta, centres)
    rest = size <= 0.6 * size.max()
    share = 20 / rest.sum()
    of_cells = (p * points.w).reshape(len(p), -1, points.each).sum(axis=2)[:, rest]
    assert sums.var(axis=0) == pytest.approx((1 / share - 1) * (of_cells**2).sum(axis=1), rel=0.25)
    norms = np.array([problem.norm(theta) ** 2 for problem, _ in found])
    stated = np.array([state.statistics.sampling_error for _, state in found])
    assert 2 * np.sqrt(np.mean((stated * norms) ** 2)) == pytest.approx(norms.std(), rel=0.1)


def test_marked_are_the_cells_now_and_those_at_the_end_of_the_next_step():
    mesh = square()
    asked = []
    equation = lambda points: asked.append(points) or (lambda t, x, u: 0 * u)  # noqa: E731
    cells = MarkedCells(mesh, 1, equation, rest=0, tolerance=1e-2)
    here, there = plume([-0.4, 0.0]), plume([0.4, 0.1])
    moving = df.State(0.0, here, velocity=(there - here) / 0.5, dt=0.5)
    centres = mesh.local.p[:, mesh.local.t].mean(axis=1)
    now, then = G.value(here, centres), G.value(there, centres)
    for state, size in ((df.State(0.0, here), now), (moving, np.maximum(now, then))):
        cells.start(G, state)
        assert np.array_equal(np.unique(asked[-1].cells), np.flatnonzero(size > 1e-2 * size.max()))
    assert not np.any((now > 1e-2) & (then > 1e-2)) and np.any(then > 0.9)


# -- coefficients ------------------------------------------------------------------------------------------------
@pytest.mark.mpi
def test_finite_elements_are_evaluated_in_the_cells_of_the_points(comm):
    """P2 holds quadratic polynomials: values and gradients to rounding, components too."""
    mesh = square(comm, 12)
    space = fem.Space(mesh, skfem.ElementTriP2(), 1)
    x, y = space.nodes.x
    flow = fem.Function(space, np.array([x * y, 1 + y**2]))
    asked = []
    cells = MarkedCells(mesh, 3, lambda points: asked.append(points) or (lambda t, x, u: 0 * u), rest=30)
    cells.start(G, df.State(0.0, plume([0.3, 0.0])))
    x, y = asked[0].x
    assert flow.at(asked[0]) == pytest.approx(np.array([x * y, 1 + y**2]), abs=1e-13)
    assert flow.gradient_at(asked[0]) == pytest.approx(np.array([[y, 0 * x], [x, 2 * y]]), abs=1e-12)
    other = fem.Function(fem.Space(square(comm, 3), skfem.ElementTriP1(), 1), np.zeros(0))
    with pytest.raises(ParameterError, match="cells of another mesh"):
        other.at(asked[0])


# -- runs --------------------------------------------------------------------------------------------------------
START = df.State(0.0, G.pack(amplitudes=1.0, centers=[[0.5, 0.0]], scales=G.scales(np.diag([0.008, 0.016]))))
CONTROL = df.PI(rtol=1e-4)


def begun(comm=SELF, **choices):
    mesh = square(comm)
    cells = MarkedCells(mesh, 2, turning(mesh), **choices)
    return cells, *cells.start(G, START)


def test_a_gaussian_turns_with_a_finite_element_velocity():
    """The residual vanishes: exact in whatever cells are marked."""
    cells, problem, start = begun(tolerance=1e-2, rest=20)
    end = last(df.evolve(problem, start, until=np.pi / 2, controller=df.PI(rtol=1e-7), adapt=cells))
    part = G.unpack(end.theta)
    factor = G.factor.matrices(part["scales"])[0]
    assert part["centers"][0] == pytest.approx([0.0, 0.5], abs=1e-6)
    assert np.linalg.inv(factor @ factor.T) == pytest.approx(np.diag([0.016, 0.008]), abs=1e-7)
    assert cells.problem(problem, end).quadrature.size < 0.5 * 3 * 1152


@pytest.mark.parametrize("every", [1, 3])
def test_a_restart_in_the_middle_takes_the_same_steps_bit_for_bit(tmp_path, every):
    cells, first, start = begun(every=every, rest=40)
    states = list(df.evolve(first, start, until=0.6, controller=CONTROL, adapt=cells))
    df.save(tmp_path / "middle.npz", states[3], problem=first)
    cells, again, _ = begun(every=every, rest=40)
    loaded = df.load(tmp_path / "middle.npz", problem=again)
    rest = list(df.evolve(again, loaded, until=0.6, controller=CONTROL, adapt=cells))
    assert len(rest) == len(states) - 4
    for a, b in zip(rest, states[4:], strict=True):
        assert a.t == b.t and np.array_equal(a.theta, b.theta) and np.array_equal(a.velocity, b.velocity)
    with pytest.raises(CheckpointError, match=r"measure\.rest is 40 in the file, 41 here"):
        df.load(tmp_path / "middle.npz", problem=begun(every=every, rest=41)[1])


@pytest.mark.mpi
def test_ranks_agree_with_one_process(comm):
    def run(comm):
        cells, first, start = begun(comm, rest=40)
        choices = {"controller": df.Fixed(0.05), "regularization": df.Inertia(1e-6)}
        return last(df.evolve(first, start, until=0.2, adapt=cells, **choices))

    alone, together = run(SELF), run(comm)
    assert together.theta == pytest.approx(alone.theta, rel=1e-9, abs=1e-10)
    assert together.statistics.effective_samples == pytest.approx(alone.statistics.effective_samples, rel=1e-8)


# -- what is lost ------------------------------------------------------------------------------------------------
class Opaque(df.Ansatz):
    """The same field, of which nobody knows that it is a Gaussian."""

    dim, size = 2, G.size

    def value(self, theta, x):
        return G.value(theta, x)

    def tangent(self, theta, x):
        return G.tangent(theta, x)


def test_a_solution_that_leaves_is_said():
    cells, problem, start = begun(rest=0)
    with pytest.warns(SamplingWarning, match="closed form"):  # half of it is outside of the mesh
        cells.start(problem, df.State(0.0, plume([1.0, 0.0])))
    gone = start.with_(theta=plume([-0.5, 0.0]))
    with pytest.warns(SamplingWarning, match="at the points before") as said:
        _, left = cells.start(*cells.start(problem, gone))  # said once
    assert len(said) == 1 and left.measure_carry[0][1] == 1.0
    coarse = square(n=2)
    for ansatz in (G, Opaque()):
        cells = MarkedCells(coarse, 1, turning(coarse))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cells.start(ansatz, df.State(0.0, plume([0.1, 0.0], 0.004)))
        assert ["closed form" in str(one.message) for one in caught] == ([True] if ansatz is G else [])


def test_a_run_inside_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error", SamplingWarning)
        cells, problem, start = begun()
        last(df.evolve(problem, start, until=0.5, controller=CONTROL, adapt=cells))


def test_refusals():
    cells, problem, _ = begun()
    with pytest.raises(ParameterError, match="no marked cells"):
        cells.problem(problem, START)
    with pytest.raises(ParameterError, match="no equation"):
        MarkedCells(cells.mesh, 2).start(G, START)
    with pytest.raises(QuadratureError, match="u vanishes in the centre of all 1152 cells"):
        cells.start(G, df.State(0.0, plume([90.0, 0.0], 1e-4)))
