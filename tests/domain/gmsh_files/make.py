"""Writes the files of this folder: python make.py, with `pip install gmsh` (4.15) in an environment of its own.

plate: [0, 2] x [0, 1] with a disk of radius 1/5 around (1/2, 1/2) as a surface of its own.  bar: [0, 2] x [0, 1]²
in two cubes.  Groups overlap, have no name, share a name with a group of another dimension, or are reversed.
"""

import gmsh

VARIANTS = {  # name: (version, binary, parametric, save all, parts, order)
    "v1": (1.0, 0, 0, 0, 0, 1),
    "v22": (2.2, 0, 0, 0, 0, 1),
    "v22_binary_parametric": (2.2, 1, 1, 0, 0, 1),
    "v22_text_parametric": (2.2, 0, 1, 0, 0, 1),
    "v22_all": (2.2, 0, 0, 1, 0, 1),
    "v22_parts": (2.2, 1, 0, 0, 3, 2),
    "v40": (4.0, 0, 0, 0, 0, 1),
    "v40_parts_parametric": (4.0, 0, 1, 0, 3, 1),
    "v41": (4.1, 0, 0, 0, 0, 1),
    "v41_binary_all": (4.1, 1, 0, 1, 0, 2),
    "v41_parametric": (4.1, 0, 1, 0, 0, 1),
    "v41_binary_parametric_parts": (4.1, 1, 1, 0, 3, 1),
    "v41_parts": (4.1, 0, 0, 0, 3, 1),
}


def plate() -> int:
    """Curves and surfaces with groups; returns the dimension."""
    occ = gmsh.model.occ
    occ.fragment([(2, occ.addRectangle(0, 0, 0, 2, 1))], [(2, occ.addDisk(0.5, 0.5, 0, 0.2, 0.2))])
    occ.synchronize()
    gmsh.option.setNumber("Mesh.MeshSizeMin", 0.5)
    surfaces = sorted((s for _, s in gmsh.model.getEntities(2)), key=lambda s: occ.getMass(2, s))
    middle = {c: occ.getCenterOfMass(1, c) for _, c in gmsh.model.getEntities(1)}
    left, right, bottom, top = (
        [c for c, x in middle.items() if abs(x[axis] - at) < 1e-6] for axis, at in ((0, 0), (0, 2), (1, 0), (1, 1))
    )
    circle = [c for c in middle if c not in (*left, *right, *bottom, *top)]
    gmsh.model.addPhysicalGroup(1, left, 11, "left")
    gmsh.model.addPhysicalGroup(1, left + right, 12, "ends")
    gmsh.model.addPhysicalGroup(1, left + right + [-c for c in bottom] + top, 13)
    gmsh.model.addPhysicalGroup(1, circle, 14, "disk")
    gmsh.model.addPhysicalGroup(1, [-c for c in circle], 15, "other way")
    gmsh.model.addPhysicalGroup(2, surfaces[:1], 21, "disk")
    gmsh.model.addPhysicalGroup(2, surfaces, 22)
    return 2


def bar() -> int:
    """Faces and volumes with groups; returns the dimension."""
    occ = gmsh.model.occ
    occ.fragment([(3, occ.addBox(0, 0, 0, 1, 1, 1))], [(3, occ.addBox(1, 0, 0, 1, 1, 1))])
    occ.synchronize()
    gmsh.option.setNumber("Mesh.MeshSizeMin", 1)
    at = {s: occ.getCenterOfMass(2, s) for _, s in gmsh.model.getEntities(2)}
    low, middle, high = ([s for s, x in at.items() if abs(x[0] - place) < 1e-6] for place in (0, 1, 2))
    gmsh.model.addPhysicalGroup(2, low, 1, "in")
    gmsh.model.addPhysicalGroup(2, low + high, 2, "open")
    gmsh.model.addPhysicalGroup(2, middle, 3, "wall")
    gmsh.model.addPhysicalGroup(2, [-s for s in middle], 4, "other way")
    gmsh.model.addPhysicalGroup(3, [1], 1, "first")
    gmsh.model.addPhysicalGroup(3, [1, 2], 2, "in")
    gmsh.model.addPhysicalGroup(3, [2], 3)
    return 3


gmsh.initialize()
gmsh.option.setNumber("General.Terminal", 0)
for make in (plate, bar):
    for name, (version, binary, parametric, everything, parts, order) in VARIANTS.items():
        if make is bar and name not in ("v22", "v40", "v41_binary_parametric_parts", "v41"):
            continue
        gmsh.clear()
        gmsh.model.mesh.generate(make())
        gmsh.model.mesh.setOrder(order)
        if parts:
            gmsh.model.mesh.partition(parts)
        for option, value in (
            ("MshFileVersion", version), ("Binary", binary), ("SaveParametric", parametric), ("SaveAll", everything),
        ):  # fmt: skip
            gmsh.option.setNumber(f"Mesh.{option}", value)
        gmsh.write(f"{make.__name__}_{name}.msh")
