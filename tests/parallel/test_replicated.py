"""Values that all ranks must hold alike: as texts, and compared over ranks."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.errors import ReplicationError
from dfpde.parallel.replicated import describe, differences, same_on_all_ranks


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
