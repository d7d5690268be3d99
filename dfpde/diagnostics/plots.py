"""Pictures of fields: profiles and space-time in 1-D, panels in 2-D, slices beyond, films, and the tangent's spectrum.

Every function returns a matplotlib Figure that belongs to no window (``figure.savefig(path)``), and none communicates:
a field of an ansatz can be drawn by any one rank.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..ansatz.base import Ansatz
from ..errors import MissingDependency, ParameterError
from ..evolution.state import State
from .spectra import Spectrum

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]
Bounds = Sequence[Sequence[float]]

PANELS = 4  # times in a still picture
LINE, PLANE = 801, 121  # points along a line, along the side of a plane


@dataclass(frozen=True, eq=False)
class Canvas:
    """Where a field is drawn: a box, or the vertices of a mesh of triangles.

    Attributes
    ----------
    bounds : sequence of (a, b)
        One for each direction.
    vertices, triangles : arrays or None
        (2, N) and (M, 3) of a mesh in the plane, which is then drawn instead of its box.
    """

    bounds: Bounds
    vertices: Array | None = None
    triangles: Array | None = None

    @property
    def dim(self) -> int:
        """Directions."""
        return len(self.bounds)

    def points(self) -> Array:
        """(dim, N) on a line or in a plane."""
        if self.vertices is not None:
            return self.vertices
        if self.dim == 1:
            return np.linspace(self.bounds[0][0], self.bounds[0][1], LINE)[None]
        return _plane(self.bounds[0], self.bounds[1])

    def draw(self, axes: Any, values: Array, limit: float) -> Any:
        """Colours of values in a plane, symmetric about zero; returns what a colour bar needs."""
        colours = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
        if self.vertices is not None and self.triangles is not None:
            drawn = axes.tripcolor(*self.vertices, self.triangles, values, shading="gouraud", **colours)
        else:
            drawn = _image(axes, values, self.bounds[0], self.bounds[1], colours)
        axes.set_aspect("equal")
        axes.set(xlabel="x", ylabel="y")
        return drawn

    def change(self, drawn: Any, values: Array) -> None:
        """Give a drawn line or plane other values."""
        if self.dim == 1:
            drawn.set_ydata(values)
        else:
            drawn.set_array(values if self.vertices is not None else values.reshape(PLANE, PLANE))


def plot_states(ansatz: Ansatz, states: Sequence[State], canvas: Canvas) -> Figure:
    """A field at a few times: profiles and space-time in 1-D, panels for each component in 2-D, slices beyond.

    Parameters
    ----------
    ansatz : Ansatz
    states : sequence of State
        In the order of time; a few of them, first and last among them, are drawn.
    canvas : Canvas
    """
    if not states:
        raise ParameterError("no states to draw", "at least one")
    if canvas.dim == 1:
        return _profiles(ansatz, states, canvas)
    picked = [states[i] for i in _picks(len(states))]
    if canvas.dim > 2:
        return plot_slices(ansatz, picked[-1], canvas.bounds)
    fields = [_parts(ansatz.value(state.theta, canvas.points())) for state in picked]
    figure = _figure(3.1 * len(picked) + 0.8, 2.9 * len(fields[0]))
    axes = figure.subplots(len(fields[0]), len(picked), squeeze=False, sharex=True, sharey=True)
    for row, name in enumerate(fields[0]):
        limit = max(float(np.max(np.abs(field[name]))) for field in fields) or 1.0
        for axis, state, field in zip(axes[row], picked, fields, strict=True):
            drawn = canvas.draw(axis, field[name], limit)
            axis.set_title(f"t = {state.t:.4g}", fontsize=9)
            axis.label_outer()
        figure.colorbar(drawn, ax=list(axes[row]), label=name)
    return figure


def plot_slices(ansatz: Ansatz, state: State, bounds: Bounds, through: Array | None = None) -> Figure:
    """A field in d > 2 dimensions on all coordinate planes through a point.

    Parameters
    ----------
    ansatz : Ansatz
    state : State
    bounds : sequence of (a, b)
        Box.
    through : (d,) array, optional
        Where the planes meet; by default where the first component is largest on a coarse grid of Halton points.
    """
    dim = len(bounds)
    center = _largest(ansatz, state, bounds) if through is None else np.asarray(through, float)
    planes = [(i, j) for i in range(dim) for j in range(i + 1, dim)][:10]
    values = []
    for i, j in planes:
        x = np.repeat(center[:, None], PLANE * PLANE, axis=1)
        x[[i, j]] = _plane(bounds[i], bounds[j])
        values.append(_parts(ansatz.value(state.theta, x)))
    figure = _figure(3.3 * len(planes) + 0.6, 2.9 * len(values[0]) + 0.3)
    axes = figure.subplots(len(values[0]), len(planes), squeeze=False)
    for row, name in enumerate(values[0]):
        limit = max(float(np.max(np.abs(value[name]))) for value in values) or 1.0
        for axis, (i, j), value in zip(axes[row], planes, values, strict=True):
            drawn = _image(axis, value[name], bounds[i], bounds[j], {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit})
            axis.set(xlabel=f"$x_{i + 1}$", ylabel=f"$x_{j + 1}$")
            axis.set_aspect("equal")
            axis.plot(center[i], center[j], "k+", ms=6)
        figure.colorbar(drawn, ax=list(axes[row]), label=name)
    where = ", ".join(f"{c:.2g}" for c in center)
    figure.suptitle(f"t = {state.t:.4g}, planes through ({where})", fontsize=10)
    return figure


def animate(
    ansatz: Ansatz, states: Sequence[State], canvas: Canvas, path: str | os.PathLike[str], *, rate: int = 10
) -> None:
    """A film of a field in one or two dimensions, as GIF of `rate` pictures a second.

    Raises
    ------
    ParameterError
        No states, or more than two dimensions.
    """
    if not states or canvas.dim > 2:
        raise ParameterError(f"{len(states)} states in {canvas.dim} dimensions", "states of a field in 1-D or 2-D")
    matplotlib = _matplotlib()
    x = canvas.points()
    fields = [_parts(ansatz.value(state.theta, x)) for state in states]
    names = list(fields[0])
    limits = {name: max(float(np.max(np.abs(field[name]))) for field in fields) or 1.0 for name in names}
    figure = _figure(*((6.0, 3.4) if canvas.dim == 1 else (3.8 * len(names) + 0.4, 3.0)))
    title = figure.suptitle(f"t = {states[0].t:.4g}", fontsize=10)
    if canvas.dim == 1:
        drawn = _lines(figure.subplots(), x[0], fields[0], max(limits.values()))
    else:
        axes = figure.subplots(1, len(names), squeeze=False)[0]
        drawn = [canvas.draw(ax, fields[0][name], limits[name]) for ax, name in zip(axes, names, strict=True)]
        for artist, ax, name in zip(drawn, axes, names, strict=True):
            figure.colorbar(artist, ax=ax, label=name)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: only values and the time change
    writer = matplotlib.animation.PillowWriter(fps=rate)
    with writer.saving(figure, os.fspath(Path(path)), dpi=80):
        for state, field in zip(states, fields, strict=True):
            title.set_text(f"t = {state.t:.4g}")
            for artist, name in zip(drawn, names, strict=True):
                canvas.change(artist, field[name])
            writer.grab_frame()


def plot_spectrum(spectrum: Spectrum, eps: float | None = None) -> Figure:
    """Singular values of the tangent, and ε: what lies below is decided by the regularization."""
    figure = _figure(5.2, 3.4)
    axes = figure.subplots()
    values = spectrum.values[spectrum.values > 0]
    axes.semilogy(np.arange(1, values.size + 1), values, ".-", ms=3, lw=0.8)
    if eps is not None and eps > 0:
        label = f"ε = {eps:.1e}, effective rank {spectrum.effective_rank(eps)[0]:.0f}"
        axes.axhline(eps, color="C3", lw=0.8, label=label)
        axes.legend(fontsize=8)
    axes.set(xlabel="index", ylabel="singular value σ of √W J D⁻¹", title="spectrum of the tangent")
    axes.grid(alpha=0.3)
    return figure


def plot_series(t: Sequence[float], values: Sequence[float], label: str) -> Figure:
    """A positive quantity over time, on a logarithmic scale."""
    figure = _figure(5.2, 3.0)
    axes = figure.subplots()
    axes.semilogy(t, values, ".-")
    axes.set(xlabel="t", title=label)
    axes.grid(alpha=0.3)
    return figure


# -- parts ---------------------------------------------------------------------------------------------------
def _profiles(ansatz: Ansatz, states: Sequence[State], canvas: Canvas) -> Figure:
    """Left: profiles at a few times; right: every state, in space and time."""
    x = canvas.points()
    fields = [_parts(ansatz.value(state.theta, x)) for state in states]
    names = list(fields[0])
    figure = _figure(9.0, 3.3 * len(names))
    axes = figure.subplots(len(names), 2, squeeze=False)
    for (left, right), name in zip(axes, names, strict=True):
        for i in _picks(len(states)):
            left.plot(x[0], fields[i][name], label=f"t = {states[i].t:.4g}")
        left.set(xlabel="x", ylabel=name)
        left.legend(fontsize=8)
        left.grid(alpha=0.3)
        rows = np.array([field[name] for field in fields])
        times = np.array([state.t for state in states])
        limit = float(np.max(np.abs(rows))) or 1.0
        if len(states) > 1:
            drawn = right.pcolormesh(x[0], times, rows, cmap="RdBu_r", vmin=-limit, vmax=limit, shading="nearest")
            figure.colorbar(drawn, ax=right, label=name)
        right.set(xlabel="x", ylabel="t")
    return figure


def _lines(axes: Any, x: Array, field: dict[str, Array], limit: float) -> list[Any]:
    drawn = [axes.plot(x, values, label=name)[0] for name, values in field.items()]
    axes.set(xlabel="x", ylim=(-1.08 * limit, 1.08 * limit))
    axes.legend(fontsize=8, loc="upper right")
    axes.grid(alpha=0.3)
    return drawn


def _parts(values: Array) -> dict[str, Array]:
    """Real functions by name: u; u₁, u₂, ...; of a complex field Re u and |u|."""
    if values.ndim == 1:
        return {"Re u": values.real, "|u|": np.abs(values)} if np.iscomplexobj(values) else {"u": values}
    rows = values.reshape(-1, values.shape[-1])
    names = [f"$u_{{{i + 1}}}$" for i in range(len(rows))]
    if np.iscomplexobj(values):
        return {f"|{name}|": np.abs(row) for name, row in zip(names, rows, strict=True)}
    return dict(zip(names, rows, strict=True))


def _picks(n: int) -> list[int]:
    return sorted({int(i) for i in np.linspace(0, n - 1, min(n, PANELS)).round()})


def _plane(first: Sequence[float], second: Sequence[float]) -> Array:
    """(2, PLANE²): the second coordinate runs slowest, as an image has its rows."""
    x, y = np.meshgrid(np.linspace(first[0], first[1], PLANE), np.linspace(second[0], second[1], PLANE))
    return np.stack([x.ravel(), y.ravel()])


def _image(axes: Any, values: Array, first: Sequence[float], second: Sequence[float], colours: dict[str, Any]) -> Any:
    side = values.reshape(PLANE, PLANE)
    return axes.imshow(side, origin="lower", extent=(*first, *second), interpolation="bilinear", **colours)


def _largest(ansatz: Ansatz, state: State, bounds: Bounds) -> Array:
    from scipy.stats import qmc

    low, high = np.asarray(bounds, float).T
    x = low[:, None] + (high - low)[:, None] * qmc.Halton(len(bounds), scramble=False).random(4096).T
    size = np.abs(ansatz.value(state.theta, x)).reshape(-1, x.shape[1])[0]
    return np.asarray(x[:, int(np.argmax(size))])


def _figure(width: float, height: float) -> Figure:
    return _matplotlib().figure.Figure(figsize=(min(width, 16.0), height), layout="constrained", dpi=110)  # type: ignore[no-any-return]


def _matplotlib() -> Any:
    try:
        import matplotlib.animation
        import matplotlib.figure
    except ImportError as error:
        raise MissingDependency(f"pictures need matplotlib: {error}", "pip install matplotlib") from error
    return matplotlib
