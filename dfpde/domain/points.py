"""Points and weights of all ranks together: what they must be before they are a quadrature, and sums over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from .. import validation as check
from ..errors import NonFiniteError, QuadratureError, ShapeError
from ..parallel.collective import raise_on_all
from ..parallel.communicator import communicator
from ..parallel.replicated import same_on_all_ranks
from .splitting import blocks

Array = NDArray[np.float64]


def frozen(name: str, array: Any, ndim: int) -> Array:
    """Read-only float64 C-contiguous view (a copy only if needed)."""
    given = check.array(name, array)
    if given.ndim != ndim or given.dtype.kind not in "fiu":
        expected = "(dim, N)" if ndim == 2 else "(N,)"
        raise ShapeError(f"{name} has shape {given.shape} and type {given.dtype}", f"give real numbers {expected}")
    view = np.ascontiguousarray(given, dtype=np.float64).view()
    view.flags.writeable = False
    return view


def check_local(x: Array, w: Array, normals: Array | None) -> None:
    """Shapes, finite numbers and non-negative weights."""
    if x.shape[1] != w.size or x.shape[0] == 0 or (normals is not None and normals.shape != x.shape):
        also = "" if normals is None else f", normals {normals.shape}"
        raise ShapeError(f"points {x.shape}, weights {w.shape}{also}", "give x (dim, N), w (N,), normals (dim, N)")
    for name, array in (("x", x), ("w", w), ("normals", normals)):
        if array is not None and not np.all(np.isfinite(array)):
            bad = np.flatnonzero(~np.isfinite(array).reshape(-1, w.size).all(axis=0))
            what = f"{name} is not finite at {bad.size} points, first {bad[:5].tolist()}"
            raise NonFiniteError(what, "look where these points come from")
    if np.any(w < 0):
        bad = np.flatnonzero(w < 0)
        raise QuadratureError(
            f"{bad.size} of {w.size} weights are negative, first at points {bad[:5].tolist()}: {w[bad[0]]:.3g}",
            "use a rule with positive weights; with a negative one ‖u‖² can be negative",
        )


class Share(NamedTuple):
    """What the ranks compare of their points.

    Attributes
    ----------
    dim, n : int
        Space dimension and number of points.
    weight : float
        Sum of the weights.
    normals : bool
        Whether there are normals.
    marks : tuple of float
        First and last point, sums of coordinates and squared coordinates: equal for equal points.
    """

    dim: int
    n: int
    weight: float
    normals: bool
    marks: tuple[float, ...]

    @classmethod
    def of(cls, x: Array, w: Array, normals: Array | None) -> Share:
        """One rank's share."""
        ends = x[:, [0, -1]].ravel() if w.size else np.zeros(0)
        marks = (*ends.tolist(), float(np.sum(x)), float(np.vdot(x, x)))
        return cls(x.shape[0], w.size, float(np.sum(w)), normals is not None, marks)


def check_ranks(shares: Sequence[Share]) -> None:
    """Shares that make one quadrature."""
    if len({(share.dim, share.normals) for share in shares}) > 1:
        dims, normals = [share.dim for share in shares], [share.normals for share in shares]
        raise QuadratureError(
            f"ranks disagree: dimensions {dims}, normals {normals}",
            "give x of shape (dim, 0) on ranks without points, and normals on all ranks or none",
        )
    points = sum(share.n for share in shares)
    if not 0 < sum(share.weight for share in shares) < np.inf:
        raise QuadratureError(f"the weights of {points} points sum to zero or overflow", "check mesh and boundary name")
    if len(shares) > 1 and all(share == shares[0] for share in shares):
        raise QuadratureError(
            f"all {len(shares)} ranks bring the same {shares[0].n} points: each would count {len(shares)} times",
            "Quadrature(x, w, comm, replicated=True), which splits them, or on each rank its own points",
        )


def agreed(comm: MPI.Comm | None, **values: Any) -> MPI.Comm:
    """The communicator, whose ranks hold the same values; collective."""
    comm = communicator(comm)
    same_on_all_ranks(comm, **values)
    return comm


def own_block(x: Array, w: Array, more: Any, comm: MPI.Comm) -> tuple[Array, Array, Any]:
    """This rank's contiguous block of points that all ranks hold, of weights and of rows (m, N) or None; collective.

    Raises
    ------
    ReplicationError
        They do not hold the same.
    """
    same_on_all_ranks(comm, x=x, w=w, more=more)
    cuts = blocks(w.size, comm.size)
    mine = slice(cuts[comm.rank], cuts[comm.rank + 1])
    return (
        np.ascontiguousarray(x[:, mine]), w[mine], None if more is None else np.ascontiguousarray(more[:, mine]),
    )  # fmt: skip


def sample_weights(x: Any, density: Any, weight: Any) -> tuple[Array, Array, Array]:
    """Points (dim, N) that are drawn with density q, ω/q (N,) and q (1, N)."""
    points, q = frozen("x", x, 2), frozen("density", density, 1)
    omega = np.ones(q.size) if weight is None else frozen("weight", weight, 1)
    if not points.shape[1] == q.size == omega.size:
        raise ShapeError(
            f"points {points.shape}, density {q.shape}, weight {omega.shape}", "x (dim, N), density and weight (N,)"
        )
    if not np.all((q > 0) & (q < np.inf)):
        bad = np.flatnonzero(~((q > 0) & (q < np.inf)))
        raise QuadratureError(
            f"the density is not positive at {bad.size} of {q.size} points, first {bad[:5].tolist()}: {q[bad[0]]:.3g}",
            "the density that the points were drawn with: a point cannot be where it vanishes",
        )
    return points, omega / q, q[None]


def sum_over_ranks(local: Any, error: Exception | None, comm: MPI.Comm) -> Any:
    """Sum of each rank's numbers: one reduction, in which the number of failing and of complex ranks travels along.

    Raises
    ------
    Exception
        On all ranks: that of a rank which has one in place of its numbers.
    NonFiniteError
        On all ranks: the sum is not finite.
    """
    local = np.asarray(local)
    send = np.concatenate([[error is not None, np.iscomplexobj(local)], local.real.ravel(), local.imag.ravel()])
    total = np.empty_like(send)
    comm.Allreduce(send, total, op=MPI.SUM)
    if total[0] > 0:
        raise_on_all(comm, error)
    real, imaginary = total[2:].reshape((2, *local.shape))
    if not (np.all(np.isfinite(real)) and np.all(np.isfinite(imaginary))):
        lost = NonFiniteError("the integral is not finite", "look for NaN, infinity or overflow in the integrand")
        lost.collective = True
        raise lost
    result = real + 1j * imaginary if total[1] > 0 else real
    return result[()] if result.ndim == 0 else result
