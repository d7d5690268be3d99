"""Meshes of the unit cube with every cell type, and files made of them."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import meshio
import numpy as np
import skfem
from skfem.io.meshio import HEX_MAPPING

from dfpde.domain import raw as mesh_raw

KINDS = tuple(mesh_raw.MESH_TYPES)
# One of a few cells for each straight cell type, the unit cube
STRAIGHT = {
    "line": skfem.MeshLine().refined(3),
    "triangle": skfem.MeshTri().refined(2),
    "quad": skfem.MeshQuad().refined(2),
    "tetra": skfem.MeshTet().refined(1),
    "hexahedron": skfem.MeshHex().refined(1),
}
# Q(k) or P(k) composed with the map F of a cell, times det J, lies in the reference space of this degree
DEGREE = {
    "line": lambda k: k,
    "triangle": lambda k: k,
    "tetra": lambda k: k,
    "quad": lambda k: k + 1,
    "hexahedron": lambda k: k + 2,
    "triangle6": lambda k: 2 * k + 2,
    "quad9": lambda k: 2 * k + 3,
    "tetra10": lambda k: 2 * k + 3,
    "hexahedron27": lambda k: 2 * k + 5,
}


def cube(kind: str, n: int = 3, shake: float = 0.15) -> Any:
    """[0, 1]^dim in n^dim blocks, inner nodes moved at random by up to `shake` mesh widths (of nodes)."""
    mesh_type = mesh_raw.MESH_TYPES[kind]
    dim = mesh_type.elem.refdom.dim()
    straight = kind.rstrip("0123456789")
    mesh = mesh_raw.MESH_TYPES[straight].init_tensor(*[np.linspace(0, 1, n + 1)] * dim)
    width = 1 / n
    if kind != straight:
        mesh, width = mesh_type.from_mesh(mesh), width / 2
    x = mesh.doflocs.copy()
    inside = np.all((x > 1e-9) & (x < 1 - 1e-9), axis=0)
    x[:, inside] += shake * width * np.random.default_rng(7).uniform(-1, 1, (dim, inside.sum()))
    return mesh_type(x, mesh.t, sort_t=False)


SIDES = (("left", "right"), ("bottom", "top"), ("front", "back"))


def sides(mesh: Any) -> Any:
    """The mesh with its sides named: left, right, bottom, top, front, back."""
    named = {}
    for axis, (low, high) in enumerate(SIDES[: mesh.dim()]):
        named[low] = lambda x, axis=axis: np.abs(x[axis]) < 1e-9
        named[high] = lambda x, axis=axis: np.abs(x[axis] - 1) < 1e-9
    return mesh.with_boundaries(named)


def monomials(dim: int, degree: int) -> list[tuple[int, ...]]:
    """Exponents of all monomials up to this total degree."""
    return [k for k in product(range(degree + 1), repeat=dim) if sum(k) <= degree]


def as_meshio(mesh: Any, kind: str, **data: Any) -> meshio.Mesh:
    """In meshio's order of nodes, oriented."""
    cells = mesh.dofs.element_dofs
    if kind.startswith("hexahedron"):
        cells = cells[HEX_MAPPING[: len(cells)]]
    raw = mesh_raw.RawMesh(mesh.doflocs, mesh.dofs.element_dofs, kind)
    turned = mesh_raw.reflected(raw, mesh_raw.cell_shapes(raw).inverted).cells
    cells = turned[HEX_MAPPING[: len(cells)]] if kind.startswith("hexahedron") else turned
    points = np.zeros((mesh.doflocs.shape[1], 3))
    points[:, : len(mesh.doflocs)] = mesh.doflocs.T
    return meshio.Mesh(points, [(kind, cells.T)], **data)


def write(path: Path, points: Any, *blocks: tuple[str, Any], **data: Any) -> Path:
    """A file of points (n, 2 or 3) and blocks of cells; `data` as for meshio.Mesh."""
    points = np.asarray(points, dtype=float)
    if points.shape[1] < 3:
        points = np.pad(points, ((0, 0), (0, 3 - points.shape[1])))
    mesh = meshio.Mesh(points, [(name, np.asarray(cells)) for name, cells in blocks], **data)
    extra = {"file_format": "gmsh22"} if path.suffix == ".msh" else {}
    mesh.write(path, **extra)
    return path


def interface(path: Path, flip: bool = False) -> Path:
    """Two unit squares side by side, 4 × 4 × 2 triangles each, with the line x = 1 between them named, in msh 2.2.

    The line runs upwards (downwards if `flip`): its right-hand side is the right square (the left one).
    """
    mesh = skfem.MeshTri.init_tensor(np.linspace(0, 2, 9), np.linspace(0, 1, 5)).oriented()
    nodes = np.flatnonzero(np.abs(mesh.p[0] - 1) < 1e-9)
    nodes = nodes[np.argsort(mesh.p[1, nodes])]
    line = np.stack([nodes[:-1], nodes[1:]], axis=1)
    right = mesh.p[0, mesh.t].mean(axis=0) > 1
    tags = [np.full(len(line), 1), np.where(right, 3, 2)]
    return write(
        path,
        mesh.p.T,
        ("line", line[:, ::-1] if flip else line),
        ("triangle", mesh.t.T),
        cell_data={"gmsh:physical": tags, "gmsh:geometrical": tags},
        field_data={"interface": np.array([1, 1]), "left": np.array([2, 2]), "right": np.array([3, 2])},
    )
