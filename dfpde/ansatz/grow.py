"""Larger and smaller ansätze for the same field: parameters and velocities carried over block by block.

Both ansätze have the same parameter names; blocks whose shapes differ grow or shrink along the axes that differ.
That covers components of mixtures and wave packets, neurons of networks (rows of a layer and columns of the next), and
all compositions of them, by their dotted names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import validation as check
from ..errors import ParameterError, ShapeError
from .base import Ansatz, Array

Norm = Callable[[Array], float]


@check.takes(
    ansatz=check.ansatz,
    larger=check.ansatz,
    theta=check.numbers(1),
    velocity=check.optional(check.numbers(1)),
    new=check.mapping(check.numbers(), "a mapping of names to values"),
)
def insert(
    ansatz: Ansatz, larger: Ansatz, theta: Array, velocity: Array | None, new: Mapping[str, Any]
) -> tuple[Array, Array | None]:
    """θ and θ̇ of a larger ansatz, old components first.

    A component of amplitude zero (a neuron with zero outgoing weights) does not change the field, and neither
    does a velocity of zero change its motion.  The other parameters of such a component are not determined by the
    equation until its amplitude has grown: inertia and regularization carry them.  (A wave packet has the amplitude
    exp(−Im ζ), and its whole tangent has that size: choose it as small as the tolerance asks, not smaller.)

    Parameters
    ----------
    ansatz, larger : Ansatz
        Of n and of n + k components, with the same parameter names.
    theta, velocity : array (p,)
        Parameters and velocity (or None) of `ansatz`.
    new : mapping of name -> array
        Values of the new entries of every block that grows along one axis: an array broadcastable to the new
        part (k entries along that axis); of a block that grows along several axes: to the whole block, of which
        the old corner is overwritten.

    Returns
    -------
    theta, velocity
        Of `larger`; the velocity of new parameters is zero.

    Raises
    ------
    ShapeError
        Different names, a block that shrinks, or values that do not fit.
    ParameterError
        Blocks that grow without new values, or values for others.

    Examples
    --------
    >>> from dfpde.ansatz import GaussianMixture
    >>> two, three = (GaussianMixture.isotropic(1, n) for n in (2, 3))
    >>> theta = two.pack(amplitudes=[1.0, 2.0], centers=[[0.0], [1.0]], scales=5.0)
    >>> theta, _ = insert(two, three, theta, None, {"amplitudes": 0.0, "centers": 0.5, "scales": 10.0})
    >>> three.unpack(theta)["scales"]
    array([ 5.,  5., 10.])
    """
    places = _changes(ansatz, larger)
    if set(new) != set(places):
        raise ParameterError(f"new values for {sorted(new)}", f"give values for the blocks that grow: {sorted(places)}")
    source, target = ansatz.unpack(theta), np.zeros(larger.size)
    for name, (part, shape) in larger.slices().items():
        block = np.empty(shape)
        if name in places:
            try:
                block[_grown(source[name].shape, places[name])] = new[name]
            except ValueError as error:
                raise ShapeError(
                    f"new values of block {name!r} have shape {np.shape(new[name])}: {error}",
                    f"the block grows from {source[name].shape} to {shape}",
                ) from error
        block[tuple(slice(length) for length in source[name].shape)] = source[name]
        target[part] = block.reshape(-1)
    if velocity is None:
        return target, None
    moved = insert(ansatz, larger, velocity, None, dict.fromkeys(new, 0.0))[0]
    return target, moved


@check.takes(ansatz=check.ansatz, smaller=check.ansatz, components=check.indices)
def remove(
    ansatz: Ansatz, smaller: Ansatz, theta: Array, velocity: Array | None, components: Sequence[int]
) -> tuple[Array, Array | None]:
    """θ and θ̇ of a smaller ansatz, without some components.

    Parameters
    ----------
    ansatz, smaller : Ansatz
        Of n and of n − k components, with the same parameter names.
    theta, velocity : array (p,)
        Parameters and velocity (or None) of `ansatz`.
    components : sequence of k int
        Which to remove: indices along every axis that shrinks.

    Raises
    ------
    ShapeError
        Different names, a block that grows, or a number of components that does not fit.
    """
    places, drop = _changes(smaller, ansatz), np.unique(np.asarray(components, int))
    target = np.zeros(smaller.size)
    blocks = ansatz.unpack(theta)
    for name, (part, shape) in smaller.slices().items():
        block = blocks[name]
        for axis in places.get(name, ()):
            if drop.size and not (drop[0] >= 0 and drop[-1] < block.shape[axis]):
                raise ShapeError(f"components {drop.tolist()} of {block.shape[axis]}", "give indices 0 … n − 1")
            block = np.delete(block, drop, axis)
        if block.shape != shape:
            raise ShapeError(
                f"without {drop.size} components block {name!r} has shape {block.shape}, in the smaller ansatz {shape}",
                "make the smaller ansatz with as many components less",
            )
        target[part] = block.reshape(-1)
    return target, None if velocity is None else remove(ansatz, smaller, velocity, None, components)[0]


@check.takes(ansatz=check.ansatz, other=check.ansatz, norm=check.function)
def change(ansatz: Ansatz, theta: Array, other: Ansatz, other_theta: Array, x: Array, norm: Norm) -> float:
    """‖Φ(θ) − Φ'(θ')‖ at the points x, in a norm of values (*shape, N) such as `Quadrature.norm`."""
    return norm(other.value(other_theta, x) - ansatz.value(theta, x))


def _changes(small: Ansatz, large: Ansatz) -> dict[str, tuple[int, ...]]:
    """Blocks that grow from one ansatz to the other, and the axes along which they do."""
    before, after = dict(small.slices()), dict(large.slices())
    if set(before) != set(after) or small.dim != large.dim or small.shape != large.shape:
        raise ShapeError(
            f"blocks {sorted(before)} against {sorted(after)}, dim {small.dim}, {large.dim}, shape {small.shape}, "
            f"{large.shape}",
            "give two ansätze of one kind that differ in their number of components",
        )
    found = {}
    for name, (_, shape) in before.items():
        larger = after[name][1]
        if len(shape) != len(larger) or any(n > m for n, m in zip(shape, larger, strict=True)):
            raise ShapeError(f"block {name!r} goes from {shape} to {larger}", "give the smaller ansatz first")
        axes = tuple(axis for axis, (n, m) in enumerate(zip(shape, larger, strict=True)) if n != m)
        if axes:
            found[name] = axes
    return found


def _grown(shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """Index of the new entries of a block that grows along one axis; of the whole block otherwise."""
    if len(axes) > 1:
        return ...
    return (*(slice(None),) * axes[0], slice(shape[axes[0]], None))
