"""Names of groups in every format: read, or said to have been there."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import meshio
import numpy as np
import pytest
from mpi4py import MPI
from scipy.io import netcdf_file

from dfpde.domain import file as mesh_file
from dfpde.domain import raw as mesh_raw
from dfpde.domain.mesh import read_mesh
from dfpde.domain.quadrature import Quadrature
from dfpde.errors import DfpdeWarning, MeshError, MissingDependency

SELF = MPI.COMM_SELF
POINTS = np.array([(0, 0), (1, 0), (3, 0), (0, 2), (1, 2), (3, 2)], dtype=float)
CELLS = np.array([(0, 1, 4), (0, 4, 3), (1, 2, 5), (1, 5, 4)])  # area 2 left of x = 1, area 4 right of it
LINES = np.array([(0, 1), (1, 2), (0, 3)])  # bottom: 1 + 2, left: 2
LENGTHS, AREAS = {"bottom": 3.0, "left": 2.0}, {"left": 2.0, "all": 6.0}


def measures(path: Path) -> tuple[dict[str, float], dict[str, float], str]:
    """Of boundaries and subdomains, and the warning."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", DfpdeWarning)
        mesh = read_mesh(path, SELF)
    lengths = {name: Quadrature.boundary(mesh, name, 2).measure for name in mesh.boundaries}
    areas = {name: Quadrature.from_mesh(mesh, 2, subdomain=name).measure for name in mesh.subdomains}
    return lengths, areas, "".join(str(w.message) for w in said if issubclass(w.category, DfpdeWarning))


def plain(path: Path, **data: Any) -> meshio.Mesh:
    return meshio.Mesh(np.pad(POINTS, ((0, 0), (0, 1))), [("line", LINES), ("triangle", CELLS)], **data)


def med(path: Path) -> None:
    mesh = plain(path, cell_data={"cell_tags": [np.array([-1, -1, -2]), np.array([-3, -3, -4, -4])]})
    mesh.point_tags, mesh.cell_tags = {}, {-1: ["bottom"], -2: ["left"], -3: ["left", "all"], -4: ["all"]}
    mesh.write(path)


def su2(path: Path) -> None:
    text = "% a comment\nNDIME= 2\nNELEM= 4\n" + "\n".join(f"5 {a} {b} {c} {k}" for k, (a, b, c) in enumerate(CELLS))
    text += "\nNPOIN= 6 6\n" + "\n".join(f"{x} {y} {k}" for k, (x, y) in enumerate(POINTS))
    text += "\nNMARK= 2\nMARKER_TAG= bottom\nMARKER_ELEMS= 2\n3 0 1\n3 1 2\nMARKER_TAG= left\nMARKER_ELEMS= 1\n3 0 3\n"
    path.write_text(text)


def medit(path: Path) -> None:
    plain(path, cell_data={"medit:ref": [np.array([4, 4, 7]), np.array([1, 1, 0, 0])]}).write(path)


def abaqus(path: Path) -> None:
    sets = {"bottom": [np.array([0, 1]), []], "left": [np.array([2]), []], "all": [[], np.arange(4)]}
    plain(path, cell_sets=sets, point_sets={"corner": np.array([0])}).write(path)


def netgen(path: Path) -> None:
    tags = [np.array([1, 1, 2]), np.array([1, 1, 2, 2])]
    names = {"bottom": np.array([1, 1]), "left": np.array([2, 1]), "one": np.array([1, 2]), "two": np.array([2, 2])}
    plain(path, cell_data={"netgen:index": tags}, field_data=names).write(path)


def fields(path: Path) -> None:
    tags = [np.array([4, 4, 7]), np.array([1, 1, 2, 2])]
    plain(path, cell_data={"gmsh:physical": tags, "gmsh:geometrical": tags}).write(path)


def xdmf_names(path: Path) -> None:
    """meshio reads what it calls information, a line for each name, and writes none."""
    fields(path)
    names = '<Information Name="field_data"><![CDATA[<main><map key="bottom" dim="1">4</map></main>]]></Information>'
    path.write_text(path.read_text().replace("</Grid>", f"{names}</Grid>", 1))


def other_integers(path: Path) -> None:
    plain(path, cell_data={"facet_tags": [np.array([4, 4, 7]), np.array([0, 0, 0, 0])]}).write(path)


def chars(names: list[str]) -> np.ndarray:
    return np.array([list(name.ljust(9, "\0")) for name in names], dtype="S1")


def exodus_variables() -> dict[str, tuple[np.ndarray, tuple[str, ...]]]:
    """Two blocks and two side sets (and an empty block between them, which has no connectivity)."""
    variables: dict[str, tuple[Any, tuple[str, ...]]] = {
        "coordx": (POINTS[:, 0], ("n",)), "coordy": (POINTS[:, 1], ("n",)),
        "eb_names": (chars(["left", "empty", ""]), ("b", "s")), "eb_prop1": (np.array([10, 20, 30], "i4"), ("b",)),
        "ss_names": (chars(["bottom", "left"]), ("m", "s")), "ns_names": (chars(["corner"]), ("o", "s")),
        "connect1": (CELLS[:2].astype("i4") + 1, ("two", "three")),
        "connect3": (CELLS[2:].astype("i4") + 1, ("two", "three")),
        "elem_ss1": (np.array([1, 3], "i4"), ("two",)), "side_ss1": (np.array([1, 1], "i4"), ("two",)),
        "elem_ss2": (np.array([2], "i4"), ("o",)), "side_ss2": (np.array([3], "i4"), ("o",)),
    }  # fmt: skip
    return variables


def exodus3(path: Path) -> None:
    with netcdf_file(path, "w", version=2) as file:
        for name, size in {"n": 6, "b": 3, "s": 9, "m": 2, "o": 1, "two": 2, "three": 3}.items():
            file.createDimension(name, size)
        for name, (data, dims) in exodus_variables().items():
            made = file.createVariable(name, data.dtype, dims)
            made[:] = data
            if name.startswith("connect"):
                made.elem_type = b"TRI3"


def exodus4(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, (data, _) in exodus_variables().items():
            file[name] = data
            if name.startswith("connect"):
                file[name].attrs["elem_type"] = np.bytes_("TRI")


FORMATS: dict[str, tuple[Callable[[Path], None], dict[str, float], dict[str, float], str]] = {
    "mesh.med": (med, LENGTHS, AREAS, ""),
    "mesh.su2": (su2, LENGTHS, {}, "groups of cells, for which SU2's format has no names"),
    "mesh.mesh": (medit, {"4": 3, "7": 2}, {"1": 2}, ""),
    "mesh.inp": (abaqus, LENGTHS, {"all": 6}, "sets of nodes, surfaces, included files: corner"),
    "mesh.vol": (netgen, LENGTHS, {"one": 2, "two": 4}, ""),
    "mesh.vtu": (fields, {"4": 3, "7": 2}, {"1": 2, "2": 4}, ""),
    "mesh.xdmf": (fields, {"4": 3, "7": 2}, {"1": 2, "2": 4}, ""),
    "named.xdmf": (xdmf_names, {"bottom": 3, "7": 2}, {"1": 2, "2": 4}, ""),
    "tags.xdmf": (other_integers, {}, {}, "integers of cells: facet_tags"),
    "mesh.exo": (exodus3, LENGTHS, {"left": 2, "30": 4}, "sets of nodes: corner"),
    "mesh.e": (exodus4, LENGTHS, {"left": 2, "30": 4}, "sets of nodes: corner"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_names_are_read_or_said(name: str, tmp_path: Path) -> None:
    write, lengths, areas, words = FORMATS[name]
    write(tmp_path / name)
    found = measures(tmp_path / name)
    assert found[:2] == (pytest.approx(lengths), pytest.approx(areas))
    assert (words in found[2]) if words else not found[2]


R2, R3 = np.sqrt([1 / 2, 1 / 3])
# directions that sides 1, 2, … of the reference cells look to, from the figures of the Exodus manual
EXODUS_SIDES = {
    "TRI3": ([(0, 0), (1, 0), (0, 1)], [(0, -1), (R2, R2), (-1, 0)]),
    "QUAD4": ([(0, 0), (1, 0), (1, 1), (0, 1)], [(0, -1), (1, 0), (0, 1), (-1, 0)]),
    "TETRA4": ([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], [(0, -1, 0), (R3, R3, R3), (-1, 0, 0), (0, 0, -1)]),
    "HEX8": (
        [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)],
        [(0, -1, 0), (1, 0, 0), (0, 1, 0), (-1, 0, 0), (0, 0, -1), (0, 0, 1)],
    ),
}


def one_cell(path: Path, kind: str, nodes: Any, sides: int = 0) -> None:
    """An Exodus file (netCDF 4) of one cell, each of its sides a set without a name."""
    with h5py.File(path, "w") as file:
        file["coord"] = np.asarray(nodes, dtype=float).T
        file["connect1"] = np.arange(1, len(nodes) + 1, dtype="i4")[None]
        file["connect1"].attrs["elem_type"] = kind
        for side in range(1, sides + 1):
            file[f"elem_ss{side}"], file[f"side_ss{side}"] = np.array([1], "i4"), np.array([side], "i4")


@pytest.mark.parametrize("kind", EXODUS_SIDES)
def test_exodus_sides(kind: str, tmp_path: Path) -> None:
    nodes, normals = EXODUS_SIDES[kind]
    one_cell(tmp_path / "one.e", kind, nodes, len(normals))
    mesh = read_mesh(tmp_path / "one.e", SELF)
    assert mesh.subdomains == ("1",)
    for side, normal in enumerate(normals):
        found = Quadrature.boundary(mesh, str(side + 1), 0)
        assert found.normals[:, 0] == pytest.approx(normal, abs=1e-14)


@pytest.mark.parametrize(("kind", "nodes"), [("SHELL4", [1, 2, 5, 4]), ("TRISHELL3", [1, 2, 5]), ("TRI3", [1, 2, 5])])
def test_exodus_edges_of_shells_count_from_three(kind: str, nodes: list[int], tmp_path: Path) -> None:
    """Sides 1 and 2 of a shell, and of a triangle among points in space, are its faces."""
    with h5py.File(tmp_path / "shell.e", "w") as file:
        file["coord"], file["connect1"] = np.pad(POINTS, ((0, 0), (0, 1))).T, np.array([nodes], "i4")
        file["connect1"].attrs["elem_type"] = kind
        file["elem_ss1"], file["side_ss1"] = np.array([1], "i4"), np.array([3], "i4")
    lengths, _, _ = measures(tmp_path / "shell.e")
    assert lengths == pytest.approx({"1": 1.0})  # the edge of the first two nodes
    assert Quadrature.boundary(read_mesh(tmp_path / "shell.e", SELF), "1", 1).normals[1] == pytest.approx(-1.0)
    with h5py.File(tmp_path / "shell.e", "a") as file:
        file["side_ss1"][:] = 2
    with pytest.raises(MeshError, match="side set '1' has faces of 1 shells"):
        read_mesh(tmp_path / "shell.e", SELF)


def test_exodus_hexahedra_of_27_nodes(tmp_path: Path) -> None:
    """An affine cell has a constant Jacobian only if all nodes are where they belong."""
    low = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    middle = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)])  # of its edges
    layers = ((low, -1), (low, 1), (middle, -1), (low, 0), (middle, 1))  # corners, and edges below, upright, above
    last = [(0, 0, 0), (0, 0, -1), (0, 0, 1), (-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0)]  # centre and faces
    nodes = np.concatenate([*[np.pad(x, ((0, 0), (0, 1)), constant_values=z) for x, z in layers], last])
    one_cell(tmp_path / "one.e", "HEX27", nodes @ (np.eye(3) + 0.1))
    shapes = mesh_raw.cell_shapes(mesh_file.load(tmp_path / "one.e"))
    assert shapes.smallest == pytest.approx(8 * 1.3, rel=1e-13) and shapes.largest == pytest.approx(8 * 1.3, rel=1e-13)


def test_exodus_of_netcdf_4_without_h5py_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exodus4(tmp_path / "mesh.e")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingDependency, match="netCDF 4 file, and h5py is missing") as caught:
        read_mesh(tmp_path / "mesh.e", SELF)
    assert "pip install h5py" in caught.value.remedy


def test_med_without_h5py_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    med(tmp_path / "mesh.med")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingDependency, match=r"mesh\.med.*h5py"):
        read_mesh(tmp_path / "mesh.med", SELF)


@pytest.mark.parametrize(
    ("more", "message"),
    [('</Grid><Grid Name="tags"></Grid>', "2 grids, Grid, tags"), ('<Set Name="in"/></Grid>', "1 sets, in")],
)
def test_what_xdmf_files_hold_beside_one_grid_is_named(more: str, message: str, tmp_path: Path) -> None:
    fields(tmp_path / "m.xdmf")
    (tmp_path / "m.xdmf").write_text((tmp_path / "m.xdmf").read_text().replace("</Grid>", more, 1))
    with pytest.raises(MeshError, match=message) as caught:
        read_mesh(tmp_path / "m.xdmf", SELF)
    assert "alone" in caught.value.remedy


ABAQUS = """** two kinds of elements, of which only some blocks have names
*NODE, NSET=nodes
1, 0, 0\n 2, 1, 0\n 3, 3, 0\n 4, 0, 2\n 5, 1, 2\n 6, 3, 2
*ELEMENT, TYPE=T3D2
10, 1, 2\n 11, 2, 3\n 12, 1, 4
*ELEMENT, TYPE=CPS3
20, 1, 2, 5\n 21, 1, 5, 4
*ELEMENT, TYPE=CPS3, ELSET=right
22, 2, 3, 6\n 23, 2, 6, 5
*ELSET, ELSET=Left
12, 20, 21
*ELSET, ELSET=bottom, GENERATE
10, 11, 1
*ELSET, ELSET=all
LEFT, right
*SURFACE, NAME=outside
all, S1
"""


def test_sets_of_abaqus_belong_to_their_elements(tmp_path: Path) -> None:
    """One name for an edge and cells, sets of sets, and blocks of which only some have a name."""
    (tmp_path / "mesh.inp").write_text(ABAQUS)
    lengths, areas, said = measures(tmp_path / "mesh.inp")
    assert lengths == pytest.approx({"bottom": 3, "Left": 2, "all": 2})
    assert areas == pytest.approx({"right": 4, "Left": 2, "all": 6})
    assert "nodes, outside" in said


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("*ELEMENT, TYPE=CPS3\n20, 2, 3, 6\n", "two elements of number 20"),
        ("*INSTANCE, NAME=a, PART=p\n1, 0, 0\n", "one that is moved"),
        ("*ELSET, ELSET=more\n99\n", "element 99, which is not there"),
    ],
)
def test_abaqus_files_that_are_ambiguous_are_refused(more: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mesh.inp").write_text(ABAQUS + more)
    with pytest.raises(MeshError, match=message):
        read_mesh(tmp_path / "mesh.inp", SELF)


def test_zones_of_su2_are_refused(tmp_path: Path) -> None:
    su2(tmp_path / "mesh.su2")
    text = (tmp_path / "mesh.su2").read_text()
    (tmp_path / "mesh.su2").write_text(f"NZONE= 2\nIZONE= 1\n{text}IZONE= 2\n{text}")
    with pytest.raises(MeshError, match="2 zones"):
        read_mesh(tmp_path / "mesh.su2", SELF)


@pytest.mark.parametrize("name", ["mesh.su2", "mesh.exo", "mesh.e"])
def test_truncated_files_are_errors(name: str, tmp_path: Path) -> None:
    FORMATS[name][0](tmp_path / name)
    data = (tmp_path / name).read_bytes()
    for part in (0.0, 0.1, 0.3, 0.5, 0.8, 0.9, 0.97):
        (tmp_path / name).write_bytes(data[: int(part * len(data))])
        with pytest.raises(MeshError):
            read_mesh(tmp_path / name, SELF)
