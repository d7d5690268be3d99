"""Integrals in closed form against quadrature, exact solutions, invariants."""

import warnings

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.ansatz.mixtures import moments
from dfpde.closed_form import ClosedForm, Operator
from dfpde.closed_form.polynomials import derivatives, evaluate, inner, multiply, shift, symmetric
from dfpde.errors import NonFiniteError, ParameterError, ShapeError
from dfpde.evolution.diagnosis import _growth
from dfpde.measures import present_metric
from dfpde.regularization import StageContext
from tests.small import last

SELF = MPI.COMM_SELF
RNG = np.random.default_rng(1)


def polynomials(m, d, degree):
    return [symmetric(RNG.normal(size=(m,) + (d,) * k), k) for k in range(degree + 1)]


def test_gaussian_integrals_of_polynomials_against_gauss_hermite():
    """E[p q] of degree 4 + 3 in two dimensions, exact with 8 nodes in each direction."""
    d = 2
    root = np.array([[0.8, 0.0], [0.3, 0.5]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    y = root @ np.array(np.meshgrid(nodes, nodes)).reshape(2, -1)
    w = np.outer(weights, weights).ravel() / (2 * np.pi)
    p, q, sigma = polynomials(3, d, 4), polynomials(2, d, 3), root @ root.T
    exact = (evaluate(p, y) * w) @ evaluate(q, y).T
    assert inner(derivatives(p, sigma), derivatives(q, sigma), sigma) == pytest.approx(exact, rel=1e-12)
    c = np.array([0.4, -1.0])
    assert evaluate(shift(p, c), y) == pytest.approx(evaluate(p, y + c[:, None]), rel=1e-11)
    assert evaluate(multiply(p[:3], q[:1] and [part[:1].repeat(3, 0) for part in q]), y) == pytest.approx(
        evaluate(p[:3], y) * evaluate(q, y)[:1], rel=1e-11
    )


# -- the model against a Problem with points -------------------------------------------------------------------
CUBIC = np.zeros((2, 2, 2))
CUBIC[0, 0, 1], CUBIC[1, 1, 1] = 0.3, -0.1


def positive():
    g = df.ansatz.PositiveMixture.full(2, 2)
    centers = [[0.3, 0.1], [-0.5, 0.7]]
    return g, g.pack(**g.by_amplitudes([1.0, 0.6]), centers=centers, scales=g.scales(np.diag([0.5, 0.4])))


def mixture(kind):
    g = getattr(df.GaussianMixture, kind)(2, 2)
    scales = g.scales(np.array([[[0.5, 0.1], [0.1, 0.4]], [[0.3, 0.0], [0.0, 0.6]]]))
    return g, g.pack(amplitudes=[1.0, -0.6], centers=[[0.3, 0.1], [-0.5, 0.7]], scales=scales)


def packets(width=None):
    g = df.WavePackets(2, 2, width)
    own = np.array([[[0.3 + 1.1j, 0.1 + 0.2j], [0.1 + 0.2j, 0.9j]], [[1.3j, 0.0], [0.0, -0.2 + 0.8j]]])
    blocks = {"centers": [[0.3, 0.1], [-0.5, 0.4]], "momenta": [[0.5, -0.7], [0.2, 0.3]]}
    return g, g.pack(**blocks, zeta=[[0.1, 0.2], [-0.4, 0.0]], **({} if width is not None else g.widths(own)))


SYMMETRIC = np.array([[0.3, 0.1], [0.1, 0.2]])
REAL = Operator((0.2, [0.1, -0.3], SYMMETRIC), ([0.5, 0.2], RNG.normal(size=(2, 2))), (SYMMETRIC, 0.1 * CUBIC))
COMPLEX = Operator.schroedinger((0.0, np.zeros(2), 0.5 * np.eye(2), CUBIC))
CASES = {
    "isotropic": (*mixture("isotropic"), REAL),
    "diagonal": (*mixture("diagonal"), REAL),
    "full": (*mixture("full"), REAL),
    "positive": (*positive(), REAL),
    "thawed": (*packets(), COMPLEX),
    "frozen": (*packets(np.array([[1.0j, 0.2], [0.2, 0.8j]])), COMPLEX),
}


@pytest.mark.parametrize("name", CASES)
def test_gram_matrix_rhs_and_curvature_against_quadrature(name):
    ansatz, theta, operator = CASES[name]
    points = df.Problem(ansatz, df.Quadrature.gauss([(-7.0, 7.0)] * 2, 16, 21, SELF), operator)
    exact, found = points.system(0.0, theta), ClosedForm(ansatz, operator).system(0.0, theta)
    a, b = exact.tangent.blocks[0].dense(), found.tangent.blocks[0].dense()
    size = np.abs(a.T @ a).max()
    assert b.T @ b == pytest.approx(a.T @ a, abs=1e-10 * size)
    assert b.T @ found.rhs == pytest.approx(a.T @ exact.rhs, abs=1e-10 * size)
    assert found.rhs @ found.rhs == pytest.approx(exact.rhs @ exact.rhs, rel=1e-10)
    model = ClosedForm(ansatz, operator)
    assert model.norm(theta) == pytest.approx(points.norm(theta), rel=1e-10)
    u = points.field(theta)
    energy = np.sum(points.weights * u.value.conj() * operator(0.0, u.x, u))
    assert model.inner(theta, operator) == pytest.approx(energy, rel=1e-9)
    v = np.random.default_rng(0).normal(size=theta.size)
    assert found.bend(v) == pytest.approx(exact.bend(1e-4 * v) / 1e-8, rel=1e-5)


def test_gaussians_in_ten_dimensions_follow_ornstein_uhlenbeck():
    """Mean and covariance obey closed equations: m' = c − A m, C' = −A C − C Aᵀ + 2 D."""
    d = 10
    rate = np.eye(d) + 0.3 * RNG.normal(size=(d, d)) / np.sqrt(d)
    source, noise, mean = RNG.normal(size=d), 0.02 * np.eye(d), np.linspace(0.9, 3.0, d)
    g = df.GaussianMixture.full(d, 1)
    model = ClosedForm(g, Operator.ornstein_uhlenbeck(rate, source, noise))
    start = df.State(0.0, g.pack(amplitudes=1.0, centers=[mean], scales=g.scales(0.1 * np.eye(d))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no leverage without points
        end = last(df.evolve(model, start, until=0.3, controller=df.PI(rtol=1e-7)))
    from scipy.linalg import expm

    e = expm(-0.3 * rate)
    steady = np.linalg.solve(rate, source)
    eye = np.eye(d)
    limit = np.linalg.solve(np.kron(rate, eye) + np.kron(eye, rate), 2 * noise.ravel()).reshape(d, d)
    covariance = limit + e @ (0.1 * eye - limit) @ e.T
    assert moments.mean(g, end.theta) == pytest.approx(steady + e @ (mean - steady), abs=1e-6)
    assert moments.covariance(g, end.theta) == pytest.approx(covariance, abs=1e-7)
    assert moments.mass(g, end.theta) == pytest.approx(moments.mass(g, start.theta), rel=1e-6)


def test_identical_components_have_a_null_space_without_noise():
    """Two Gaussians that are the same: rank of one, and a velocity of residual zero to rounding, not to its root."""
    d = 4
    g = df.GaussianMixture.full(d, 2)
    operator = Operator.ornstein_uhlenbeck(np.eye(d), np.ones(d), 0.1 * np.eye(d))
    theta = g.pack(amplitudes=1.0, centers=np.linspace(0, 1, d), scales=g.scales(0.3 * np.eye(d)))
    found = ClosedForm(g, operator).system(0.0, theta)
    a, f = found.tangent.blocks[0].dense(), found.rhs
    assert np.linalg.matrix_rank(a, tol=1e-12 * np.linalg.norm(a)) == g.size // 2
    v = np.linalg.lstsq(a, f, rcond=1e-10)[0]
    assert np.linalg.norm(a @ v - f) < 1e-11 * np.linalg.norm(f)


def test_the_present_metric_follows_a_density_that_contracts():
    """Amplitudes grow by σ^(-d): mass and covariance are ten times as good as in the metric of the start."""
    d, until = 6, 3.0
    g = df.GaussianMixture.full(d, 1)
    model = ClosedForm(g, Operator.ornstein_uhlenbeck(np.eye(d), np.zeros(d), 0.01 * np.eye(d)))
    theta = g.pack(amplitudes=1.0, centers=np.ones((1, d)), scales=g.scales(np.eye(d)))
    exact = 0.01 + 0.99 * np.exp(-2 * until)

    def errors(adapt):
        end = last(df.evolve(model, df.State(0.0, theta), until=until, controller=df.PI(rtol=1e-7), adapt=adapt))
        mass = moments.mass(g, end.theta) / moments.mass(g, theta) - 1
        return abs(mass), np.abs(moments.covariance(g, end.theta) / exact - np.eye(d)).max()

    fixed, present = errors(None), errors(present_metric)
    assert present[0] < 0.1 * fixed[0] and present[1] < 0.1 * fixed[1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_two_identical_gaussians_take_the_steps_of_one(seed):
    """Null directions of a Gram matrix are rounding, √u: with ε of their size they turn, and steps are rejected."""
    drift = np.eye(2) + 0.3 * np.random.default_rng(seed).standard_normal((2, 2))

    def steps(n):
        g = df.GaussianMixture.full(2, n)
        model = ClosedForm(g, Operator.ornstein_uhlenbeck(drift, np.zeros(2), 0.2 * np.eye(2)))
        theta = g.pack(amplitudes=1.0 / n, centers=np.ones((n, 2)), scales=g.scales(np.eye(2)))
        return last(df.evolve(model, df.State(0.0, theta), until=3.0, controller=df.PI(rtol=1e-9)))

    one, two = steps(1), steps(2)
    assert abs(two.step - one.step) <= 0.05 * one.step and two.statistics.rejected == one.statistics.rejected == 0


def test_a_wave_packet_in_a_harmonic_potential_swings_over():
    """After half a period the coherent state is on the other side; norm and energy are kept."""
    d = 4
    g = df.WavePackets(d, 1)
    model = ClosedForm(g, Operator.schroedinger((0.0, np.zeros(d), 0.5 * np.eye(d))))
    start = df.State(0.0, g.pack(centers=np.ones((1, d)), momenta=0.0, zeta=[[0.0, 0.25 * d * np.log(np.pi)]],
                                 **g.widths(1j * np.eye(d))))  # fmt: skip
    end = last(df.evolve(model, start, until=np.pi, controller=df.PI(rtol=1e-6)))
    part = g.unpack(end.theta)
    assert part["centers"] == pytest.approx(-np.ones((1, d)), abs=2e-5)
    assert part["momenta"] == pytest.approx(np.zeros((1, d)), abs=2e-5)
    hamiltonian = Operator((0.0, np.zeros(d), 0.5 * np.eye(d)), (), (-0.5 * np.eye(d),))
    energy = [model.inner(state.theta, hamiltonian).real for state in (start, end)]
    assert energy[0] == pytest.approx(d, rel=1e-12) and energy[1] == pytest.approx(energy[0], rel=1e-5)
    assert model.norm(end) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.mpi
def test_ranks_agree_with_one_process(comm):
    ansatz, theta, operator = CASES["full"]

    def run(comm):
        model = ClosedForm(ansatz, operator, comm=comm)
        return last(df.evolve(model, df.State(0.0, theta), until=0.1, regularization=df.Inertia(1e-4),
                              controller=df.Fixed(0.02), solver=df.LSQR()))  # fmt: skip

    assert run(comm).theta == pytest.approx(run(SELF).theta, rel=1e-9)


@pytest.mark.parametrize("closed", [True, False])
def test_growth_is_named_with_and_without_points(closed):
    """u_t = 2 u doubles within ln 2/2: what a diagnosis says of a run that fails."""
    ansatz, theta = mixture("full")
    growing = Operator((2.0, np.zeros(2)))
    points = df.Quadrature.gauss([(-6.0, 6.0)] * 2, 10, 9, SELF)
    model = ClosedForm(ansatz, growing) if closed else df.Problem(ansatz, points, growing)
    velocity = df.Tikhonov(1e-6).velocity(model.system(0.0, theta), None, df.Dense(), StageContext(0.0, 0.1, 1))
    state = df.State(0.0, theta)
    assert _growth(model, state, velocity, model.norm(state)) == pytest.approx(2.0, rel=1e-5)


def test_refusals():
    g, theta = mixture("full")
    with pytest.raises(ParameterError, match="no integrals in closed form"):
        ClosedForm(df.Network(2, (4,)), REAL).tangent(np.zeros(17))
    with pytest.raises(ShapeError, match="complex operator"):
        ClosedForm(g, COMPLEX).system(0.0, theta)
    with pytest.raises(ShapeError, match=r"drift\[1\]"):
        Operator((), ([1.0, 0.0], [1.0, 0.0]))
    with pytest.raises(ParameterError, match="not integrable"):
        ClosedForm(g, REAL).tangent(g.pack(amplitudes=1.0, centers=0.0, scales=0.0))


def test_integrals_that_overflow_are_a_stage_that_failed():
    """Amplitudes of 1e200: the Gram matrix is not finite, which no eigenvalue solver is asked to decompose."""
    ansatz, theta = mixture("full")
    model = ClosedForm(ansatz, Operator.ornstein_uhlenbeck(np.eye(2), np.zeros(2), 0.5 * np.eye(2)))
    theta = ansatz.pack(**{**ansatz.unpack(theta), "amplitudes": [1e200, -1e200]})
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(NonFiniteError, match="overflows"):
        model.system(0.0, theta)


def test_an_eigensolver_that_does_not_converge_is_replaced(monkeypatch):
    ansatz, theta = mixture("full")
    model = ClosedForm(ansatz, Operator.ornstein_uhlenbeck(np.eye(2), np.zeros(2), 0.5 * np.eye(2)))
    gram = model.system(0.0, theta).tangent.local_gram(np.inf)

    def fails(matrix):
        raise np.linalg.LinAlgError("Eigenvalues did not converge")

    monkeypatch.setattr(np.linalg, "eigh", fails)
    assert model.system(0.0, theta).tangent.local_gram(np.inf) == pytest.approx(gram, rel=1e-12, abs=1e-12)
