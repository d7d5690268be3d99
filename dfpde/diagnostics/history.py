"""What a run measured, state by state: columns for tables and pictures, and a file that can be read on the way.

    t, step, dt, ‖f‖, ‖J θ̇ − f‖, their ratio, error of the step, ε, ρ, iterations, rejected steps, and functionals Q(u)
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from .. import validation as check
from ..errors import CheckpointError, MissingDependency, ParameterError, ShapeError
from ..evolution.state import State
from ..functional import Functional, ParameterFunctional
from ..model import Model
from ..parallel.collective import collective_errors
from ..parallel.communicator import communicator
from .plot_runs import plot_history

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]
Quantity = Functional | ParameterFunctional | Callable[[Model, State], float]

#: Columns that every history has, before those of the user.
COLUMNS = (
    "t", "step", "dt", "rhs_norm", "defect", "relative_defect", "error", "eps", "rho", "iterations", "rejected",
    "resolution", "effective_dimension", "effective_samples", "sampling_error",
)  # fmt: skip

COUNTS = ("step", "iterations", "rejected")


class History:
    """Columns by name, one row for each recorded state.

    Parameters
    ----------
    path : path, optional
        File of comma-separated values: a header, then a line for each row as soon as it is recorded, floats with all
        their digits (pandas: ``read_csv(path, float_precision="round_trip")``).  It must not exist; see `resume`.
    quantities : mapping of str to Functional or callable, optional
        Further columns: a `Functional`, a `ParameterFunctional`, or (problem, state) -> float.
    problem : Problem or fem.SemiDiscrete, optional
        What the quantities are taken of; `record` may be given another one.
    comm : MPI.Comm, optional
        That of the problem.  Rank 0 writes.

    Examples
    --------
    >>> history = df.History("history.csv", quantities={"mass": Functional.linear()}, problem=problem)
    >>> for state in df.evolve(problem, start, until=1.0):
    ...     history.record(state)
    >>> history.to_pandas().plot("t", "defect")

    Raises
    ------
    ParameterError
        The file exists, a name is taken, or quantities without a problem.
    """

    @check.takes(
        path=check.optional(check.path),
        quantities=check.optional(check.quantities),
        problem=check.optional(check.model),
    )
    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        quantities: Mapping[str, Quantity] | None = None,
        problem: Model | None = None,
        comm: MPI.Comm | None = None,
    ) -> None:
        self._prepare(path, dict(quantities or {}), problem, comm)
        with collective_errors(self.comm):
            if self.path is not None and self.comm.rank == 0:
                if self.path.exists() and self.path.stat().st_size:
                    raise ParameterError(
                        f"{self.path} exists", "History.resume(path, state) to go on with it, or another name"
                    )
                self._write([",".join(self.columns)], "w")

    def _prepare(
        self, path: Any, quantities: dict[str, Quantity], problem: Model | None, comm: MPI.Comm | None
    ) -> None:
        taken = [name for name in quantities if name in COLUMNS or not name or set(name) & set(',"\n\r')]
        if taken or (quantities and problem is None):
            raise ParameterError(
                f"quantities {sorted(quantities)}", f"a problem for them, and names other than {', '.join(COLUMNS)}"
            )
        self.path = None if path is None else Path(path)
        self.quantities, self.problem = quantities, problem
        self.comm = communicator(comm) if problem is None or comm is not None else problem.comm
        self.columns = (*COLUMNS, *quantities)
        self._rows: list[tuple[float, ...]] = []

    @classmethod
    @check.takes(
        path=check.path,
        state=check.state,
        quantities=check.optional(check.quantities),
        problem=check.optional(check.model),
    )
    def resume(
        cls,
        path: str | os.PathLike[str],
        state: State,
        *,
        quantities: Mapping[str, Quantity] | None = None,
        problem: Model | None = None,
        comm: MPI.Comm | None = None,
    ) -> History:
        """The history of a run that goes on from a state: the file, cut back to it; collective.

        Rows of later steps and a last line that was not completed are taken out, so that the file becomes that of a run
        without a break.  A file that does not exist is begun.

        Raises
        ------
        ParameterError
            The file has other columns, or is no history.
        """
        self = cls.__new__(cls)
        self._prepare(path, dict(quantities or {}), problem, comm)
        target = Path(path)
        with collective_errors(self.comm):
            rows: list[tuple[float, ...]] = []
            if self.comm.rank == 0:
                if target.exists() and target.stat().st_size:
                    columns, rows = _read(target)
                    if columns != self.columns:
                        what = f"{path} has the columns {columns}, the run has {self.columns}"
                        raise ParameterError(what, "another file")
                rows = [row for row in rows if row[1] <= state.step]
                beside = target.with_name(target.name + ".new")
                beside.write_text("\n".join([",".join(self.columns), *map(_line, rows)]) + "\n", encoding="utf-8")
                beside.replace(target)
        self._rows = self.comm.bcast(rows) if self.comm.size > 1 else rows
        return self

    @classmethod
    @check.takes(path=check.path)
    def read(cls, path: str | os.PathLike[str]) -> History:
        """The history in a file, to look at; no communication.

        Raises
        ------
        ParameterError
            It is no history.
        """
        self = cls.__new__(cls)
        self._prepare(None, {}, None, MPI.COMM_SELF)
        self.columns, self._rows = _read(Path(path))
        return self

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"History({len(self)} rows of {', '.join(self.columns)})"

    @check.takes(state=check.state, problem=check.optional(check.model))
    def record(self, state: State, problem: Model | None = None) -> None:
        """Add a row; collective where there are quantities.

        Parameters
        ----------
        problem : Problem, optional
            The present one, where it changes along a run.
        """
        statistics, model = state.statistics, self.problem if problem is None else problem
        measured = {"t": state.t, "step": state.step}
        row = [measured[name] if name in measured else getattr(statistics, name) for name in COLUMNS]
        if model is not None:
            with collective_errors(model.comm):
                row += [_value(name, quantity, model, state) for name, quantity in self.quantities.items()]
        self._rows.append(tuple(row))
        if self.path is not None:
            with collective_errors(self.comm):
                if self.comm.rank == 0:
                    self._write([_line(self._rows[-1])], "a")

    def _write(self, lines: list[str], mode: str) -> None:
        if self.path is not None:
            try:
                with self.path.open(mode, encoding="utf-8") as file:
                    file.write("".join(f"{line}\n" for line in lines))
            except OSError as error:
                what = f"cannot write {self.path}: {error.strerror or error}"
                raise CheckpointError(what, "free some space, or a folder you may write to") from error

    def to_dict(self) -> dict[str, Array]:
        """Columns by name: arrays of one entry for each row."""
        return {
            name: np.array([row[i] for row in self._rows], dtype=int if name in COUNTS else float)
            for i, name in enumerate(self.columns)
        }

    def to_pandas(self) -> Any:
        """The columns as a pandas.DataFrame.

        Raises
        ------
        MissingDependency
            pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingDependency("pandas is not installed", "pip install pandas, or to_dict()") from error
        return pandas.DataFrame(self.to_dict())

    def plot(self) -> Figure:
        """Step sizes, defect beside ‖f‖, error of the step, ε, and the quantities against t, as a matplotlib Figure.

        Raises
        ------
        MissingDependency
            matplotlib is not installed.
        """
        return plot_history(self.to_dict(), self.columns[len(COLUMNS) :])


def _value(name: str, quantity: Quantity, problem: Model, state: State) -> float:
    if isinstance(quantity, Functional | ParameterFunctional):
        return quantity.value(problem, np.asarray(state.theta))
    value = np.asarray(quantity(problem, state))
    if value.size != 1 or value.dtype.kind not in "fiub":
        raise ShapeError(f"quantity {name!r} is {value!r:.60}", "one real number")
    return float(value.reshape(-1)[0])


def _line(row: tuple[float, ...]) -> str:
    return ",".join(repr(int(value) if name in COUNTS else float(value)) for name, value in _named(row))


def _named(row: tuple[float, ...]) -> list[tuple[str, float]]:
    names = [*COLUMNS, *("",) * (len(row) - len(COLUMNS))]
    return list(zip(names, row, strict=True))


def _read(path: Path) -> tuple[tuple[str, ...], list[tuple[float, ...]]]:
    """Columns and complete rows of a file."""
    remedy = "a file that History has written"
    try:
        complete, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
        header, *lines = complete.split("\n")
        columns = tuple(header.split(","))
        rows = [tuple(float(entry) for entry in line.split(",")) for line in lines]
    except (OSError, ValueError) as error:
        raise ParameterError(f"{path} cannot be read as a history: {error}", remedy) from error
    if columns[: len(COLUMNS)] != COLUMNS or any(len(row) != len(columns) for row in rows):
        raise ParameterError(f"{path} is no history: its columns are {columns[:4]}, …", remedy)
    if not all(math.isfinite(row[1]) for row in rows):
        raise ParameterError(f"{path} has rows without a step", remedy)
    return columns, rows
