"""Constants that an elliptic problem does not see: pure Neumann and periodic problems, pressures.

    a(1_k, v) = 0 = a(v, 1_k),   1_k = 1 on a connected part Ω_k of the mesh without Dirichlet values, 0 elsewhere

A solution exists if and only if ∫_{Ω_k} f + l(1_k) = 0; it is unique with ∫_{Ω_k} c = 0.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ..errors import DfpdeWarning, ParameterError
from ..parallel.collective import collective_errors
from .nodes import Nodes

Array = NDArray[Any]

ZERO = 256 * float(np.finfo(float).eps)  # ‖A 1_k‖ relative to ‖A‖ that is rounding
COMPATIBLE = 1e-3  # |∫ f| relative to Σ |f_i| that counts as quadrature error, and is taken out
EXACT = 1e-8  # the same beyond which a warning is given


@dataclass(frozen=True, eq=False)
class Constants:
    """The constants on the parts Ω_k that the matrix does not see.

    Attributes
    ----------
    nodes : Nodes
    part : (n,) array of int
        k of each of this rank's degrees of freedom, −1 for none.
    one : (n,) array
        Coefficients of the constant 1.
    integrals : (n,) array
        ∫ φ_i over this rank's cells.
    count : int
        Parts on all ranks.
    volumes : (count,) array
        |Ω_k|.
    """

    nodes: Nodes
    part: Array
    one: Array
    integrals: Array
    count: int = field(init=False)
    volumes: Array = field(init=False)

    def __post_init__(self) -> None:
        highest = self.nodes.comm.allreduce(int(self.part.max(initial=-1)), op=MPI.MAX)
        object.__setattr__(self, "count", highest + 1)
        object.__setattr__(self, "volumes", self.per_part(self.integrals * self.one))

    def pins(self) -> Array:
        """This rank's numbers of one degree of freedom for each part, which fixed makes it regular; collective."""
        eligible = np.abs(self.one) > 0.5 * np.max(np.abs(self.one), initial=0.0)
        low = np.full(self.count, self.nodes.size)
        np.minimum.at(low, self.part[eligible & (self.part >= 0)], self.nodes.numbers[eligible & (self.part >= 0)])
        agreed = np.min(self.nodes.comm.allgather(low), axis=0) if self.count else low
        return np.flatnonzero(np.isin(self.nodes.numbers, agreed))

    def per_part(self, local: Array) -> Array:
        """Σ over the degrees of freedom of each part, of sub-assembled numbers (n,); collective."""
        mine = self.part >= 0
        sums: Array = self.nodes.comm.allreduce(np.bincount(self.part[mine], local[mine], self.count))
        return sums

    def compatible(self, load: Array) -> Array:
        """The load without its means, which must vanish up to quadrature errors.

        Raises
        ------
        ParameterError
            On all ranks: a load with a mean beyond 1e-3.

        Warns
        -----
        DfpdeWarning
            On rank 0: a mean beyond 1e-8 was taken out.
        """
        if self.count == 0:
            return load
        mean = self.per_part(self.one * load)
        total = self.nodes.sum(load)
        size = self.per_part(np.abs(self.nodes.spread(total)) / self.nodes.shares())
        wrong = np.flatnonzero(np.abs(mean) > COMPATIBLE * size)
        if wrong.size:
            k = int(wrong[0])
            error = ParameterError(
                f"the elliptic problem has no solution: constants on {self._where()} solve it without a source, "
                f"and the source has the integral {mean[k]:.3e} (the sum of its absolute values is {size[k]:.3e})",
                "subtract the mean of the source, balance it by fluxes through the boundary (`load`), or fix values "
                "(`dirichlet`)",
            )
            error.collective = True
            raise error
        if self.nodes.comm.rank == 0 and np.any(np.abs(mean) > EXACT * size):
            worst = float(np.max(np.abs(mean) / np.maximum(size, np.finfo(float).tiny)))
            warnings.warn(
                f"the mean of the source of an elliptic problem that does not see constants, {worst:.1e} of its size, "
                "was taken out: a quadrature error? subtract the mean beforehand",
                DfpdeWarning,
                stacklevel=4,
            )
        return load - self._on_parts(mean / self.volumes) * self.integrals

    def without_means(self, values: Array) -> Array:
        """c with ∫_{Ω_k} c = 0; collective."""
        if self.count == 0:
            return values
        means = self.per_part(self.integrals * values) / self.volumes
        return values - self._on_parts(means) * self.one

    def _on_parts(self, numbers: Array) -> Array:
        return np.where(self.part >= 0, numbers[self.part], 0.0)

    def _where(self) -> str:
        return "the mesh" if self.count == 1 else f"each of {self.count} separate parts of the mesh"


def constants(nodes: Nodes, local: Any, fixed: Array, one: Array, integrals: Array) -> Constants:
    """Find the parts of the mesh whose constants are in the null space; collective.

    Parameters
    ----------
    nodes : Nodes
    local : scipy sparse (n, n)
        This rank's sub-assembled matrix.
    fixed : (d,) array of int
        This rank's degrees of freedom with Dirichlet values.
    one, integrals : (n,) arrays
        See `Constants`.

    Raises
    ------
    ParameterError
        On all ranks: constants are solutions, and the adjoint problem has others (advection without boundary values).
    """
    comm, label = nodes.comm, _labels(nodes, local)
    held = np.zeros(nodes.n)
    held[fixed] = 1.0
    held = nodes.spread(nodes.sum(held))
    known, everything = (_union(comm, label[chosen]) for chosen in (held > 0, held >= 0))
    candidates = Constants(nodes, _part(label, np.setdiff1d(everything, known)), one, integrals)
    indicator = np.where(candidates.part >= 0, one, 0.0)
    bound = ZERO**2 * comm.allreduce(float(np.sum(local.data**2)))
    unseen, adjoint = (
        candidates.per_part(nodes.spread(nodes.sum(part @ indicator)) ** 2 / nodes.shares()) <= bound
        for part in (local, local.T)
    )
    with collective_errors(comm):
        if np.any(unseen & ~adjoint):
            raise ParameterError(
                "constants solve the elliptic problem without a source, and ∫ f = 0 does not make it solvable: the "
                "form is not symmetric",
                "fix values (`dirichlet`), or give the advection its fluxes through the boundary",
            )
    return Constants(nodes, _part(label, np.setdiff1d(everything, known)[unseen]), one, integrals)


def _union(comm: MPI.Comm, mine: Array) -> Array:
    together: Array = np.unique(np.concatenate(comm.allgather(np.unique(mine))))
    return together


def _part(label: Array, numbers: Array) -> Array:
    """Place of each label among the numbers, −1 for none."""
    at = np.minimum(np.searchsorted(numbers, label), max(numbers.size - 1, 0))
    return np.where(numbers[at] == label, at, -1) if numbers.size else np.full(label.shape, -1)


def _labels(nodes: Nodes, local: Any) -> Array:
    """For each degree of freedom the smallest number in its connected part of the mesh."""
    count, own = connected_components(local, directed=False)
    label: Array = nodes.numbers.astype(float)
    while True:
        lowest = np.full(count, np.inf)
        np.minimum.at(lowest, own, label)
        after: Array = nodes.smallest(lowest[own])
        if not nodes.comm.allreduce(int(not np.array_equal(after, label))):
            return label
        label = after
