"""Pictures of a run: what it measured, and its profiles and errors against a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .plots import _figure, _parts, _picks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]

LEAST = 3.0  # factor about the middle that a logarithmic axis shows at least: not the rounding of equal values


def plot_history(columns: Mapping[str, Array], quantities: Sequence[str] = ()) -> Figure:
    """Step size, ‖f‖ beside the defect, error of the step and ε on logarithmic scales, quantities on linear ones.

    Parameters
    ----------
    columns : mapping of str to array
        As `History.to_dict` gives them.
    quantities : sequence of str
        Columns to be drawn on linear scales.
    """
    panels = [(("dt",), "step size"), (("rhs_norm", "defect"), "‖f‖, defect"), (("error",), "error of a step"),
              (("eps",), "ε"), *(((name,), name) for name in quantities)]  # fmt: skip
    rows = (len(panels) + 1) // 2
    figure = _figure(9.0, 2.4 * rows)
    axes = figure.subplots(rows, 2, squeeze=False, sharex=True).ravel()
    stepped = np.asarray(columns["dt"], float) > 0  # a start's error is the misfit of its fit
    for (names, label), ax in zip(panels, axes, strict=False):
        for name in names:
            values = np.asarray(columns[name], float)
            shown = values if label in quantities else np.where(stepped & (values > 0), values, np.nan)
            ax.plot(columns["t"], shown, ".-", ms=3, lw=0.8, label=name)
        if label not in quantities:
            ax.set_yscale("log")
            low, high = ax.get_ylim()
            ax.set_ylim(min(low, (low * high) ** 0.5 / LEAST), max(high, (low * high) ** 0.5 * LEAST))
        ax.set(xlabel="t", ylabel=label)
        ax.grid(alpha=0.3)
    axes[1].legend(["‖f‖", "defect"], fontsize=8)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    return figure


def plot_errors(t: Array, x: Array, fields: Sequence[Array], references: Sequence[Array], errors: Array) -> Figure:
    """Left: profiles at a few times, the reference dashed; right: the relative error over time.

    Parameters
    ----------
    t : (n,) array
    x : (N,) array
        Points on a line, increasing.
    fields, references : sequences of n arrays (*shape, N)
    errors : (n,) array
    """
    figure = _figure(9.0, 3.3)
    left, right = figure.subplots(1, 2)
    for i in _picks(len(t)):
        for values, known in zip(_parts(fields[i]).values(), _parts(references[i]).values(), strict=True):
            left.plot(x, values, label=f"t = {t[i]:.4g}")
            left.plot(x, known, "--", color="black", lw=0.8)
    left.set(xlabel="x", ylabel="u", title="dashed: reference")
    left.legend(fontsize=8)
    right.semilogy(t, np.where(errors > 0, errors, np.nan), ".-")
    right.set(xlabel="t", title="relative error")
    for ax in (left, right):
        ax.grid(alpha=0.3)
    return figure
