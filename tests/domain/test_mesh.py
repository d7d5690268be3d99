"""Mesh files of every kind, their names, and how they are split over ranks."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import meshio
import numpy as np
import pytest
import skfem
from mpi4py import MPI
from small_meshes import KINDS, SIDES, as_meshio, cube, interface, sides, write

from dfpde.domain import cells
from dfpde.domain import file as mesh_file
from dfpde.domain import raw as mesh_raw
from dfpde.domain.mesh import Mesh, read_mesh
from dfpde.domain.quadrature import Quadrature
from dfpde.errors import DfpdeWarning, ParameterError

SELF = MPI.COMM_SELF
MESHES = Path(__file__).parents[2] / "meshes"
FORMATS = {
    "gmsh22": (".msh", {"file_format": "gmsh22", "binary": False}),
    "gmsh22 binary": (".msh", {"file_format": "gmsh22", "binary": True}),
    "gmsh41": (".msh", {"file_format": "gmsh", "binary": False}),
    "gmsh41 binary": (".msh", {"file_format": "gmsh", "binary": True}),
    "vtu": (".vtu", {}),
    "vtu raw": (".vtu", {"compression": None}),
    "xdmf": (".xdmf", {}),
    "xdmf xml": (".xdmf", {"data_format": "XML"}),
}


# -- reading -------------------------------------------------------------------------------------------------
@pytest.mark.mpi
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_and_cell_type(name: str, kind: str, comm: MPI.Comm, shared_tmp_path: Path) -> None:
    """The file's mesh has the points and weights of the mesh written, cell by cell; hexahedra in meshio's order."""
    suffix, options = FORMATS[name]
    mesh, path = cube(kind, 2), shared_tmp_path / f"cube{suffix}"
    if comm.rank == 0:
        as_meshio(mesh, kind).write(path, **options)
    read = read_mesh(path, comm)
    assert (read.n_cells, read.n_vertices, read.dim) == (mesh.nelements, mesh.doflocs.shape[1], mesh.dim())
    found = Quadrature.from_mesh(read, 4)
    x, w = np.concatenate(comm.allgather(found.x), axis=1), np.concatenate(comm.allgather(found.w))
    reference = Quadrature.from_mesh(mesh, 4, SELF)
    for k in range(3):  # moments of every cell: points may come in another order
        ours = np.sum((x[0] ** k * w).reshape(mesh.nelements, -1), axis=1)
        theirs = np.sum((reference.x[0] ** k * reference.w).reshape(mesh.nelements, -1), axis=1)
        assert np.allclose(ours, theirs, rtol=1e-11)


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("name", "cells", "area", "names", "lengths"),
    [
        ("disk", 3266, 66 * np.sin(2 * np.pi / 132), ("rim",), (264 * np.sin(np.pi / 132),)),
        (
            "annulus",
            2014,
            54 * np.sin(2 * np.pi / 108) - 0.09 * 16 * np.sin(2 * np.pi / 32),
            ("hole", "outer"),
            (0.3 * 64 * np.sin(np.pi / 32), 216 * np.sin(np.pi / 108)),
        ),
        (
            "channel",
            3166,
            2.2 * 0.41 - 0.05**2 * 20 * np.sin(2 * np.pi / 40),
            ("cylinder", "inflow", "outflow", "walls"),
            (0.05 * 80 * np.sin(np.pi / 40), 0.41, 0.41, 4.4),
        ),
    ],
)
def test_committed_meshes(
    name: str, cells: int, area: float, names: tuple[str, ...], lengths: tuple[float, ...], comm: MPI.Comm
) -> None:
    """Areas and lengths of the polygons; the inner normals add up to nothing on closed curves."""
    mesh = read_mesh(MESHES / f"{name}.msh", comm)
    assert mesh.n_cells == cells and mesh.boundaries == names and len(mesh.subdomains) == 1
    assert Quadrature.from_mesh(mesh, 1).measure == pytest.approx(area, rel=1e-12)
    assert Quadrature.from_mesh(mesh, 1, subdomain=mesh.subdomains[0]).measure == pytest.approx(area, rel=1e-12)
    for boundary, length in zip(names, lengths, strict=True):
        assert Quadrature.boundary(mesh, boundary, 1).measure == pytest.approx(length, rel=1e-12)
    around = Quadrature.boundary(mesh, None, 1)
    assert around.measure == pytest.approx(sum(lengths), rel=1e-12)
    assert around.integrate(around.normals) == pytest.approx([0, 0], abs=1e-13)


VTK_NODES = {  # of the unit cell, in the order of the VTK file formats, ×2
    "triangle6": "00 20 02 10 11 01",
    "quad9": "00 20 22 02 10 21 12 01 11",
    "tetra10": "000 200 020 002 100 110 010 001 101 011",
    "hexahedron": "000 200 220 020 002 202 222 022",
    "hexahedron27": "000 200 220 020 002 202 222 022 100 210 120 010 102 212 122 012 001 201 221 021 "
    "011 211 101 121 110 112 111",
}


@pytest.mark.parametrize("kind", VTK_NODES)
def test_nodes_in_the_order_of_vtk_give_an_affine_map(kind: str, tmp_path: Path) -> None:
    """A cell with straight edges and nodes in the middle has a constant Jacobian, whatever side it stands on."""
    nodes = np.array([[int(c) / 2 for c in node] for node in VTK_NODES[kind].split()])
    nodes = nodes @ (np.eye(nodes.shape[1]) + 0.1)  # sheared: det = 1 + 0.1 dim
    path = write(tmp_path / "cell.vtu", nodes, (kind, np.arange(len(nodes))[None]))
    shapes = mesh_raw.cell_shapes(mesh_file.load(path))
    assert shapes.smallest == pytest.approx(1 + 0.1 * nodes.shape[1], rel=1e-13)
    assert shapes.largest == pytest.approx(1 + 0.1 * nodes.shape[1], rel=1e-13)


@pytest.mark.mpi
def test_second_order_disk_converges_with_curved_edges(comm: MPI.Comm, shared_tmp_path: Path) -> None:
    """Area error O(h⁴) with parabolic edges (straight ones: O(h²))."""
    errors = []
    for level in (2, 3):
        path = shared_tmp_path / f"disk{level}.vtu"
        if comm.rank == 0:
            as_meshio(skfem.MeshTri2.init_circle(level), "triangle6").write(path)
        errors.append(abs(Quadrature.from_mesh(read_mesh(path, comm), 2).measure - np.pi))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.15)


@pytest.mark.mpi
@pytest.mark.parametrize("kind", ["line", "triangle", "quad", "tetra", "hexahedron"])
def test_names_saved_by_scikit_fem(kind: str, comm: MPI.Comm, shared_tmp_path: Path) -> None:
    mesh = sides(cube(kind, 2, shake=0)).with_subdomains({"lower": lambda x: x[0] < 0.5})
    path = shared_tmp_path / "named.vtu"
    if comm.rank == 0:
        mesh.save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DfpdeWarning)  # scikit-fem sorts the vertices of triangles: some are turned
        read = read_mesh(path, comm)
    assert read.boundaries == tuple(sorted(name for pair in SIDES[: mesh.dim()] for name in pair))
    assert Quadrature.from_mesh(read, 1, subdomain="lower").measure == pytest.approx(0.5, rel=1e-13)
    for axis, pair in enumerate(SIDES[: mesh.dim()]):
        for at, name in enumerate(pair):
            side = Quadrature.boundary(read, name, 1)
            assert side.measure == pytest.approx(1, rel=1e-13) and np.allclose(side.x[axis], at)


@pytest.mark.mpi
@pytest.mark.parametrize("flip", [False, True])
def test_interface_belongs_to_one_cell_and_keeps_its_direction(
    flip: bool, comm: MPI.Comm, shared_tmp_path: Path
) -> None:
    path = shared_tmp_path / "two.msh"
    if comm.rank == 0:
        interface(path, flip)
    mesh = read_mesh(path, comm)
    line = Quadrature.boundary(mesh, "interface", 2)
    assert line.size == 4 * 2 and line.measure == pytest.approx(1, rel=1e-14)
    assert np.allclose(line.normals, [[-1.0 if flip else 1.0], [0.0]])
    assert Quadrature.from_mesh(mesh, 0, subdomain="left").measure == pytest.approx(1, rel=1e-14)
    assert Quadrature.boundary(mesh, None, 0).measure == pytest.approx(6, rel=1e-14)


def test_reversed_and_unnamed_groups(tmp_path: Path) -> None:
    """A negative physical tag reverses a curve; a group without a name is called by its number."""
    path = tmp_path / "two.msh"
    meshio.read(interface(path)).write(path, file_format="gmsh22", binary=False)
    text = path.read_text().replace('1 1 "interface"\n', "").replace("PhysicalNames\n3", "PhysicalNames\n2")
    lines = [
        " ".join([*row[:3], "-1", *row[4:]]) if len(row := line.split()) == 7 and row[1] == "1" else line
        for line in text.splitlines()
    ]
    path.write_text("\n".join(lines) + "\n")
    line = Quadrature.boundary(read_mesh(path, SELF), "1", 2)
    assert line.measure == pytest.approx(1, rel=1e-14) and np.allclose(line.normals, [[-1.0], [0.0]])


def test_cell_in_two_groups_of_msh2_is_one_cell(tmp_path: Path) -> None:
    """gmsh writes it twice."""
    points, triangles = [(0, 0), (1, 0), (1, 1), (0, 1)], [(0, 1, 2), (0, 2, 3)]
    tags = [np.array([1, 1, 2])]
    path = write(
        tmp_path / "twice.msh",
        points,
        ("triangle", [*triangles, triangles[1]]),
        cell_data={"gmsh:physical": tags, "gmsh:geometrical": tags},
        field_data={"all": np.array([1, 2]), "upper": np.array([2, 2])},
    )
    mesh = read_mesh(path, SELF)
    assert mesh.n_cells == 2
    assert Quadrature.from_mesh(mesh, 0).measure == pytest.approx(1)
    assert Quadrature.from_mesh(mesh, 0, subdomain="all").measure == pytest.approx(1)
    assert Quadrature.from_mesh(mesh, 0, subdomain="upper").measure == pytest.approx(0.5)


def test_single_precision_file(tmp_path: Path) -> None:
    """Roundings of the file's own precision are not taken for faults."""
    mesh = as_meshio(cube("triangle"), "triangle")
    mesh.points = mesh.points.astype(np.float32)
    mesh.points[:, 2] = 1e-7
    mesh.write(tmp_path / "single.vtu")
    read = read_mesh(tmp_path / "single.vtu", SELF)
    assert read.local.doflocs.dtype == np.float64
    assert Quadrature.from_mesh(read, 0).measure == pytest.approx(1, rel=1e-6)


# -- splitting -----------------------------------------------------------------------------------------------
def _whole_points(mesh: Mesh) -> np.ndarray:
    """Corners of all cells gathered: (dim, nodes per cell, cells)."""
    if mesh.local is None:
        return np.concatenate([p for p in mesh.comm.allgather(None) if p is not None], axis=2)
    mine = mesh.local.doflocs[:, cells.nodes(mesh.local)]
    return np.concatenate([p for p in mesh.comm.allgather(mine) if p is not None], axis=2)


@pytest.mark.mpi
@pytest.mark.parametrize("kind", ["line", "quad", "tetra10"])
def test_blocks_are_contiguous_and_numbered_as_in_the_file(kind: str, comm: MPI.Comm, shared_tmp_path: Path) -> None:
    path = shared_tmp_path / "cube.vtu"
    written = as_meshio(cube(kind), kind)
    shuffle = np.random.default_rng(1).permutation(len(written.points))  # scikit-fem has vertices first
    written.points[shuffle] = written.points.copy()
    written.cells[0].data = shuffle[written.cells[0].data]
    if comm.rank == 0:
        written.write(path)
    mesh = read_mesh(path, comm)
    nodes = written.points[:, : mesh.dim].T
    assert np.array_equal(_whole_points(mesh), nodes[:, written.cells[0].data.T])
    counts = comm.allgather(0 if mesh.local is None else mesh.local.nelements)
    assert mesh.first_cell == sum(counts[: comm.rank]) and sum(counts) == mesh.n_cells
    if mesh.local is not None:
        assert np.array_equal(nodes[:, mesh.vertex_ids], mesh.local.doflocs)
        assert mesh.local.doflocs.shape[1] == np.unique(cells.nodes(mesh.local)).size  # its own nodes, no more


@pytest.mark.mpi
def test_weighted_blocks(comm: MPI.Comm, shared_tmp_path: Path) -> None:
    path = shared_tmp_path / "line.vtu"
    if comm.rank == 0:
        as_meshio(cube("line", 30), "line").write(path)
    weights = np.where(np.arange(30) < 10, 5.0, 1.0) if comm.rank == 0 else None
    mesh = read_mesh(path, comm, weights=weights)
    mine = np.arange(mesh.first_cell, mesh.first_cell + mesh.local.nelements)
    load = np.sum(np.where(mine < 10, 5.0, 1.0))
    assert abs(load - 70 / comm.size) <= 5
    with pytest.raises(ParameterError, match="cell weights"):
        read_mesh(path, comm, weights=np.ones(29) if comm.rank == 0 else None)


@pytest.mark.mpi
@pytest.mark.parametrize("kind", ["line", "triangle", "tetra10"])
def test_more_ranks_than_cells(kind: str, comm: MPI.Comm, shared_tmp_path: Path) -> None:
    """One cell with all its names, read and replicated."""
    whole = cube(kind, 1)
    refdom = whole.refdom
    numbers = cells.nodes(whole)[:, :1]
    ids, compact = np.unique(numbers, return_inverse=True)
    one = type(whole)(whole.doflocs[:, ids], compact.reshape(numbers.shape), sort_t=False)
    path = shared_tmp_path / "one.vtu"
    if comm.rank == 0:
        as_meshio(one, kind).write(path)
    for mesh in (read_mesh(path, comm), Mesh.from_skfem(one, comm)):
        assert comm.allgather(mesh.local is None).count(False) == 1
        rule, around = Quadrature.from_mesh(mesh, 3), Quadrature.boundary(mesh, None, 3)
        assert rule.x.shape == (mesh.dim, rule.n) and around.normals.shape == (mesh.dim, around.n)
        divergence = around.integrate(np.sum(around.x * around.normals, axis=0))
        assert divergence == pytest.approx(mesh.dim * rule.measure, rel=1e-13)
        assert around.size == refdom.nfacets * cells.rule(refdom.brefdom, 3)[1].size


@pytest.mark.mpi
@pytest.mark.parametrize("kind", KINDS)
def test_replicated_and_read_meshes_agree(kind: str, comm: MPI.Comm, shared_tmp_path: Path) -> None:
    path, mesh = shared_tmp_path / "cube.vtu", cube(kind, 2)
    if comm.rank == 0:
        as_meshio(mesh, kind).write(path)

    def integrals(of: Any) -> list[float]:
        inside, around = Quadrature.from_mesh(of, 5, comm), Quadrature.boundary(of, None, 5, comm)
        return [inside.integrate(np.exp(inside.x[0])), around.integrate(around.normals[0] * np.exp(around.x[-1]))]

    assert integrals(read_mesh(path, comm)) == pytest.approx(integrals(mesh), rel=2e-6, abs=1e-13)  # points permuted
    assert integrals(Mesh.from_skfem(mesh, comm)) == pytest.approx(integrals(mesh), rel=1e-15)


@pytest.mark.mpi
def test_periodic_meshes_of_scikit_fem(comm: MPI.Comm) -> None:
    """Across the seam cells have facets in common: the boundary is top and bottom only."""
    grid = np.linspace(0, 1, 5)
    mesh = skfem.MeshQuad1DG.init_tensor(grid, grid, periodic=[0])
    assert Quadrature.from_mesh(mesh, 2, comm).measure == pytest.approx(1, rel=1e-14)
    assert Quadrature.boundary(mesh, None, 2, comm).measure == pytest.approx(2, rel=1e-14)


@pytest.mark.mpi
def test_oriented_boundary_of_scikit_fem(comm: MPI.Comm) -> None:
    """An interface with orientation gives its normals, as in scikit-fem's FacetBasis."""
    mesh = skfem.MeshTri().refined(3).with_subdomains({"left": lambda x: x[0] < 0.5})
    mesh = mesh.with_boundaries({"middle": mesh.facets_around("left")})
    line = Quadrature.boundary(mesh, "middle", 3, comm)
    basis = skfem.FacetBasis(mesh, skfem.ElementTriP1(), facets="middle", intorder=3)
    total = np.sum(np.asarray(basis.normals) * basis.dx, axis=(1, 2))
    assert line.integrate(line.normals) == pytest.approx(total, abs=1e-13)
    assert line.measure == pytest.approx(basis.dx.sum(), rel=1e-13)


def test_reader_keeps_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """meshio prints, and leaves the process, where a file cannot be read."""
    (tmp_path / "bad.msh").write_text("nonsense")
    with pytest.raises(ValueError, match="unreadable"):
        read_mesh(tmp_path / "bad.msh", SELF)
    assert capfd.readouterr() == ("", "")


def test_file_formats_are_those_meant(tmp_path: Path) -> None:
    """The committed meshes are msh 4.1, as current gmsh writes by default."""
    assert (MESHES / "disk.msh").read_text().split()[1] == "4.1"
    assert isinstance(meshio.read(MESHES / "disk.msh"), meshio.Mesh)
