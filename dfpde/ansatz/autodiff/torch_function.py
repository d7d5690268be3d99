"""Any PyTorch function as an ansatz, through `torch.func`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ... import validation as check
from ...errors import MissingDependency, ParameterError, ShapeError
from ..base import Array
from ..layout import Slices
from .differentiated import Differentiated, Function
from .jax_function import default_chunk


class TorchFunction(Differentiated):
    """u(x) = fn(θ, x) for any PyTorch function of one point; everything is differentiated by `torch.func`.

    Parameters
    ----------
    fn : callable (theta, x) -> scalar or (m,)
        Field at one point x (dim,), float64; theta has the structure of `theta0`.  Real or complex.
    theta0 : array, tensor, or mapping of str -> tensor
        Initial parameters; for a module ``dict(module.named_parameters())`` and
        ``fn = lambda theta, x: torch.func.functional_call(module, theta, (x,))``.  They are converted to float64 and
        copied; buffers and constants inside fn must be float64 already (``module.double()``).
    dim : int
        Space dimension.
    chunk : int, optional
        Largest number of points evaluated together, ``2**22 // p`` between 256 and 8192 by default.

    Raises
    ------
    MissingDependency
        PyTorch is not installed.
    ParameterError
        A parameter is complex.
    ShapeError
        fn does not return float64 or complex128, a scalar or a vector.
    """

    @check.takes(fn=check.function, dim=check.integer(1), chunk=check.optional(check.integer(1)))
    def __init__(self, fn: Function, theta0: Any, *, dim: int, chunk: int | None = None) -> None:
        torch = _torch()
        vector, slices = _flatten(torch, theta0)
        tree = isinstance(theta0, Mapping)

        def function(theta: Any, x: Any) -> Any:
            blocks = {name: theta[part].reshape(shape) for name, (part, shape) in slices.items()}
            return fn(blocks if tree else theta, x)

        def split(theta: Any, x: Any) -> Any:
            return torch.view_as_real(function(theta, x)).movedim(-1, 0)

        with torch.no_grad():
            out = function(torch.from_numpy(vector), torch.zeros(dim, dtype=torch.float64))
        if out.dtype not in (torch.float64, torch.complex128) or out.ndim > 1:
            raise ShapeError(
                f"fn(theta, x) returns {out.dtype} of shape {tuple(out.shape)}",
                "return a float64 or complex128 scalar or vector (call module.double() first)",
            )
        is_complex = out.dtype == torch.complex128
        super().__init__(
            split if is_complex else function,
            _Torch(torch),
            vector,
            slices,
            dim=dim,
            shape=tuple(out.shape),
            dtype=complex if is_complex else float,
            chunk=default_chunk(vector.size) if chunk is None else chunk,
        )


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingDependency(
            "TorchFunction needs PyTorch", "pip install 'dfpde[torch]', or pip install torch"
        ) from error
    return torch


def _flatten(torch: Any, theta0: Any) -> tuple[Array, Slices]:
    """θ as a vector, and names."""
    blocks = dict(theta0) if isinstance(theta0, Mapping) else {"theta": theta0}
    arrays = {name: torch.as_tensor(block).detach().cpu().numpy() for name, block in blocks.items()}
    slices: Slices = {}
    stop = 0
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise ParameterError(f"parameter {name} has dtype {array.dtype}", "give real floating-point parameters")
        start, stop = stop, stop + math.prod(array.shape)
        slices[name] = (slice(start, stop), array.shape)
    return np.concatenate([np.empty(0), *(array.reshape(-1) for array in arrays.values())]), slices


class _Torch:
    """`Transforms` of PyTorch."""

    pad = False

    def __init__(self, torch: Any) -> None:
        self.torch = torch

    def array(self, values: Array) -> Any:
        return self.torch.tensor(values)

    def numpy(self, values: Any) -> Array:
        array: Array = values.detach().numpy()
        return array

    def compiled(self, function: Function) -> Function:
        return function

    def over_points(self, function: Function, shared: int) -> Function:
        mapped: Function = self.torch.func.vmap(function, in_dims=(*(None,) * shared, -1), out_dims=-1)
        return mapped

    def along(self, function: Function, at: Any, direction: Any) -> Any:
        return self.torch.func.jvp(function, (at,), (direction,))[1]

    def pullback(self, function: Function, at: Any, y: Any) -> Any:
        return self.torch.func.vjp(function, at)[1](y)[0]

    def by_theta(self, function: Function) -> Function:
        jacobian = self.torch.func.jacrev(function)
        return lambda theta, x: jacobian(theta, x).movedim(-1, 0)
