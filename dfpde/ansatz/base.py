"""The ansatz: parameters θ ∈ R^p and points x ↦ a field u = Φ(θ)(x), its derivatives and its tangent.

Conventions.  ``x`` is (dim, N), points last, float64.  A field has shape ``(*shape, N)``: ``shape`` is ``()``
for a scalar and ``(m,)`` for a system of m components.  The tangent ∂u/∂θ is ``(p, *shape, N)``, C order.  Complex
fields have complex values; θ is always real.  Partial derivatives are addressed by multi-indices ``alpha`` (a tuple
of dim non-negative integers).  An ansatz knows neither meshes nor MPI.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validation as check
from ..calculus import Alpha as Alpha
from ..calculus import gradient_alphas, hessian_alphas, laplacian_alphas
from ..calculus import multi_index as multi_index
from ..errors import MissingDerivative, ParameterError, ShapeError
from .arguments import checked
from .linearization import Linearization, Recomputed

Array = NDArray[Any]

#: What `Ansatz.evaluate` must agree with.
PARTS = ("value", "derivative", "derivatives", "gradient", "hessian", "laplacian", "tangent", "tangent_derivative")


class Ansatz(ABC):
    """Nonlinear parametrization u = Φ(θ); subclass it and give `value` and `tangent` at least.

    Attributes
    ----------
    dim : int
        Space dimension.
    size : int
        Number of real parameters p.
    shape : tuple of int
        Components of the field: ``()`` scalar, ``(m,)`` system.
    dtype : type
        ``float`` or ``complex``: the dtype of the field's values.
    linear_parameters : tuple of str
        Names of blocks (see `slices`) in which u is linear, and which `fit` therefore finds first, by linear least
        squares at the `guess` of all others; () for none.
    """

    dim: int
    size: int
    shape: tuple[int, ...] = ()
    dtype: type = float

    linear_parameters: tuple[str, ...] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        """The evaluations of every ansatz check the shapes of their arguments (see `ansatz.arguments`)."""
        super().__init_subclass__(**options)
        checked(cls)

    @abstractmethod
    def value(self, theta: Array, x: Array) -> Array:
        """u(x_k), shape (*shape, N)."""

    @abstractmethod
    def tangent(self, theta: Array, x: Array) -> Array:
        """∂u(x_k)/∂θ_j, shape (p, *shape, N), C order; the caller owns the array."""

    def guess(self, x: Array, seed: int = 0) -> Array:
        """First θ of a fit, optional: a sensible one for fields on the points x (dim, M), another for each seed.

        Parameters
        ----------
        x : (dim, M) array
            A sample of the quadrature, denser where u₀ is large; the same on all ranks.
        seed : int
            Which of the guesses; several starts of `fit` take its seed and the following numbers.

        Raises
        ------
        ParameterError
            The ansatz offers none.
        """
        raise ParameterError(
            f"{type(self).__name__} offers no first guess",
            f"pass guess=... (shape ({self.size},)), or implement {type(self).__name__}.guess(x, seed)",
        )

    # -- derivatives in space; an ansatz gives those it can -------------------------------------------------
    def derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        """∂^alpha u(x_k), shape (*shape, N).

        Raises
        ------
        MissingDerivative
            The ansatz does not provide this order.
        """
        if sum(alpha) == 0:
            return self.value(theta, x)
        raise self._missing(f"the derivative ∂^{alpha} u", "derivative(theta, x, alpha)")

    def tangent_derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        """∂/∂θ_j ∂^alpha u(x_k), shape (p, *shape, N): needed by implicit steps and by constraints.

        Raises
        ------
        MissingDerivative
            The ansatz does not provide this order.
        """
        if sum(alpha) == 0:
            return self.tangent(theta, x)
        raise self._missing(f"the tangent of ∂^{alpha} u", "tangent_derivative(theta, x, alpha)")

    def gradient(self, theta: Array, x: Array) -> Array:
        """∂u/∂x_i, shape (dim, *shape, N)."""
        return self._several(theta, x, gradient_alphas(self.dim))

    def hessian(self, theta: Array, x: Array) -> Array:
        """∂²u/∂x_i∂x_j, shape (dim, dim, *shape, N)."""
        alphas = hessian_alphas(self.dim)
        upper = sorted(set(alphas), reverse=True)
        found = self._several(theta, x, upper)
        second: Array = found[[upper.index(alpha) for alpha in alphas]]
        return second.reshape(self.dim, self.dim, *second.shape[1:])

    def laplacian(self, theta: Array, x: Array) -> Array:
        """Δu, shape (*shape, N)."""
        total: Array = self._several(theta, x, laplacian_alphas(self.dim)).sum(axis=0)
        return total

    # -- several at once; override where that is cheaper ----------------------------------------------------
    def derivatives(self, theta: Array, x: Array, alphas: Sequence[Alpha]) -> Array:
        """∂^alpha u(x_k) for several alpha, shape (len(alphas), *shape, N)."""
        return np.stack([self.derivative(theta, x, alpha) for alpha in alphas])

    def evaluate(self, theta: Array, x: Array, alphas: Sequence[Alpha]) -> tuple[Array, Array]:
        """`derivatives` and `tangent`, the same numbers to the last bit."""
        return self.derivatives(theta, x, alphas), self.tangent(theta, x)

    @property
    def one_pass(self) -> bool:
        """True when `evaluate` is cheaper than its parts, and no subclass has changed what it computes."""
        return self._is_latest("evaluate", PARTS)

    def _several(self, theta: Array, x: Array, alphas: Sequence[Alpha]) -> Array:
        """`derivatives`, unless a subclass has changed `derivative` alone."""
        if self._is_latest("derivatives", ("derivative",)):
            return self.derivatives(theta, x, alphas)
        return np.stack([self.derivative(theta, x, alpha) for alpha in alphas])

    def _is_latest(self, name: str, parts: Sequence[str]) -> bool:
        """Whether the method is overridden, and none of its parts in a subclass of the class that does."""
        for cls in type(self).__mro__:
            if name in vars(cls):
                return cls is not Ansatz
            if any(part in vars(cls) for part in parts):
                return False
        return False

    def linearize(self, theta: Array, x: Array, alphas: Sequence[Alpha] = ()) -> tuple[Array, Linearization]:
        """`derivatives`, and J(θ) at x as an operator: for an ansatz that is `matrix_free`."""
        found = self.derivatives(theta, x, alphas) if alphas else np.empty((0, *self.shape, x.shape[1]))
        return found, Recomputed(self, theta, x)

    # -- products with the tangent; override where they are cheaper than forming it -------------------------
    def jvp(self, theta: Array, x: Array, v: Array) -> Array:
        """J v: Σ_j v_j ∂u(x_k)/∂θ_j, shape (*shape, N)."""
        product: Array = np.tensordot(v, self.tangent(theta, x), 1)
        return product

    def vjp(self, theta: Array, x: Array, y: Array) -> Array:
        """Jᵀ y for the real scalar product: Σ_k Re(conj(y_k) ∂u(x_k)/∂θ_j), shape (p,)."""
        tangent = self.tangent(theta, x)
        product: Array = np.tensordot(tangent, np.conj(y), tangent.ndim - 1)
        return np.ascontiguousarray(product.real)

    @property
    def matrix_free(self) -> bool:
        """True when `jvp` and `vjp` do not form the tangent."""
        return type(self).jvp is not Ansatz.jvp and type(self).vjp is not Ansatz.vjp

    def period(self, axis: int) -> float | None:
        """Period of every field along a coordinate; None where there is none, or none is known."""
        return None

    # -- a sparse tangent ------------------------------------------------------------------------------------
    @property
    def sparse(self) -> bool:
        """True when the ansatz gives `sparse_tangent`, which is then used instead of `tangent`."""
        return type(self).sparse_tangent is not Ansatz.sparse_tangent

    def sparse_tangent(self, theta: Array, x: Array) -> Any:
        """∂u/∂θ as a scipy sparse array (m N, p): rows of the first component, then of the next."""
        raise self._missing("a sparse tangent", "sparse_tangent(theta, x)")

    # -- parameters by name ---------------------------------------------------------------------------------
    def slices(self) -> Mapping[str, tuple[slice, tuple[int, ...]]]:
        """Name -> (slice of θ, shape of that block)."""
        return {"theta": (slice(0, self.size), (self.size,))}

    def unpack(self, theta: Array) -> dict[str, Array]:
        """Parameters by name, as views of θ: ``ansatz.unpack(theta)["centers"]``."""
        theta = self.check_theta(theta)
        return {name: theta[part].reshape(shape) for name, (part, shape) in self.slices().items()}

    def pack(self, **blocks: Any) -> Array:
        """θ from named blocks (the inverse of `unpack`); every name is required and broadcast to its shape.

        Raises
        ------
        ShapeError
            A name is missing, unknown, or does not broadcast to its block.
        """
        known = self.slices()
        if set(blocks) != set(known):
            raise ShapeError(f"{type(self).__name__}.pack got {sorted(blocks)}", f"give exactly {sorted(known)}")
        theta = np.empty(self.size)
        for name, (part, shape) in known.items():
            check.numbers()(name, blocks[name])
            try:
                theta[part] = np.broadcast_to(np.asarray(blocks[name], float), shape).reshape(-1)
            except ValueError as error:
                got = np.shape(blocks[name])
                raise ShapeError(f"block {name!r} has shape {got}", f"give shape {shape}") from error
        return theta

    # -- checks ---------------------------------------------------------------------------------------------
    def check_theta(self, theta: Array) -> Array:
        """θ as a float64 array of length p.

        Raises
        ------
        ShapeError
            Wrong length, more than one axis, or complex.
        """
        theta = check.array("theta", theta)
        if theta.shape != (self.size,) or theta.dtype.kind not in "fiub":
            raise ShapeError(
                f"{type(self).__name__} has {self.size} real parameters, theta has shape {theta.shape} and dtype "
                f"{theta.dtype}",
                f"pass a float64 array of shape ({self.size},), for example from .pack(...)",
            )
        return np.asarray(theta, dtype=float)

    def check_points(self, x: Array) -> Array:
        """x as a float64 array (dim, N).

        Raises
        ------
        ShapeError
            Not (dim, N).
        """
        x = check.array("x", x)
        if x.ndim != 2 or x.shape[0] != self.dim or x.dtype.kind not in "fiu":
            raise ShapeError(
                f"{type(self).__name__} lives in {self.dim} dimensions, x has shape {x.shape} and dtype {x.dtype}",
                f"pass points last: real numbers of shape ({self.dim}, N)",
            )
        return np.asarray(x, dtype=float)

    def __repr__(self) -> str:
        if not hasattr(self, "size"):
            return f"{type(self).__name__}()"
        shape = f", {self.shape[0]} components" if self.shape else ""
        blocks = [f"{name} {size}" for name, (_, size) in self.slices().items()]
        named = ", ".join(blocks[:8]) + (", …" if len(blocks) > 8 else "")
        return f"{type(self).__name__}({self.dim}-D{shape}, {self.size} parameters: {named})"

    def _missing(self, what: str, method: str) -> MissingDerivative:
        return MissingDerivative(
            f"{type(self).__name__} does not provide {what}",
            f"implement {type(self).__name__}.{method}, write the ansatz with dfpde.JaxFunction (all derivatives), or "
            "use a weak form that needs fewer derivatives",
        )


checked(Ansatz)
