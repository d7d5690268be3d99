"""Degrees of freedom spread over ranks, and sums of what the ranks know of them.

    A = Σ_r P_rᵀ A_r P_r,        b = Σ_r P_rᵀ b_r

A_r and b_r are *sub-assembled*: rank r sums over its own cells only.  P_r picks the n_r degrees of freedom that these
cells touch; those on the border of a part belong to several ranks.  A and b are PETSc's; on one rank without petsc4py
they are a SciPy matrix and an array.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray
from scipy import sparse
from skfem.assembly.form.coo_data import COOData

from .. import validation as check
from ..errors import ParameterError, ShapeError
from ..parallel.collective import collective_errors, require_finite
from ..representation import represent

Array = NDArray[Any]
PETSC_DECIDE = -1
VALUES = "values"


@dataclass(frozen=True, eq=False)
class Nodes:
    """Degrees of freedom that this rank touches: P_r and where they are.

    Creating one is collective; a rank may have none.

    Parameters
    ----------
    x : (dim, n) array
        Their locations.
    comm : MPI.Comm
    numbers : (n,) array of int, optional
        Their numbers among all degrees of freedom 0 … size − 1; by default consecutive over the ranks, so that
        every degree of freedom belongs to one rank.
    owned : int
        Rows of distributed vectors on this rank, where a matrix prescribes them; by default PETSc's equal split.
    kind : str
        What the degrees of freedom are: "values" of the field at x, else a word for what they are, for messages.

    Attributes
    ----------
    size : int
        Degrees of freedom on all ranks.

    Raises
    ------
    ShapeError, ParameterError, NonFiniteError
        On all ranks: shapes that do not match, a number used twice on a rank, a number nobody has.
    """

    x: Array
    comm: MPI.Comm
    numbers: Array = None  # type: ignore[assignment]
    owned: int = PETSC_DECIDE
    kind: str = VALUES
    size: int = field(init=False)
    _petsc: Any = field(init=False, repr=False)

    __repr__ = represent

    def __post_init__(self) -> None:
        check.instance(MPI.Comm, "a communicator of mpi4py")("comm", self.comm)
        with collective_errors(self.comm):
            check.numbers()("x", self.x)
            check.optional(check.indices)("numbers", self.numbers)
            x = np.ascontiguousarray(self.x, dtype=float)
            if x.ndim != 2:
                raise ShapeError(f"locations of shape {x.shape}", "give x (dim, n), points last")
            given = None if self.numbers is None else np.asarray(self.numbers)
            if given is not None and (given.shape != (x.shape[1],) or np.unique(given).size != given.size):
                raise ShapeError(
                    f"{np.unique(given).size} different numbers, shape {given.shape}, for {x.shape[1]} locations",
                    "one number for each, none twice",
                )
        require_finite(self.comm, "locations of all degrees of freedom", x=x)
        numbers = self._consecutive(x.shape[1]) if self.numbers is None else given
        numbers = np.asarray(numbers, dtype=np.int64)
        size = self.comm.allreduce(int(numbers.max(initial=-1)) + 1, op=MPI.MAX)
        for name, value in {"x": x, "numbers": numbers, "size": size}.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_petsc", self._objects())
        with collective_errors(self.comm):
            self._complete()

    def _consecutive(self, n: int) -> Array:
        before = sum(self.comm.allgather(n)[: self.comm.rank])
        return np.arange(before, before + n)

    @property
    def serial(self) -> bool:
        """Whether matrices and vectors are SciPy's and NumPy's."""
        return self._petsc is None

    def _objects(self) -> Any:
        """What scikit-fem's `COOData.topetsc` wants to know, and the scatter between local and distributed vectors.

        None on one rank without petsc4py; on several that is a `MissingDependency`.
        """
        if self.comm.size == 1 and find_spec("petsc4py") is None:
            return None
        from ..leastsquares.petsc import PETSc

        object.__setattr__(self, "numbers", self.numbers.astype(PETSc.IntType))
        index = PETSc.IS().createGeneral(self.numbers, comm=self.comm)
        total = PETSc.Vec().createMPI((self.owned, self.size), comm=self.comm)
        local = PETSc.Vec().createSeq(self.n)
        return SimpleNamespace(
            insert=PETSc.InsertMode,
            reverse=PETSc.ScatterMode.REVERSE,
            _comm=PETSc.Comm(self.comm),
            _nglob=self.size,
            _lgmap=PETSc.LGMap().create(self.numbers, bsize=1, comm=self.comm),
            total=total,
            local=local,
            scatter=PETSc.Scatter().create(local, None, total, index),
        )

    def _complete(self) -> None:
        count = self.sum(np.ones(self.n))
        first, count = (0, count) if self.serial else (self._petsc.total.getOwnershipRange()[0], count.getArray())
        if np.any(count == 0):
            missing = np.flatnonzero(count == 0) + first
            raise ParameterError(
                f"{missing.size} of {self.size} degrees of freedom belong to no rank, first {missing[:5].tolist()}",
                "numbers of all ranks together must cover 0 … size − 1",
            )

    def require_values(self, use: str) -> None:
        """Refuse degrees of freedom that are no values at x; no communication.

        Raises
        ------
        ParameterError
            They are derivatives, fluxes, moments or components.
        """
        if self.kind != VALUES:
            raise ParameterError(
                f"{use} takes degrees of freedom for values at their locations; those of {self.kind} are not",
                "a Lagrange element: P1, P2, Q1, Q2, …; for systems one scalar space, the components share it",
            )

    @property
    def n(self) -> int:
        """Degrees of freedom on this rank, those of the border included."""
        return int(self.x.shape[1])

    @property
    def dim(self) -> int:
        """Space dimension."""
        return int(self.x.shape[0])

    def matrix(self, local: Any) -> Any:
        """Σ_r P_rᵀ A_r P_r as a distributed PETSc matrix, by scikit-fem's ``topetsc``, or in CSR form; collective.

        Parameters
        ----------
        local : scipy sparse (n, n) or skfem COOData
            A_r, for example ``BilinearForm(...).elemental(basis)``.

        Raises
        ------
        ShapeError
            Not (n, n) on some rank.
        """
        with collective_errors(self.comm):
            if not isinstance(local, COOData):
                check.matrix("local", local)
                coo = sparse.coo_array(local)
                local = COOData(np.array([coo.row, coo.col]), coo.data, coo.shape, None)
            self._fits(local.shape, (self.n, self.n), "matrix")
        if not self.serial:
            return local.topetsc(self._petsc)
        rows, columns = self.numbers[local.indices]
        return sparse.csr_array(sparse.coo_array((local.data, (rows, columns)), shape=(self.size, self.size)))

    def sum(self, local: Array) -> Any:
        """Σ_r P_rᵀ b_r as a new distributed vector; collective."""
        return self._to_total(local, "ADD")

    def gather(self, local: Array) -> Any:
        """x with x_j = the value that ranks have at node j, equal on all ranks that share it; collective."""
        return self._to_total(local, "INSERT")

    def smallest(self, local: Array) -> Array:
        """At each of this rank's nodes the smallest of the values that ranks have there; collective."""
        with collective_errors(self.comm):
            local = check.values("local", local, self.n, kinds="fiu")
        lowest: Array = -self.spread(self._to_total(-local, "MAX_VALUES", -np.inf))
        return lowest

    def shares(self) -> Array:
        """How many ranks have each of this rank's nodes, (n,); collective."""
        return self.spread(self.sum(np.ones(self.n)))

    def _to_total(self, local: Array, mode: str, start: float = 0.0) -> Any:
        with collective_errors(self.comm):
            local = check.values("local", local, self.n, kinds="fiu")
        p = self._petsc
        if p is None:
            values = np.zeros(self.size)
            values[self.numbers] = local  # on one rank no number is there twice
            return values
        total = p.total.duplicate()
        total.set(start)
        p.local.getArray()[:] = local
        p.scatter.scatter(p.local, total, addv=getattr(p.insert, mode))
        return total

    def spread(self, total: Any) -> Array:
        """P_r x: this rank's values (n,) of a distributed vector; collective."""
        p = self._petsc
        if p is None:
            return np.array(total[self.numbers])
        p.scatter.scatter(total, p.local, addv=p.insert.INSERT, mode=p.reverse)
        values: Array = p.local.getArray().copy()
        return values

    def _fits(self, shape: tuple[int, ...], expected: tuple[int, ...], what: str) -> None:
        if tuple(shape) != expected:
            raise ShapeError(
                f"a local {what} of shape {tuple(shape)} on rank {self.comm.rank} with {self.n} degrees of freedom",
                f"give {expected}: sums over the rank's own cells, in the order of the local degrees of freedom",
            )
