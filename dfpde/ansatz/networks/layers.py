"""One layer of a network on one block of points: jets forward (Faà di Bruno) and backward (transposed product rule)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..base import Alpha, Array
from ..mixtures.exponential import Jet
from ..multiindex import partitions, splits


@dataclass(frozen=True)
class Layer:
    """What the way back needs of σ(W h + b).

    Attributes
    ----------
    h : Jet
        Of the layer's input.
    slope : Jet
        Of σ'(z).
    learned : list of Jet
        Of ∂σ/∂c_i(z), for each coefficient of the activation.
    """

    h: Jet
    slope: Jet
    learned: list[Jet]


def compose(sigma: Sequence[Array], z: Jet, alphas: Sequence[Alpha]) -> Jet:
    """Jet of σ(z(x)) from σ, σ', ... at z and the jet of z."""
    found: Jet = {}
    for alpha in alphas:
        terms = [(count, betas) for count, betas in partitions(alpha) if all(beta in z for beta in betas)]
        total: Array | None = None
        for count, betas in terms:
            term = sigma[len(betas)]
            for beta in betas:
                term = term * z[beta]
            if count != 1:
                term = count * term
            total = term if total is None else total + term
        if total is not None:
            found[alpha] = total
    return found


def pull_back(slope: Jet, h: Jet) -> Jet:
    """ẑ_γ = Σ_{β ≥ γ} binom(β, γ) ∂^{β−γ}s · ĥ_β, the adjoint of h_β = ∂^β σ(z) with respect to the jet of z."""
    found: Jet = {}
    for beta, adjoint in h.items():
        for count, (gamma, rest) in splits(beta, 2):
            if rest in slope:
                term = slope[rest] * adjoint if count == 1 else count * slope[rest] * adjoint
                found[gamma] = found[gamma] + term if gamma in found else term
    return found


def plus(left: Jet, right: Jet) -> Jet:
    """Sum of two jets."""
    both = {alpha: left[alpha] + right[alpha] for alpha in left if alpha in right}
    return left | right | both


#: Rows of h multiplied at once: few enough for a core's own cache, enough to make up for the call.
TILE = 8


def outer(out: Array, pairs: Sequence[tuple[Array, Array]]) -> None:
    """out[i, j] = Σ_γ ẑ_γ[i] h_γ[j], written from first to last.

    The speed is that of writing, which is best in long runs: ẑ[i] is repeated, so that NumPy sees one long product
    in place of one for each row.
    """
    (left, right), *more = pairs
    tile = np.empty((min(TILE, len(right)), out.shape[-1]))
    for i in range(len(out)):
        tile[...] = left[i]
        for j in range(0, len(right), TILE):
            rows = right[j : j + TILE]
            np.multiply(tile[: len(rows)], rows, out=out[i, j : j + TILE])
        for more_left, more_right in more:
            out[i] += more_left[i] * more_right


def inner(left: Jet, right: Jet) -> Array | float:
    """Σ_γ Σ_i left_γ[i] right_γ[i], shape (B,)."""
    total: Array | float = sum(np.einsum("ib,ib->b", left[gamma], right[gamma]) for gamma in left if gamma in right)
    return total


def below(alphas: Sequence[Alpha]) -> list[Alpha]:
    """All multi-indices that some alpha is not less than, by order."""
    found = {beta for alpha in alphas for _, (beta, _) in splits(alpha, 2)}
    return sorted(found, key=lambda beta: (sum(beta), beta))


def blocks(points: int, step: int) -> Iterator[slice]:
    """Consecutive slices of at most `step` points."""
    for start in range(0, points, step):
        yield slice(start, min(start + step, points))
