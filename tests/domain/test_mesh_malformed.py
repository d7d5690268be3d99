"""Malformed meshes: each has a named error with the numbers of its cells or vertices and a remedy, on all ranks."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skfem
from mpi4py import MPI
from small_meshes import KINDS, as_meshio, cube, interface, write

from dfpde.domain import check as mesh_check
from dfpde.domain import raw as mesh_raw
from dfpde.domain.mesh import Mesh, read_mesh
from dfpde.domain.quadrature import Quadrature
from dfpde.errors import DfpdeWarning, MeshError

SELF = MPI.COMM_SELF
SQUARE = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], dtype=float)
TWO = np.array([(0, 1, 2), (0, 2, 3)])
CUBE = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)], dtype=float)


@dataclass(frozen=True)
class Case:
    """A file, what the error or warning says of it, and the measure after repair (None: cannot be repaired)."""

    make: Callable[[Path], Path]
    message: str
    remedy: str
    repaired: float | None = None
    dim: int | None = None

    @property
    def harmless(self) -> bool:
        """Mended on reading, with a warning."""
        return self.repaired is not None and self.remedy == "warning"


def triangles(points: Any, cells: Any = TWO) -> Callable[[Path], Path]:
    return lambda folder: write(folder / "mesh.vtu", points, ("triangle", cells))


def one(kind: str, points: Any, cells: Any = None) -> Callable[[Path], Path]:
    numbers = np.arange(len(points))[None] if cells is None else cells
    return lambda folder: write(folder / "mesh.vtu", points, (kind, numbers))


def text(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def cut(make: Callable[[Path], Path], part: float) -> Callable[[Path], Path]:
    """The first part of a file."""

    def cut_off(folder: Path) -> Path:
        path = make(folder)
        data = path.read_bytes()
        path.write_bytes(data[: int(part * len(data))])
        return path

    return cut_off


def without_heavy_data(folder: Path) -> Path:
    path = write(folder / "mesh.xdmf", SQUARE, ("triangle", TWO))
    (folder / "mesh.h5").unlink()
    return path


def stray_boundary(folder: Path) -> Path:
    """A named line through the diagonal that no triangle has."""
    tags = [np.array([1, 1]), np.array([2, 2])]
    return write(
        folder / "mesh.msh",
        SQUARE,
        ("line", [(0, 1), (1, 3)]),
        ("triangle", TWO),
        cell_data={"gmsh:physical": tags, "gmsh:geometrical": tags},
        field_data={"wall": np.array([1, 1]), "all": np.array([2, 2])},
    )


def moved(points: Any, index: Any, value: Any) -> np.ndarray:
    points = np.array(points, dtype=float)
    points[index] = value
    return points


SEAM = np.concatenate([SQUARE, SQUARE[[0, 2]] + 1e-16])  # two triangles that share no vertex number
FAN = np.concatenate([SQUARE, [(0.3, 0.9)]])
TET = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], dtype=float)
LINE = np.array([(0, 0), (0.4, 0), (1, 0)])
BROKEN = b"$MeshFormat\n4.1 0 8\n$EndMeshFormat\n$Nodes\nx"

CASES = {
    # files
    "missing": Case(lambda folder: folder / "none.msh", "no such file", "path"),
    "a folder": Case(lambda folder: folder, "no such file", "path"),
    "empty file": Case(text("mesh.msh", b""), "unreadable or truncated", "again"),
    "garbage": Case(text("mesh.vtu", b"\x00\x01garbage"), "unreadable or truncated", "again"),
    "broken nodes": Case(text("mesh.msh", BROKEN), "unreadable or truncated", "again"),
    "unknown suffix": Case(text("mesh.dat2", b"1 2 3"), "dat2: no format of this name", "convert it to one of"),
    "truncated msh": Case(cut(lambda folder: interface(folder / "m.msh"), 0.6), "truncated", "again"),
    "truncated vtu": Case(cut(triangles(SQUARE), 0.8), "unreadable or truncated", "again"),
    "missing heavy data": Case(without_heavy_data, "unreadable or truncated", "again"),
    # cells
    "no cells": Case(one("vertex", SQUARE, np.arange(4)[:, None]), "no cells", "physical group"),
    "mixed types": Case(
        lambda folder: write(
            folder / "m.vtu", np.vstack([SQUARE, [(2, 0)]]), ("quad", [range(4)]), ("triangle", [(1, 4, 2)])
        ),
        "mixed cell types: 1 quad, 1 triangle",
        "recombine",
    ),
    "unsupported type": Case(
        one("pyramid", np.vstack([CUBE[:4], [(0.5, 0.5, 1)]])), "unsupported cells: 1 pyramid", "tetra"
    ),
    "wrong dimension": Case(triangles(SQUARE), r"dimension 2 \(2 triangle\), not 3", "dim=2", dim=3),
    "vertex that does not exist": Case(
        triangles(SQUARE, [(0, 1, 2), (0, 2, 7)]), "do not exist: 1 .*4 vertices", "again"
    ),
    "zero-volume triangle": Case(triangles(moved(SQUARE, 3, (0.5, 0.5))), "1 zero-volume cells: 1 ", "remove"),
    "zero-volume tetrahedron": Case(one("tetra", moved(TET, 3, (0.2, 0.3, 0))), "1 zero-volume cells: 0 ", "remove"),
    "nearly zero-volume": Case(triangles(moved(SQUARE, 3, (0.5, 0.5 + 1e-16))), "1 zero-volume cells: 1 ", "remove"),
    "zero-length line": Case(one("line", LINE, [(0, 1), (1, 2), (1, 1)]), "1 zero-volume cells: 2 ", "remove"),
    "bow-tie": Case(one("quad", SQUARE[[0, 2, 1, 3]]), "1 folded cells: 0 ", "order their vertices"),
    "not convex": Case(one("quad", moved(SQUARE, 2, (0.2, 0.2))), "1 folded cells: 0 ", "convex"),
    "twisted hexahedron": Case(one("hexahedron", CUBE[[0, 1, 2, 3, 4, 6, 5, 7]]), "1 folded cells: 0 ", "order"),
    "inverted triangle": Case(triangles(SQUARE, [(0, 1, 2), (0, 3, 2)]), "1 inverted cells: 1 ", "warning", 1.0),
    "inverted quadrilateral": Case(one("quad", SQUARE[::-1]), "1 inverted cells: 0 ", "warning", 1.0),
    "inverted tetrahedron": Case(one("tetra", TET[[1, 0, 2, 3]]), "1 inverted cells: 0 ", "warning", 1 / 6),
    "inverted hexahedron": Case(
        one("hexahedron", np.roll(CUBE, 4, axis=0)), "1 inverted cells: 0 ", "warning", 1.0
    ),
    "inverted line": Case(one("line", LINE, [(0, 1), (2, 1)]), "1 inverted cells: 1 ", "warning", 1.0),
    "duplicate cells": Case(
        triangles(SQUARE, [*TWO, (2, 0, 1)]), "1 duplicate cells: 2 .cell 2 is cell 0", "repair=True", 1.0
    ),
    "non-manifold edge": Case(
        triangles(FAN, [*TWO, (0, 2, 4)]), "3 cells at non-manifold facets: 0, 1, 2 .1 facets", "overlap"
    ),
    # vertices
    "NaN vertex": Case(triangles(moved(SQUARE, 2, np.nan)), "1 vertices .* NaN or infinite: 2", "mend"),
    "infinite vertex": Case(triangles(moved(SQUARE, 1, np.inf)), "1 vertices .* NaN or infinite: 1", "mend"),
    "non-zero z": Case(
        triangles(np.pad(SQUARE, ((0, 0), (0, 1)), constant_values=0.1)), "4 vertices .* non-zero z: 0, 1", "project"
    ),
    "non-zero y of lines": Case(
        one("line", moved(LINE, 1, (0.4, 1)), [(0, 1), (1, 2)]), "1 vertices .* non-zero y or z: 1", "project"
    ),
    "unused vertex": Case(triangles(np.vstack([SQUARE, [(5, 5)]])), "1 unused vertices: 4", "warning", 1.0),
    "duplicate vertices": Case(
        triangles(SEAM, [(0, 1, 2), (4, 5, 3)]),
        "2 duplicate vertices: 4, 5 .vertex 4 lies on vertex 0",
        "warning",
        1.0,
    ),
    # names
    "boundary without cells": Case(stray_boundary, r"1 facets of boundary 'wall' .* no cell: 1 .*\[1, 3\]", "embed"),
}


@pytest.mark.mpi
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.harmless])
def test_malformed_mesh(name: str, comm: MPI.Comm, shared_tmp_path: Path) -> None:
    case = CASES[name]
    path = comm.bcast(case.make(shared_tmp_path) if comm.rank == 0 else None)
    with pytest.raises(MeshError, match=case.message) as caught:
        read_mesh(path, comm, dim=case.dim)
    assert caught.value.collective
    assert case.remedy in caught.value.remedy
    assert str(path) in caught.value.what


def check_measure(mesh: Mesh, measure: float) -> None:
    """∫ 1, and by the divergence theorem ∮ x·n."""
    assert Quadrature.from_mesh(mesh, 2).measure == pytest.approx(measure, rel=1e-13)
    around = Quadrature.boundary(mesh, None, 2)
    flow = around.integrate(np.sum(around.x * around.normals, axis=0))
    assert flow == pytest.approx(mesh.dim * measure, rel=1e-13)


@pytest.mark.mpi
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.harmless])
def test_harmless_faults_are_mended_and_said_once(name: str, comm: MPI.Comm, shared_tmp_path: Path) -> None:
    case = CASES[name]
    path = comm.bcast(case.make(shared_tmp_path) if comm.rank == 0 else None)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        mesh = read_mesh(path, comm)
    found = [str(warning.message) for warning in said if warning.category is DfpdeWarning]
    assert len(found) == (comm.rank == 0)
    assert all(re.search(f"mended: {case.message}", text) for text in found)
    check_measure(mesh, float(case.repaired or 0))


@pytest.mark.mpi
@pytest.mark.filterwarnings("ignore::dfpde.errors.DfpdeWarning")
@pytest.mark.parametrize("name", CASES)
def test_repair(name: str, comm: MPI.Comm, shared_tmp_path: Path) -> None:
    """What can be mended is; the rest is refused as before."""
    case = CASES[name]
    path = comm.bcast(case.make(shared_tmp_path) if comm.rank == 0 else None)
    if case.repaired is None:
        with pytest.raises(MeshError, match=case.message):
            read_mesh(path, comm, dim=case.dim, repair=True)
    else:
        check_measure(read_mesh(path, comm, repair=True), case.repaired)


def slit(folder: Path) -> Path:
    """The square [0, 2] x [0, 1] cut along x = 1: each lip with vertices of its own, both in one boundary."""
    left, right = SQUARE, SQUARE + np.array([1, 0])
    tags = [np.array([1, 1]), np.array([2, 2, 2, 2])]
    lips, cells = [(1, 2), (7, 4)], [*TWO, *(TWO + 4)]
    data = {"gmsh:physical": tags, "gmsh:geometrical": tags}
    names = {"crack": np.array([1, 1]), "all": np.array([2, 2])}
    points = np.concatenate([left, right])
    return write(folder / "slit.msh", points, ("line", lips), ("triangle", cells), cell_data=data, field_data=names)


def test_slits_stay_open_where_a_boundary_names_them(tmp_path: Path) -> None:
    """Both lips have length 1 and opposite normals; repair=True closes the slit: one facet between two cells."""
    with pytest.warns(DfpdeWarning, match="kept apart along the slit crack"):
        mesh = read_mesh(slit(tmp_path), SELF)
    lips = Quadrature.boundary(mesh, "crack", 2)
    assert mesh.n_vertices == 8 and lips.measure == pytest.approx(2) and np.allclose(lips.integrate(lips.normals), 0)
    assert Quadrature.boundary(mesh, None, 2).measure == pytest.approx(8)
    with pytest.warns(DfpdeWarning):
        closed = read_mesh(slit(tmp_path), SELF, repair=True)
    assert closed.n_vertices == 6 and Quadrature.boundary(closed, None, 2).measure == pytest.approx(6)


@pytest.mark.parametrize("kind", KINDS)
def test_good_meshes_pass_and_scrambled_ones_are_repaired(kind: str) -> None:
    """Every cell with vertices of its own, some inverted, some twice, vertices unused: repair gives the mesh back."""
    mesh = cube(kind, 2)
    written = as_meshio(mesh, kind)
    raw = mesh_raw.RawMesh(mesh.doflocs, mesh.dofs.element_dofs, kind)
    good = mesh_raw.reflected(raw, mesh_raw.cell_shapes(raw).inverted)
    assert len(written.points) == raw.points.shape[1] and mesh_check.check_mesh(good) == []

    count = good.cells.shape[1]
    apart = np.arange(good.cells.size).reshape(good.cells.shape)
    points = np.concatenate(
        [good.points[:, good.cells].reshape(len(good.points), -1), 2 + np.ones((len(good.points), 3))], axis=1
    )
    points[:, -1] += 1
    points[:, -2] += 2
    loose = mesh_raw.RawMesh(points, np.concatenate([apart, apart[:, :1]], axis=1), kind)
    loose = mesh_raw.reflected(loose, np.arange(count + 1) % 2 == 0)
    names = {finding.name for finding in mesh_check.check_mesh(loose)}
    assert names == {"unused vertices", "duplicate vertices", "duplicate cells", "inverted cells"}

    mended = mesh_check.repair(loose)
    assert mesh_check.check_mesh(mended) == []
    assert mended.points.shape == good.points.shape and mended.cells.shape == good.cells.shape
    assert np.allclose(mended.points[:, mended.cells], good.points[:, good.cells], atol=1e-15)


def test_all_faults_are_listed(tmp_path: Path) -> None:
    """With the numbers of the file, although unused vertices and inverted cells would have been mended."""
    cells = [(0, 1, 2), (0, 3, 2), (0, 0, 1), (3, 2, 0)]
    path = write(tmp_path / "m.vtu", np.vstack([[(5, 5)], SQUARE]), ("triangle", np.array(cells) + 1))
    with pytest.raises(MeshError, match=r"1 duplicate cells: 3 .*; 1 zero-volume cells: 2 ") as caught:
        read_mesh(path, SELF)
    assert "repair=True" in caught.value.remedy and "remove" in caught.value.remedy


def test_chain_of_duplicate_vertices_becomes_one(tmp_path: Path) -> None:
    """Three vertices, each within the tolerance δ = 8 eps of the next, the outer two not."""
    step = 6 * np.finfo(float).eps
    points = np.concatenate([SQUARE[:3], [(0, step), (0, 2 * step), (0, 1), (-1, 0)]])
    path = write(tmp_path / "m.vtu", points, ("triangle", [(0, 1, 2), (3, 2, 5), (4, 5, 6)]))
    with pytest.warns(DfpdeWarning, match="2 duplicate vertices: 3, 4 "):
        mesh = read_mesh(path, SELF)
    assert mesh.n_vertices == 5 and Quadrature.boundary(mesh, None, 0).measure == pytest.approx(4 + np.sqrt(2))


def test_repaired_cell_is_in_its_subdomain_once(tmp_path: Path) -> None:
    tags = [np.array([1, 1, 1])]
    cells = ("triangle", [*TWO, (1, 2, 0)])
    data = {"gmsh:physical": tags, "gmsh:geometrical": tags}
    path = write(tmp_path / "m.msh", SQUARE, cells, cell_data=data, field_data={"all": np.array([1, 2])})
    with pytest.warns(DfpdeWarning, match="1 duplicate cells: 2"):
        mesh = read_mesh(path, SELF, repair=True)
    assert Quadrature.from_mesh(mesh, 0, subdomain="all").measure == pytest.approx(1)


def test_long_lists_are_shortened(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.vtu", SQUARE, ("triangle", [(0, 2, 1)] + [(0, 0, i % 4) for i in range(50)] + [(0, 2, 3)])
    )
    with pytest.raises(MeshError, match=r"50 zero-volume cells: 1, 2, 3, 4, 5, … "):
        read_mesh(path, SELF)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_tolerances_are_relative(scale: float, tmp_path: Path) -> None:
    """Small meshes are not degenerate, thin cells are not flat, close vertices are not the same."""
    points = scale * np.array([(0, 0), (1, 0), (1, 1e-9), (0, 1e-9)])
    thin = write(tmp_path / "thin.vtu", points, ("triangle", TWO))
    assert Quadrature.from_mesh(read_mesh(thin, SELF), 0).measure == pytest.approx(1e-9 * scale**2, rel=1e-6)


FAULTY = {
    "NaN vertex": (lambda: skfem.MeshTri(moved(SQUARE, 2, np.nan).T, TWO.T), r"1 vertices are NaN or infinite: \[2\]"),
    "zero area": (lambda: skfem.MeshTri(moved(SQUARE, 3, (0.5, 0.5)).T, TWO.T), "1 zero-volume cells: 1 "),
    "bow-tie": (lambda: skfem.MeshQuad(SQUARE[[0, 2, 1, 3]].T, np.arange(4)[:, None]), "1 folded cells: 0 "),
    "wedge": (skfem.MeshWedge1, "unsupported mesh class MeshWedge1"),
}


@pytest.mark.mpi
@pytest.mark.parametrize("name", FAULTY)
def test_faulty_scikit_fem_meshes(name: str, comm: MPI.Comm) -> None:
    """scikit-fem itself accepts them; the rank that holds the bad cell tells the others."""
    make, message = FAULTY[name]
    with pytest.raises(MeshError, match=message) as caught:
        Mesh.from_skfem(make(), comm)
    assert caught.value.collective and caught.value.remedy
