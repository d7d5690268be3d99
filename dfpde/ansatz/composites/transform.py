"""Fixed parameters, hard boundary values and pointwise functions of an ansatz."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ... import validation as check
from ...errors import ParameterError, ShapeError
from ..base import PARTS, Alpha, Ansatz, Array, multi_index
from ..layout import consecutive
from ..linearization import Linearization
from ..multiindex import partitions, splits
from .compose import Composite, Local, Term, add_up, below
from .composed import Chosen


class Masked(Composite):
    """Hard boundary values: u(x) = g(x) + d(x) v(x), so u = g wherever d = 0, for every θ.

    Parameters
    ----------
    ansatz : Ansatz
        v; its parameters are those of u and keep their names.
    distance : Ansatz
        d, scalar and without parameters: `Polynomial`, `Known`, a `Product` of them, or `Frozen`.
    lift : Ansatz, optional
        g, without parameters; 0 by default.

    Raises
    ------
    ParameterError
        d or g has free parameters.
    ShapeError
        d is not scalar, g has another shape than v, or the dimensions differ.

    Notes
    -----
    Source: I. E. Lagaris, A. Likas, D. I. Fotiadis, IEEE Trans. Neural Networks 9 (1998) 987.  A d with
    ∇d = 0 on the boundary (a square) also fixes the normal derivative.
    """

    @check.takes(ansatz=check.ansatz, distance=check.ansatz, lift=check.optional(check.ansatz))
    def __init__(self, ansatz: Ansatz, distance: Ansatz, lift: Ansatz | None = None) -> None:
        known = [distance] if lift is None else [distance, lift]
        nothing = slice(0, 0)
        super().__init__([ansatz, *known], [slice(0, ansatz.size), *(nothing for _ in known)], dict(ansatz.slices()))
        self.shape = ansatz.shape
        if any(part.size for part in known):
            raise ParameterError("the mask or the lift has free parameters", "fix them with Frozen, or use Sum/Product")
        if distance.shape or (lift is not None and lift.shape != ansatz.shape):
            raise ShapeError(
                f"shapes: mask {distance.shape}, lift {lift.shape if lift else None}, ansatz {ansatz.shape}",
                "give a scalar mask, and a lift of the shape of the ansatz",
            )

    def _used(self, alphas: Sequence[Alpha]) -> Iterable[Alpha]:
        return below(alphas)

    def _derivative(self, parts: Sequence[Local], alpha: Alpha) -> Array:
        v, d, *lift = parts
        product = add_up(count * d(beta) * v(rest) for count, (beta, rest) in splits(alpha, 2))
        return product + lift[0](alpha) if lift else product

    def _linear(self, parts: Sequence[Local], alpha: Alpha) -> Iterable[Term]:
        return [(0, rest, count * parts[1](beta)) for count, (beta, rest) in splits(alpha, 2)]


class Transform(Composite):
    """u(x) = F(v(x)) with a known function F of one variable: positivity by F = exp or softplus.

    Parameters
    ----------
    ansatz : Ansatz
        v; its parameters are those of u and keep their names.
    function : callable (s, k) -> array
        k-th derivative of F at s, for k up to the order of the derivatives used, plus one for their tangents:
        `exp`, `softplus`, `square`, or your own.

    Notes
    -----
    Derivatives by Faà di Bruno's formula.  For complex v, F must be holomorphic.
    """

    @check.takes(ansatz=check.ansatz, function=check.function)
    def __init__(self, ansatz: Ansatz, function: Callable[[Array, int], Array]) -> None:
        super().__init__([ansatz], [slice(0, ansatz.size)], dict(ansatz.slices()))
        self.shape, self.function = ansatz.shape, function

    def _used(self, alphas: Sequence[Alpha]) -> Iterable[Alpha]:
        return below(alphas)

    def _derivative(self, parts: Sequence[Local], alpha: Alpha) -> Array:
        v = parts[0]
        outer = [self.function(v(multi_index(self.dim)), k) for k in range(sum(alpha) + 1)]
        return add_up(
            count * math.prod(map(v, blocks), start=outer[len(blocks)]) for count, blocks in partitions(alpha)
        )

    def _linear(self, parts: Sequence[Local], alpha: Alpha) -> Iterable[Term]:
        v, zero = parts[0], multi_index(self.dim)
        outer = [self.function(v(zero), k) for k in range(sum(alpha) + 2)]
        factors: dict[Alpha, Any] = {}
        for count, blocks in partitions(alpha):
            factors[zero] = factors.get(zero, 0.0) + count * math.prod(map(v, blocks), start=outer[len(blocks) + 1])
            for i, beta in enumerate(blocks):
                others = blocks[:i] + blocks[i + 1 :]
                factors[beta] = factors.get(beta, 0.0) + count * math.prod(map(v, others), start=outer[len(blocks)])
        return [(0, beta, factor) for beta, factor in factors.items()]


def exp(s: Array, k: int) -> Array:
    """F(s) = eˢ and its k-th derivative, for `Transform`."""
    return np.exp(s)


def square(s: Array, k: int) -> Array:
    """F(s) = s² and its k-th derivative, for `Transform`; non-negative."""
    return s * s if k == 0 else 2.0 * s if k == 1 else np.full_like(s, 2.0 if k == 2 else 0.0)


def softplus(s: Array, k: int) -> Array:
    """F(s) = log(1 + eˢ) and its k-th derivative, for `Transform` of a real ansatz; positive."""
    if k == 0:
        return np.logaddexp(0.0, s)
    sigma = np.exp(-np.logaddexp(0.0, -s))  # F' = σ without overflow
    c = [0.0, 1.0]  # F⁽ᵏ⁾ = Σ c_j σʲ
    for _ in range(k - 1):  # (σʲ)' = j (σʲ − σʲ⁺¹)
        c = [j * a - (j - 1) * b for j, (a, b) in enumerate(zip([*c, 0.0], [0.0, *c], strict=True))]
    values: Array = sum(a * sigma**j for j, a in enumerate(c))
    return values


class Frozen(Ansatz):
    """u = Φ(θ) with some parameter blocks fixed; θ of this ansatz holds the others.

    Parameters
    ----------
    ansatz : Ansatz
        The ansatz with all its parameters.
    theta : array (p,)
        All its parameters; the fixed ones are taken from here (copied).
    names : sequence of str
        Blocks to fix, names of ``ansatz.slices()``; ``"left"`` stands for all of ``"left.…"``.
    indices : array of int, optional
        Single parameters to fix, for example the degrees of freedom on a boundary; what is left of a block is
        flat.

    Attributes
    ----------
    constants : (p,) array
        All parameters; the fixed ones count.
    places : array of int
        Numbers of the free ones among them.

    Raises
    ------
    ParameterError
        A name that fits no block, or an index outside 0 … p − 1.

    Examples
    --------
    Gaussians that do not move: ``Frozen(mixture, theta, ("centers", "scales"))``.
    """

    @check.takes(ansatz=check.ansatz, theta=check.numbers(1), names=check.names, indices=check.indices)
    def __init__(self, ansatz: Ansatz, theta: Array, names: Sequence[str] = (), indices: Any = ()) -> None:
        self.ansatz = ansatz
        self.dim, self.shape, self.dtype = ansatz.dim, ansatz.shape, ansatz.dtype
        self.constants = np.array(ansatz.check_theta(theta))
        blocks = ansatz.slices()
        unknown = [name for name in names if not any(_below(block, name) for block in blocks)]
        if unknown:
            raise ParameterError(f"no parameter block is named {unknown}", f"fix some of {sorted(blocks)}")
        fixed = np.zeros(ansatz.size, bool)
        for block, (part, _) in blocks.items():
            fixed[part] = any(_below(block, name) for name in names)
        fixed[_checked(indices, ansatz.size)] = True
        self.places = np.flatnonzero(~fixed)
        self.size = self.places.size
        counts = {block: int(np.sum(~fixed[part])) for block, (part, _) in blocks.items()}
        left = {block: count for block, count in counts.items() if count}
        shapes = [
            shape if left[b] == part.stop - part.start else (left[b],)
            for b, (part, shape) in blocks.items()
            if b in left
        ]
        self._slices = dict(zip(left, zip(consecutive(list(left.values())), shapes, strict=True), strict=True))

    def full(self, theta: Array) -> Array:
        """All parameters of the ansatz inside, shape (p of that ansatz,)."""
        whole = self.constants.copy()
        whole[self.places] = self.check_theta(theta)
        return whole

    def free(self, whole: Array) -> Array:
        """Those of all parameters that are free here, shape (p,)."""
        return np.ascontiguousarray(self.ansatz.check_theta(whole)[self.places])

    def value(self, theta: Array, x: Array) -> Array:
        return self.ansatz.value(self.full(theta), x)

    def derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        return self.ansatz.derivative(self.full(theta), x, alpha)

    def gradient(self, theta: Array, x: Array) -> Array:
        return self.ansatz.gradient(self.full(theta), x)

    def hessian(self, theta: Array, x: Array) -> Array:
        return self.ansatz.hessian(self.full(theta), x)

    def laplacian(self, theta: Array, x: Array) -> Array:
        return self.ansatz.laplacian(self.full(theta), x)

    def derivatives(self, theta: Array, x: Array, alphas: Sequence[Alpha]) -> Array:
        return self.ansatz.derivatives(self.full(theta), x, alphas)

    def evaluate(self, theta: Array, x: Array, alphas: Sequence[Alpha]) -> tuple[Array, Array]:
        values, tangent = self.ansatz.evaluate(self.full(theta), x, alphas)
        return values, np.ascontiguousarray(tangent[self.places])

    def linearize(self, theta: Array, x: Array, alphas: Sequence[Alpha] = ()) -> tuple[Array, Linearization]:
        if not self._is_latest("linearize", (*PARTS, "evaluate", "jvp", "vjp")):
            return super().linearize(theta, x, alphas)
        found, linear = self.ansatz.linearize(self.full(theta), x, alphas)
        return found, Chosen(linear, self.places, self.ansatz.size)

    def period(self, axis: int) -> float | None:
        return self.ansatz.period(axis)

    @property
    def one_pass(self) -> bool:
        return super().one_pass and self.ansatz.one_pass

    def tangent(self, theta: Array, x: Array) -> Array:
        return np.ascontiguousarray(self.ansatz.tangent(self.full(theta), x)[self.places])

    def tangent_derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        return np.ascontiguousarray(self.ansatz.tangent_derivative(self.full(theta), x, alpha)[self.places])

    def jvp(self, theta: Array, x: Array, v: Array) -> Array:
        whole = np.zeros(self.ansatz.size)
        whole[self.places] = self.check_theta(v)
        return self.ansatz.jvp(self.full(theta), x, whole)

    def vjp(self, theta: Array, x: Array, y: Array) -> Array:
        return np.ascontiguousarray(self.ansatz.vjp(self.full(theta), x, y)[self.places])

    @property
    def sparse(self) -> bool:
        return self.ansatz.sparse

    def sparse_tangent(self, theta: Array, x: Array) -> Any:
        return self.ansatz.sparse_tangent(self.full(theta), x)[:, self.places]

    @property
    def matrix_free(self) -> bool:
        return self.ansatz.matrix_free

    def slices(self) -> Mapping[str, tuple[slice, tuple[int, ...]]]:
        return self._slices


def _checked(indices: Any, size: int) -> Array:
    chosen = np.asarray(indices, np.intp).reshape(-1)
    if chosen.size and not (chosen.min() >= 0 and chosen.max() < size):
        raise ParameterError(f"indices from {chosen.min()} to {chosen.max()}", f"give indices in 0 … {size - 1}")
    return chosen


def _below(block: str, name: str) -> bool:
    return block == name or block.startswith(name + ".")
