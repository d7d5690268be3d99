"""Methods of comparison under the interface of inertia: truncated SVD, random sparse updates, Dirac–Frenkel–Onsager.

With the singular value decomposition √W J = U Σ Vᵀ and the directions V_ε of σ > ε,

    truncated SVD      v = J_ε⁺ f                                         (Bruna, Peherstorfer, Vanden-Eijnden 2024)
    random sparse      v = S argmin_y ‖J S y − f‖² + ε²‖y‖²               (RSNG; Berman, Peherstorfer, arXiv 2310.04867)
    Onsager            v = J_ε⁺ f + λ (I − V_ε V_εᵀ) m                    (DFO; Raviola, Peherstorfer, arXiv 2605.00284)

They form the dense tangent and decompose it in every solve (by TSQR): made for comparisons, not for speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..leastsquares import Dense, DenseRows, LeastSquares, Solver, Tangent, truncated
from ..model import StageSystem
from .rule import Regularization, StageContext, Velocity

Array = NDArray[Any]


@dataclass(frozen=True)
@check.takes(eps=check.real(above=0))
class TruncatedSVD(Regularization):
    """v = J_ε⁺ f: singular values of √W J D⁻¹ up to ε are treated as zero.

    Parameters
    ----------
    eps : float
        Absolute threshold, in units of ‖J‖.

    Raises
    ------
    ParameterError
        ε not positive.
    """

    eps: float

    def velocity(self, system: StageSystem, anchor: Array | None, solver: Solver, context: StageContext) -> Velocity:
        """See `Regularization`; `anchor` and `solver` are not used."""
        value, _ = _truncated(system, self.eps)
        return _velocity(system, value, value, self.eps)


@dataclass(frozen=True)
@check.takes(columns=check.integer(1), eps=check.real(above=0), seed=check.integer(0))
class RandomSparse(Regularization):
    """Random sparse updates: in a step only `columns` parameters move, the same in all of its stages.

    Parameters
    ----------
    columns : int
        Number of parameters that move; at most p are drawn.
    eps : float
        Tikhonov regularization of the reduced problem.
    seed : int
        The draw is a function of (seed, step): the same on all ranks and after a restart.

    Raises
    ------
    ParameterError
        `columns` or ε not positive.
    """

    columns: int
    eps: float
    seed: int = 0

    def velocity(self, system: StageSystem, anchor: Array | None, solver: Solver, context: StageContext) -> Velocity:
        """See `Regularization`; `anchor` and `solver` are not used."""
        p = system.tangent.columns
        random = np.random.default_rng((self.seed, context.step))
        drawn = np.sort(random.choice(p, min(self.columns, p), replace=False))
        blocks = tuple(
            DenseRows(np.ascontiguousarray(block.dense()[:, drawn].T), np.ones(block.rows))
            for block in system.tangent.blocks
        )
        scale = None if system.scale is None else system.scale[drawn]
        reduced = LeastSquares(Tangent(blocks, system.tangent.comm), system.rhs, self.eps, scale)
        value = np.zeros(p)
        value[drawn] = Dense().solve(reduced).value
        return _velocity(system, value, value, self.eps)


@dataclass(frozen=True)
@check.takes(eps=check.real(above=0), strength=check.real(0), average=check.real(0, below=1))
class Onsager(Regularization):
    """Dirac–Frenkel–Onsager: v = J_ε⁺ f + λ (I − V_ε V_εᵀ) m with m ← β m + (1 − β) J_ε⁺ f over the solves.

    The null directions of the truncated pseudo-inverse take an average of past velocities instead of zero; m travels as
    the anchor.  At the start m = J_ε⁺ f.

    Parameters
    ----------
    eps : float
        Absolute threshold for singular values, in units of ‖J‖.
    strength : float
        λ ≥ 0; 0 is `TruncatedSVD`.
    average : float
        β in [0, 1): the average reaches back about 1/(1 − β) solves.

    Raises
    ------
    ParameterError
        Numbers outside their ranges.
    """

    eps: float
    strength: float = 1.0
    average: float = 0.9

    def velocity(self, system: StageSystem, anchor: Array | None, solver: Solver, context: StageContext) -> Velocity:
        """See `Regularization`; `solver` is not used."""
        informed, directions = _truncated(system, self.eps)
        mean = informed if anchor is None else self.average * anchor + (1 - self.average) * informed
        d = 1.0 if system.scale is None else system.scale
        scaled = d * mean
        value = informed + self.strength * (scaled - directions.T @ (directions @ scaled)) / d
        return _velocity(system, value, mean, self.eps)


def _truncated(system: StageSystem, eps: float) -> tuple[Array, Array]:
    """J_ε⁺ f and V_εᵀ in the metric of the system."""
    value, _, directions = truncated(system.tangent, system.rhs, eps, system.scale)
    return value, directions


def _velocity(system: StageSystem, value: Array, anchor: Array, eps: float) -> Velocity:
    tangent = system.tangent
    defect, size = tangent.norm(tangent.apply(value) - system.rhs), tangent.norm(system.rhs)
    return Velocity(value, anchor, defect, size, eps)
