"""Random points by number: the same numbers on any number of ranks, and again in a restart.

Point k of step n has its own part of one stream, keyed by (seed, n): nothing depends on who draws it, or when.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from .. import validation as check
from ..representation import represent
from .splitting import blocks

Array = NDArray[np.float64]

#: (dim, first, count, seed, step) -> points first, ..., first + count − 1 in the open unit cube, (dim, count).
Source = Callable[[int, int, int, int, int], Array]

#: Numbers that the generator makes at once.
BLOCK = 4

#: Digits of a quasi-random number.
BITS = 30


def independent(dim: int, first: int, count: int, seed: int, step: int) -> Array:
    """Independent uniform numbers in (0, 1)^dim from a counter-based generator: errors O(N^-1/2).

    Philox (J. K. Salmon et al., SC 2011) encrypts a counter with the key (seed, step): point k begins at counter
    k ⌈dim/4⌉, whoever asks for it.

    Parameters
    ----------
    dim : int
    first, count : int
        The points first, ..., first + count − 1.
    seed, step : int
        Key of the stream.

    Returns
    -------
    (dim, count) array

    Raises
    ------
    ParameterError, ArgumentTypeError
        A number that is no integer, or negative.
    """
    _require(dim, first, count, seed, step)
    each = -(-dim // BLOCK)
    stream = np.random.Philox(key=[seed, step], counter=[first * each, 0, 0, 0])
    raw = stream.random_raw(BLOCK * each * count).reshape(count, BLOCK * each)[:, :dim]
    return np.ascontiguousarray(((raw >> np.uint64(11)) + 0.5).T * 2.0**-53)


def sobol(dim: int, first: int, count: int, seed: int, step: int) -> Array:
    """Scrambled Sobol' points in (0, 1)^dim, uniform each, together a net: errors O(N^-3/2 log^((dim−1)/2) N).

    The rate is that of smooth integrands and n a power of two; random linear scrambling and digital shift (J. Matoušek,
    J. Complexity 14, 1998; A. B. Owen, ibid.) keyed by (seed, step) make every average unbiased.  Parameters as for
    `independent`.

    Raises
    ------
    ParameterError, ArgumentTypeError
        A number that is no integer, or negative; more than 21201 dimensions, or points behind the 2³⁰-th.
    """
    _require(dim, first, count, seed, step)
    check.integer(1, qmc.Sobol.MAXDIM)("dim", dim)
    check.integer(0, 2**BITS)("first + count", first + count)
    net = qmc.Sobol(dim, scramble=True, bits=BITS, seed=np.random.default_rng([seed, step]))
    if first > 0:
        net.fast_forward(first)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The balance properties", UserWarning)  # of a block, which is part of a net
        points = net.random(count)
    return np.ascontiguousarray(points.T) + 0.5 ** (BITS + 1)  # the middle of the cell, not its corner


def _require(dim: int, first: int, count: int, seed: int, step: int) -> None:
    check.integer(1)("dim", dim)
    for name, value in (("first", first), ("count", count), ("seed", seed), ("step", step)):
        check.integer(0)(name, value)


@dataclass(frozen=True)
@check.takes(
    n=check.integer(1),
    seed=check.integer(0),
    step=check.integer(0),
    comm=check.instance(MPI.Comm, "a communicator of mpi4py"),
    source=check.function,
)
class Draws:
    """This rank's block of n random points.

    Attributes
    ----------
    n : int
        Points on all ranks.
    seed, step : int
        Key: another pair gives independent points.
    comm : MPI.Comm
    source : callable
        `sobol` or `independent`.

    Raises
    ------
    ParameterError, ArgumentTypeError
        No positive n, a negative seed or step.
    """

    n: int
    seed: int
    step: int
    comm: MPI.Comm
    source: Source = sobol

    __repr__ = represent

    def uniform(self, dim: int) -> Array:
        """This rank's points, uniform in (0, 1)^dim, (dim, count)."""
        cuts = blocks(self.n, self.comm.size)
        first, stop = int(cuts[self.comm.rank]), int(cuts[self.comm.rank + 1])
        return self.source(dim, first, stop - first, self.seed, self.step)

    def normal(self, dim: int) -> Array:
        """This rank's points, standard normal in each coordinate, (dim, count)."""
        found: Array = ndtri(self.uniform(dim))
        return found
