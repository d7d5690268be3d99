"""Points that follow the solution: known means, restarts to the last bit, ranks, norms, and what is out of reach."""

import warnings

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.ansatz import PositiveMixture
from dfpde.ansatz.mixtures import moments
from dfpde.errors import CheckpointError, DfpdeError, ParameterError, QuadratureError, ShapeError
from dfpde.measures import (
    Blend,
    Components,
    Draws,
    FittedGaussian,
    FittedStudent,
    Moving,
    SamplingWarning,
    Uniform,
    Written,
    fisher,
    in_turn,
    independent,
    relative,
    sampling,
    unseen_defect,
)
from dfpde.measures.proposals import Cloud
from tests.small import last

SELF = MPI.COMM_SELF
D = 3
G = df.GaussianMixture.full(D, 2)
MEANS = np.array([[0.0, 0.0, 0.0], [1.0, 0.5, -0.5]])
WIDTHS = np.array([np.diag([0.2, 0.3, 0.1]), [[0.3, 0.1, 0.0], [0.1, 0.2, 0.0], [0.0, 0.0, 0.2]]])
THETA = G.pack(amplitudes=[1.0, 0.7], centers=MEANS, scales=G.scales(WIDTHS))
CLOUD = Cloud(G, THETA, moments.mean(G, THETA), moments.covariance(G, THETA))
BOX = [(-3.0, 4.0), (-3.0, 3.5), (-3.0, 3.0)]
SHIFT = Written(lambda cloud, u: u[1:] * 8 - 4, lambda cloud, x: np.full(x.shape[1], 8.0**-3))

PROPOSALS = {
    "components": Components(1.3),
    "components, evenly": Components(1.3, even=0.5),
    "gaussian": FittedGaussian(1.3),
    "student": FittedStudent(1.2, 4.0),
    "uniform": Uniform(BOX),
    "written": SHIFT,
    "blend": Blend((Components(), FittedStudent(), Uniform(BOX)), (2.0, 1.0, 1.0)),
}
every_proposal = pytest.mark.parametrize("name", PROPOSALS)


@every_proposal
def test_a_proposal_draws_from_the_density_that_it_states(name):
    """∫ u dx, ∫ x u dx of a mixture, known in closed form, within five standard errors, with independent points."""
    n, proposal = 20000, PROPOSALS[name]
    x = proposal.points(CLOUD, Draws(n, 3, 0, SELF, independent).uniform(D + 1))
    terms = np.vstack([np.ones(n), x]) * G.value(THETA, x) / proposal.density(CLOUD, x)
    found, error = terms.mean(axis=1), terms.std(axis=1) / np.sqrt(n)
    exact = moments.mass(G, THETA) * np.append(1.0, moments.mean(G, THETA))
    assert np.all(np.abs(found - exact) < 5 * error) and np.all(error < 0.2)


def test_components_are_drawn_with_u_itself():
    """Unwidened, u/q is constant: every point carries the same mass."""
    x = Components(1.0).points(CLOUD, Draws(512, 0, 0, SELF).uniform(D + 1))
    ratio = G.value(THETA, x) / Components(1.0).density(CLOUD, x)
    assert ratio == pytest.approx(np.full(512, moments.mass(G, THETA)), rel=1e-12)


def test_components_of_no_mass_get_their_share_of_the_points():
    """A component of mass 1e-9 that is far from the others: `even`/n of the points, none by mass alone."""
    theta = G.pack(**{**G.unpack(THETA), "amplitudes": [1e-9, *G.unpack(THETA)["amplitudes"][1:]]})
    part, uniform = G.unpack(theta), Draws(4096, 0, 0, SELF).uniform(D + 1)
    cloud = Cloud(G, theta, np.zeros(D), np.eye(D))

    def near(even):
        x = Components(0.01, even).points(cloud, uniform)
        return np.mean(np.linalg.norm(x - part["centers"][0][:, None], axis=0) < 0.5)

    assert near(0.0) == 0 and near(0.6) == pytest.approx(0.6 / G.n, abs=2e-3)


def test_wave_packets_are_drawn_with_their_squares():
    packet = df.WavePackets(2, 1)
    width = np.array([[0.3 + 1.2j, 0.1 + 0.2j], [0.1 + 0.2j, 0.8j]])
    theta = packet.pack(centers=[[0.5, -1.0]], momenta=[[2.0, 0.0]], zeta=[[0.0, 0.3]], **packet.widths(width))
    cloud = Cloud(packet, theta, np.zeros(2), np.eye(2))
    x = Components(1.0).points(cloud, Draws(256, 0, 0, SELF).uniform(3))
    ratio = np.abs(packet.value(theta, x)) ** 2 / Components(1.0).density(cloud, x)
    assert np.ptp(ratio) < 1e-12 * ratio[0]


def test_the_standard_error_is_that_of_independent_points():
    """Over 200 keys: the stated errors of ‖u‖ agree with the spread of ‖u‖."""
    quadratures = []
    for seed in range(200):
        x = Components(1.3).points(CLOUD, Draws(512, seed, 0, SELF, independent).uniform(D + 1))
        quadratures.append(df.Quadrature.samples(x, Components(1.3).density(CLOUD, x), SELF))
    found = [sampling(q, G.value(THETA, q.x)) for q in quadratures]
    exact = np.sqrt(moments.squared_norm(G, THETA))
    norms = np.array([s.norm for s in found])
    assert np.sqrt(np.mean([s.error**2 for s in found])) == pytest.approx(norms.std() / exact, rel=0.25)
    assert abs(np.mean(norms**2) / exact**2 - 1) < 4 * np.std(norms**2) / exact**2 / np.sqrt(200)


# -- an equation: Ornstein–Uhlenbeck, for which Gaussians stay Gaussian ---------------------------------------------
RATE, NOISE = np.array([1.0, 0.5, 2.0])[:, None], 0.05
ONE = df.GaussianMixture.diagonal(D, 1)
START = df.State(0.0, ONE.pack(amplitudes=1.0, centers=[[1.0, -1.0, 0.5]], scales=[[2.0, 3.0, 2.5]]))


def drift_and_diffusion(t, x, u):
    return df.dot(RATE * x, df.grad(u)) + RATE.sum() * u.value + NOISE * df.laplacian(u)


def problem(comm=SELF, ansatz=ONE):
    return df.Problem(ansatz, df.Quadrature.gauss([(-4.0, 4.0)] * D, 4, 2, comm), drift_and_diffusion)


def silent(call, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)  # the first quadrature is a coarse one
        return call(*arguments)


def moved(moving, comm=SELF, start=START):
    return silent(moving.start, problem(comm, ONE), start)


@pytest.mark.parametrize("weight", [None, fisher, relative, lambda u, q: np.exp(-0.1 * np.sum(u.x**2, axis=0))])
def test_a_closed_ansatz_is_exact_in_every_norm_with_few_points(weight):
    """The residual vanishes, so 64 points find the velocity: the error is that of the steps alone."""
    moving = Moving(Components(), 64, seed=1, weight=weight)
    end = last(df.evolve(*moved(moving), until=1.0, controller=df.PI(rtol=1e-6), adapt=moving))
    mean = np.array([1.0, -1.0, 0.5]) * np.exp(-RATE[:, 0])
    variance = np.array([0.5, 1 / 3, 0.4]) ** 2 * np.exp(-2 * RATE[:, 0])
    variance += NOISE / RATE[:, 0] * (1 - np.exp(-2 * RATE[:, 0]))
    part = ONE.unpack(end.theta)
    assert part["centers"][0] == pytest.approx(mean, abs=2e-5)
    assert part["scales"][0] ** -2 == pytest.approx(variance, rel=2e-5)
    assert moments.mass(ONE, end.theta) == pytest.approx(moments.mass(ONE, START.theta), rel=2e-5)
    assert end.statistics.effective_samples > 16 and 0 < end.statistics.sampling_error < 0.2


CONTROL = df.PI(rtol=1e-4)


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("proposal", [Components(), Blend((FittedGaussian(), FittedStudent()), (0.7, 0.3))])
def test_a_restart_in_the_middle_takes_the_same_steps_bit_for_bit(tmp_path, every, proposal):
    moving = Moving(proposal, 128, seed=4, every=every)
    first, start = moved(moving)
    states = list(df.evolve(first, start, until=0.5, controller=CONTROL, adapt=moving))
    middle = states[4]
    df.save(tmp_path / "middle.npz", middle, problem=first)
    loaded = df.load(tmp_path / "middle.npz", problem=first)
    rest = list(df.evolve(problem(), loaded, until=0.5, controller=CONTROL, adapt=in_turn(moving)))
    assert len(rest) == len(states) - 5
    for a, b in zip(rest, states[5:], strict=True):
        assert a.t == b.t and np.array_equal(a.theta, b.theta) and np.array_equal(a.velocity, b.velocity)


def test_a_run_in_a_directory_goes_on_with_its_points(tmp_path):
    """Stopped after three output times and begun again, a `Run` has the states of one that was never stopped."""
    moving, times = Moving(Components(), 128, seed=4), np.linspace(0.1, 0.5, 5)
    first, start = moved(moving)
    choices = {"until": 0.5, "times": times, "controller": CONTROL, "adapt": moving}
    whole = list(df.evolve(first, start, **choices))
    for stop in (3, None):
        with df.Run(tmp_path / "run", first) as run:
            for count, _ in enumerate(run.evolve(start, **choices), 1):
                if count == stop:
                    break
            end = run.state
    assert end.t == 0.5 and np.array_equal(end.theta, whole[-1].theta)


def test_a_checkpoint_belongs_to_the_rule_and_its_seed(tmp_path):
    moving = Moving(Components(), 64, seed=4)
    first, start = moved(moving)
    df.save(tmp_path / "start.npz", start, problem=first)
    later, _ = moved(moving, start=start.with_(step=5, measure_carry=()))
    assert np.array_equal(df.load(tmp_path / "start.npz", problem=later).theta, start.theta)  # other points, same rule
    other, _ = moved(Moving(Components(), 64, seed=5))
    with pytest.raises(CheckpointError, match=r"measure\.seed is 4 in the file, 5 here"):
        df.load(tmp_path / "start.npz", problem=other)


@pytest.mark.mpi
def test_ranks_agree_with_one_process(comm):
    """Points to rounding, so that six steps agree to rounding too."""
    moving = Moving(Blend((Components(), FittedStudent()), (0.8, 0.2)), 256, seed=2, every=2)

    def run(comm):
        first, start = silent(moving.start, problem(comm), START)
        controller = df.Fixed(0.02)
        return last(df.evolve(first, start, until=0.12, regularization=df.Inertia(1e-6), controller=controller,
                              adapt=moving))  # fmt: skip

    alone, together = run(SELF), run(comm)
    assert together.theta == pytest.approx(alone.theta, rel=1e-9)
    assert together.measure_carry[1] == pytest.approx(alone.measure_carry[1], rel=1e-9)
    assert together.statistics.effective_samples == pytest.approx(alone.statistics.effective_samples, rel=1e-8)


@pytest.mark.mpi
def test_a_rank_without_points(comm):
    """Two points on three ranks: each has w = 1/(2 q)."""
    begun, _ = silent(Moving(Components(), 2).start, problem(comm), START)
    q = begun.quadrature
    assert q.size == 2 and q.integrate(q.density) == pytest.approx(1.0)


def test_the_number_of_points_follows_the_informed_directions(tmp_path):
    """128 and 7 informed directions at 30 points each make 256, from the first look on, and in a restart."""
    moving = Moving(Components(), 128, per_direction=30.0)
    first, start = moved(moving)
    states = list(df.evolve(first, start, until=0.1, controller=df.Fixed(0.02), adapt=moving))
    sizes = [moving.problem(problem(), state).quadrature.size for state in (start, *states)]
    assert sizes[0] == 128 and sizes[1:] == [256] * len(states)
    assert 6.5 < states[-1].statistics.effective_dimension < 7.0


def test_the_defect_that_counts_is_that_at_other_points():
    """A velocity fitted at 8 points to 7 parameters leaves little there, and ten times more elsewhere."""
    isotropic = df.GaussianMixture.isotropic(D, 1)
    theta = isotropic.pack(amplitudes=1.0, centers=[[1.0, -1.0, 0.5]], scales=2.5)
    defects = {}
    for n in (8, 4096):
        moving = Moving(Components(), n, seed=1)
        begun, start = silent(moving.start, problem(ansatz=isotropic), df.State(0.0, theta))
        choices = {"regularization": df.Tikhonov(1e-8), "controller": df.Fixed(1e-4), "on_unresolved": "ignore"}
        state = last(df.evolve(begun, start, until=1e-4, **choices))
        large = Moving(Components(), 4096, seed=2).start(begun, state)[0]
        defects[n] = state.statistics.defect, unseen_defect(large, state)
    (few, elsewhere), (many, also) = defects[8], defects[4096]
    assert many == pytest.approx(also.norm, rel=0.05) and also.error < 0.05
    assert few < 0.7 * many < many < elsewhere.norm


# -- what is out of reach ----------------------------------------------------------------------------------------
FAR = G.pack(amplitudes=[1.0, 1.0], centers=[[0.0] * D, [6.0] * D], scales=G.scales(0.1 * np.eye(D)))


def at_the_origin(cloud, u):
    from scipy.special import ndtri

    return 0.5 * ndtri(u[1:])


def density_there(cloud, x):
    return np.exp(-2 * np.sum(x**2, axis=0)) / (0.5 * np.sqrt(2 * np.pi)) ** D


class Opaque(df.Ansatz):
    """The same field as two Gaussians, of which nobody knows that they are."""

    dim, size = D, G.size

    def value(self, theta, x):
        return G.value(theta, x)

    def tangent(self, theta, x):
        return G.tangent(theta, x)


def test_a_proposal_that_misses_half_of_the_solution_is_said():
    """Of two Gaussians the points see one: ‖u‖ is too small by √2."""
    missing = Moving(Written(at_the_origin, density_there), 4096)
    wide = df.Quadrature.gauss([(-3.0, 9.0)] * D, 24, 3, SELF)
    state = df.State(0.0, FAR)
    for ansatz, words in ((G, "closed form"), (Opaque(), "points before")):
        with pytest.warns(SamplingWarning, match=words):
            missing.start(df.Problem(ansatz, wide, drift_and_diffusion), state)
    with pytest.warns(SamplingWarning, match="carry"):  # a single heavy tail finds the other half, with few points
        tails = Written(lambda c, u: 12 * (2 * u[1:] - 1), lambda c, x: np.full(x.shape[1], 24.0**-D))
        Moving(tails, 256).start(df.Problem(Opaque(), wide, drift_and_diffusion), state)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SamplingWarning)
        Moving(Components(), 1024).start(df.Problem(G, wide, drift_and_diffusion), state)


def test_refusals():
    with pytest.raises(ParameterError, match="2 shares for 1"):
        Blend((Components(),), (0.5, 0.5))
    with pytest.raises(ParameterError, match="no points of this measure"):
        Moving(Components(), 8).problem(problem(), START)
    with pytest.raises(ParameterError, match="has no Gaussian components"):
        Moving(Components(), 8).start(df.Problem(Opaque(), problem().quadrature, drift_and_diffusion), df.State(0, FAR))
    flat = ONE.pack(amplitudes=1.0, centers=0.0, scales=[[1.0, 0.0, 1.0]])
    with pytest.raises(ParameterError, match="a scale is zero"):
        moved(Moving(Components(), 8), start=df.State(0.0, flat))
    nowhere = ONE.pack(amplitudes=0.0, centers=0.0, scales=1.0)
    with pytest.raises(QuadratureError, match="not positive definite"):
        moved(Moving(FittedGaussian(), 8), start=df.State(0.0, nowhere))


def test_an_ansatz_grows_and_its_points_move():
    """One hook for both: the points of a grown mixture are drawn from all of its components."""
    moving = Moving(Components(), 512, seed=0)
    grown = []

    def grow(model, state):
        if state.step != 2:
            return None
        ansatz = df.GaussianMixture.diagonal(D, 2)
        theta, velocity = df.ansatz.insert(ONE, ansatz, state.theta, state.velocity, {
            "amplitudes": 0.0, "centers": [0.0, 0.0, 0.0], "scales": [2.0, 2.0, 2.0]})  # fmt: skip
        grown.append(theta.size)
        return model.with_ansatz(ansatz, None), state.with_(
            theta=theta, velocity=velocity, anchor=velocity, scale=None, at_end=False, solver_carry=()
        )

    first, start = moved(moving)
    choices = {"controller": df.Fixed(0.02), "on_unresolved": "ignore"}  # a component of amplitude 0 is new
    states = list(df.evolve(first, start, until=0.2, adapt=in_turn(grow, moving), **choices))
    assert grown == [2 * ONE.size] and all(state.measure_carry[1].size == grown[0] for state in states[1:])


# -- densities in closed form ------------------------------------------------------------------------------------
def test_moments_of_mixtures_against_quadrature():
    q = df.Quadrature.gauss([(-4.0, 5.0)] * D, 8, 21, SELF)
    u = G.value(THETA, q.x)
    total, first = q.integrate(u), q.integrate(q.x * u)
    assert moments.mass(G, THETA) == pytest.approx(total, rel=1e-8)
    assert moments.mean(G, THETA) == pytest.approx(first / total, abs=1e-8)
    y = q.x - (first / total)[:, None]
    assert moments.covariance(G, THETA) == pytest.approx(q.integrate(y[:, None] * y[None] * u) / total, abs=1e-7)
    assert moments.squared_norm(G, THETA) == pytest.approx(q.norm(u) ** 2, rel=1e-8)
    plane, theta = moments.marginal(G, THETA, (0, 2))
    line = df.Quadrature.gauss((-5.0, 5.0), 20, 9, SELF)
    at = np.array([0.3, -0.2])
    along = np.vstack([np.full(line.n, at[0]), line.x[0], np.full(line.n, at[1])])
    assert plane.value(theta, at[:, None])[0] == pytest.approx(line.integrate(G.value(THETA, along)), rel=1e-8)


def test_a_positive_mixture_is_the_mixture_with_its_amplitudes():
    """Field, moments, points: the same; amplitudes that are not positive are refused."""
    p = PositiveMixture.full(D, 2)
    theta = p.pack(**p.by_amplitudes([1.0, 0.7]), centers=MEANS, scales=p.scales(WIDTHS))
    x = np.random.default_rng(2).normal(size=(D, 40))
    assert p.value(theta, x) == pytest.approx(G.value(THETA, x), rel=1e-14)
    assert p.tangent(theta, x)[2:] == pytest.approx(G.tangent(THETA, x)[2:], rel=1e-13)
    assert p.tangent(theta, x)[:2] == pytest.approx(np.array([[1.0], [0.7]]) * G.tangent(THETA, x)[:2], rel=1e-13)
    for known in (moments.masses, moments.mean, moments.covariance, moments.squared_norm):
        assert known(p, theta) == pytest.approx(known(G, THETA), rel=1e-13)
    plane, flat = moments.marginal(p, theta, (0, 2))
    same, alike = moments.marginal(G, THETA, (0, 2))
    assert plane.value(flat, x[:2]) == pytest.approx(same.value(alike, x[:2]), rel=1e-13)
    cloud, u = Cloud(p, theta, CLOUD.mean, CLOUD.covariance), Draws(64, 3, 0, SELF).uniform(D + 1)
    assert Components().points(cloud, u) == pytest.approx(Components().points(CLOUD, u), rel=1e-13)
    for amplitudes in (0.0, [1.0, -0.1]):
        with pytest.raises(ParameterError, match="smallest entry of amplitudes"):
            p.by_amplitudes(amplitudes)
    for mixture in (G, p):
        for wrong in (np.nan, "x", None, [1.0, np.inf]):
            with pytest.raises(DfpdeError, match="amplitudes"):
                mixture.by_amplitudes(wrong)
        with pytest.raises(ShapeError, match="amplitudes"):
            mixture.pack(**mixture.by_amplitudes([1.0, 2.0, 3.0]), centers=0.0, scales=1.0)


def test_a_positive_mixture_takes_its_best_fit_from_a_guess():
    """Two Gaussians of amplitudes far from one are found, although no block is linear."""
    ansatz, line = PositiveMixture.isotropic(1, 2), df.Quadrature.gauss((-6.0, 6.0), 40, 7, SELF)
    problem = df.Problem(ansatz, line, lambda t, x, u: u.value)
    start = df.fit(problem, lambda x: 2e3 * np.exp(-0.5 * (x[0] + 1) ** 2) + 5e2 * np.exp(-0.5 * (x[0] - 2) ** 2))
    assert np.sort(problem.ansatz.amplitudes(start.theta)) == pytest.approx([5e2, 2e3], rel=1e-5)


@pytest.mark.parametrize("kind", ["isotropic", "diagonal", "full"])
def test_a_split_keeps_three_moments_and_changes_the_field_to_second_order(kind):
    ansatz = getattr(df.GaussianMixture, kind)(D, 8)
    both = getattr(df.GaussianMixture, kind)(D, 16)
    wide = 0.2 * np.eye(D) if kind == "isotropic" else WIDTHS[1]
    theta = ansatz.pack(amplitudes=0.3, centers=[0.5, -1.0, 2.0], scales=ansatz.scales(wide))

    def change(share):
        new = df.ansatz.split(ansatz, theta, share, seed=1)
        assert moments.mass(ansatz, new) == pytest.approx(moments.mass(ansatz, theta), rel=1e-13)
        assert moments.mean(ansatz, new) == pytest.approx(moments.mean(ansatz, theta), abs=1e-13)
        if kind != "diagonal":  # which keeps the diagonal of a full covariance
            assert moments.covariance(ansatz, new) == pytest.approx(moments.covariance(ansatz, theta), abs=1e-13)
        a, b = ansatz.unpack(new), ansatz.unpack(theta)
        return moments.squared_norm(both, both.pack(
            amplitudes=np.append(a["amplitudes"], -b["amplitudes"]),
            **{name: np.concatenate([a[name], b[name]]) for name in ("centers", "scales")})) ** 0.5  # fmt: skip

    assert np.log2(change(0.02) / change(0.01)) == pytest.approx(2.0, abs=0.15)
    with pytest.raises(ParameterError, match="components that differ"):
        df.ansatz.split(G, THETA, 0.1)
    with pytest.raises(ParameterError, match="2 components in 3 dimensions"):
        df.ansatz.split(G, G.pack(amplitudes=1.0, centers=0.0, scales=G.scales(np.eye(D))), 0.1)
