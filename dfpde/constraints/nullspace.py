"""Least squares under linear constraints C δ = 0, for every solver.

With orthonormal rows N of C D⁻¹ the constraint is δ = P δ, P = I − D⁻¹ NᵀN D.  The minimizer of ‖J P δ − r‖² + ε²‖Dδ‖²
over all δ satisfies it by itself, so any solver finds it from the projected rows.  For the Krylov solver the
preconditioner is projected as well (constraint preconditioner: Gould, Hribar, Nocedal, SIAM J. Sci. Comput. 23, 2001):
it costs m triangular solves and leaves the number of iterations as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..errors import ParameterError
from ..leastsquares import LSQR, GramCholesky, LeastSquares, Preconditioner, Rows, Solution, Solver
from ..leastsquares.rows import CHUNK_BYTES
from ..leastsquares.sample import Sample
from ..parallel.collective import collective_errors
from ..representation import represent

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Projector:
    """P = I − D⁻¹ NᵀN D onto C v = 0, orthogonal in the metric D².

    Attributes
    ----------
    normals : (m, p) array
        N, orthonormal rows spanning those of C D⁻¹.
    scale : (p,) array or None
        D.
    """

    normals: Array
    scale: Array | None

    __repr__ = represent

    @classmethod
    def of(cls, gradients: Array, scale: Array | None) -> Projector:
        """From C (m, p).

        Raises
        ------
        ParameterError
            The gradients are numerically dependent.
        """
        scaled = gradients if scale is None else gradients / scale
        sizes = np.linalg.norm(scaled, axis=1, keepdims=True)
        q, r = np.linalg.qr((scaled / np.where(sizes > 0, sizes, 1.0)).T)
        if sizes.min() == 0 or np.abs(np.diag(r)).min() <= scaled.shape[1] * 2.0**-52:
            error = ParameterError(
                f"gradients of the {len(scaled)} conserved quantities are dependent: norms {sizes.ravel()}, normalized "
                f"and each without its part along those before {np.abs(np.diag(r))}",
                "leave out a quantity that follows from the others, or perturb a start at which one is stationary",
            )
            error.collective = True
            raise error
        return cls(np.ascontiguousarray(q.T), scale)

    @property
    def constraint(self) -> Array:
        """N D, (m, p): the constraint is N D v = 0."""
        return self.normals if self.scale is None else self.normals * self.scale

    def apply(self, v: Array) -> Array:
        """P v."""
        along = self.constraint @ v @ self.normals
        return v - (along if self.scale is None else along / self.scale)

    def transposed(self, g: Array) -> Array:
        """Pᵀ g."""
        return np.asarray(g - (self.normals @ (g if self.scale is None else g / self.scale)) @ self.constraint)


class ProjectedRows(Rows):
    """√W J P; its chunks, of which preconditioners are made, are those of √W J itself."""

    def __init__(self, rows: Rows, projector: Projector) -> None:
        self.inner = rows
        self.projector = projector
        self.rows, self.columns, self.line = rows.rows, rows.columns, rows.line

    @property
    def stored_bytes(self) -> int:
        return self.inner.stored_bytes

    def apply(self, v: Array) -> Array:
        return self.inner.apply(self.projector.apply(v))

    def adjoint(self, y: Array) -> Array:
        return self.projector.transposed(self.inner.adjoint(y))

    def sweep(self, v: Array, y: Array) -> Array:
        return self.projector.transposed(self.inner.sweep(self.projector.apply(v), y))

    def chunks(self, stride: int = 1, y: Array | None = None, size: int = CHUNK_BYTES) -> Iterator[Array]:
        return self.inner.chunks(stride, y, size)

    def sample(self, stride: int, y: Array) -> tuple[Sample, Array]:
        return self.inner.sample(stride, y)

    def add_gram(self, gram: Array, y: Array | None = None, stride: int = 1) -> None:
        self.inner.add_gram(gram, y, stride)

    def squared_norms(self) -> Array:
        return self.inner.squared_norms()

    def dense(self) -> Array:
        matrix = self.inner.dense()
        scale = self.projector.scale
        normals = self.projector.normals if scale is None else self.projector.normals / scale
        return np.asarray(matrix - (matrix @ normals.T) @ self.projector.constraint)


class NullSpace(Preconditioner):
    """Preconditioner P⁻¹ restricted to C v = 0: y = (I − Z (C Z)⁻¹ C) P⁻¹ x with Z = P⁻¹ Cᵀ; P⁻¹ alone without C."""

    __repr__ = represent

    @check.takes(inner=check.preconditioner)
    def __init__(self, inner: Preconditioner) -> None:
        self.inner = inner
        self._constraint: Array | None = None
        self._z: Array | None = None
        self._inverse = np.empty(0)
        self.built = False  # once it has been asked for

    @property
    def constraint(self) -> Array | None:
        """C (m, p), or None."""
        return self._constraint

    @constraint.setter
    def constraint(self, constraint: Array | None) -> None:
        self._constraint, self._z = constraint, None

    def build(self, system: LeastSquares) -> float:
        """See `Preconditioner`."""
        self._z, self.built = None, True
        return self.inner.build(system)

    def shift(self, system: LeastSquares) -> float:
        """See `Preconditioner`."""
        self._z = None
        return self.inner.shift(system)

    def solve(self, y: Array) -> Array:
        """See `Preconditioner`; on rank 0."""
        if self._constraint is None:
            return self.inner.solve(y)
        z, inverse = self._normals(self._constraint)
        return self._project(self.inner.solve(y - (z @ y) @ inverse))  # from both sides: else yᵀP⁻¹y < 0 by rounding

    def _normals(self, constraint: Array) -> tuple[Array, Array]:
        """Zᵀ and (C Z)⁻¹ C, kept until P or C change."""
        if self._z is None:
            self._z = np.stack([self.inner.solve(row) for row in constraint])
            self._inverse = np.linalg.solve(constraint @ self._z.T, constraint)
        return self._z, self._inverse

    def _project(self, found: Array) -> Array:
        """(I − Z (C Z)⁻¹ C) x."""
        if self._constraint is None:
            return found
        z, inverse = self._normals(self._constraint)
        constrained: Array = found - (inverse @ found) @ z
        return constrained

    def start(self, system: LeastSquares) -> Array | None:
        """See `Preconditioner`."""
        start = self.inner.start(system)
        return start if start is None or system.comm.rank > 0 else self._project(start)

    def learn(self, iterations: int) -> None:
        """See `Preconditioner`."""
        self.inner.learn(iterations)

    @property
    def carry(self) -> tuple[float, ...]:
        """See `Preconditioner`."""
        return self.inner.carry

    @carry.setter
    def carry(self, carry: tuple[float, ...]) -> None:
        self.inner.carry = carry


class Constrained:
    """Solver that projects the preconditioner of an `LSQR` during its solves, and remembers the last system."""

    __repr__ = represent

    @check.takes(solver=check.solver, projector=check.instance(Projector, "a Projector"))
    def __init__(self, solver: Solver, projector: Projector) -> None:
        self.solver = solver
        self.projector = projector
        self.system: LeastSquares | None = None
        self.nullspace: NullSpace | None = None
        if isinstance(solver, LSQR):
            if not isinstance(solver.preconditioner, NullSpace):
                solver.preconditioner = NullSpace(solver.preconditioner)
            self.nullspace = solver.preconditioner

    def solve(self, system: LeastSquares) -> Solution:
        """See `Solver`."""
        self.system = system
        if self.nullspace is None:
            return self.solver.solve(system)
        try:
            self.nullspace.constraint = self.projector.constraint
            return self.solver.solve(system)
        finally:
            self.nullspace.constraint = None

    def directions(self, gradients: Array) -> Array:
        """G⁻¹Cᵀ as rows (m, p), on all ranks: with the kept preconditioner, or one made for it; collective."""
        if self.system is None:
            return gradients
        preconditioner = None if self.nullspace is None else self.nullspace.inner
        comm, kept = self.system.comm, self.nullspace is not None and self.nullspace.built
        if preconditioner is None or not kept:
            preconditioner = GramCholesky()
            preconditioner.build(self.system)
        found = np.empty_like(gradients)
        with collective_errors(comm):
            if comm.rank == 0:
                for row, gradient in zip(found, gradients, strict=True):
                    row[:] = preconditioner.solve(gradient)
        if comm.size > 1:
            comm.Bcast(found, root=0)
        return found
