"""What travels between ranks: numbers of parameters, never of points."""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI

import dfpde as df
from dfpde.leastsquares import LeastSquares, default_solver

pytestmark = pytest.mark.mpi


class Counting(MPI.Intracomm):
    """A communicator that adds up the bytes it is given."""

    sent = 0

    def Bcast(self, buffer, root=0):
        type(self).sent += buffer.nbytes
        return super().Bcast(buffer, root)

    def Reduce(self, sendbuf, recvbuf, op=MPI.SUM, root=0):
        array = recvbuf if sendbuf is MPI.IN_PLACE else sendbuf
        type(self).sent += array.nbytes
        return super().Reduce(sendbuf, recvbuf, op, root)

    def Allreduce(self, sendbuf, recvbuf, op=MPI.SUM):
        type(self).sent += recvbuf.nbytes
        return super().Allreduce(sendbuf, recvbuf, op)

    def allreduce(self, sendobj, op=MPI.SUM):
        type(self).sent += 8
        return super().allreduce(sendobj, op)

    def bcast(self, obj, root=0):
        type(self).sent += 8
        return super().bcast(obj, root)


def stage(comm, n):
    """Bytes, iterations and builds of two stages at N = n points."""
    counting = Counting(comm.Dup())
    ansatz = df.PeriodicGaussianMixture.isotropic((2.0,), 12)
    problem = df.Problem(ansatz, df.Quadrature.periodic((-1, 1), n, counting), lambda t, x, u: -df.dx(u))
    theta = ansatz.pack(amplitudes=1.0, centers=np.linspace(-1, 0.8, 12)[:, None], scales=4.0)
    solver, iterations, builds = default_solver(), 0, 0
    Counting.sent = 0
    for shift in (0.0, 1e-3):
        system = problem.system(0.0, theta + shift)
        found = solver.solve(LeastSquares(system.tangent, system.rhs, 1e-3))
        iterations, builds = iterations + found.iterations, builds + found.stats["builds"]
    return Counting.sent, iterations, builds, ansatz.size


def test_bytes_of_a_stage_do_not_grow_with_the_points(comm):
    """At most one triangle of [√W J, r] for each build and two vectors for each iteration, p numbers and a few scalars
    each."""
    for n in (1_000, 16_000):
        sent, iterations, builds, p = stage(comm, n)
        assert sent <= 8 * (builds * (p + 1) * (p + 2) / 2 + (p + 8) * (2 * iterations + 12) + 60)
        if comm.size > 1:
            assert sent >= 8 * (p * (p + 1) / 2 + p * iterations)  # the counter counts
