"""Derivatives and tangent in one pass: the same numbers to the last bit, and never instead of what a subclass says."""

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.ansatz import Frozen, Network, PositiveMixture, Stack, check_ansatz
from dfpde.ansatz.multiindex import multi_indices
from dfpde.ansatz.networks.embedding import PeriodicEmbedding

POINTS = 5000  # more than one block of every ansatz


def network(dim):
    return Network(dim, (12, 7), embedding=PeriodicEmbedding((2.0, 3.0)[:dim], 2))


def frozen(dim):
    inside = df.GaussianMixture.full(dim, 5)
    return Frozen(inside, np.linspace(-1, 1, inside.size), ("centers",))


ANSAETZE = {
    "isotropic": lambda dim: df.GaussianMixture.isotropic(dim, 20),
    "full": lambda dim: df.GaussianMixture.full(dim, 20),
    "positive": lambda dim: PositiveMixture.diagonal(dim, 20),
    "periodic": lambda dim: df.PeriodicGaussianMixture.diagonal((2.0, 3.0)[:dim], 20),
    "packets": lambda dim: df.WavePackets(dim, 10),
    "network": network,
    "stack": lambda dim: Stack(df.GaussianMixture.isotropic(dim, 3), network(dim)),
    "frozen": frozen,
}
each = pytest.mark.parametrize("name", ANSAETZE)


class Tripled(df.GaussianMixture):
    """3 u, by someone who has overridden what there was before `derivatives`."""

    def derivative(self, theta, x, alpha):  # the value is made of it
        return 3.0 * super().derivative(theta, x, alpha)


def setting(name, dim):
    ansatz, rng = ANSAETZE[name](dim), np.random.default_rng(dim)
    return ansatz, 0.5 * rng.standard_normal(ansatz.size), rng.uniform(-1, 1, (dim, POINTS))


@pytest.mark.parametrize("dim", (1, 2))
@each
def test_to_the_last_bit(name, dim):
    ansatz, theta, x = setting(name, dim)
    alphas = list(multi_indices(dim, 2))
    assert ansatz.one_pass
    values, tangent = ansatz.evaluate(theta, x, alphas)
    np.testing.assert_array_equal(tangent, ansatz.tangent(theta, x))
    for value, alpha in zip(values, alphas, strict=True):
        np.testing.assert_array_equal(value, ansatz.derivative(theta, x, alpha))
    field, alone = df.Field.evaluated(ansatz, theta, x, alphas), df.Field(ansatz, theta, x)
    for quantity in ("value", "gradient", "hessian", "laplacian"):
        np.testing.assert_array_equal(getattr(field, quantity), getattr(alone, quantity))
        np.testing.assert_array_equal(getattr(field, quantity), getattr(ansatz, quantity)(theta, x))


@each
def test_a_stage_does_not_depend_on_the_one_before(name):
    """The first stage evaluates what f asks for, later ones know what it will be: one number, one run, one restart."""
    ansatz, theta, x = setting(name, 1)
    q = df.Quadrature(x, np.full(POINTS, 1 / POINTS), MPI.COMM_SELF)
    problem = df.Problem(ansatz, q, lambda t, x, u: df.laplacian(u) + (u.value * df.dx(u) if t > 0 else 0.0))
    for t in (0.0, 0.0, 1.0, 1.0, 0.0):
        fresh = df.Problem(ansatz, q, problem.rhs).system(t, theta)
        system = problem.system(t, theta)
        np.testing.assert_array_equal(system.rhs, fresh.rhs)
        np.testing.assert_array_equal(system.tangent.blocks[0].dense(), fresh.tangent.blocks[0].dense())


class Counting(df.GaussianMixture):
    """Counts passes over the points."""

    passes = 0

    def evaluate(self, theta, x, alphas):
        self.passes += 1
        return super().evaluate(theta, x, alphas)

    def derivatives(self, theta, x, alphas):
        self.passes += 1
        return super().derivatives(theta, x, alphas)


@pytest.mark.mpi
def test_one_pass_for_each_stage(comm):
    ansatz = Counting.isotropic(2, 3)
    q = df.Quadrature(np.random.default_rng(comm.rank).random((2, 30)), np.ones(30), comm)
    given = df.Problem(ansatz, q, lambda t, x, u: u.value + df.laplacian(u) + df.dot(np.ones((2, 30)), df.grad(u)))
    problem = given.for_run()
    theta = np.linspace(0.5, 1.5, ansatz.size)
    counts = []
    for t in range(3):
        ansatz.passes = 0
        problem.system(float(t), theta)
        counts.append(ansatz.passes)
    assert counts == [3, 1, 1]  # value, Laplacian and gradient one after the other, before it is known
    for fresh in (given, given.for_run()):  # what a run knows is its own
        ansatz.passes = 0
        fresh.system(0.0, theta)
        assert ansatz.passes == 3


class Shifted(df.GaussianMixture):
    """u + 1, by someone who has never heard of `evaluate`."""

    def value(self, theta, x):
        return super().value(theta, x) + 1.0


class Doubled(df.GaussianMixture):
    def laplacian(self, theta, x):
        return 2.0 * super().laplacian(theta, x)


def test_derivatives_of_a_subclass_are_its_own():
    ansatz, plain = Tripled.full(2, 2), df.GaussianMixture.full(2, 2)
    theta, x = np.linspace(0.2, 1.4, ansatz.size), np.random.default_rng(0).random((2, 9))
    field = df.Field(ansatz, theta, x)
    for name in ("value", "gradient", "hessian", "laplacian"):
        wanted = 3.0 * getattr(plain, name)(theta, x)
        np.testing.assert_allclose(getattr(ansatz, name)(theta, x), wanted, rtol=1e-14)
        np.testing.assert_allclose(getattr(field, name), wanted, rtol=1e-14)


@pytest.mark.mpi
def test_what_a_subclass_overrides_counts(comm):
    q = df.Quadrature(np.random.default_rng(comm.rank).random((1, 30)), np.ones(30), comm)
    theta = np.array([1.0, 0.5, 2.0])
    plain = df.GaussianMixture.isotropic(1, 1)
    for kind, wanted in ((Shifted, plain.value(theta, q.x) + 1.0), (Doubled, 2.0 * plain.laplacian(theta, q.x))):
        ansatz = kind.isotropic(1, 1)
        for outer in (ansatz, Stack(ansatz), Frozen(ansatz, theta)):
            assert not outer.one_pass
            problem = df.Problem(outer, q, lambda t, x, u, kind=kind: u.value if kind is Shifted else df.laplacian(u))
            for _ in range(2):
                np.testing.assert_array_equal(problem.system(0.0, theta).rhs, wanted)


@each
def test_what_a_field_keeps_cannot_be_written_to(name):
    ansatz, theta, x = setting(name, 1)
    for field in (df.Field(ansatz, theta, x), df.Field.evaluated(ansatz, theta, x, [(0,), (1,), (2,)])):
        for kept in (field.value, field.gradient, field.hessian, field.laplacian, field.derivative(1)):
            with pytest.raises(ValueError, match="read-only"):
                kept += 1.0


class Rounded(df.GaussianMixture):
    """Its `evaluate` has other last digits: runs would depend on whether they were restarted."""

    def evaluate(self, theta, x, alphas):
        values, tangent = super().evaluate(theta, x, alphas)
        return values * (1.0 + 2.0**-50), tangent


def test_check_ansatz_names_an_evaluate_that_rounds_otherwise():
    with pytest.raises(df.errors.AnsatzError, match="evaluate is wrong"):
        check_ansatz(Rounded.isotropic(1, 2), np.linspace(-1, 1, 12)[None])
