"""Tiny problems of a few parameters whose dynamics can be written down by hand."""

import numpy as np
from mpi4py import MPI

import dfpde as df


class Written(df.Ansatz):
    """u = Σ_i c_i(θ) φ_i(x) with orthonormal φ_i = √2 sin((i+1)πx) on [0, 1]: the field is the vector c(θ) in R^m."""

    dim = 1

    def __init__(self, size, c, dc):
        self.size, self.c, self.dc = size, c, dc

    def _modes(self, x, m, order=0):
        k = np.pi * np.arange(1, m + 1)[:, None]
        return np.sqrt(2) * k**order * np.sin(k * x[0] + order * np.pi / 2)

    def derivative(self, theta, x, alpha):
        c = np.asarray(self.c(theta))
        return c @ self._modes(x, len(c), alpha[0])

    def tangent_derivative(self, theta, x, alpha):
        dc = np.asarray(self.dc(theta))  # (m, p)
        return np.ascontiguousarray(dc.T @ self._modes(x, len(dc), alpha[0]))

    def value(self, theta, x):
        return self.derivative(theta, x, (0,))

    def tangent(self, theta, x):
        return self.tangent_derivative(theta, x, (0,))


def modes(x, m):
    """φ_0..φ_{m−1} at x."""
    return np.sqrt(2) * np.sin(np.pi * np.arange(1, m + 1)[:, None] * x[0])


def vector_problem(ansatz, f, m, comm=MPI.COMM_SELF):
    """c' = f(t, c) for the coefficients c of the field: rhs = Σ f_i φ_i, c recovered from the values by projection."""
    q = df.Quadrature.gauss((0, 1), 12, 8, comm)

    def rhs(t, x, u):
        return np.asarray(f(t, np.asarray(ansatz.c(u.theta)))) @ modes(x, m)

    return df.Problem(ansatz, q, rhs)


def linear(p):
    """c = θ."""
    return Written(p, lambda theta: theta, lambda theta: np.eye(p))


def redundant():
    """One mode, c = θ_0 + θ_1: the direction (1, −1) is exactly null."""
    return Written(2, lambda theta: [theta[0] + theta[1]], lambda theta: [[1.0, 1.0]])


def last(states):
    """The last state of a run."""
    state = None
    for state in states:  # noqa: B007
        pass
    return state
