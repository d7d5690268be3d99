"""Parameters of a network: where each block stands in θ, and random ones to begin with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .activations import Activation
from .embedding import PeriodicEmbedding

Slices = Mapping[str, tuple[slice, tuple[int, ...]]]


def layout(sizes: Sequence[int], activation: Activation, embedding: PeriodicEmbedding | None) -> Slices:
    """Name -> (slice of θ, shape of the block), of a network with so many features, neurons and outputs."""
    shapes: dict[str, tuple[int, ...]] = {}
    if embedding is not None:
        shapes["shifts"] = (len(embedding.waves),)
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        shapes[f"weights{layer}"] = (fan_out, fan_in)
        shapes[f"biases{layer}"] = (fan_out,)
    if activation.size:
        shapes["coefficients"] = (len(sizes) - 2, activation.size)
    found, start = {}, 0
    for name, shape in shapes.items():
        found[name] = (slice(start, start + math.prod(shape)), shape)
        start += math.prod(shape)
    return found


def random_blocks(
    slices: Slices, activation: Activation, embedding: PeriodicEmbedding | None, seed: int
) -> dict[str, Any]:
    """Weights normal with variance 1/fan-in, hidden biases uniform in [−1, 1], output biases zero."""
    rng = np.random.default_rng(seed)
    blocks: dict[str, Any] = {}
    for name, (_, shape) in slices.items():
        if name.startswith("weights"):
            blocks[name] = rng.normal(size=shape) / math.sqrt(shape[1])
        elif name.startswith("biases"):
            blocks[name] = rng.uniform(-1, 1, shape)
            last = name
        elif name == "coefficients":
            blocks[name] = activation.initial()
        elif embedding is not None:
            blocks[name] = embedding.initial(rng)
    blocks[last] = 0.0
    return blocks
