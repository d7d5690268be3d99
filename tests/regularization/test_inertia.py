"""Inertia: continuous and per-step forms, the first velocity, and the automatic choice of ε."""

import numpy as np
import pytest

import dfpde as df
from benchmarks import study_problems as study
from benchmarks.auto_rule import growth
from dfpde.regularization.automatic import change, curvature, iterate, limited, stiffness_norm
from dfpde.regularization.rule import FIRST_SOLVES, StageContext
from tests.small import Written, last, linear, redundant, vector_problem


def test_continuous_form_is_consistent_under_changes_of_the_step():
    """μ θ̈ + κ θ̇ = 0 in a null direction: velocities decay as e^{−κt/μ}, for one step of h or many of h/n alike."""
    problem = vector_problem(redundant(), lambda t, c: [0.0], 1)
    mass, friction, n = 0.5, 0.4, np.array([1.0, -1.0]) / np.sqrt(2)
    errors = []
    for steps in (50, 100):
        start = df.State(0.0, np.zeros(2), velocity=n, anchor=n)
        rule = df.InertiaFromMass(mass, friction)
        state = last(df.evolve(problem, start, until=1.0, regularization=rule, controller=df.Fixed(1 / steps),
                               integrator=df.RK4))  # fmt: skip
        errors.append(abs(state.velocity @ n - np.exp(-friction / mass)))
    assert errors[0] < 2e-3
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)  # implicit Euler for the velocity: first order in τ
    uneven, t, dt = df.State(0.0, np.zeros(2), velocity=n, anchor=n), 0.0, 1e-3
    while t < 1.0:  # steps that grow and shrink by large factors
        dt = min(0.04, 1.0 - t) if dt < 2e-3 else min(1e-3, 1.0 - t)
        uneven = next(df.evolve(problem, uneven, until=t + dt, regularization=rule, controller=df.Fixed(dt),
                                integrator=df.RK4))  # fmt: skip
        t = uneven.t
    assert uneven.velocity @ n == pytest.approx(np.exp(-friction / mass), abs=4e-3)


@pytest.mark.parametrize(
    ("integrator", "solves"), [(df.integrators.Euler, 1), (df.integrators.Heun, 2), (df.RK4, 4)], ids=["1", "2", "4"]
)
def test_effective_mass_does_not_depend_on_the_number_of_stages(integrator, solves):
    """ε² = μ/τ + κ with τ = h/stages: what a null direction remembers over a step is ρ^stages ≈ e^{−κh/μ}."""
    eps, rho = df.InertiaFromMass(0.5, 0.4).coefficients(0.1 / solves)
    assert eps**2 == pytest.approx(0.5 * solves / 0.1 + 0.4)
    assert rho**solves == pytest.approx(np.exp(-0.4 * 0.1 / 0.5), rel=4e-3)
    assert integrator.tableau.solves == solves


def test_first_velocity_is_nearly_unbiased_and_still_regularized():
    """Iterated Tikhonov: bias β^k in informed directions, nothing from directions far below ε."""
    ansatz = Written(3, lambda th: th, lambda th: np.diag([1.0, 0.1, 1e-6]))
    problem = vector_problem(ansatz, lambda t, c: [1.0, 0.1, 1e-3], 3)
    eps = 0.03
    v = df.Inertia(eps, 1.0).velocity(problem.system(0.0, np.ones(3)), None, df.Dense(), StageContext(0, 0.1, 1)).value
    beta = eps**2 / (np.array([1.0, 0.01, 1e-12]) + eps**2)
    exact = np.array([1.0, 1.0, 1e3])
    assert np.allclose(v, (1 - beta**FIRST_SOLVES) * exact, rtol=1e-9)
    assert abs(v[1] - 1) < 1e-4 and abs(v[2]) < 1e-2


def test_curvature_is_the_second_derivative_along_the_anchor():
    ansatz = Written(2, lambda th: [th[0] ** 2, th[0] * th[1]], lambda th: [[2 * th[0], 0], [th[1], th[0]]])
    problem = vector_problem(ansatz, lambda t, c: [0.0, 0.0], 2)
    v = np.array([0.6, -1.1])  # Φ''[v, v] = (2 v₀², 2 v₀ v₁)
    expected = np.hypot(2 * v[0] ** 2, 2 * v[0] * v[1]) / (v @ v)
    assert curvature(problem.system(0.0, np.array([1.0, 2.0])), v, 0.1) == pytest.approx(expected, rel=1e-9)
    assert curvature(problem.system(0.0, np.array([1.0, 2.0])), 0 * v, 0.1) == 0.0


@pytest.mark.parametrize("solver", [df.Dense(), df.LSQR()], ids=["dense", "lsqr"])
def test_one_more_solve_squares_the_bias_and_measures_it_up_to_1_minus_beta(solver):
    """J = diag(σ), f = c: from β c to β² c, by β (1 − β) c, β = ε²/(σ² + ε²)."""
    sigma, c = np.array([1.0, 0.1, 1e-3]), np.array([1.0, -2.0, 3.0])
    problem = vector_problem(Written(3, lambda th: sigma * th, lambda th: np.diag(sigma)), lambda t, u: c, 3)
    system, beta = problem.system(0.0, np.zeros(3)), 0.03**2 / (sigma**2 + 0.03**2)
    found = df.Inertia(0.03, 0.9).velocity(system, np.zeros(3), solver, StageContext(0, 0.1, 1))
    assert found.defect == pytest.approx(np.linalg.norm(beta * c), rel=1e-9)
    better, bias = iterate(system, found, solver)
    assert bias == pytest.approx(np.linalg.norm(beta * (1 - beta) * c), rel=1e-6)
    assert better.value == pytest.approx((1 - beta**2) * c / sigma, rel=1e-6)
    assert better.defect == pytest.approx(np.linalg.norm(beta**2 * c), rel=1e-6)


@pytest.mark.parametrize("iterated", [True, False])
def test_the_iteration_leaves_a_null_direction_to_inertia(iterated):
    """J = (1, 1), v₁ + v₂ = 1: across it the velocity is ρ a, along it the bias is β² or β, β = ε²/(2 + ε²)."""
    problem = vector_problem(redundant(), lambda t, c: [1.0], 1)
    rule, anchor = df.AutoInertia(1e-2, rho=0.9, iterated=iterated), np.array([3.0, 1.0])
    found = rule.velocity(problem.system(0.0, np.zeros(2)), anchor, df.Dense(), StageContext(0.0, 0.4, 4))
    beta = found.eps**2 / (2 + found.eps**2)
    assert found.value[0] - found.value[1] == pytest.approx(0.9 * 2.0, rel=1e-12)
    bias = (beta**2 if iterated else beta) * (0.9 * 4 - 1)
    assert found.value.sum() == pytest.approx(1 + bias, abs=1e-14)


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e9])
@pytest.mark.parametrize("unreached", [0.01, 1.0])
def test_without_curvature_eps_settles_where_its_bias_is_a_tenth_of_the_defect(unit, unreached):
    """J = diag(1, 0.1), κ = 0: b = d/10, or ε² = η c² where that costs less, in any unit of the field."""
    rows = unit * np.array([[1.0, 0.0], [0.0, 0.1], [0.0, 0.0]])
    problem = vector_problem(
        Written(2, lambda th: rows @ th, lambda th: rows), lambda t, u: unit * np.array([1.0, 0.02, unreached]), 3
    )
    rule, carry, system = df.AutoInertia(1e-3, rho=0.0), (), problem.system(0.0, np.zeros(2))
    for _ in range(60):
        found = rule.velocity(system, np.zeros(2), df.Dense(), StageContext(0.0, 0.1, 4, carry=carry))
        carry = found.carry
    beta = found.eps**2 / (np.array([unit, 0.1 * unit]) ** 2 + found.eps**2)
    bias, allowed = unit * np.linalg.norm(beta * (1 - beta) * [1.0, 0.02]), 0.1 * found.defect
    if unreached == 1.0:
        assert found.eps == pytest.approx(np.sqrt(1e-3) * unit, rel=1e-12) and bias < allowed
    else:
        assert bias == pytest.approx(allowed, rel=1e-2) and found.eps < np.sqrt(1e-3) * unit
    without = df.AutoInertia(1e-3, rho=0.0, free=0.0)
    plain = without.velocity(system, np.zeros(2), df.Dense(), StageContext(0.0, 0.1, 4))
    assert plain.eps < 1e-6 * unit and plain.carry[2] == 0.0  # its floor


def test_what_is_free_grows_over_time_and_falls_with_solves():
    """ε_b² grows by 4^(τ/τ_max), so a short step leaves it, and falls by 4 at most in a solve."""
    informed = Written(1, lambda th: [th[0], 0.0], lambda th: [[1.0], [0.0]])
    rule, solver = df.AutoInertia(1e-2), df.Dense()
    system = vector_problem(informed, lambda t, u: [1.0, 0.5], 2).system(0.0, np.zeros(1))
    for tau, most in ((0.1, 4.0), (0.001, 4.0**0.01)):
        context = StageContext(0.0, tau, 1, carry=(0.0, 0.0, 1e-8, 1.0, 1.0, 0.1))
        assert rule.velocity(system, np.ones(1), solver, context).carry[2] == pytest.approx(most * 1e-8, rel=1e-9)
    context = StageContext(0.0, 0.001, 1, carry=(0.0, 0.0, 9e-3, 1.0, 1.0, 0.1))
    steep = rule.velocity(system, -1e3 * np.ones(1), solver, context)  # far off: b is the bias of the first solve
    beta, rho = steep.eps**2 / (1 + steep.eps**2), 0.97**0.01
    factor = change(0.1 * steep.defect, beta * (1 - beta) * (1 + 1e3 * rho), 4.0)
    assert steep.carry[2] == pytest.approx(factor * 9e-3, rel=1e-9) and factor < 1
    assert change(1.0, 1e9, 4.0) == 0.25 and change(1.0, 0.0, 3.0) == 3.0 and change(1.0, 2.0, 3.0) == 0.5


def test_friction_of_auto_acts_over_time():
    """In a null direction ρ^(τ/τ_max): ten solves a tenth as far apart wear a velocity down as much as one."""
    problem = vector_problem(redundant(), lambda t, c: [1.0], 1)
    n, rule, solver = np.array([1.0, -1.0]) / np.sqrt(2), df.AutoInertia(rho=0.9), df.Dense()
    system = problem.system(0.0, np.zeros(2))
    long = rule.velocity(system, n, solver, StageContext(0.0, 0.4, 4))
    assert long.value @ n == pytest.approx(0.9, rel=1e-12)
    v, carry = n, long.carry
    for _ in range(10):
        found = rule.velocity(system, v, solver, StageContext(0.0, 0.04, 4, carry=carry))
        v, carry = found.value, found.carry
    assert v @ n == pytest.approx(0.9, rel=1e-12)


def test_a_limited_anchor_keeps_what_stays_follows_what_falls_and_drops_what_turns():
    a, v = np.array([2.0, 2.0, 2.0, -2.0, 0.0]), np.array([2.0, 1.0, -1.0, -4.0, 3.0])
    assert limited(a, v, 0.9) == pytest.approx(np.array([2.0, 1.0, 0.0, -2.2, 0.3]), rel=1e-14)
    assert np.array_equal(limited(a, v, 0.0), v)  # no memory: the velocity before
    assert np.all(np.abs(limited(a, v, 0.9)) <= np.abs(v))
    units = np.array([1e-9, 1e3, 1.0, -1.0, 7.0])
    assert limited(units * a, units * v, 0.9) == pytest.approx(units * limited(a, v, 0.9), rel=1e-14)


@pytest.mark.parametrize("phase", [0.3, 0.6])
def test_a_limited_anchor_slows_the_growth_of_a_mode_that_turns(phase):
    """θ' = iωθ, midpoint rule of step 2τ: without memory e^(0.07 … 0.15) for each solve."""
    plain, kept = (max(growth(phase, g, m) for g in (0.01, 0.03, 0.1, 0.3, 0.5, 0.8)) for m in (0.0, 0.8))
    assert plain > 0.06 and kept < plain / 1.3


def test_auto_passes_where_the_whole_tangent_vanishes():
    """θ³ = t − 1: at θ = 0 the velocity is infinite; inertia carries it through, with step control and no number."""
    ansatz = Written(1, lambda th: [th[0] ** 3], lambda th: [[3 * th[0] ** 2]])
    problem = vector_problem(ansatz, lambda t, c: [1.0], 1)
    state = last(df.evolve(problem, df.State(0.0, -np.ones(1)), until=2.0))
    assert state.theta[0] ** 3 == pytest.approx(1.0, abs=1e-4)


def test_one_narrow_stage_does_not_raise_eps_for_good():
    """Φ = θ³: a stage at θ = 1e6, where ‖J‖ is 1e12 times larger, has a larger ε; the next one at θ = 1 does not."""
    ansatz = Written(1, lambda th: [th[0] ** 3], lambda th: [[3 * th[0] ** 2]])
    problem = vector_problem(ansatz, lambda t, c: [1.0], 1)
    rule, anchor, dt = df.AutoInertia(1e-14, free=0.0), np.array([1e-9]), 1e-6  # ε is its floor: h κ is negligible

    def solve(theta, carry):
        context = StageContext(0.0, dt, 6, carry=carry)
        return rule.velocity(problem.system(0.0, np.array([theta])), anchor, df.Dense(), context)

    usual = solve(1.0, ())
    narrow = solve(1e6, usual.carry)
    again = solve(1.0, narrow.carry)
    assert narrow.eps > 1e11 * usual.eps and again.eps == pytest.approx(usual.eps)
    vanishing = solve(0.0, again.carry)
    assert vanishing.eps == pytest.approx(usual.eps) and vanishing.value == pytest.approx(0.97 * anchor)


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e9])
def test_eps_is_at_most_the_root_of_the_tolerance_in_units_of_the_largest_column(unit):
    """Φ = c (θ³, 0) at θ = 1, step 1000, defect c: curvature asks for more than √η ‖J‖ = 3 √η c."""
    ansatz = Written(1, lambda th: [unit * th[0] ** 3, 0.0], lambda th: [[3 * unit * th[0] ** 2], [0.0]])
    problem = vector_problem(ansatz, lambda t, c: [unit, unit], 2)
    found = df.AutoInertia(1e-6).velocity(problem.system(0.0, np.ones(1)), None, df.Dense(), StageContext(0.0, 1e3, 6))
    assert found.eps == pytest.approx(3e-3 * unit, rel=1e-12)


def test_an_infinite_eps_is_a_stage_that_failed():
    """f = 1e200 at a stage: the norms overflow, and the step is tried again rather than solved with ε = ∞."""
    ansatz = Written(1, lambda th: [th[0] ** 3], lambda th: [[3 * th[0] ** 2]])
    problem = vector_problem(ansatz, lambda t, c: [1e200], 1)
    with np.errstate(over="ignore"), pytest.raises(df.errors.NonFiniteError, match="ε is not finite"):
        context = StageContext(0.0, 0.1, 6, carry=(np.inf, 1.0, 0.0, 1.0, 0.0, 0.1))
        df.AutoInertia().velocity(problem.system(0.0, np.ones(1)), np.ones(1), df.Dense(), context)


def test_a_state_that_another_rule_has_left_is_refused_with_a_way_out():
    ansatz = Written(1, lambda th: [th[0] ** 3], lambda th: [[3 * th[0] ** 2]])
    problem = vector_problem(ansatz, lambda t, c: [1.0], 1)
    left = df.State(0.0, np.ones(1)).with_(rule_carry=(1.0, 1.0, 0.1))
    with pytest.raises(df.errors.ParameterError, match="carries 3 numbers"):
        last(df.evolve(problem, left, until=0.1))
    last(df.evolve(problem, left.with_(rule_carry=()), until=0.1))


def test_norm_of_the_tangent_is_bounded_from_below():
    problem = vector_problem(
        Written(2, lambda th: th * [3.0, 0.2], lambda th: np.diag([3.0, 0.2])), lambda t, c: [1.0, 1.0], 2
    )
    assert 2.9 < stiffness_norm(problem.system(0.0, np.ones(2))) <= 3.0 + 1e-12


@pytest.mark.mpi
def test_auto_is_the_same_on_all_ranks_and_has_its_carry_in_the_state(comm):
    case = study.advection(comm=comm)
    states = [s for _, s in zip(range(5), df.evolve(case.problem, case.start, until=case.until), strict=False)]
    assert len(states[-1].rule_carry) >= 1
    for value in comm.allgather((states[-1].theta.tobytes(), states[-1].rule_carry)):
        assert value == (states[-1].theta.tobytes(), states[-1].rule_carry)


@pytest.mark.parametrize("make", [study.advection, study.heat, study.kdv, study.fisher], ids=lambda f: f.__name__)
def test_auto_needs_no_number(make):
    """At fixed steps with ε from the rule: nothing blows up, and the error is small."""
    case = make()
    options = {"controller": df.Fixed(case.dt), "integrator": df.RK4, "regularization": df.AutoInertia()}
    state = last(df.evolve(case.problem, case.start, until=case.until, **options))
    assert case.error(state) < 5e-3


def test_auto_full_rank_is_dirac_frenkel():
    problem = vector_problem(linear(2), lambda t, c: [-c[1], c[0]], 2)
    state = last(df.evolve(problem, df.State(0.0, np.array([1.0, 0.0])), until=np.pi, controller=df.PI(1e-8)))
    assert np.allclose(state.theta, [-1, 0], atol=1e-6)
