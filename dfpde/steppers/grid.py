"""Periodic grids as spaces for spectral methods: transforms, wave numbers, and fields with derivatives by FFT.

    u(x_j) = Σ_k û_k e^{i k·(x_j − a)},        ∂^α u ↔ (i k)^α û

The points are those of `Quadrature.periodic`, spread over the ranks in contiguous blocks.  A step of the field gathers
them, and every rank transforms the whole grid: in one to three dimensions that costs less than distributing the FFT,
and all ranks hold the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from .. import validation as check
from ..calculus import Field
from ..domain import grids
from ..domain.quadrature import Quadrature
from ..errors import MissingDerivative
from ..parallel.collective import collective_errors
from ..parallel.communicator import communicator
from ..representation import represent

Array = NDArray[Any]


class PeriodicGrid:
    """Equispaced points of a periodic interval or box, x = a + (b − a) j / n in each direction.

    Parameters
    ----------
    bounds : (a, b) or sequence of (a, b)
    n : int or sequence of int
        Points in each direction.
    comm : MPI.Comm, optional
        Of the quadrature; every rank holds the whole grid for its transforms.  May be left out on one process.

    Attributes
    ----------
    shape : tuple of int
        n of each direction.
    x : (dim, N) array
        All points, the last direction fastest.
    quadrature : Quadrature
        Trapezoidal rule on these points, a block of them on each rank.

    Raises
    ------
    ParameterError
        Bounds or numbers of points that make no grid.
    """

    __repr__ = represent

    def __init__(self, bounds: grids.Bounds, n: int | Sequence[int], comm: MPI.Comm | None = None) -> None:
        self.comm = comm = communicator(comm)
        with collective_errors(comm):
            self.x, _ = grids.periodic(bounds, n, 0, 1)
            box = np.asarray(bounds, dtype=float).reshape(-1, 2)
            self.shape = tuple(int(k) for k in np.broadcast_to(np.asarray(n), (len(box),)))
        self.lengths = box[:, 1] - box[:, 0]
        self.quadrature = Quadrature.periodic(bounds, n, comm)

    @property
    def dim(self) -> int:
        """Space dimension."""
        return len(self.shape)

    @cached_property
    def waves(self) -> Array:
        """Wave numbers k, shape (dim, *shape), ordered as the transforms are."""
        lines = [2 * np.pi / a * np.fft.fftfreq(n, 1 / n) for n, a in zip(self.shape, self.lengths, strict=True)]
        return np.array(np.meshgrid(*lines, indexing="ij"))

    @cached_property
    def kept(self) -> Array:
        """Modes below two thirds of the largest in each direction, shape `shape`: products of two are not aliased."""
        inside = np.ones(self.shape, dtype=bool)
        for k, n, length in zip(self.waves, self.shape, self.lengths, strict=True):
            inside &= np.abs(k) * length / (2 * np.pi) < n / 3
        return inside

    def gather(self, values: Array) -> Array:
        """Values `(*m, n)` of all ranks at their points as `(*m, *shape)` on every rank; collective."""
        with collective_errors(self.comm):
            values = check.values("values", values, self.quadrature.n)
        if self.comm.size > 1:
            values = np.concatenate(self.comm.allgather(values), axis=-1)
        return values.reshape(*values.shape[:-1], *self.shape)

    def local(self, values: Array) -> Array:
        """This rank's block `(*m, n)` of values `(*m, *shape)` on the whole grid."""
        q = self.quadrature
        values = check.values("values", values, *self.shape)
        return values.reshape(*values.shape[: -self.dim], -1)[..., q.offset : q.offset + q.n]

    def forward(self, values: Array) -> Array:
        """û of values (*m, *shape)."""
        return np.asarray(np.fft.fftn(check.values("values", values, *self.shape), axes=self._axes))

    def backward(self, modes: Array, real: bool) -> Array:
        """Values (*m, *shape) of û."""
        values = np.fft.ifftn(modes, axes=self._axes)
        return np.asarray(values.real if real else values)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-self.dim, 0))

    def field(self, modes: Array, real: bool) -> Field:
        """The trigonometric polynomial of û as a `Field` on the whole grid, with `df.dx`, `df.grad`, `df.laplacian`."""
        return Field(_Series(self, modes.shape[: -self.dim], real), modes, self.x)


class _Series:
    """What `Field` asks of an ansatz, for a trigonometric polynomial at the points of its grid; θ are the modes."""

    one_pass = False

    def __init__(self, grid: PeriodicGrid, shape: tuple[int, ...], real: bool) -> None:
        self.grid, self.dim, self.shape, self.real = grid, grid.dim, shape, real

    def _values(self, modes: Array) -> Array:
        return self.grid.backward(modes, self.real).reshape(*self.shape, -1)

    def value(self, theta: Array, x: Array) -> Array:
        return self._values(theta)

    def derivative(self, theta: Array, x: Array, alpha: tuple[int, ...]) -> Array:
        modes = theta
        for k, order, n in zip(self.grid.waves, alpha, self.grid.shape, strict=True):
            symbol = (1j * k) ** order
            if order % 2 and n % 2 == 0:  # the odd derivative of the highest cosine vanishes at the points
                symbol = np.where(np.abs(k) == np.abs(k).max(), 0.0, symbol)
            modes = modes * symbol
        return self._values(modes)

    def gradient(self, theta: Array, x: Array) -> Array:
        return np.stack([self.derivative(theta, x, tuple(row)) for row in np.eye(self.dim, dtype=int)])

    def hessian(self, theta: Array, x: Array) -> Array:
        eye = np.eye(self.dim, dtype=int)
        return np.stack([np.stack([self.derivative(theta, x, tuple(a + b)) for b in eye]) for a in eye])

    def laplacian(self, theta: Array, x: Array) -> Array:
        return self._values(-np.sum(self.grid.waves**2, axis=0) * theta)

    def derivatives(self, theta: Array, x: Array, alphas: Sequence[tuple[int, ...]]) -> Array:
        return np.stack([self.derivative(theta, x, alpha) for alpha in alphas])

    def evaluate(self, theta: Array, x: Array, alphas: Sequence[tuple[int, ...]]) -> tuple[Array, Array]:
        raise MissingDerivative("a trigonometric polynomial has no tangent", "value and derivatives only")

    def linearize(self, theta: Array, x: Array, alphas: Sequence[tuple[int, ...]] = ()) -> tuple[Array, Any]:
        return self.evaluate(theta, x, alphas)
