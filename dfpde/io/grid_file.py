"""Snapshots of fields on a regular grid: HDF5 files that netCDF 4, xarray, Panoply and the like read by name.

    u[time, y, x] with the coordinates time, x, y     one file for each time; xarray.open_mfdataset joins them
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from .. import validation as check
from ..errors import ParameterError, ShapeError
from ..parallel.collective import collective_errors
from ..parallel.communicator import communicator
from .files import replace

Array = NDArray[Any]

NAMES = ("x", "y", "z")


@check.takes(
    path=check.path,
    axes=check.each(check.numbers(1), "arrays, one for each direction", 1),
    fields=check.functions,
)
def save_grid(
    path: str | os.PathLike[str],
    axes: Sequence[Array],
    t: float,
    fields: Mapping[str, Callable[[Array], Array]],
    comm: MPI.Comm | None = None,
) -> None:
    """Write u(t, x) on the grid of all combinations of the axes; collective, rank 0 evaluates and writes.

    Parameters
    ----------
    path : path
        For example ``out/u_000012.nc``; replaced atomically.
    axes : sequence of (n_i,) arrays
        Increasing coordinates along x, y, z, …: one for each dimension (beyond three: x0, x1, …).
    t : float
        Time.
    fields : mapping
        Name → function x (dim, N) -> (\\*shape, N), for example ``problem.field(state)``.  A complex u is written as
        u_re and u_im; components become a further dimension of u.
    comm : MPI.Comm, optional
        Of the run, whose ranks all hold the fields; may be left out in a job of one process.

    Raises
    ------
    ParameterError, ShapeError, CheckpointError
        On all ranks: axes that do not increase, a field of another shape, a file that cannot be written.

    Notes
    -----
    Dimension scales as in the netCDF 4 format,
    https://docs.unidata.ucar.edu/netcdf-c/current/file_format_specifications.html#netcdf_4_spec .
    """
    comm = communicator(comm)
    with collective_errors(comm):
        known = [np.asarray(axis, dtype=float) for axis in axes]
        if not known or any(a.ndim != 1 or a.size == 0 or not np.all(np.diff(a) > 0) for a in known):
            raise ParameterError("axes that are no increasing coordinates", "one (n,) array for each dimension")
        if not np.isfinite(t):
            raise ParameterError(f"t = {t}", "a finite time")
        if comm.rank == 0:
            x = np.stack([part.ravel() for part in np.meshgrid(*known, indexing="ij")])
            shape = tuple(axis.size for axis in known)
            data = {key: part for name, field in fields.items() for key, part in _parts(name, field, x, shape)}
            replace(Path(path), lambda beside: _write(beside, known, float(t), data))


def _parts(
    name: str, field: Callable[[Array], Array], x: Array, shape: tuple[int, ...]
) -> list[tuple[str, Array]]:
    """Real arrays (*components, *shape)."""
    values = np.asarray(field(x))
    if values.ndim == 0 or values.shape[-1] != x.shape[1]:
        raise ShapeError(f"{name} has shape {values.shape} at {x.shape[1]} points", "one value for each, points last")
    values = values.reshape(*values.shape[:-1], *shape)
    if np.iscomplexobj(values):
        return [(f"{name}_re", values.real), (f"{name}_im", values.imag)]
    return [(name, values)]


def _write(path: Path, axes: list[Array], t: float, data: Mapping[str, Array]) -> None:
    names = NAMES[: len(axes)] if len(axes) <= len(NAMES) else tuple(f"x{i}" for i in range(len(axes)))
    taken = {"time", *names} & set(data)
    if taken:
        raise ParameterError(f"fields called like coordinates: {', '.join(sorted(taken))}", "other names")
    with h5py.File(path, "w", track_order=True) as file:
        scales = {"time": np.array([t]), **dict(zip(names, axes, strict=True))}
        for name, values in scales.items():
            file.create_dataset(name, data=values).make_scale(name)
        for name, values in data.items():
            count = values.ndim - len(axes)
            # C order with x fastest, as the conventions of climate and forecast data have it
            turned = np.transpose(values, (*range(count), *reversed(range(count, values.ndim))))
            made = file.create_dataset(name, data=turned[None], fletcher32=True)
            components = []
            for axis, size in enumerate(values.shape[:count]):
                scale = f"component{axis}_{size}"
                if scale not in file:
                    file.create_dataset(scale, data=np.arange(size)).make_scale(scale)
                components.append(scale)
            for axis, scale in enumerate(["time", *components, *reversed(names)]):
                made.dims[axis].attach_scale(file[scale])
