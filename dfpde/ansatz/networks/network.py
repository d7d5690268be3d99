"""Multilayer perceptrons in NumPy: all derivatives up to order four, their tangents, products with the tangent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ... import validation as check
from ...errors import ParameterError
from ..base import PARTS, Alpha, Ansatz, Array, multi_index
from ..linearization import Linearization
from ..mixtures.exponential import Jet, check_alpha
from .activations import Activation, Tanh
from .embedding import PeriodicEmbedding
from .factored import Factored
from .factors import Factor, Weights, Zero, plain
from .layers import Layer, below, blocks, compose, inner, plus, pull_back
from .parameters import layout, random_blocks

ORDER = 4  # highest order of derivatives in space (activations give one more)
BLOCK = 4096  # points of a block: its arrays stay in the last-level cache
# Factors of a tangent that are kept from one product to the next: the rest of a stage takes no more.
KEPT_BYTES = 256 << 20


class Network(Ansatz):
    """u(x) = W_L h_L + b_L, h_{l+1} = σ(W_l h_l + b_l) [+ h_l], h_0 = x or a periodic embedding of x.

    Parameters by name: ``shifts`` of the embedding (if any), ``weights0`` (width, features), ``biases0`` (width,), ...,
    ``weightsL`` (outputs, width), ``biasesL`` (outputs,), and ``coefficients`` (L, size) of an activation that learns.

    Derivatives in space go forward through the layers as jets {β: ∂^βh} by Faà di Bruno's formula; tangents come
    back by the transposed product rule, with s = σ'(z) and hats for adjoints,

        ẑ_γ = Σ_{β ≥ γ} binom(β, γ) ∂^{β−γ}s · ĥ_β,      ∂u/∂W = Σ_γ ẑ_γ ⊗ ∂^γh,      ĥ_γ ← Wᵀ ẑ_γ,

    so the tangent is made of outer products and costs little more than writing it.

    Parameters
    ----------
    dim : int
        Space dimension.
    widths : sequence of int
        Neurons of each hidden layer.
    activation : Activation
        Of all hidden layers; tanh by default.
    embedding : PeriodicEmbedding, optional
        Features in place of x.
    residual : bool
        Add its input to each hidden layer after the first (equal widths).
    outputs : int, optional
        Components m of a system, shape (m,); None: a scalar, shape ().

    Raises
    ------
    ParameterError
        Widths that are not positive, or not equal in a residual network; embedding of another dimension.
    """

    @check.takes(
        dim=check.integer(1),
        widths=check.each(check.integer(1), "widths of at least one hidden layer", 1),
        activation=check.optional(check.having("an activation: Tanh(), Sine(), ...", "with_slopes")),
        embedding=check.optional(check.instance(PeriodicEmbedding, "a PeriodicEmbedding")),
        residual=check.truth,
        outputs=check.optional(check.integer(1)),
    )
    def __init__(
        self,
        dim: int,
        widths: Sequence[int],
        activation: Activation | None = None,
        embedding: PeriodicEmbedding | None = None,
        residual: bool = False,
        outputs: int | None = None,
    ) -> None:
        self.dim, self.widths = dim, tuple(widths)
        self.activation = Tanh() if activation is None else activation
        self.embedding, self.residual = embedding, residual
        self.shape = () if outputs is None else (outputs,)
        self._check()
        features = dim if embedding is None else embedding.size
        self._sizes = (features, *self.widths, outputs or 1)
        self._slices = layout(self._sizes, self.activation, self.embedding)
        self.size = max(part.stop for part, _ in self._slices.values())

    def _check(self) -> None:
        if self.residual and len(set(self.widths)) > 1:
            raise ParameterError(f"residual network with widths {self.widths}", "give equal widths, or residual=False")
        if self.embedding is not None and self.embedding.dim != self.dim:
            raise ParameterError(
                f"embedding of {self.embedding.dim} axes in {self.dim} dimensions", "give one period for each axis"
            )

    def slices(self) -> Mapping[str, tuple[slice, tuple[int, ...]]]:
        """Blocks of θ, see the class."""
        return self._slices

    def period(self, axis: int) -> float | None:
        """That of the embedding."""
        return None if self.embedding is None else self.embedding.periods[axis]

    @check.takes(seed=check.integer(0))
    def initial(self, seed: int) -> Array:
        """Random θ: weights normal with variance 1/fan-in, hidden biases uniform in [−1, 1], output biases zero.

        A function of the seed alone: every rank that calls it gets the same network.
        """
        return self.pack(**random_blocks(self._slices, self.activation, self.embedding, seed))

    def guess(self, x: Array, seed: int = 0) -> Array:
        """`initial`, its first layer in coordinates in which the points x have mean 0 and half-width 1 on each axis.

        Periodic features have that size already.
        """
        theta, x = self.initial(seed), self.check_points(x)
        plain = list(range(self.dim)) if self.embedding is None else self.embedding.plain
        if plain:
            blocks = self.unpack(theta)  # views
            columns = slice(self._sizes[0] - len(plain), None)
            middle, half = x[plain].mean(axis=1), np.ptp(x[plain], axis=1) / 2
            blocks["weights0"][:, columns] /= np.where(half > 0, half, 1.0)
            blocks["biases0"] -= blocks["weights0"][:, columns] @ middle
        return theta

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return len(self.widths)

    # -- derivatives in space -------------------------------------------------------------------------------
    def value(self, theta: Array, x: Array) -> Array:
        return self.derivative(theta, x, multi_index(self.dim))

    def derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        """∂^alpha u up to order four, shape (*shape, N)."""
        found: Array = self.derivatives(theta, x, [alpha])[0]
        return found

    def derivatives(self, theta: Array, x: Array, alphas: Sequence[Alpha]) -> Array:
        """Several derivatives up to order four in one pass, shape (len(alphas), *shape, N)."""
        alphas = [check_alpha(self, alpha) for alpha in alphas]
        self._check_order(alphas, "the derivative ∂^{} u", "derivative(theta, x, alpha)")
        part, x = self.unpack(theta), self.check_points(x)
        out = np.empty((len(alphas), self._sizes[-1], x.shape[1]))
        for block in blocks(x.shape[1], BLOCK):
            jet, _ = self._forward(part, x[:, block], below(alphas))
            self._outputs(part, jet, alphas, out[..., block])
        return out.reshape(len(alphas), *self.shape, x.shape[1])

    def _outputs(self, part: Mapping[str, Array], jet: Jet, alphas: Sequence[Alpha], out: Array) -> None:
        """The last layer, out[number] = ∂^alpha u."""
        weights, biases = part[f"weights{self.depth}"], part[f"biases{self.depth}"]
        for row, alpha in zip(out, alphas, strict=True):
            row[...] = weights @ jet[alpha] if alpha in jet else 0.0
            if sum(alpha) == 0:
                row += biases[:, None]

    def _check_order(self, alphas: Sequence[Alpha], what: str, method: str) -> None:
        for alpha in alphas:
            if sum(alpha) > ORDER:
                raise self._missing(what.format(alpha), method)

    def _inputs(self, part: Mapping[str, Array], x: Array, alphas: Sequence[Alpha]) -> Jet:
        """Jet of h_0."""
        if self.embedding is not None:
            return self.embedding.jet(x, part["shifts"], alphas)
        columns = np.eye(self.dim)
        return {a: x if sum(a) == 0 else columns[:, a.index(1), None] for a in alphas if sum(a) <= 1}

    def _forward(
        self, part: Mapping[str, Array], x: Array, alphas: Sequence[Alpha], record: Sequence[Alpha] = ()
    ) -> tuple[Jet, list[Layer]]:
        """Jet of the last hidden layer, and what the way back of the derivatives `record` needs of each layer."""
        order, slopes = sum(alphas[-1]), max(map(sum, record), default=0)
        jet = self._inputs(part, x, alphas)
        tape: list[Layer] = []
        for layer in range(self.depth):
            z = {alpha: part[f"weights{layer}"] @ h for alpha, h in jet.items()}
            zero = z[alphas[0]]
            zero += part[f"biases{layer}"][:, None]
            c = part["coefficients"][layer] if self.activation.size else np.empty(0)
            if record:
                sigma, by_c = self.activation.with_slopes(zero, max(order, slopes + 1), slopes, c)
                tape.append(Layer(jet, compose(sigma[1:], z, record), [compose(each, z, record) for each in by_c]))
            else:
                sigma = self.activation.derivatives(zero, order, c)
            new = compose(sigma, z, alphas)
            jet = plus(new, jet) if self.residual and layer else new
        return jet, tape

    # -- tangents -------------------------------------------------------------------------------------------
    def tangent(self, theta: Array, x: Array) -> Array:
        return self.tangent_derivative(theta, x, multi_index(self.dim))

    def tangent_derivative(self, theta: Array, x: Array, alpha: Alpha) -> Array:
        """∂/∂θ ∂^alpha u up to order four, shape (p, *shape, N)."""
        alpha = check_alpha(self, alpha)
        self._check_order([alpha], "the tangent of ∂^{} u", "tangent_derivative(theta, x, alpha)")
        return self._evaluate(theta, x, [], alpha)[1]

    def evaluate(self, theta: Array, x: Array, alphas: Sequence[Alpha]) -> tuple[Array, Array]:
        alphas = [check_alpha(self, alpha) for alpha in alphas]
        self._check_order(alphas, "the derivative ∂^{} u", "derivative(theta, x, alpha)")
        return self._evaluate(theta, x, alphas, multi_index(self.dim))

    def _evaluate(self, theta: Array, x: Array, alphas: Sequence[Alpha], alpha: Alpha) -> tuple[Array, Array]:
        """Several derivatives of u and the tangent of ∂^alpha u, by one pass forward and one back."""
        part, x = self.unpack(theta), self.check_points(x)
        found = np.empty((len(alphas), self._sizes[-1], x.shape[1]))
        out = np.empty((self.size, self._sizes[-1], x.shape[1]))
        for block in blocks(x.shape[1], BLOCK):
            for c, factors in enumerate(self._factors(part, x[:, block], alpha, alphas, found[..., block])):
                for factor in factors:
                    factor.fill(out[:, c, block], slice(None))
        shape = (*self.shape, x.shape[1])
        return found.reshape(len(alphas), *shape), out.reshape(self.size, *shape)

    def linearize(self, theta: Array, x: Array, alphas: Sequence[Alpha] = ()) -> tuple[Array, Linearization]:
        if not self._is_latest("linearize", (*PARTS, "evaluate", "jvp", "vjp")):
            return super().linearize(theta, x, alphas)
        alphas = [check_alpha(self, alpha) for alpha in alphas]
        self._check_order(alphas, "the derivative ∂^{} u", "derivative(theta, x, alpha)")
        part, x, zero = self.unpack(theta), self.check_points(x), multi_index(self.dim)
        if 8 * x.shape[1] * self._sizes[-1] * (2 + self.activation.size) * sum(self._sizes) > KEPT_BYTES:
            return super().linearize(theta, x, alphas)[0], self._linear(theta, x)
        found = np.empty((len(alphas), self._sizes[-1], x.shape[1]))
        parts = list(blocks(x.shape[1], BLOCK))
        kept = [(block, self._factors(part, x[:, block], zero, alphas, found[..., block])) for block in parts]
        shape = (len(alphas), *self.shape, x.shape[1])
        return found.reshape(shape), Factored(self.size, x.shape[1], self.shape, lambda: kept)

    def _factors(
        self, part: Mapping[str, Array], x: Array, alpha: Alpha, alphas: Sequence[Alpha], out: Array
    ) -> list[list[Factor]]:
        """The tangent of ∂^alpha u of each component, and out[number] = ∂^β u for β in alphas."""
        top, tape = self._forward(part, x, below([alpha, *alphas]), below([alpha]))
        self._outputs(part, top, alphas, out)
        found = []
        for c in range(self._sizes[-1]):
            adjoints, bottom = self._backward(part, tape, {alpha: part[f"weights{self.depth}"][c, :, None]})
            factors: list[Factor] = [Zero(self._slices[f"{name}{self.depth}"][0]) for name in ("weights", "biases")]
            for layer, (z, _) in enumerate(adjoints):
                shared = [(z[gamma], tape[layer].h[gamma]) for gamma in z if gamma in tape[layer].h]
                factors.append(Weights(self._slices[f"weights{layer}"][0], shared))
            others = [*self._top(c, top.get(alpha, 0.0), alpha), *self._hidden(part, x, tape, adjoints, bottom)]
            found.append([*factors, plain(others, x.shape[1])])
        return found

    def _top(self, component: int, h: Array | float, alpha: Alpha) -> Iterator[tuple[slice, Array | float]]:
        """The output layer: this component's weights multiply ∂^alpha h, its bias 1 (or its derivative 0)."""
        weights, biases = self._slices[f"weights{self.depth}"][0], self._slices[f"biases{self.depth}"][0]
        start = weights.start + component * self._sizes[-2]
        yield slice(start, start + self._sizes[-2]), h
        yield slice(biases.start + component, biases.start + component + 1), float(sum(alpha) == 0)

    def _hidden(
        self, part: Mapping[str, Array], x: Array, tape: list[Layer], adjoints: list[tuple[Jet, Jet]], bottom: Jet
    ) -> Iterator[tuple[slice, Array | float]]:
        """Biases of the hidden layers, coefficients of the activation, shifts of the embedding."""
        size = self.activation.size
        for layer, (z, h) in enumerate(adjoints):
            yield self._slices[f"biases{layer}"][0], z.get(multi_index(self.dim), 0.0)
            if size:
                start = self._slices["coefficients"][0].start + layer * size
                yield slice(start, start + size), np.stack([inner(h, c) for c in tape[layer].learned])
        if self.embedding is not None:
            slopes = self.embedding.slopes(x, part["shifts"], list(bottom))
            count = len(part["shifts"])
            yield self._slices["shifts"][0], sum(bottom[beta][:count] * slope for beta, slope in slopes.items())

    def _backward(self, part: Mapping[str, Array], tape: list[Layer], start: Jet) -> tuple[list[tuple[Jet, Jet]], Jet]:
        """(ẑ, ĥ) of each layer, ĥ the adjoint of its output, and the adjoint of h_0."""
        found: list[tuple[Jet, Jet]] = []
        h = start
        for layer in reversed(range(self.depth)):
            z = pull_back(tape[layer].slope, h)
            found.append((z, h))
            if layer or self.embedding is not None:
                back = {gamma: part[f"weights{layer}"].T @ adjoint for gamma, adjoint in z.items()}
                h = plus(back, h) if self.residual and layer else back
        return found[::-1], h

    # -- products with the tangent --------------------------------------------------------------------------
    def jvp(self, theta: Array, x: Array, v: Array) -> Array:
        return self._linear(theta, x).jvp(self.check_theta(v))

    def vjp(self, theta: Array, x: Array, y: Array) -> Array:
        return self._linear(theta, x).vjp(np.asarray(y, float))

    def _linear(self, theta: Array, x: Array) -> Factored:
        """J, its factors evaluated block by block and not kept."""
        part, x, zero = self.unpack(theta), self.check_points(x), multi_index(self.dim)
        none = np.empty((0, self._sizes[-1], 0))
        return Factored(
            self.size, x.shape[1], self.shape,
            lambda: ((block, self._factors(part, x[:, block], zero, [], none)) for block in blocks(x.shape[1], BLOCK)),
        )  # fmt: skip
