"""Where a problem lives: meshes, their files and checks, partitions, quadratures."""

from .mesh import Mesh, read_mesh
from .quadrature import Quadrature

__all__ = ["Mesh", "Quadrature", "read_mesh"]
