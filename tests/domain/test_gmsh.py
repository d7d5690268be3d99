"""gmsh's files: every version, groups that overlap, are reversed, unnamed or share a name; parts; parameters."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import meshio
import numpy as np
import pytest
from mpi4py import MPI
from small_meshes import KINDS, as_meshio, cube

from dfpde.domain import file as mesh_file
from dfpde.domain.mesh import read_mesh
from dfpde.domain.quadrature import Quadrature
from dfpde.errors import DfpdeWarning, MeshError

SELF = MPI.COMM_SELF
FILES = Path(__file__).parent / "gmsh_files"  # make.py there says what they hold
PLATES = sorted(path.name for path in FILES.glob("plate_*.msh"))
BARS = sorted(path.name for path in FILES.glob("bar_*.msh"))
WITHOUT_GROUPS = ("plate_v22_all.msh",)  # gmsh itself leaves them out
ONE_GROUP = ("plate_v1.msh",)  # and names too


def measures(path: Path, comm: MPI.Comm = SELF) -> tuple[Any, dict[str, float], dict[str, float]]:
    mesh = read_mesh(path, comm)
    lengths = {name: Quadrature.boundary(mesh, name, 4).measure for name in mesh.boundaries}
    return mesh, lengths, {name: Quadrature.from_mesh(mesh, 4, subdomain=name).measure for name in mesh.subdomains}


def polygon(mesh: Any) -> tuple[float, float]:
    """Perimeter and area of the disk's polygon (a circle with 2nd-order cells), from its boundary."""
    around = Quadrature.boundary(mesh, "disk", 4)
    return around.measure, abs(around.integrate(np.sum((around.x - 0.5) * around.normals, axis=0))) / 2


@pytest.mark.mpi
@pytest.mark.parametrize("name", [name for name in PLATES if name not in (*WITHOUT_GROUPS, *ONE_GROUP)])
def test_plate(name: str, comm: MPI.Comm) -> None:
    mesh, lengths, areas = measures(FILES / name, comm)
    assert Quadrature.from_mesh(mesh, 4).measure == pytest.approx(2, rel=1e-9)
    assert mesh.boundaries == ("13", "disk", "ends", "left", "other way") and mesh.subdomains == ("22", "disk")
    perimeter, area = polygon(mesh)
    expected = {"13": 6, "ends": 2, "left": 1, "disk": perimeter, "other way": perimeter}
    assert lengths == pytest.approx(expected, rel=1e-9) and perimeter == pytest.approx(0.4 * np.pi, rel=0.1)
    assert areas == pytest.approx({"22": 2, "disk": area}, rel=1e-9)


@pytest.mark.mpi
@pytest.mark.parametrize("name", BARS)
def test_bar(name: str, comm: MPI.Comm) -> None:
    """The face between the cubes, once as it is oriented and once reversed."""
    mesh, areas, volumes = measures(FILES / name, comm)
    assert areas == pytest.approx({"in": 1, "open": 2, "wall": 1, "other way": 1}, rel=1e-9)
    assert volumes == pytest.approx({"first": 1, "in": 2, "3": 1}, rel=1e-9)
    to, fro = (Quadrature.boundary(mesh, side, 2) for side in ("wall", "other way"))
    assert to.integrate(to.normals) == pytest.approx([1, 0, 0], abs=1e-9)
    assert fro.integrate(fro.normals) == pytest.approx([-1, 0, 0], abs=1e-9)


def test_saving_all_in_format_2_loses_the_groups_and_that_is_said() -> None:
    with pytest.warns(DfpdeWarning, match=r"left, ends, disk, other way, disk .*Mesh.SaveAll = 1: write format 4.1"):
        mesh = read_mesh(FILES / "plate_v22_all.msh", SELF)
    assert Quadrature.from_mesh(mesh, 2).measure == pytest.approx(2, rel=1e-9) and mesh.boundaries == ()


def test_version_1_has_numbers_only() -> None:
    mesh, lengths, areas = measures(FILES / "plate_v1.msh")
    assert Quadrature.from_mesh(mesh, 2).measure == pytest.approx(2, rel=1e-9)
    assert {name: lengths[name] for name in ("11", "12", "13")} == pytest.approx({"11": 1, "12": 2, "13": 6})
    assert areas["22"] == pytest.approx(2, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{"file_format": "gmsh22"}, {"file_format": "gmsh"}], ids=["22", "41"])
def test_nodes_in_the_order_meshio_writes(kind: str, options: dict[str, str], tmp_path: Path) -> None:
    """Two independent programs agree on the nodes of every cell type."""
    written = as_meshio(cube(kind, 2), kind)
    written.write(tmp_path / "cube.msh", **options)
    ours, theirs = mesh_file.read(tmp_path / "cube.msh"), meshio.read(tmp_path / "cube.msh")
    cells = np.concatenate([block.cells for block in ours.blocks])
    assert np.array_equal(ours.points[cells], theirs.points[np.concatenate([b.data for b in theirs.cells])])


def square(
    version: str = "4.1", curves: Any = ((), (), (), ()), surface: Any = (), names: Any = (), everything: bool = False
) -> str:
    """Two triangles; physical tags of bottom, right, top, left and of the surface."""
    lines = [(k, a, b) for k, (a, b) in enumerate(((1, 2), (2, 3), (3, 4), (4, 1))) if everything or curves[k]]
    text = [f"$MeshFormat\n{version} 0 8\n$EndMeshFormat\n$PhysicalNames\n{len(names)}"]
    text += [f'{dim} {tag} "{name}"' for dim, tag, name in names] + ["$EndPhysicalNames"]
    box = "0 0 0 1 1 0"
    text += ["$Entities\n0 4 1 0"]
    text += [f"{k + 1} {box} {len(tags)} {' '.join(map(str, tags))} 0" for k, tags in enumerate(curves)]
    text += [f"1 {box} {len(surface)} {' '.join(map(str, surface))} 0\n$EndEntities"]
    if version == "4.0":
        text += ["$Nodes\n1 4\n1 2 0 4\n1 0 0 0\n2 1 0 0\n3 1 1 0\n4 0 1 0\n$EndNodes"]
        text += [f"$Elements\n{len(lines) + 1} {len(lines) + 2}"]
        text += [f"{k + 1} 1 1 1\n{n + 1} {a} {b}" for n, (k, a, b) in enumerate(lines)]
        text += ["1 2 2 2\n8 1 2 3\n9 1 3 4\n$EndElements"]
    else:
        text += ["$Nodes\n1 4 1 4\n2 1 0 4\n1\n2\n3\n4\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n$EndNodes"]
        text += [f"$Elements\n{len(lines) + 1} {len(lines) + 2} 1 9"]
        text += [f"1 {k + 1} 1 1\n{n + 1} {a} {b}" for n, (k, a, b) in enumerate(lines)]
        text += ["2 1 2 2\n8 1 2 3\n9 1 3 4\n$EndElements"]
    return "\n".join(text) + "\n"


GROUPS = {
    "several groups of a curve": (((1, 2, 3), (2,), (3,), ()), (9,), [(1, 1, "a"), (1, 2, "b"), (1, 3, "c")]),
    "one name twice": (((1,), (2,), (), ()), (9,), [(1, 1, "a"), (1, 2, "a")]),
    "one curve twice in one name": (((1, 2), (), (), ()), (9,), [(1, 1, "a"), (1, 2, "a")]),
    "one name in two dimensions": (((1,), (), (), ()), (1,), [(1, 1, "a"), (2, 1, "a")]),
    "no names": (((1, 2), (-2,), (), ()), (1, 5), []),
    "a name of many words": (((7,), (), (), ()), (), [(1, 7, 'inlet "A" – left')]),
    "names like lines of the format": (
        ((7,), (8,), (), ()), (9,), [(1, 7, "$EndPhysicalNames"), (1, 8, "$Nodes"), (2, 9, "$EndElements")]
    ),
}
WANTED = {
    "several groups of a curve": ({"a": 1, "b": 2, "c": 2}, {"9": 1}),
    "one name twice": ({"a": 2}, {"9": 1}),
    "one curve twice in one name": ({"a": 1}, {"9": 1}),
    "one name in two dimensions": ({"a": 1}, {"a": 1}),
    "no names": ({"1": 1, "2": 2}, {"1": 1, "5": 1}),
    "a name of many words": ({'inlet "A" – left': 1}, {}),
    "names like lines of the format": ({"$EndPhysicalNames": 1, "$Nodes": 1}, {"$EndElements": 1}),
}


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("version", ["4.0", "4.1"])
@pytest.mark.parametrize("name", GROUPS)
def test_groups(name: str, version: str, everything: bool, tmp_path: Path) -> None:
    curves, surface, names = GROUPS[name]
    (tmp_path / "square.msh").write_text(square(version, curves, surface, names, everything))
    _, lengths, areas = measures(tmp_path / "square.msh")
    assert (lengths, areas) == (pytest.approx(WANTED[name][0]), pytest.approx(WANTED[name][1]))


def test_windows_line_ends(tmp_path: Path) -> None:
    text = square(curves=((1,), (), (), ()), names=[(1, 1, "a")]).replace("\n", "\r\n")
    (tmp_path / "square.msh").write_bytes(text.encode())
    assert measures(tmp_path / "square.msh")[1] == pytest.approx({"a": 1})


def test_other_byte_order(tmp_path: Path) -> None:
    """A binary file of format 2.2 from a machine that stores numbers the other way round."""
    i, d = ">i4", ">f8"
    nodes = np.array([(1, (0, 0, 0)), (2, (2, 0, 0)), (3, (0, 2, 0))], dtype=[("n", i), ("x", d, 3)])
    cells = np.array([2, 1, 2, 1, 7, 1, 1, 2, 3], dtype=i)
    data = b"$MeshFormat\n2.2 1 8\n" + np.array(1, dtype=i).tobytes() + b"\n$EndMeshFormat\n$Nodes\n3\n"
    data += nodes.tobytes() + b"\n$EndNodes\n$Elements\n1\n" + cells.tobytes() + b"\n$EndElements\n"
    (tmp_path / "big.msh").write_bytes(data)
    assert measures(tmp_path / "big.msh")[2] == pytest.approx({"7": 2})


def changed(old: str, new: str, **options: Any) -> str:
    text = square(**options)
    assert old in text
    return text.replace(old, new)


WRONG = {
    "curves only": (
        changed("2 1 2 2\n8 1 2 3\n9 1 3 4\n", "", everything=True).replace("$Elements\n5 6", "$Elements\n4 4"),
        "non-zero y.*its cells were not saved",
    ),
    "a node that does not exist": (changed("9 1 3 4", "9 1 3 17"), "nodes that do not exist, first 17"),
    "version 3": (changed("4.1 0 8", "3 0 8"), "version 3 of gmsh's format.*1, 2, 4.0 and 4.1 are read"),
    "cells of order 9": (changed("2 1 2 2\n8", "2 1 77 2\n8"), "gmsh's type 77.*set Mesh.ElementOrder"),
    "fewer nodes than said": (changed("2 1 0 4\n", "2 1 0 5\n"), "shorter than it says"),
    "a word among numbers": (changed("1 1 0\n", "1 one 0\n"), "something that is no number"),
    "cut": (square()[:-40], r"section \$Elements does not end"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_name_the_real_reason(name: str, tmp_path: Path) -> None:
    text, message = WRONG[name]
    (tmp_path / "m.msh").write_text(text)
    with pytest.raises(MeshError) as caught:
        read_mesh(tmp_path / "m.msh", SELF)
    assert re.search(message, str(caught.value), flags=re.DOTALL)


@pytest.mark.parametrize("name", ["plate_v41.msh", "plate_v41_binary_all.msh", "plate_v22_parts.msh", "plate_v1.msh"])
def test_every_truncation_is_an_error_or_harmless(name: str, tmp_path: Path) -> None:
    """Cut anywhere: either an error, or nothing but what comes after the elements is missing."""
    data = (FILES / name).read_bytes()
    for end in range(0, len(data), 97):
        (tmp_path / "cut.msh").write_bytes(data[:end])
        with pytest.raises(MeshError):
            read_mesh(tmp_path / "cut.msh", SELF)


def test_one_file_of_a_mesh_in_several_is_refused(tmp_path: Path) -> None:
    """The entities of all parts are listed, the cells of one are there."""
    text = (FILES / "plate_v41_parts.msh").read_text()
    head, elements = text.split("$Elements\n")
    lines = elements.splitlines()
    first = next(k for k, line in enumerate(lines) if re.match(r"2 \d+ 2 \d+", line))  # a block of triangles
    block = "\n".join(lines[first : first + 1 + int(lines[first].split()[3])])
    (tmp_path / "part.msh").write_text(f"{head}$Elements\n1 9 1 9\n{block}\n$EndElements\n")
    with pytest.raises(MeshError, match=r"a mesh in several files, without the parts \[") as caught:
        read_mesh(tmp_path / "part.msh", SELF)
    assert "PartitionSplitMeshFiles" in caught.value.remedy


def test_unused_groups_are_said_once(tmp_path: Path) -> None:
    (tmp_path / "m.msh").write_text(square(surface=(3,), names=[(2, 3, "all"), (1, 8, "lost"), (0, 9, "corner")]))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        read_mesh(tmp_path / "m.msh", SELF)
    assert [str(warning.message) for warning in said if "lost, corner" in str(warning.message)]
    assert len(said) == 1
