"""What the tangent says about a run: singular values of √W J D⁻¹, weak directions, and whether ε discards information.

    √W J D⁻¹ ≈ U Σ Vᵀ, the k leading triplets, by subspace iteration on a random start (Halko, Martinsson, Tropp,
    SIAM Review 53, 2011, Algorithms 4.4 and 5.1), from products with J and Jᵀ only.

A direction of Dθ is called weak at ε when σ ≤ ε: a regularized solve takes β = ε²/(σ² + ε²) ≥ ½ of the anchor there.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..ansatz.base import Ansatz
from ..errors import DfpdeWarning, ParameterError, ShapeError
from ..leastsquares import Tangent
from ..model import StageSystem
from ..parallel.collective import collective_errors
from ..parallel.replicated import same_on_all_ranks
from ..parallel.threads import one_thread
from ..representation import represent

Array = NDArray[Any]


class EpsilonWarning(DfpdeWarning):
    """ε sits above directions that carry a part of the equation."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Leading singular triplets of √W J D⁻¹, the left vectors on the local rows.

    Attributes
    ----------
    values : (k,) array
        σ, largest first.
    right : (k, p) array
        Vᵀ, orthonormal rows in the coordinates Dθ; the same on all ranks.
    left : (rows, k) array
        U on this rank's rows.
    frobenius : float
        ‖√W J D⁻¹‖_F over all directions.
    scale : (p,) array or None
        D.
    """

    values: Array
    right: Array
    left: Array
    frobenius: float
    scale: Array | None = None

    __repr__ = represent

    @check.takes(eps=check.real(above=0))
    def effective_rank(self, eps: float) -> tuple[float, float]:
        """Σ σ²/(σ² + ε²) over the computed directions, and the most that those not computed can add."""
        squares = self.values**2
        rest = max(0.0, self.frobenius**2 - float(squares.sum()))
        # each remaining σ is at most σ_k, and their squares sum to `rest`
        last = float(squares[-1]) if squares.size else math.inf
        remaining = max(0, self.right.shape[1] - squares.size)
        bound = min(rest / eps**2, remaining * last / (last + eps**2)) if remaining else 0.0
        return float((squares / (squares + eps**2)).sum()), bound

    def outliers(self) -> int:
        """Number of values above the widest gap of log σ, the *outliers*; those below are the *bulk*.

        Values at rounding level, σ ≤ max(p, k) u σ₁, take no part.  A description, not a test: every spectrum has a
        widest gap (`gaps` gives them all).
        """
        gaps = self.gaps()
        return int(np.argmax(gaps)) + 1 if gaps.size else self.values.size

    def gaps(self) -> Array:
        """log(σ_i/σ_{i+1}) of the values above rounding level."""
        if not self.values.size:
            return np.zeros(0)
        sound = self.values[self.values > max(self.right.shape) * 2.0**-52 * self.values[0]]
        return np.asarray(-np.diff(np.log(sound)))

    @check.takes(v=check.numbers(1), eps=check.real(0))
    def weakness(self, v: Array, eps: float) -> float:
        """Share of |Dv|² in weak directions, those computed with σ ≤ ε and all that were not computed: 0 to 1."""
        v = check.values("v", v, self.right.shape[1], kinds="fiu")
        w = v if self.scale is None else self.scale * v
        size = float(w @ w)
        along = self.right[self.values > eps] @ w
        return max(0.0, 1.0 - float(along @ along) / size) if size > 0 else 0.0

    @check.takes(ansatz=check.ansatz, eps=check.real(0))
    def weak_parameters(self, ansatz: Ansatz, eps: float) -> dict[str, Array]:
        """For each named block of θ, how weak each parameter is: 1 − Σ_{σ_i > ε} V_ij², from 0 (well informed) to 1."""
        strong = self.right[self.values > eps]
        return ansatz.unpack(np.clip(1.0 - np.einsum("ij,ij->j", strong, strong), 0.0, 1.0))


@one_thread()
@check.takes(
    tangent=check.having("a Tangent: problem.tangent(theta)", "blocks", "columns", "comm"),
    k=check.optional(check.integer(1)),
    scale=check.optional(check.numbers(1, above=0)),
    oversampling=check.integer(0),
    iterations=check.integer(0),
    seed=check.integer(0),
)
def spectrum(
    tangent: Tangent,
    k: int | None = None,
    *,
    scale: Array | None = None,
    oversampling: int = 10,
    iterations: int = 2,
    seed: int = 0,
) -> Spectrum:
    """The k leading singular triplets of √W J D⁻¹; collective, 2(iterations + 1) products for each of k + oversampling.

    Parameters
    ----------
    tangent : Tangent
        √W J, of `Problem.tangent` or a stage's system.
    k : int or None
        Values wanted; None is all of them.
    scale : (p,) array or None
        D.
    oversampling : int
        Further random directions, for accuracy.
    iterations : int
        Subspace iterations: the relative error of σ_i falls like (σ_{l+1}/σ_i)^(4 iterations), l = k + oversampling.
    seed : int
        Of the random start, the same on all ranks.

    Raises
    ------
    ParameterError
        k, oversampling or iterations out of range.
    ReplicationError
        Ranks that bring different arguments.
    """
    p = tangent.columns
    k = p if k is None else k
    same_on_all_ranks(tangent.comm, k=k, scale=scale, oversampling=oversampling, iterations=iterations, seed=seed)
    if not (1 <= k <= p and oversampling >= 0 and iterations >= 0):
        raise ParameterError(
            f"k = {k}, oversampling = {oversampling}, iterations = {iterations}, p = {p}",
            "1 <= k <= p, oversampling >= 0, iterations >= 0",
        )
    if scale is not None and np.shape(scale) != (p,):
        raise ShapeError(f"scale has shape {np.shape(scale)}", f"one number for each of {p} parameters")
    d = np.ones(p) if scale is None else np.asarray(scale)
    width = min(p, k + oversampling)
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((p, width)))[0]
    for _ in range(iterations):
        sample, _ = _tall_qr(tangent, _forward(tangent, basis, d))
        basis = np.linalg.qr(_adjoint(tangent, sample, d))[0]
    left, triangle = _tall_qr(tangent, _forward(tangent, basis, d))
    u, values, vt = np.linalg.svd(triangle, full_matrices=False)
    k = min(k, values.size)
    frobenius = float(np.linalg.norm(tangent.column_norms() / d))
    right = vt[:k] @ basis.T
    return Spectrum(values[:k], right, left @ u[:, :k], frobenius, scale)


@dataclass(frozen=True)
class EpsilonReport:
    """What a regularized solve loses, in units of u_t.

    Attributes
    ----------
    lost : float
        ‖Σ_i β_i u_i (u_i · r)‖, the part of the right-hand side that the computed directions could follow but ε damps.
    unreachable : float
        ‖r − U Uᵀ r‖, what no computed direction follows.
    size : float
        ‖r‖.
    """

    lost: float
    unreachable: float
    size: float


@check.takes(
    system=check.having("a system: problem.system(t, theta)", "tangent", "rhs"),
    found=check.instance(Spectrum, "a Spectrum: spectrum(tangent)"),
    eps=check.real(above=0),
    anchor=check.optional(check.numbers(1)),
    rho=check.real(0, 1),
    tolerance=check.real(above=0),
)
def check_epsilon(
    system: StageSystem,
    found: Spectrum,
    eps: float,
    *,
    anchor: Array | None = None,
    rho: float = 0.0,
    tolerance: float = 1e-3,
) -> EpsilonReport:
    """Warn when ε costs more than the ansatz: lost > max(unreachable, tolerance ‖f‖).

    Parameters
    ----------
    system : StageSystem
        √W J and √W f.
    found : Spectrum
        Of its tangent.
    eps : float
        ε of the solve.
    anchor, rho : (p,) array or None, float
        With inertia the solve is for r = f − ρ J a, of which less can be lost.
    tolerance : float
        Share of ‖f‖ that is not worth a warning.

    Warns
    -----
    EpsilonWarning
        On all ranks.
    """
    tangent = system.tangent
    if anchor is not None and np.shape(anchor) != (tangent.columns,):
        raise ShapeError(f"anchor has shape {np.shape(anchor)}", f"one number for each of {tangent.columns} parameters")
    r = system.rhs if anchor is None or rho == 0 else system.rhs - tangent.apply(rho * anchor)
    with collective_errors(tangent.comm):
        along = found.left.T @ r
    along = tangent._sum(along)
    damped = eps**2 / (found.values**2 + eps**2) * along
    unreachable = tangent.norm(r - found.left @ along)
    report = EpsilonReport(float(np.linalg.norm(damped)), unreachable, tangent.norm(r))
    size = tangent.norm(system.rhs)
    if report.lost > max(report.unreachable, tolerance * size):
        worst = int(np.argmax(np.abs(damped)))
        warnings.warn(
            f"ε = {eps:.1e} damps {report.lost / size:.1e} of ‖f‖ that the tangent could follow (it cannot follow "
            f"{report.unreachable / size:.1e}); most of it in direction {worst}, σ = {found.values[worst]:.1e}\n"
            "  Try: a smaller ε, or inertia (ρ > 0), which keeps a velocity there",
            EpsilonWarning,
            stacklevel=3,
        )
    return report


# -- distributed linear algebra --------------------------------------------------------------------------------
def _forward(tangent: Tangent, basis: Array, d: Array) -> Array:
    with collective_errors(tangent.comm):
        out = np.empty((tangent.rows, basis.shape[1]), order="F")
        for column, v in zip(out.T, basis.T, strict=True):
            column[:] = tangent.apply(np.ascontiguousarray(v) / d)
    return out


def _adjoint(tangent: Tangent, sample: Array, d: Array) -> Array:
    with collective_errors(tangent.comm):
        total = np.stack([tangent.local_adjoint(np.ascontiguousarray(y)) for y in sample.T])
    product: Array = tangent._sum(total).T / d[:, None]
    return product


def _tall_qr(tangent: Tangent, sample: Array) -> tuple[Array, Array]:
    """Q (local rows) and R (replicated) of a distributed tall matrix, by TSQR (Demmel et al. 2012)."""
    with collective_errors(tangent.comm):
        q, r = np.linalg.qr(sample)
    if tangent.comm.size == 1:
        return q, r
    parts = tangent.comm.allgather(r)
    both, triangle = np.linalg.qr(np.vstack(parts))
    first = sum(len(part) for part in parts[: tangent.comm.rank])
    return q @ both[first : first + len(r)], triangle
