"""Differences as exact as double precision allows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..base import Array

LEVELS = 7  # steps h, h/2, …, h/64


def slope(function: Callable[[float], Array], step: float) -> Array:
    """function'(0) by Richardson-extrapolated central differences, for array-valued functions.

    Each entry is taken from the level and order with the least estimated error; for smooth functions it reaches
    about 1e-11 of the function's values.  Source: C. J. F. Ridders, Adv. Eng. Softw. 4 (1982) 75.
    """
    previous: list[Array] = []
    best = np.full(1, np.nan)
    least = np.full(1, np.inf)
    for level in range(LEVELS):
        h = step / 2**level
        row = [(function(h) - function(-h)) / (2.0 * h)]
        for j, old in enumerate(previous):
            row.append(row[j] + (row[j] - old) / (4.0 ** (j + 1) - 1.0))
            error = np.maximum(np.abs(row[j + 1] - row[j]), np.abs(row[j + 1] - old))
            best, least = np.where(error < least, row[j + 1], best), np.minimum(error, least)
        previous = row
    return best
