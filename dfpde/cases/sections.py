"""Sections of a case file, each a frozen class whose fields are its keys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from ..ansatz import GaussianMixture, Network, PeriodicEmbedding, PeriodicGaussianMixture, PositiveMixture, Stack
from ..ansatz.base import Ansatz
from ..ansatz.networks.activations import Activation, Sine, Softplus, Swish, Tanh
from ..domain import Mesh, Quadrature, read_mesh
from ..errors import ParameterError

Array = NDArray[Any]
Interval = tuple[float, float]

ACTIVATIONS: dict[str, Activation] = {"tanh": Tanh(), "sine": Sine(), "softplus": Softplus(), "swish": Swish()}


@dataclass(frozen=True)
class Domain:
    """Points and weights of the norm: a mesh file, a periodic box, or a box of Gauss cells.

    Parameters
    ----------
    mesh : str, optional
        Mesh file, relative to the case file, with `order`.
    box : (a, b) or sequence of (a, b), optional
        With `periodic` and `points`, or with `cells` and `order`.
    periodic : bool
        Equispaced points of a periodic box.
    points : int or sequence of int
        In each direction of a periodic box.
    cells : int or sequence of int
        In each direction of a box that is not periodic.
    order : int
        Degree that the rule integrates exactly.
    repair : bool
        Mend a mesh file where that is possible.
    """

    mesh: str | None = None
    box: Interval | tuple[Interval, ...] | None = None
    periodic: bool = False
    points: int | tuple[int, ...] | None = None
    cells: int | tuple[int, ...] | None = None
    order: int = 2
    repair: bool = False

    def __post_init__(self) -> None:
        if (self.mesh is None) == (self.box is None):
            raise ParameterError(
                "neither mesh nor box" if self.mesh is None else "mesh and box",
                'one of them: mesh = "disk.msh", or box = [[-1.0, 1.0]] with cells, or periodic = true with points',
            )
        wanted = None if self.mesh else "points" if self.periodic else "cells"
        for name in ("points", "cells"):
            if (getattr(self, name) is not None) != (name == wanted):
                what = f"{name} {'is missing' if name == wanted else 'has no meaning here'}"
                raise ParameterError(what, "points with periodic = true, cells for another box, neither for a mesh")
        if self.mesh and self.periodic:
            raise ParameterError("a periodic mesh", "a box with periodic = true")

    @property
    def bounds(self) -> tuple[Interval, ...] | None:
        """Of the box; None for a mesh."""
        if self.box is None:
            return None
        return self.box if isinstance(self.box[0], tuple) else (self.box,)

    @property
    def periods(self) -> tuple[float, ...] | None:
        """Lengths of a periodic box."""
        return tuple(b - a for a, b in self.bounds) if self.periodic and self.bounds is not None else None

    def build(self, folder: Path, comm: MPI.Comm) -> tuple[Quadrature, Mesh | None]:
        """Quadrature, and the mesh where there is one; collective."""
        if self.mesh is not None:
            mesh = read_mesh(folder / self.mesh, comm, repair=self.repair)
            return Quadrature.from_mesh(mesh, self.order), mesh
        bounds: Any = self.bounds  # one of points and cells is there, as __post_init__ has seen to
        points: Any = self.points
        if self.periodic:
            return Quadrature.periodic(bounds, points, comm), None
        cells: Any = self.cells
        return Quadrature.gauss(bounds, cells, self.order, comm), None


@dataclass(frozen=True)
class Gaussians:
    """n Gaussians, periodic where the box is; `covariance` says how many numbers each precision has.

    `positive` Gaussians have amplitudes exp(α), α the block ``log_amplitudes``.
    """

    n: int
    covariance: Literal["isotropic", "diagonal", "full"] = "isotropic"
    positive: bool = False

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ParameterError(f"n = {self.n}", "n >= 1")

    def build(self, dim: int, domain: Domain) -> Ansatz:
        """The mixture."""
        if domain.periods is None:
            mixture = PositiveMixture if self.positive else GaussianMixture
            kinds = {"isotropic": mixture.isotropic, "diagonal": mixture.diagonal, "full": mixture.full}
            return kinds[self.covariance](dim, self.n)
        if self.positive:
            raise ParameterError("positive = true in a periodic box", "a box that is not periodic, or leave it out")
        if self.covariance == "full":
            raise ParameterError("covariance = 'full' in a periodic box", "'isotropic' or 'diagonal'")
        periodic = {"isotropic": PeriodicGaussianMixture.isotropic, "diagonal": PeriodicGaussianMixture.diagonal}
        return periodic[self.covariance](domain.periods, self.n)


@dataclass(frozen=True)
class Perceptron:
    """A network of hidden layers `widths`, with a periodic embedding where the box is periodic."""

    widths: tuple[int, ...]
    activation: Literal["tanh", "sine", "softplus", "swish"] = "tanh"
    frequencies: int = 1
    shifts: int = 2
    residual: bool = False

    def build(self, dim: int, domain: Domain) -> Ansatz:
        """The network."""
        periods = domain.periods
        embedding = None if periods is None else PeriodicEmbedding(periods, self.frequencies, self.shifts)
        return Network(dim, self.widths, ACTIVATIONS[self.activation], embedding, self.residual)


@dataclass(frozen=True)
class Fit:
    """Initial data: the arguments of `df.fit`.

    Parameters
    ----------
    initial : str, optional
        ``file.py:function`` or ``module:function``, x (dim, N) -> (*shape, N); the equation's own by default.
    guess : table, optional
        All blocks of θ by name, numbers or lists (``amplitudes = 0.5``; ``"1.amplitudes"`` of the second component
        alone); without it the ansatz makes `starts` guesses with `seed`.
    linear : str or list of str, optional
        Blocks in which u is linear.
    starts, seed, rtol, max_iterations
        As for `df.fit`.
    scaled : bool
        Measure parameters in units of what they change the field by, at the start.
    """

    initial: str | None = None
    guess: dict[str, Any] | None = None
    linear: str | tuple[str, ...] | None = None
    starts: int = 1
    seed: int = 0
    rtol: float = 1e-10
    max_iterations: int = 200
    scaled: bool = False

    def __post_init__(self) -> None:
        if not (0 < self.rtol < 1 and self.max_iterations >= 0 and self.starts >= 1):
            what = f"rtol = {self.rtol}, max_iterations = {self.max_iterations}, starts = {self.starts}"
            raise ParameterError(what, "0 < rtol < 1, max_iterations >= 0, starts >= 1")


@dataclass(frozen=True)
class Time:
    """From 0 `until`; states are kept at `outputs` equal intervals, or at `times`."""

    until: float
    outputs: int | None = None
    times: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.until > 0:
            raise ParameterError(f"until = {self.until}", "until > 0")
        if self.outputs is not None and self.times is not None:
            raise ParameterError("outputs and times", "one of them")
        if self.outputs is not None and self.outputs < 1:
            raise ParameterError(f"outputs = {self.outputs}", "outputs >= 1")
        given = self.times or ()
        if any(b <= a for a, b in zip((0.0, *given), given, strict=False)) or (given and given[-1] > self.until):
            raise ParameterError(f"times = {list(given)}", "increasing times in (0, until]")

    @property
    def listed(self) -> Array:
        """Output times."""
        if self.times is not None:
            return np.array(self.times)
        return np.linspace(0.0, self.until, (self.outputs or 20) + 1)[1:]


@dataclass(frozen=True)
class Output:
    """Where, and how often.

    Parameters
    ----------
    directory : str, optional
        Relative to where dfpde is started; ``out/<name of the case file>`` by default.
    every_steps, every_seconds, keep, max_seconds
        As for `Run`.
    paraview, vtkhdf : bool
        Write ``series.pvd`` with a file for each output time, and ``series.vtkhdf``, one file, where there is a mesh.
    refine : int
        Refinements of the cells for them.
    log : bool
        A log file for each rank.
    """

    directory: str | None = None
    every_steps: int | None = None
    every_seconds: float | None = 60.0
    keep: int = 3
    max_seconds: float | None = None
    paraview: bool = True
    vtkhdf: bool = False
    refine: int = 0
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("every_steps", "every_seconds", "keep", "max_seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ParameterError(f"{name} = {value}", f"{name} > 0")
        if self.refine < 0:
            raise ParameterError(f"refine = {self.refine}", "refine >= 0")


def stacked(ansatz: Ansatz, components: int) -> Ansatz:
    """One ansatz for each component of a system."""
    return ansatz if components == 1 else Stack(*[ansatz] * components)
