"""Metric of the parameters: in which units ε²‖D(v − ρa)‖² adds up amplitudes, lengths and rates.

    D_j = max_{i in the block of j} ‖√W J e_i‖

A parameter is measured by what the most effective one of its block does to the field.  Blocks (`Ansatz.slices`) hold
parameters of one kind, so D follows any change of units; within a block D is constant, so a parameter that does little
at the moment (a saturated neuron, the center of a component whose amplitude is small) is no cheaper to move than the
others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def block_metric(norms: Array, blocks: Iterable[slice]) -> Array:
    """D (p,) > 0 from the column norms ‖√W J e_j‖ (p,) and the blocks of θ.

    A block that does nothing at all shows no unit; it gets the smallest of the other blocks, 1 if there is none.
    """
    scale = np.zeros_like(norms)
    for block in blocks:
        scale[block] = np.max(norms[block], initial=0.0)
    positive = scale[scale > 0]
    scale[scale == 0] = positive.min() if positive.size else 1.0
    return scale
