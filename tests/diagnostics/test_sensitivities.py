"""Sensitivities of whole runs against central differences of the same runs."""

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.errors import ParameterError, ShapeError

PERIOD = 2 * np.pi
COEFFICIENTS = np.array([0.05, 1.0])
UNTIL, STEPS = 0.3, 6


def setting(comm=MPI.COMM_SELF, scale=None):
    """Burgers with coefficients (ν, c): u_t = ν u_xx − c u u_x."""
    ansatz = df.PeriodicGaussianMixture.isotropic((PERIOD,), 3)
    quadrature = df.Quadrature.periodic((0, PERIOD), 48, comm)

    def problem_of(c):
        return df.Problem(
            ansatz, quadrature, lambda t, x, u: c[0] * df.dx(u, 2) - c[1] * u.value * df.dx(u), scale=scale
        )

    theta = ansatz.pack(amplitudes=[0.8, -0.6, 0.7], centers=[[0.3], [2.4], [4.4]], scales=[1.1, 1.3, 1.0])
    directions = np.zeros((ansatz.size, 1))
    directions[[0, 4], 0] = 1.0, -0.5
    return problem_of, theta, directions


def end(problem, theta, rule, scheme, anchor=None, solver=None):
    run = df.evolve(
        problem, df.State(0.0, theta, anchor=anchor), until=UNTIL, regularization=rule, integrator=scheme,
        controller=df.Fixed(UNTIL / STEPS), solver=df.Dense() if solver is None else solver,
    )  # fmt: skip
    return list(run)[-1].theta


def central(function, h):
    """Fourth-order central difference."""
    return (8 * (function(h) - function(-h)) - (function(2 * h) - function(-2 * h))) / (12 * h)


def differences(problem_of, theta, directions, rule, scheme, anchor=None):
    columns = [
        central(lambda s, e=e: end(problem_of(COEFFICIENTS + s * e), theta, rule, scheme, anchor), 1e-4)
        for e in np.eye(2) * COEFFICIENTS
    ]
    columns = [column / c for column, c in zip(columns, COEFFICIENTS, strict=True)]
    for direction in directions.T:
        columns.append(
            central(lambda s, d=direction: end(problem_of(COEFFICIENTS), theta + s * d, rule, scheme, anchor), 1e-4)
        )
    return np.stack(columns, axis=1)


def last(*args, **options):
    return list(df.diagnostics.sensitivities(*args, until=UNTIL, steps=STEPS, **options))[-1]


@pytest.mark.parametrize(
    ("rule", "scheme", "scaled", "anchored"),
    [
        (df.Inertia(1e-2, 0.97), df.RK4, False, False),
        (df.Inertia(1e-2, 1.0), df.DormandPrince, True, True),
        (df.InertiaFromMass(1e-5, 1e-5), df.integrators.Heun, True, False),
        (df.Tikhonov(1e-3), df.integrators.BogackiShampine, False, False),
    ],
    ids=["inertia RK4", "pure inertia DP5 scaled", "mass and friction Heun scaled", "Tikhonov BS3"],
)
def test_derivatives_of_a_run_agree_with_central_differences(rule, scheme, scaled, anchored):
    problem_of, theta, directions = setting(scale=np.linspace(0.7, 1.6, 9) if scaled else None)
    anchor = 0.1 * np.cos(np.arange(9.0)) if anchored else None
    start = df.State(0.0, theta, anchor=anchor)
    found = last(problem_of, COEFFICIENTS, start, directions, regularization=rule, integrator=scheme)
    np.testing.assert_allclose(found.state.theta, end(problem_of(COEFFICIENTS), theta, rule, scheme, anchor), atol=1e-9)
    reference = differences(problem_of, theta, directions, rule, scheme, anchor)
    error = np.abs(found.derivative - reference).max(0) / np.abs(reference).max(0)
    assert np.all(error < 1e-6), error
    assert np.abs(reference).max(0).min() > 0.01  # none of them is trivial


def test_sensitivity_of_a_quantity_is_that_of_its_values():
    problem_of, theta, directions = setting()
    energy = df.diagnostics.Functional.squared_norm()
    rule = df.Inertia(1e-2, 0.97)
    found = last(problem_of, COEFFICIENTS, df.State(0.0, theta), directions, regularization=rule)

    def value(s):
        problem = problem_of(COEFFICIENTS + np.array([s, 0.0]))
        return energy.value(problem, end(problem, theta, rule, df.RK4))

    gradient = found.of(energy, problem_of(COEFFICIENTS))
    assert gradient.shape == (3,)
    assert gradient[0] == pytest.approx(central(value, 1e-5), rel=1e-6)
    assert gradient[0] < 0  # more viscosity, less energy


def test_heat_equation_has_the_exact_sensitivity():
    """One Gaussian under u_t = ν u_xx stays exact: 1/s² grows by 2νt, a s is constant."""
    ansatz = df.GaussianMixture.isotropic(1, 1)
    quadrature = df.Quadrature.gauss((-8, 8), 40, 6, MPI.COMM_SELF)

    def problem_of(c):
        return df.Problem(ansatz, quadrature, lambda t, x, u: c[0] * df.laplacian(u))

    nu, t = 0.3, 0.4
    run = df.diagnostics.sensitivities(
        problem_of, [nu], df.State(0.0, np.array([1.0, 0.0, 1.0])), until=t, steps=40, regularization=df.Tikhonov(1e-6)
    )
    found = list(run)[-1]
    s = (1 + 2 * nu * t) ** -0.5
    ds = -t * s**3
    np.testing.assert_allclose(found.state.theta, [s, 0, s], atol=1e-7)
    np.testing.assert_allclose(found.derivative[:, 0], [ds, 0, ds], atol=1e-6)


@pytest.mark.mpi
def test_sensitivities_are_the_same_on_any_number_of_ranks(comm):
    results = []
    for ranks in (MPI.COMM_SELF, comm):
        problem_of, theta, directions = setting(ranks)
        start = df.State(0.0, theta)
        run = df.diagnostics.sensitivities(
            problem_of, COEFFICIENTS, start, directions, until=0.1, steps=2, regularization=df.Inertia(1e-2, 0.97)
        )
        results.append(list(run)[-1].derivative)
    np.testing.assert_allclose(results[1], results[0], atol=1e-8)


def test_refusals():
    problem_of, theta, _ = setting()
    start = df.State(0.0, theta)
    with pytest.raises(ParameterError, match="no derivative"):
        last(problem_of, COEFFICIENTS, start, regularization=df.AutoInertia())
    with pytest.raises(ShapeError, match="initial directions"):
        last(problem_of, COEFFICIENTS, start, np.zeros((2, 1)), regularization=df.Tikhonov(1e-2))
