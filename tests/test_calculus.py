"""Fields in formulas: a field is its values, evaluated once, and never written to."""

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df


class Counting(df.GaussianMixture):
    """Counts evaluations; no pass for several derivatives at once."""

    one_pass = False

    def value(self, theta, x):
        self.values = getattr(self, "values", 0) + 1
        return super().value(theta, x)

    def derivative(self, theta, x, alpha):
        self.derivatives_of = [*getattr(self, "derivatives_of", []), alpha]
        return super().derivative(theta, x, alpha)


THETA = np.array([1.0, 0.7, -0.3, 0.4, 2.0, 3.0])
X = np.linspace(-1, 1, 11)[None]


@pytest.fixture
def u():
    return df.Field(Counting.isotropic(1, 2), THETA, X)


def test_arithmetic_is_that_of_the_values(u):
    v = u.value
    for found, expected in {
        "cubic": (u - u**3, v - v**3),
        "left": (2 * u, 2 * v),
        "array": (X[0] * u, X[0] * v),
        "power": (2.0**u, 2.0**v),
        "negative": (-u * df.dx(u), -v * u.derivative(1)),
        "quotient": (1 / (1 + u), 1 / (1 + v)),
        "exp": (np.exp(u), np.exp(v)),
        "where": (np.where(u > 0.5, u, 0.0), np.where(v > 0.5, v, 0.0)),
        "maximum": (np.maximum(0.5, u), np.maximum(0.5, v)),
        "sum": (np.sum(u), np.sum(v)),
        "two fields": (u * u, v * v),
        "comparison": (u == u, np.ones(11, bool)),
        "part": (u[3], v[3]),
        "stack": (np.stack([u, u]), np.stack([v, v])),
    }.values():
        assert type(found) is not df.Field
        np.testing.assert_array_equal(found, expected)


def test_values_and_derivatives_are_evaluated_once_and_not_copied(u):
    u - u**3 + np.exp(u) * df.dx(u) + u * df.dx(u, 2) - df.dx(u) ** 2
    assert u.ansatz.values == 1 and sorted(u.ansatz.derivatives_of) == [(0,), (1,), (2,)]
    assert np.shares_memory(np.asarray(u), u.value)
    assert not np.shares_memory(np.array(u), u.value)


def test_a_field_is_not_written_to(u):
    with pytest.raises(TypeError):
        np.add(u, 1.0, out=u)
    with pytest.raises(TypeError):
        np.multiply(np.ones(11), 2.0, out=(u,))
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(u)[0] = 1.0
    with pytest.raises(TypeError):
        u += 1.0


def test_a_field_is_hashed_by_identity(u):
    assert u in {u} and hash(u) != hash(df.Field(u.ansatz, THETA, X))


@pytest.mark.parametrize("scheme", [df.RK4, df.integrators.ImplicitMidpoint])
def test_a_right_hand_side_may_return_the_field_itself(scheme):
    """u_t = u: exp(t), with f = u as a `Field` and as an array."""
    problem = [
        df.Problem(df.GaussianMixture.isotropic(1, 1), df.Quadrature.gauss((-3, 3), 12, 5, MPI.COMM_SELF), f)
        for f in (lambda t, x, u: u, lambda t, x, u: u.value)
    ]
    ends = []
    for each in problem:
        how = {"integrator": scheme, "regularization": df.Tikhonov(1e-8), "controller": df.Fixed(0.05)}
        *_, state = df.evolve(each, df.State(0.0, np.array([1.0, 0.0, 1.0])), until=0.2, **how)
        ends.append(state.theta)
    np.testing.assert_array_equal(*ends)
    assert ends[0][0] == pytest.approx(np.exp(0.2), rel=1e-4)


def test_components_of_a_system():
    pair = df.Stack(df.GaussianMixture.isotropic(1, 1), df.GaussianMixture.isotropic(1, 1))
    u = df.Field(pair, np.array([1.0, 0.0, 1.0, 2.0, 0.5, 3.0]), X)
    a, b = u
    np.testing.assert_array_equal(a, u.value[0])
    np.testing.assert_array_equal(u[1], b)
    assert (u * np.array([[1.0], [2.0]])).shape == (2, 11)
