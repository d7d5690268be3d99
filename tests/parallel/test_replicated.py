"""Values that all ranks must hold alike: as texts, and compared over ranks."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import skfem
from mpi4py import MPI

import dfpde as df
from dfpde.errors import ReplicationError
from dfpde.parallel.replicated import describe, differences, same_on_all_ranks

SIDES = skfem.MeshTri().with_boundaries({"left": lambda x: x[0] == 0})


@dataclass(frozen=True)
class Method:
    order: int
    nodes: tuple[float, ...]
    weight: np.ndarray | None = None


@dataclass(frozen=True)
class OfOneRank:
    """Holds a communicator, so its contents are those of a rank."""

    x: float
    comm: MPI.Comm


@pytest.mark.parametrize(
    ("a", "b", "name"),
    [
        (0.1, np.nextafter(0.1, 1), "v"),
        (None, 0, "v"),
        ("RK4", "rk4", "v"),
        (1 + 2j, 1 - 2j, "v"),
        (np.zeros(3), np.zeros(4), "v"),
        (np.ones(5), np.array([1, 1, 1, 1, np.nextafter(1, 2)]), "v"),
        (np.zeros(2), np.zeros(2, np.float32), "v"),
        ([1, 2, 3], [1, 2, 4], "v[2]"),
        ([1, 2], [1, 2, 3], "v[2]"),
        ((), None, "v"),
        ({"rtol": 1e-4}, {"rtol": 1e-5}, "v['rtol']"),
        (Method(2, (0.0, 0.5)), Method(2, (0.0, 1.0)), "v.nodes[1]"),
        (Method(2, (), np.zeros(2)), Method(2, (), np.ones(2)), "v.weight"),
        (Method, dict, "v"),
        (np.sin, np.cos, "v"),
        (np.sin, np.exp, "v"),
        (partial(max, 1), partial(max, 2), "v[1][0]"),
        (df.Inertia(1e-3, 0.9), df.Inertia(1e-3, 0.8), "v.rho"),
        (df.RK4, df.DormandPrince, "v.tableau.name"),
    ],
    ids=str,
)
def test_what_differs_is_named(a, b, name):
    assert describe(v=a) == describe(v=a)
    found = differences(describe(v=a), describe(v=b))
    assert found and name in [entry[0] for entry in found]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, 1.0),
        (1.5, np.float64(1.5)),
        (np.int64(3), 3),
        (np.array(2.0), 2.0),
        (float("nan"), np.nan),
        (np.arange(6.0)[::2], np.array([0.0, 2.0, 4.0])),
        (OfOneRank(1.0, MPI.COMM_SELF), OfOneRank(2.0, MPI.COMM_SELF)),
        (lambda x: x, lambda x: x + 1),
        (Method(1, ()), replace(Method(1, ()), order=1)),
    ],
    ids=lambda value: re.sub(r" at 0x\w+", "", str(value)),  # the same in every process
)
def test_what_counts_as_the_same(a, b):
    assert describe(v=a) == describe(v=b)


def test_a_value_that_contains_itself_ends():
    knot: list[object] = [1]
    knot.append(knot)
    assert describe(v=knot)["v[0]"] == "1"


def test_public_attributes_of_chosen_classes_are_looked_into():
    a, b = df.PeriodicGaussianMixture.isotropic((2.0,), 3), df.PeriodicGaussianMixture.isotropic((2.5,), 3)
    assert describe(u=a) == describe(u=b)
    assert [d[0] for d in differences(describe(into=(df.Ansatz,), u=a), describe(into=(df.Ansatz,), u=b))] == [
        "u.periods[0]"
    ]


@pytest.mark.mpi
def test_alike_on_all_ranks_passes(comm):
    same_on_all_ranks(comm, theta=np.arange(5.0), until=1.0, dt=None, rule=df.Tikhonov(1e-3), events=())


@pytest.mark.mpi
@pytest.mark.parametrize("last_rank", [True, False])
def test_one_rank_with_another_value_is_an_error_on_all(comm, last_rank):
    if comm.size == 1:
        pytest.skip("one rank agrees with itself")
    here = comm.rank == (comm.size - 1 if last_rank else 0)
    with pytest.raises(ReplicationError, match=r"rule\.eps is not the same on all ranks") as caught:
        same_on_all_ranks(comm, until=1.0, rule=df.Tikhonov(1e-3 if here else 1e-2))
    assert caught.value.collective
    assert "0.001" in str(caught.value) and "0.01" in str(caught.value)
    assert len(set(comm.allgather(str(caught.value)))) == 1


def run(comm, problem=None, **choices):
    """A short run of two Gaussians."""
    mixture = df.GaussianMixture.isotropic(1, 2)
    problem = problem_of(comm, mixture) if problem is None else problem
    start = df.State(0.0, np.linspace(0.5, 1.0, problem.ansatz.size))
    return list(df.evolve(problem, start, until=0.02, controller=df.Fixed(0.01), **choices))


def problem_of(comm, ansatz, **choices):
    points = df.Quadrature.gauss((-4.0, 4.0), 12, 3, comm)
    return df.Problem(ansatz, points, lambda t, x, u: -u.value, **choices)


def held(comm, *numbers):
    """A condition on the run's own points for each number, which is its weight."""
    points = df.Quadrature.gauss((-4.0, 4.0), 4, 3, comm)
    conditions = tuple(df.Dirichlet(points, lambda t, x: 0 * x[0], weight=number) for number in numbers)
    return problem_of(comm, df.GaussianMixture.isotropic(1, 2), conditions=conditions)


def sharing(comm, name):
    mixture = df.GaussianMixture.isotropic(1, 2)
    return problem_of(comm, df.Sum(mixture, mixture, shared=[name]))


def conserving(comm, count):
    problem = problem_of(comm, df.GaussianMixture.isotropic(1, 2))
    functionals = (df.diagnostics.Functional.linear(), df.diagnostics.Functional.squared_norm())[:count]
    return df.constraints.Conserving(problem, functionals, df.Tikhonov(1e-3), df.State(0.0, np.ones(6)))


def returning(factor):
    return lambda problem, state: None if factor is None else (problem, state.with_(theta=factor * state.theta))


KINDS = (df.leastsquares.GramCholesky, df.leastsquares.Nystrom)


def sketched(comm, rank):
    return run(comm, solver=df.LSQR(preconditioner=df.leastsquares.Nystrom(rank)))


def simple(comm):
    problem = problem_of(comm, df.GaussianMixture.isotropic(1, 2))
    return problem, df.State(0.0, np.linspace(0.5, 1.0, 6))


def tangent(comm):
    problem, start = simple(comm)
    return problem.tangent(start.theta)


def moving(comm, seed):
    return df.measures.Moving(df.measures.Components(1.2), n=64, seed=seed).start(*simple(comm))


def bounded(comm, t):
    problem, start = simple(comm)
    start, end = (next(df.evolve(problem, start, until=0.1)) for _ in range(2))
    return df.diagnostics.ErrorBound(problem, start, 0.0).after(end.with_(t=start.t + t))


def sensitive(comm, steps):
    problem, start = simple(comm)
    given = {"until": 0.1, "steps": steps, "regularization": df.Tikhonov(1e-3)}
    return list(df.diagnostics.sensitivities(lambda c: problem, np.zeros(0), start, **given))


#: What is done with one of two values, depending on the rank, and what the error names.
APART = {
    "tolerance of the solver": (lambda c, v: run(c, solver=df.LSQR(rtol=v)), (1e-11, 1e-3), r"solver\.rtol"),
    "preconditioner": (lambda c, v: run(c, solver=df.LSQR(preconditioner=v())), KINDS, r"solver\.preconditioner"),
    "rank of a sketch": (lambda c, v: sketched(c, v), (2, 3), r"solver\.preconditioner\.rank"),
    "seed of a measure": (lambda c, v: moving(c, v), (1, 2), r"moving\.seed"),
    "values of a spectrum": (lambda c, v: df.diagnostics.spectrum(tangent(c), v), (2, 3), "k is not"),
    "a state in an error bound": (lambda c, v: bounded(c, v), (0.1, 0.2), "t is not"),
    "steps of sensitivities": (lambda c, v: sensitive(c, v), (1, 2), "steps is not"),
    "number of conditions": (lambda c, v: run(c, held(c, *v)), ((), (1.0,)), "conditions"),
    "weight of a condition": (lambda c, v: run(c, held(c, v)), (1.0, 2.0), r"conditions\[0\]\['weight'\]"),
    "shared parameters": (lambda c, v: run(c, sharing(c, v)), ("centers", "scales"), r"ansatz\.shared"),
    "whether there is adapt": (lambda c, v: run(c, adapt=v), (None, returning(None)), "adapt"),
    "whether adapt changes anything": (lambda c, v: run(c, adapt=returning(v)), (None, 1.0), "what_adapt_returns"),
    "what adapt returns": (lambda c, v: run(c, adapt=returning(v)), (1.0, 1.5), r"what_adapt_returns\[2\]"),
    "points of a grid": (lambda c, v: df.Quadrature.periodic((0.0, 1.0), v, c), (10, 11), "n is not"),
    "box of a grid": (lambda c, v: df.Quadrature.gauss((0.0, v), 4, 3, c), (1.0, 2.0), r"bounds\[1\]"),
    "mesh": (lambda c, v: df.Mesh.from_skfem(skfem.MeshTri().refined(v), c), (1, 2), r"mesh\[0\]"),
    "order": (lambda c, v: df.Quadrature.from_mesh(skfem.MeshTri(), v, c), (1, 4), "order"),
    "name": (lambda c, v: df.Quadrature.boundary(SIDES, v, 2, c), ("left", None), "name"),
    "quantities": (lambda c, v: conserving(c, v), (1, 2), r"quantities\[1\]"),
}


@pytest.mark.mpi
@pytest.mark.parametrize(("act", "values", "words"), APART.values(), ids=APART.keys())
def test_ranks_that_differ_are_told_and_do_not_wait(comm, act, values, words):
    if comm.size == 1:
        pytest.skip("one rank agrees with itself")
    with pytest.raises(ReplicationError, match=words):
        act(comm, values[int(comm.rank == comm.size - 1)])
    act(comm, values[1])  # the next collective call finds all ranks


@pytest.mark.mpi
def test_a_derivative_that_one_rank_asks_for(comm):
    """f may need u_xx where its own points are, and others none."""
    ansatz = df.GaussianMixture.isotropic(1, 2)
    points = df.Quadrature.gauss((-4.0, 4.0), 12, 3, comm)
    problem = df.Problem(ansatz, points, lambda t, x, u: df.dx(u, 2) if np.any(x > 3.0) else -u.value)
    assert len(run(comm, problem)) == 2
