"""Metric of the parameters: in which units ε²‖D(v − ρa)‖² adds up amplitudes, lengths and rates.

    D_j² = ‖√W J e_j‖² + (δ max_{i in the block of j} ‖√W J e_i‖)²

A parameter is measured by what it does to the field.  Blocks (`Ansatz.slices`) hold parameters of one kind, so D
follows any change of units.  The floor δ of its block holds a parameter that does little at the moment (a saturated
neuron, the center of a component whose amplitude is small): with column norms alone it would move for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: δ, the floor of a column in units of the largest one of its block.
FLOOR = 0.1


def block_metric(norms: Array, blocks: Iterable[slice]) -> Array:
    """D (p,) > 0 from the column norms ‖√W J e_j‖ (p,) and the blocks of θ.

    A block that does nothing at all shows no unit; it gets the smallest of the other blocks, 1 if there is none.
    """
    scale = np.zeros_like(norms)
    for block in blocks:
        scale[block] = np.hypot(norms[block], FLOOR * np.max(norms[block], initial=0.0))
    positive = scale[scale > 0]
    scale[scale == 0] = positive.min() if positive.size else 1.0
    return scale
