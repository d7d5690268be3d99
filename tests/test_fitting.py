"""Fits: fields inside the ansatz are found from coarse guesses, others as well as their parameters allow."""

import warnings

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.errors import DfpdeWarning, ParameterError
from dfpde.fitting import Fitted


def nothing(t, x, u):
    return 0 * u.value


def square(n, comm=MPI.COMM_SELF):
    return df.Problem(df.GaussianMixture.isotropic(2, n), df.Quadrature.gauss([(-2, 2)] * 2, 20, 5, comm), nothing)


def bump(x, s=20.0):
    return np.exp(-s * ((x[0] - 0.3) ** 2 + (x[1] + 0.1) ** 2))


def lattice(ansatz, amplitude=0.1):
    side = np.linspace(-1, 1, round(ansatz.n**0.5))
    return ansatz.pack(amplitudes=amplitude, centers=np.stack(np.meshgrid(side, side), -1).reshape(-1, 2), scales=2.0)


@pytest.mark.parametrize(("n", "narrow"), [(4, 2.0), (9, 2.0), (16, 2.0), (4, 20.0), (9, 20.0), (16, 20.0), (25, 20.0)])
def test_lattices_of_gaussians_find_one_gaussian(n, narrow):
    """Also from a guess whose widths are three times too large: no step throws the widths away."""
    problem = square(n)
    fitted = df.fit(problem, lambda x: bump(x, narrow), lattice(problem.ansatz), max_iterations=100)
    assert fitted.relative_misfit < 1e-6
    assert fitted.relative_misfit == pytest.approx(
        problem.quadrature.norm(problem.field(fitted).value - bump(problem.points, narrow))
        / problem.quadrature.norm(bump(problem.points, narrow)),
        rel=1e-6, abs=1e-15,
    )  # fmt: skip


def burgers(n=20):
    quadrature = df.Quadrature.periodic((-1, 1), 400, MPI.COMM_SELF)
    return df.Problem(df.PeriodicGaussianMixture.isotropic((2.0,), n), quadrature, nothing)


def sine(x):
    return -np.sin(np.pi * x[0])


def test_readme_guess_and_linear_start():
    problem = burgers()
    guess = problem.ansatz.pack(amplitudes=0.1, centers=np.linspace(-1, 0.9, 20)[:, None], scales=8.0)
    assert df.fit(problem, sine, guess).relative_misfit < 1e-6
    linear = df.fit(problem, sine, guess, linear="amplitudes", max_iterations=0)
    assert linear.relative_misfit < 1e-2 and linear.reason == "max_iterations"
    part, before = problem.ansatz.unpack(linear.theta), problem.ansatz.unpack(guess)
    assert np.array_equal(part["centers"], before["centers"]) and np.array_equal(part["scales"], before["scales"])
    assert df.fit(problem, sine, guess, linear="amplitudes", max_iterations=20).relative_misfit < 1e-8


def test_wave_packets():
    packets = df.WavePackets(1, 4)
    problem = df.Problem(packets, df.Quadrature.gauss((-8, 8), 60, 7, MPI.COMM_SELF), nothing)
    guess = packets.pack(
        centers=np.array([[-1.5], [-0.5], [0.5], [1.5]]), momenta=0.0, zeta=[[0.0, 1.0]] * 4, **packets.widths([[1j]])
    )
    found = df.fit(
        problem, lambda x: np.exp(-0.5 * (x[0] - 1) ** 2 + 1j * x[0]) + 0.3 * np.exp(-((x[0] + 1) ** 2)), guess
    )
    assert found.relative_misfit < 1e-6


def test_network_from_its_own_guesses():
    """P1b: one guess in two is worse, the best of both is returned."""

    def initial(x):
        return sum(s * np.exp(-10 * np.sin((x[0] - b) / 2) ** 2) for s, b in ((1, 0.5), (-1, 4.4)))

    network = df.Network(1, (10, 10), embedding=df.PeriodicEmbedding((2 * np.pi,), shifts=3))
    problem = df.Problem(network, df.Quadrature.periodic((0, 2 * np.pi), 200, MPI.COMM_SELF), nothing)
    both = df.fit(problem, initial, starts=2, seed=3, max_iterations=60)
    each = [df.fit(problem, initial, network.initial(seed), max_iterations=60) for seed in (3, 4)]
    assert each[0].relative_misfit != each[1].relative_misfit
    assert both.relative_misfit == min(fitted.relative_misfit for fitted in each) < 1e-3
    with pytest.warns(DfpdeWarning, match="after 0 iterations"):
        first = df.fit(problem, initial, network.initial(3), max_iterations=0)
        layer = df.fit(problem, initial, network.initial(3), linear=("weights2", "biases2"), max_iterations=0)
    assert layer.relative_misfit < 0.5 < first.relative_misfit
    as_array = df.fit(problem, initial, np.array([network.initial(3), network.initial(4)]), max_iterations=60)
    assert np.array_equal(as_array.theta, both.theta)


GUESSES = {
    "isotropic": lambda: df.GaussianMixture.isotropic(2, 9),
    "diagonal": lambda: df.GaussianMixture.diagonal(2, 9),
    "full": lambda: df.GaussianMixture.full(2, 9),
    "periodic": lambda: df.PeriodicGaussianMixture.diagonal((4.0, 4.0), 9),
    "stack": lambda: df.Stack(df.GaussianMixture.full(2, 9), df.GaussianMixture.full(2, 9), shared=("centers",)),
}


@pytest.mark.mpi
@pytest.mark.parametrize("name", GUESSES)
def test_guesses_of_mixtures(name, comm):
    """Without a guess, the same on every rank and for any number of ranks."""
    ansatz = GUESSES[name]()

    def initial(x):
        if name == "periodic":
            pair = df.PeriodicGaussianMixture.isotropic((4.0, 4.0), 2)
            return pair.value(pair.pack(amplitudes=1.0, centers=[[0.3, -0.1], [1.9, 0.1]], scales=[6.0, 4.0]), x)
        two = np.array([bump(x), bump(-x, 8.0)])
        return two if ansatz.shape else two.sum(axis=0)

    def fitted(comm, **how):
        quadrature = df.Quadrature.gauss([(-2, 2)] * 2, 12, 4, comm)
        return df.fit(df.Problem(ansatz, quadrature, nothing), initial, **how)

    with pytest.warns(DfpdeWarning, match="after 0 iterations"):
        begin, alone = fitted(comm, max_iterations=0), fitted(MPI.COMM_SELF, max_iterations=0)
    np.testing.assert_allclose(begin.theta, alone.theta, rtol=1e-6, atol=1e-9)
    assert begin.relative_misfit < 0.9
    if comm.size == 1:
        assert fitted(comm, max_iterations=60).relative_misfit < 1e-6


def test_guess_of_a_network_sees_its_points_at_unit_scale():
    """Scaling and moving the domain leaves the guessed field unchanged."""
    network, x = df.Network(1, (6, 6)), np.linspace(-1, 1, 21)[None]
    field = network.value(network.guess(x, 1), x)
    np.testing.assert_allclose(network.value(network.guess(1e3 * x + 5e3, 1), 1e3 * x + 5e3), field, atol=1e-10)


@pytest.mark.mpi
def test_a_bad_fit_warns_and_says_what_to_try(comm):
    problem = square(1, comm)
    far = problem.ansatz.pack(amplitudes=1e-6, centers=[[-1.9, 1.9]], scales=9.0)
    with pytest.warns(DfpdeWarning, match=r"misfit 1 of ‖u₀‖ .*(\n.*)?linear=.*starts=8"):
        fitted = df.fit(problem, bump, far)
    assert fitted.relative_misfit > 0.9
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        df.fit(problem, bump)


def test_blocks_that_are_not_linear_and_guesses_that_do_not_exist():
    problem = square(4)
    guess = lattice(problem.ansatz)
    for choice, what in (
        ({"linear": "scales"}, "not linear in scales"),
        ({"linear": "widths"}, "widths"),
        ({"starts": 2}, "given guess"),
    ):
        with pytest.raises(ParameterError, match=what):
            df.fit(problem, bump, guess, **choice)
    packets = df.Problem(df.WavePackets(1, 2), df.Quadrature.gauss((-8, 8), 20, 7, MPI.COMM_SELF), nothing)
    with pytest.raises(ParameterError, match="WavePackets offers no first guess"):
        df.fit(packets, lambda x: np.exp(-(x[0] ** 2)))


def test_a_fit_is_a_state_that_is_left_behind(tmp_path):
    problem = burgers(8)
    fitted = df.fit(problem, sine, t=0.5, max_iterations=5)
    assert isinstance(fitted, Fitted) and fitted.t == 0.5
    assert type(fitted.with_(t=1.0)) is type(fitted.counted(rejected=1)) is df.State
    assert fitted.statistics.error == fitted.misfit
    df.save(tmp_path / "start.npz", fitted, MPI.COMM_SELF)
    again = df.load(tmp_path / "start.npz", MPI.COMM_SELF)
    assert type(again) is df.State and np.array_equal(again.theta, fitted.theta)
    after = next(
        iter(df.evolve(problem, fitted, until=0.6, regularization=df.Tikhonov(1e-3), controller=df.Fixed(0.1)))
    )
    assert type(after) is df.State
