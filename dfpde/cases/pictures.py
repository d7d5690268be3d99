"""All pictures of a run: fields, history, errors, the tangent's spectrum, and a film."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..diagnostics.plots import animate, plot_series, plot_spectrum, plot_states
from ..diagnostics.spectra import spectrum
from ..errors import RunError
from .stored import Stored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Largest number of parameters of which all singular values are computed for a picture.
MOST_VALUES = 600

#: Largest number of pictures in a film, spread over the output times.
MOST_FRAMES = 48


def figures(stored: Stored) -> dict[str, Figure]:
    """Title of each picture -> figure; what needs the ansatz is left out for a run of a script."""
    found: dict[str, Figure] = {}
    if stored.setup is not None and stored.canvas is not None and stored.states:
        problem, last = stored.setup.problem, stored.states[-1]
        found["field"] = plot_states(problem.ansatz, stored.states, stored.canvas)
        tangent = problem.tangent(last.theta)
        values = spectrum(tangent, min(problem.ansatz.size, MOST_VALUES), scale=problem.scale)
        found["spectrum"] = plot_spectrum(values, last.statistics.eps)
    errors = [(s.t, error) for s, error in zip(stored.states, stored.errors(), strict=True) if error is not None]
    if errors:
        label = "relative error against the exact solution"
        found["error"] = plot_series([t for t, _ in errors], [error for _, error in errors], label)
    if len(stored.history) > 1:
        found["history"] = stored.history.plot()
    return found


def film(stored: Stored, path: Path) -> bool:
    """Write a GIF of the field; False where there is none to draw (a script's run, more than two dimensions)."""
    if stored.setup is None or stored.canvas is None or stored.canvas.dim > 2 or len(stored.states) < 2:
        return False
    count = len(stored.states)
    shown = [stored.states[i] for i in sorted({round(i) for i in np.linspace(0, count - 1, min(count, MOST_FRAMES))})]
    animate(stored.setup.problem.ansatz, shown, stored.canvas, path)
    return True


def write(stored: Stored, folder: Path) -> list[Path]:
    """Write all pictures into a folder; returns the files.

    Raises
    ------
    RunError
        There is nothing to draw yet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in figures(stored).items():
        written.append(folder / f"{name}.png")
        figure.savefig(written[-1], dpi=110)
    if film(stored, folder / "film.gif"):
        written.append(folder / "film.gif")
    if not written:
        raise RunError(f"{stored.directory} has nothing to draw yet", "wait for the first output time")
    return written
