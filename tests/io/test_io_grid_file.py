"""Snapshots on regular grids: dimensions, coordinates and values as netCDF 4 wants them."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import dfpde as df
from dfpde.errors import CheckpointError, ParameterError, ShapeError
from dfpde.io.grid_file import save_grid

X, Y = np.linspace(-1, 1, 5), np.array([0.0, 0.5, 2.0])


@pytest.mark.mpi
def test_values_stand_where_the_coordinates_say(comm, shared_tmp_path):
    """u[time, y, x], v[time, component, y, x] and a complex field in two parts."""
    path = shared_tmp_path / "snapshot.nc"
    fields = {"u": lambda x: x[0] + 10 * x[1], "v": lambda x: x, "psi": lambda x: np.exp(1j * x[0])}
    save_grid(path, (X, Y), 0.25, fields, comm)
    comm.barrier()
    with h5py.File(path) as file:
        for name, dims in {"u": "time y x", "v": "time component0_2 y x", "psi_im": "time y x"}.items():
            found = [file[name].dims[i][0].name.strip("/") for i in range(file[name].ndim)]
            assert found == dims.split()
        assert all(file[name].is_scale for name in ("time", "x", "y", "component0_2"))
        np.testing.assert_array_equal(file["u"][0], X[None] + 10 * Y[:, None])
        np.testing.assert_array_equal(file["v"][0, 1], np.broadcast_to(Y[:, None], (3, 5)))
        np.testing.assert_allclose(file["psi_im"][0], np.broadcast_to(np.sin(X), (3, 5)))
        assert file["time"][()] == [0.25]


@pytest.mark.mpi
def test_a_field_of_an_ansatz_in_one_and_four_dimensions(comm, shared_tmp_path):
    for dim in (1, 4):
        ansatz = df.GaussianMixture.isotropic(dim, 1)
        theta = np.array([1.0, *np.zeros(dim), 1.0])
        path = shared_tmp_path / f"{dim}.nc"
        save_grid(path, [X] * dim, 0.0, {"u": lambda x, a=ansatz, p=theta: a.value(p, x)}, comm)
        comm.barrier()
        with h5py.File(path) as file:
            assert file["u"].shape == (1, *[5] * dim)
            middle = file["u"][(0, *[2] * dim)]
            assert middle == pytest.approx(1.0) and ("x" if dim == 1 else "x3") in file


@pytest.mark.mpi
def test_errors_are_raised_on_all_ranks(comm, shared_tmp_path):
    good = {"u": lambda x: x[0]}
    (shared_tmp_path / "file").write_text("not a folder")
    for error, arguments in (
        (ParameterError, ("a.nc", (X[::-1],), 0.0, good)),
        (ParameterError, ("a.nc", (X,), np.nan, good)),
        (ParameterError, ("a.nc", (X,), 0.0, {"time": lambda x: x[0]})),
        (ShapeError, ("a.nc", (X,), 0.0, {"u": lambda x: np.zeros(3)})),
        (CheckpointError, ("file/a.nc", (X,), 0.0, good)),
    ):
        with pytest.raises(error) as caught:
            save_grid(shared_tmp_path / arguments[0], *arguments[1:], comm)
        assert caught.value.collective
    assert not (shared_tmp_path / "a.nc").exists() and not list(shared_tmp_path.glob(".*"))


def test_netcdf_reads_it(tmp_path):
    netcdf = pytest.importorskip("netCDF4")
    save_grid(tmp_path / "s.nc", (X, Y), 0.5, {"u": lambda x: x[0] * x[1]})
    with netcdf.Dataset(tmp_path / "s.nc") as file:
        assert file["u"].dimensions == ("time", "y", "x")
        np.testing.assert_array_equal(file["u"][0], X[None] * Y[:, None])
