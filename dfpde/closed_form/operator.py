"""Differential operators of second order with polynomial coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..calculus import Field
from ..errors import ShapeError
from ..representation import represent
from .components import Component
from .polynomials import Polynomials, add, evaluate, multiply, scale, shift, symmetric, total

Array = NDArray[Any]

_TENSORS = check.each(check.numbers(kinds="fiuc"), "tensors of degree 0, 1, 2, ...")


@dataclass(frozen=True, eq=False)
@check.takes(potential=_TENSORS, drift=_TENSORS, diffusion=_TENSORS)
class Operator:
    """f = V(x) u + Σ_k B_k(x) ∂_k u + Σ_kl S_kl(x) ∂_k ∂_l u with polynomials V, B, S.

    A polynomial is given by tensors of degree 0, 1, 2, ...: potential=(v_0, v_1, v_2) is
    V = v_0 + Σ_i v_1[i] x_i + Σ_ij v_2[i, j] x_i x_j.

    Parameters
    ----------
    potential : sequence of arrays of shape (), (d,), (d, d), ...
        Coefficients of V of degree 0, 1, 2, ...
    drift : sequence of arrays of shape (d,), (d, d), ...
        The first index is that of B.
    diffusion : sequence of arrays of shape (d, d), (d, d, d), ...
        The first two indices are those of S.

    Raises
    ------
    ShapeError
        Tensors of other shapes, or none at all.
    """

    potential: Sequence[Any] = ()
    drift: Sequence[Any] = ()
    diffusion: Sequence[Any] = ()

    __repr__ = represent

    def __post_init__(self) -> None:
        dims: set[int] = set()
        for name, first in (("potential", 0), ("drift", 1), ("diffusion", 2)):
            tensors = tuple(np.asarray(part) for part in getattr(self, name))
            for k, part in enumerate(tensors):
                if part.ndim != first + k or len(set(part.shape)) > 1:
                    expected = "()" if first + k == 0 else f"({', '.join(['d'] * (first + k))},)"
                    raise ShapeError(f"{name}[{k}] has shape {part.shape}", f"a tensor of shape {expected}")
                dims.update(part.shape)
            object.__setattr__(self, name, tensors)
        if len(dims) != 1:
            raise ShapeError(f"tensors of dimensions {sorted(dims)}", "one dimension for all, and one tensor with it")

    @classmethod
    @check.takes(rate=check.numbers(2), source=check.numbers(1), noise=check.numbers(2))
    def ornstein_uhlenbeck(cls, rate: Any, source: Any, noise: Any) -> Self:
        """u_t = ∇·((A x − c) u + D ∇u), the density of dX = (c − A X) dt + √(2D) dW.

        Parameters
        ----------
        rate : (d, d) array
            A.
        source : (d,) array
            c.
        noise : (d, d) array
            D.

        Raises
        ------
        ShapeError
            Shapes that differ.
        """
        rate = np.asarray(rate, dtype=float)
        return cls((np.trace(rate),), (-np.asarray(source, dtype=float), rate), (np.asarray(noise, dtype=float),))

    @classmethod
    @check.takes(potential=_TENSORS)
    def schroedinger(cls, potential: Sequence[Any]) -> Self:
        """i u_t = −½ Δu + V u.

        Parameters
        ----------
        potential : sequence of arrays of shape (), (d,), (d, d), ...
            V.

        Raises
        ------
        ShapeError
            Tensors of other shapes, or no dimension in them.
        """
        tensors = [np.asarray(part) for part in potential]
        dim = tensors[-1].shape[0] if tensors and tensors[-1].ndim else 1
        return cls([-1j * part for part in tensors], (), (0.5j * np.eye(dim),))

    @property
    def dim(self) -> int:
        """Space dimension d."""
        return next(int(part.shape[0]) for name in ("diffusion", "drift", "potential")
                    for part in getattr(self, name)[::-1] if part.ndim)  # fmt: skip

    def __call__(self, t: float, x: Array, u: Field) -> Array:
        """f(x, u) at points, (N,): the right-hand side of a `Problem` with the same equation."""
        result: Array = np.zeros(x.shape[1])
        if self.potential:
            result = result + evaluate([part[None] for part in self.potential], x)[0] * u.value
        if self.drift:
            result = result + np.sum(evaluate(list(self.drift), x) * u.gradient, axis=0)
        if self.diffusion:
            flat = [part.reshape(-1, *part.shape[2:]) for part in self.diffusion]
            result = result + np.sum(evaluate(flat, x) * u.hessian.reshape(self.dim**2, x.shape[1]), axis=0)
        return result

    def of(self, component: Component) -> Polynomials:
        """f of one component, over exp(E): one polynomial."""
        slopes, center = component.logarithm, component.center
        d = len(center)
        result: Polynomials = [np.zeros(1)]
        if self.potential:
            result = add(result, shift([symmetric(v[None], v.ndim) for v in self.potential], center))
        if self.drift:
            drift = shift([symmetric(b, b.ndim - 1) for b in self.drift], center)
            result = add(result, total(multiply(drift, slopes)))
        if self.diffusion:
            flat = [symmetric(s.reshape(-1, *s.shape[2:]), s.ndim - 2) for s in self.diffusion]
            first, second = np.repeat(np.arange(d), d), np.tile(np.arange(d), d)
            products = multiply([part[first] for part in slopes], [part[second] for part in slopes])
            products[0] = products[0] - component.precision.reshape(-1)
            result = add(result, total(multiply(shift(flat, center), products)))
        return scale(component.amplitude, result)
