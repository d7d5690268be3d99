"""Randomized Nyström preconditioner: for parameters too many for a p × p matrix.

    G = JᵀWJ (scaled by D)  ≈  Y (Ωᵀ Y)⁻¹ Yᵀ = U Λ Uᵀ,   Y = G Ω,   Ω random p × k
    P⁻¹ = U (Λ + ε²)⁻¹ Uᵀ + (λ_k + ε²)⁻¹ (I − U Uᵀ)

Frangella, Tropp, Udell, "Randomized Nyström preconditioning" (SIAM J. Matrix Anal. Appl. 44, 2023): with rank
k ≥ 2 ⌈1.5 d_eff(ε²)⌉ + 1 the preconditioned condition number is below 28 in expectation, d_eff = tr(G (G + ε²)⁻¹).
Memory O(p k) on rank 0; the sketch costs one pass over J by chunks, with products of matrices.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, qr, solve_triangular, svd

from .. import validation as check
from ..errors import ParameterError
from ..parallel.collective import collective_errors
from .factor_cost import BYTES_PER_FLOP
from .preconditioner import Preconditioner, refuse_unless, sum_on_root
from .system import LeastSquares, Tangent

Array = NDArray[Any]


class Nystrom(Preconditioner):
    """Rank-k approximation of the Gram matrix, k grown until it covers the effective dimension.

    Parameters
    ----------
    rank : int
        First rank k tried.
    max_rank : int or None
        Largest rank; None is p/2 (beyond it a full Cholesky factor is cheaper).
    seed : int
        Seed of the test matrix, the same on all ranks.
    """

    described = ("rank", "max_rank", "seed")

    @check.takes(rank=check.integer(1), max_rank=check.optional(check.integer(1)), seed=check.integer(0))
    def __init__(self, rank: int = 64, max_rank: int | None = None, seed: int = 0) -> None:
        if rank < 1 or (max_rank is not None and max_rank < rank):
            raise ParameterError(f"rank = {rank}, max_rank = {max_rank}", "1 <= rank <= max_rank")
        self.rank = rank
        self.max_rank = max_rank
        self.seed = seed
        self._last = 0
        self._basis: Array | None = None
        self._lambda: Array | None = None
        self._d: Array | None = None
        self._eps2 = 0.0

    @property
    def effective_rank(self) -> int:
        """Rank of the last build (0 before)."""
        return self._last

    def build(self, system: LeastSquares) -> float:
        """Sketch the Gram matrix, doubling the rank until it resolves ε².

        Raises
        ------
        NonFiniteError
            NaN or infinity in the tangent (on all ranks; names columns).
        """
        comm, p = system.comm, system.tangent.columns
        limit = self._limit = min(p, self.max_rank or max(self.rank, p // 2))
        rank = min(limit, max(self.rank, self._last))
        while True:
            omega = np.linalg.qr(np.random.default_rng(self.seed).standard_normal((p, rank)))[0]
            d = np.ones(p) if system.scale is None else system.scale
            sketch = sum_on_root(_times_gram(system.tangent, omega / d[:, None]), comm)
            done, finite = True, True
            with collective_errors(comm):
                if sketch is not None:
                    sketch /= d[:, None]
                    finite = bool(np.isfinite(np.sum(sketch)))
                    if finite:
                        self._factor(sketch, omega)
                        done = rank >= limit or self._covers(system.eps**2)
            refuse_unless(finite, system.tangent)
            if comm.bcast(done) if comm.size > 1 else done:
                break
            rank = min(limit, 2 * rank)
        self._last = rank
        n = max(1.0, system.tangent.mean_rows)
        self._cost = (4 * n * p * rank + 4 * p * rank**2) * BYTES_PER_FLOP / (16 * n * p + 16 * p * rank)
        return self.shift(system)

    def shift(self, system: LeastSquares) -> float:
        """New ε (and D, approximately): no new sketch.

        Returns the iterations that cost as much as the sketch, or 60: 13 digits at a condition number of 100.
        """
        self._eps2 = system.eps**2
        self._d = system.scale
        return math.inf if self._last >= self._limit else max(60.0, self._cost)

    def solve(self, y: Array) -> Array:
        """P⁻¹ y on rank 0."""
        if self._basis is None or self._lambda is None:
            return y
        d = 1.0 if self._d is None else self._d
        z = y / d
        floor = self._lambda[-1] + max(self._eps2, 2.0**-52 * self._lambda[0], 1e-300)
        inner = self._basis.T @ z
        result: Array = z / floor + self._basis @ (inner / (self._lambda + self._eps2 + 1e-300) - inner / floor)
        return result / d

    def learn(self, iterations: int) -> None:
        """Twice the rank from now on, where a sketch needed more iterations than it cost."""
        if iterations >= self._cost:
            self._last = min(self._limit, 2 * self._last)

    @property
    def carry(self) -> tuple[float, ...]:
        """Rank of the next build, at least."""
        return (float(self._last),) if self._last else ()

    @carry.setter
    def carry(self, carry: tuple[float, ...]) -> None:
        self._last = int(carry[0]) if carry else 0

    def _covers(self, eps2: float) -> bool:
        """k ≥ 3 d_eff + 1 with d_eff of the sketch, or eigenvalues resolved down to ε²."""
        if self._lambda is None:
            return False
        effective = float(np.sum(self._lambda / (self._lambda + eps2))) if eps2 > 0 else float(len(self._lambda))
        return bool(self._lambda[-1] <= 10 * eps2) or len(self._lambda) >= 3 * effective + 1

    def _factor(self, sketch: Array, omega: Array) -> None:
        """U, Λ by the stabilized single-pass algorithm (Tropp, Yurtsever, Udell, Cevher 2017, Algorithm 3)."""
        shift = max(float(np.linalg.norm(sketch)), 1e-300) * np.sqrt(sketch.shape[0]) * 2.0**-52
        shifted = sketch + shift * omega
        core = omega.T @ shifted
        core = (core + core.T) / 2
        try:
            factor = cholesky(core, lower=True)
            b = solve_triangular(factor, shifted.T, lower=True).T
        except np.linalg.LinAlgError:  # numerically singular core: use its positive part
            values, vectors = np.linalg.eigh(core)
            keep = values > values[-1] * len(values) * 2.0**-52
            b = shifted @ (vectors[:, keep] / np.sqrt(values[keep]))
        q, r = qr(b, mode="economic")
        u, sigma, _ = svd(r)
        self._basis = np.asfortranarray(q @ u)
        self._lambda = np.maximum(sigma**2 - shift, 0.0)


def _times_gram(tangent: Tangent, block: Array) -> Array:
    """This rank's part of (√W J)ᵀ √W J Ω, by chunks as large as Ω: the total passes through memory for each of them."""
    total = np.zeros(block.shape)
    for rows in tangent.blocks:
        for chunk in rows.chunks(size=block.nbytes):
            total += chunk @ (chunk.T @ block)
    return total
