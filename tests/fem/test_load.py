"""Finite-element functions from files: what was written comes back, scalars and vectors, on any number of ranks."""

from __future__ import annotations

import meshio
import numpy as np
import pytest
import skfem
from small_meshes import STRAIGHT

import dfpde as df
from dfpde import fem
from dfpde.errors import MeshError, NonFiniteError, ParameterError
from dfpde.io.vtk import grid_of


def scalar(x):
    return 2.0 + np.arange(1, len(x) + 1) @ x


def vector(x):
    return np.array([scalar((i + 2) * x) for i in range(len(x))])


def write(path, mesh, kind, comm, cell_data=None, **fields):
    """By meshio on rank 0; vectors with three components, as VTK has them."""
    if comm.rank == 0:
        grid = grid_of(mesh)
        data = {name: np.asarray(f(grid.x)) for name, f in fields.items()}
        data = {name: v if v.ndim == 1 else np.pad(v, ((0, 3 - len(v)), (0, 0))).T for name, v in data.items()}
        cells = [(kind, grid.cells)]
        meshio.Mesh(grid.points, cells, point_data=data, cell_data=cell_data or {}).write(path)
    comm.barrier()


@pytest.mark.mpi
@pytest.mark.parametrize("suffix", ["vtu", "xdmf"])
@pytest.mark.parametrize("kind", STRAIGHT)
def test_linear_functions_come_back(comm, shared_tmp_path, monkeypatch, kind, suffix):
    monkeypatch.chdir(shared_tmp_path)  # meshio writes the .h5 of an .xdmf where it is
    path, mesh = shared_tmp_path / f"{kind}.{suffix}", STRAIGHT[kind]
    write(path, mesh, kind, comm, u=scalar, v=vector)
    found = fem.load(path, comm=comm)
    assert set(found) == {"u", "v"}
    u, v = found["u"], found["v"]
    q = u.space.quadrature
    assert abs(q.measure - 1) < 1e-12
    np.testing.assert_allclose(u.value, scalar(q.x), atol=1e-13)
    np.testing.assert_allclose(v.value, vector(q.x) if mesh.dim() > 1 else vector(q.x)[0], atol=1e-13)
    gradient = np.arange(1, mesh.dim() + 1)[:, None] * np.ones(q.n)
    np.testing.assert_allclose(u.gradient, gradient, atol=1e-12)
    if mesh.dim() > 1:
        assert v.gradient.shape == (mesh.dim(), mesh.dim(), q.n)
        np.testing.assert_allclose(v.gradient[0], np.arange(2, mesh.dim() + 2)[:, None] * np.ones(q.n), atol=1e-12)
    if kind in ("triangle", "tetra"):
        x = np.random.default_rng(comm.rank).uniform(0.1, 0.9, (mesh.dim(), 7))
        np.testing.assert_allclose(u(x), scalar(x), atol=1e-12)
        np.testing.assert_allclose(v(x), vector(x), atol=1e-12)
        at = fem.Evaluation(v.space, x)
        np.testing.assert_allclose(at.gradient(v.nodal)[1], 2 * np.arange(2, mesh.dim() + 2)[:, None] * np.ones(7))


@pytest.mark.mpi
def test_second_order_functions_come_back_in_their_space(comm, shared_tmp_path):
    straight = skfem.MeshTri().refined(2)

    def square(x):
        return x[0] ** 2 - 3 * x[0] * x[1]

    path = shared_tmp_path / "u.vtu"
    write(path, skfem.MeshTri2.from_mesh(straight), "triangle6", comm, u=square)
    space = fem.Space(df.Mesh.from_skfem(straight, comm), skfem.ElementTriP2())
    u = fem.load(path, space)["u"]
    np.testing.assert_allclose(u.value, square(space.quadrature.x), atol=1e-13)
    linear = fem.Space(df.Mesh.from_skfem(straight, comm), skfem.ElementTriP1())
    np.testing.assert_allclose(fem.load(path, linear)["u"].nodal, square(linear.nodes.x), atol=1e-14)
    with pytest.raises(ParameterError, match="triangle6 cells, which carry no space"):
        fem.load(path, comm=comm)


@pytest.mark.mpi
def test_single_precision_is_enough_for_initial_data(comm, shared_tmp_path):
    """As ParaView saves it."""
    mesh = skfem.MeshTri.init_tensor(np.linspace(-2, 2, 25), np.linspace(-2, 2, 25))
    ansatz = df.GaussianMixture.isotropic(2, 1)
    theta = ansatz.pack(amplitudes=[1.0], centers=[[0.1, -0.2]], scales=[1.2])
    path = shared_tmp_path / "u.vtu"
    write(path, mesh, "triangle", comm, u=lambda x: ansatz.value(theta, x))
    if comm.rank == 0:
        file = meshio.read(path)
        file.points = file.points.astype(np.float32)
        file.write(path)
    comm.barrier()
    u = fem.load(path, comm=comm)["u"]
    exact = ansatz.value(theta, u.space.nodes.x)
    np.testing.assert_allclose(u.nodal, exact, atol=1e-6)
    problem = df.Problem(ansatz, u.space.quadrature, lambda t, x, u: u.value)
    fitted = df.fit(problem, u.value, ansatz.pack(amplitudes=[0.8], centers=[[0.0, 0.0]], scales=[1.0]))
    np.testing.assert_allclose(fitted.theta, theta, atol=0.02)


def test_a_step_of_the_writer_for_paraview_comes_back(tmp_path):
    writer = df.ParaViewWriter(tmp_path / "run", STRAIGHT["triangle"])
    writer.write(0.0, u=scalar, v=vector)
    found = fem.load(tmp_path / "run" / "000000.vtu")
    np.testing.assert_array_equal(found["u"].nodal, scalar(found["u"].space.nodes.x))
    np.testing.assert_array_equal(found["v"].nodal, vector(found["v"].space.nodes.x))


@pytest.mark.mpi
def test_what_is_no_function_of_the_space_is_named(comm, shared_tmp_path):
    mesh, path = STRAIGHT["triangle"], shared_tmp_path / "u.vtu"
    write(path, mesh, "triangle", comm, u=scalar)
    space = fem.Space(df.Mesh.from_skfem(mesh, comm), skfem.ElementTriP2())
    with pytest.raises(ParameterError, match="nodes have no point there, first") as caught:
        fem.load(path, space)
    assert "P1, or P2" in str(caught.value)
    write(path, mesh, "triangle", comm, u=lambda x: np.where(x[0] == 0, np.nan, 1.0))
    with pytest.raises(NonFiniteError, match="u is not finite at 5 nodes" if comm.size == 1 else "u is not finite"):
        fem.load(path, comm=comm)
    write(path, mesh, "triangle", comm, cell_data={"q": [np.arange(32.0)]})
    with pytest.raises(ParameterError, match=r"data of cells \(q\) only") as caught:
        fem.load(path, comm=comm)
    assert "Cell Data to Point Data" in str(caught.value)
    jumping = skfem.MeshTri1DG.from_mesh(mesh)
    if comm.rank == 0:
        x = np.pad(jumping.doflocs.T, ((0, 0), (0, 1)))
        cells = [("triangle", jumping.t.T)]
        meshio.Mesh(x, cells, point_data={"u": np.arange(len(x), dtype=float)}).write(path)
    comm.barrier()
    with pytest.raises(ParameterError, match="u has two values at"):
        fem.load(path, fem.Space(df.Mesh.from_skfem(mesh, comm), skfem.ElementTriP1()))
    with pytest.raises(MeshError, match="no such file"):
        fem.load(shared_tmp_path / "none.vtu", comm=comm)
