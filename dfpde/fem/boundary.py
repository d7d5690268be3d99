"""Boundary conditions beyond weak values (`dfpde.Dirichlet`) and hard ones (`Masked`).

    ∂u/∂n + β u = g(t, x)        rows of the least squares on a boundary quadrature: Neumann for β = 0, else Robin
    a(u, v) − ∮ κ (∂u/∂n v + u ∂v/∂n) + ∮ (γκ/h) u v        Nitsche's method, in weak forms

Natural conditions need nothing: a weak form in `SemiDiscrete` contains them.  Sums over boundary points are quadratures
of ∮, so a penalty does not change with the number of points; its weight has the unit that makes ∮ comparable with ∫.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skfem import BilinearForm, LinearForm
from skfem.helpers import dot, grad

from .. import validation as check
from ..ansatz.base import Ansatz, multi_index
from ..conditions import boundary_values, rate
from ..domain.quadrature import Quadrature
from ..errors import ParameterError
from ..leastsquares import DenseRows, Rows, real_rows, root_weights
from ..representation import represent

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
@check.takes(
    quadrature=check.quadrature,
    g=check.function,
    beta=check.real(),
    weight=check.real(above=0),
    decay=check.real(0),
    g_t=check.optional(check.function),
)
class Robin:
    """∂u/∂n + β u = g(t, x) at the points of a boundary quadrature, imposed weakly; β = 0 is Neumann's condition.

    Rows √(γ w) (B J v − g_t + α (B Φ(θ) − g)) with B = ∂/∂n + β, as in `dfpde.Dirichlet`: an error of the
    condition decays at the rate α (Baumgarte 1972).

    Parameters
    ----------
    quadrature : Quadrature
        With normals: ``Quadrature.boundary(mesh, name, order)``.
    g : callable
        (t, x) -> (*shape, N).
    beta : float
        β, units 1/length.
    weight : float
        γ, units length³ (the square of a derivative on a boundary, against the square of a value in the interior).
    decay : float
        α ≥ 0, a rate.
    g_t : callable or None
        ∂g/∂t; None extrapolates difference quotients of g, as in `dfpde.Dirichlet`.

    Raises
    ------
    ParameterError
        A quadrature without normals; weight or decay out of range.
    """

    quadrature: Quadrature
    g: Callable[[float, Array], Array]
    beta: float = 0.0
    weight: float = 1.0
    decay: float = 0.0
    g_t: Callable[[float, Array], Array] | None = None

    __repr__ = represent

    def __post_init__(self) -> None:
        if self.quadrature.normals is None:
            raise ParameterError("a quadrature without normals", "Quadrature.boundary(mesh, name, order)")

    @check.takes(ansatz=check.ansatz)
    def rows(self, t: float, theta: Array, ansatz: Ansatz) -> tuple[Rows, Array]:
        """See `Condition`; no communication."""
        x, shape = self.quadrature.x, (*ansatz.shape, self.quadrature.x.shape[1])
        target = rate(self.g, self.g_t, t, x, shape)
        if self.decay:
            trace = self._trace(ansatz.derivative, ansatz, theta)
            target = target - self.decay * (trace - boundary_values(self.g, t, x, shape))
        tangent = self._trace(ansatz.tangent_derivative, ansatz, theta)
        root = root_weights(self.weight * self.quadrature.w, ansatz.shape, ansatz.dtype)
        rhs = real_rows(np.asarray(target, dtype=ansatz.dtype))
        return DenseRows(real_rows(tangent, 1), root), root * rhs

    def _trace(self, derivative: Callable[..., Array], ansatz: Ansatz, theta: Array) -> Array:
        """B of the field, or of its tangent."""
        x, normals = self.quadrature.x, np.asarray(self.quadrature.normals)
        total = sum(normals[i] * derivative(theta, x, multi_index(ansatz.dim, i)) for i in range(ansatz.dim))
        if self.beta:
            total = total + self.beta * derivative(theta, x, multi_index(ansatz.dim))
        return np.asarray(total)


@check.takes(diffusion=check.real(above=0), gamma=check.real(above=0))
def nitsche(diffusion: float, gamma: float) -> tuple[Any, Any]:
    """Nitsche's terms for u = g on a boundary with −κΔu in the interior: a bilinear form, and a linear form of g.

    For `Elliptic(..., boundary={name: a}, load=space.vector(b, name, g=...))`, or as part of F in `SemiDiscrete`, where
    boundary values that are eliminated would be no values of an ansatz.  Consistent: optimal order without constraints
    on degrees of freedom, symmetric.

    Parameters
    ----------
    diffusion : float
        κ > 0.
    gamma : float
        γ > 2 C², C the constant of `‖√h ∂_n v‖_∂Ω ≤ C ‖∇v‖_Ω` in the space: 10 for P1, 40 for P2 on triangles
        that are not thin; larger is safe, and slowly worse conditioned.

    Returns
    -------
    bilinear : skfem.BilinearForm
    linear : skfem.LinearForm
        Needs the field g: an array of nodal values or of values at the quadrature points.

    Notes
    -----
    Source: J. Nitsche, Abh. Math. Sem. Univ. Hamburg 36 (1971) 9.
    """
    if not (diffusion > 0 and gamma > 0):
        raise ParameterError(f"diffusion = {diffusion}, gamma = {gamma}", "positive numbers")

    def bilinear(u: Any, v: Any, w: Any) -> Any:
        flux = dot(grad(u), w.n) * v + u * dot(grad(v), w.n)
        return diffusion * (gamma / w.h * u * v - flux)

    def linear(v: Any, w: Any) -> Any:
        return diffusion * w.g * (gamma / w.h * v - dot(grad(v), w.n))

    return BilinearForm(bilinear), LinearForm(linear)
