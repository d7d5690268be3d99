"""Any JAX function as an ansatz."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import validation as check
from ...errors import MissingDependency, ParameterError, ShapeError
from ..base import Array
from ..layout import Slices
from .differentiated import Differentiated, Function


class JaxFunction(Differentiated):
    """u(x) = fn(θ, x) for any JAX function of one point; everything is differentiated by JAX.

    Parameters
    ----------
    fn : callable (theta, x) -> scalar or (m,)
        Field at one point x (dim,); theta has the structure of `theta0`.  Real or complex.
    theta0 : array or pytree
        Initial parameters: a vector, a dict or list of arrays, an equinox module, flax parameters.  Floating-point
        arrays in it are the parameters; other leaves (integers, Python numbers, functions) are kept as they are.
    dim : int
        Space dimension.
    chunk : int, optional
        Largest number of points evaluated together, ``2**22 // p`` between 256 and 8192 by default.

    Attributes
    ----------
    theta0 : array (p,)
        The initial parameters as a vector; `tree` goes back.

    Raises
    ------
    MissingDependency
        JAX is not installed.
    ParameterError
        JAX runs in single precision (its default), or a parameter is complex.
    ShapeError
        fn does not return float64 or complex128, a scalar or a vector.

    Examples
    --------
    >>> import jax; jax.config.update("jax_enable_x64", True)
    >>> u = JaxFunction(lambda theta, x: theta[0] * jax.numpy.exp(-theta[1] * x @ x), np.ones(2), dim=3)
    >>> u.laplacian(u.theta0, np.zeros((3, 1)))
    array([-6.])

    Notes
    -----
    dfpde does not switch JAX to double precision by itself: modules and constants made before the switch
    are already rounded to single precision, so the switch belongs at the top of the user's program.
    Functions are compiled once for each number of points in a chunk, rounded up to three binary digits.
    XLA uses several threads; under MPI set ``XLA_FLAGS=--xla_cpu_multi_thread_eigen=false``.
    """

    @check.takes(fn=check.function, dim=check.integer(1), chunk=check.optional(check.integer(1)))
    def __init__(self, fn: Function, theta0: Any, *, dim: int, chunk: int | None = None) -> None:
        jax = _jax()
        vector, self._unravel, slices = _flatten(jax, theta0)

        def function(theta: Any, x: Any) -> Any:
            return jax.numpy.asarray(fn(self._unravel(theta), x))

        out = jax.eval_shape(function, vector, np.zeros(dim))
        if out.dtype not in (np.float64, np.complex128) or len(out.shape) > 1:
            raise ShapeError(
                f"fn(theta, x) returns {out.dtype} of shape {out.shape}",
                "return a float64 or complex128 scalar or vector (no single-precision constants inside fn)",
            )
        is_complex = out.dtype == np.complex128
        super().__init__(
            (lambda theta, x: _split(jax, function(theta, x))) if is_complex else function,
            _Jax(jax),
            vector,
            slices,
            dim=dim,
            shape=tuple(out.shape),
            dtype=complex if is_complex else float,
            chunk=default_chunk(vector.size) if chunk is None else chunk,
        )

    def tree(self, theta: Array) -> Any:
        """The parameters in the structure of the `theta0` given at the start."""
        return self._unravel(self.check_theta(theta))


def default_chunk(size: int) -> int:
    """Points of one chunk: at most 2²² entries (32 MiB) of the tangent.

    See docs/least_squares.md, sizes of blocks (``benchmarks/compositions.py --autodiff`` measures it).
    """
    return min(max(2**22 // max(size, 1), 256), 8192)


def _jax() -> Any:
    try:
        import jax
    except ImportError as error:
        raise MissingDependency("JaxFunction needs JAX", "pip install 'dfpde[jax]', or pip install jax") from error
    config: Any = jax.config
    if not config.jax_enable_x64:
        raise ParameterError(
            "JAX runs in single precision (float32), its default",
            'call jax.config.update("jax_enable_x64", True) at the top of your program, before making any array or '
            "module, or set JAX_ENABLE_X64=1",
        )
    return jax


def _flatten(jax: Any, tree: Any) -> tuple[Array, Function, Slices]:
    """θ as a vector, the way back, and names from the paths in the tree."""
    paths, structure = jax.tree_util.tree_flatten_with_path(tree)
    slices: Slices = {}
    places: list[tuple[slice, tuple[int, ...]] | None] = []
    blocks, stop = [np.empty(0)], 0
    for path, leaf in paths:
        if not isinstance(leaf, np.ndarray | np.floating | jax.Array) or not np.issubdtype(leaf.dtype, np.inexact):
            places.append(None)
            continue
        name = ".".join(_key(entry) for entry in path) or "theta"
        if np.issubdtype(leaf.dtype, np.complexfloating):
            raise ParameterError(f"parameter {name} is complex", "give its real and imaginary part, θ is real")
        start, stop = stop, stop + math.prod(leaf.shape)
        places.append((slice(start, stop), tuple(leaf.shape)))
        slices[name] = (slice(start, stop), tuple(leaf.shape))
        blocks.append(np.asarray(leaf, float).reshape(-1))

    def unravel(theta: Any) -> Any:
        leaves = [
            leaf if place is None else theta[place[0]].reshape(place[1])
            for (_, leaf), place in zip(paths, places, strict=True)
        ]
        return jax.tree_util.tree_unflatten(structure, leaves)

    return np.concatenate(blocks), unravel, slices


def _key(entry: Any) -> str:
    """Name of one step into a tree: attribute, dictionary key or index."""
    for attribute in ("name", "key", "idx"):
        if hasattr(entry, attribute):
            return str(getattr(entry, attribute))
    return str(entry)


def _split(jax: Any, values: Any) -> Any:
    return jax.numpy.stack([values.real, values.imag])


class _Jax:
    """`Transforms` of JAX."""

    pad = True

    def __init__(self, jax: Any) -> None:
        self.jax = jax

    def array(self, values: Array) -> Any:
        return values

    def numpy(self, values: Any) -> Array:
        array: Array = np.asarray(values)
        return array

    def compiled(self, function: Function) -> Function:
        compiled: Function = self.jax.jit(function)
        return compiled

    def over_points(self, function: Function, shared: int) -> Function:
        mapped: Function = self.jax.vmap(function, in_axes=(*(None,) * shared, -1), out_axes=-1)
        return mapped

    def along(self, function: Function, at: Any, direction: Any) -> Any:
        return self.jax.jvp(function, (at,), (direction,))[1]

    def pullback(self, function: Function, at: Any, y: Any) -> Any:
        return self.jax.vjp(function, at)[1](y)[0]

    def by_theta(self, function: Function) -> Function:
        jacobian = self.jax.jacrev(function)
        return lambda theta, x: self.jax.numpy.moveaxis(jacobian(theta, x), -1, 0)
