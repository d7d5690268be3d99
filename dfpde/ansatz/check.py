"""Find mistakes of an ansatz before a run: all its methods against differences, and against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import validation as check
from ..errors import AnsatzError, MissingDerivative
from .autodiff.richardson import slope
from .base import Alpha, Ansatz, Array, multi_index
from .check_report import AnsatzReport, Check, flag
from .multiindex import multi_indices


@check.takes(
    ansatz=check.ansatz,
    x=check.numbers(2),
    theta=check.optional(check.numbers(1)),
    order=check.integer(0),
    rtol=check.real(above=0),
    step=check.real(above=0),
    seed=check.integer(0),
)
def check_ansatz(
    ansatz: Ansatz,
    x: Array,
    theta: Array | None = None,
    *,
    order: int = 2,
    rtol: float = 1e-6,
    step: float = 0.02,
    seed: int = 0,
) -> AnsatzReport:
    """Compare everything an ansatz provides with differences of what it is the derivative of.

    Shapes, dtypes, NaN, purity (nothing written to, no dependence on earlier calls or on other points), the
    tangent column by column, `jvp` and `vjp` and their adjoint identity, all derivatives up to `order`,
    `gradient`, `hessian`, `laplacian` and the tangents of the derivatives.

    Parameters
    ----------
    ansatz : Ansatz
    x : array (dim, N)
        Some points (20 do) where u is smooth within `step`, none of them special.
    theta : array (p,), optional
        Parameters; standard normal numbers by default.
    order : int
        Highest order of the derivatives to check.
    rtol : float
        Largest error allowed relative to the largest value compared (for the tangent: of its column).
    step : float
        Largest step of the differences, in x and relative to max(1, |θ_j|); for finite elements less than the
        distance of x from the faces.
    seed : int
        Of the random θ and directions.

    Returns
    -------
    AnsatzReport
        All checks passed; print it for a table.

    Raises
    ------
    AnsatzError
        Names what is wrong, where, and by how much.

    Notes
    -----
    Differences are central and Richardson-extrapolated.  Complex steps would need ansätze that accept complex θ
    and x, which the interface excludes.
    """
    rng = np.random.default_rng(seed)
    x = np.array(ansatz.check_points(x))
    theta = rng.normal(size=ansatz.size) if theta is None else np.array(ansatz.check_theta(theta))
    title = f"{type(ansatz).__name__}: {ansatz.size} parameters, dim {ansatz.dim}, {x.shape[1]} points"
    missing: list[str] = []
    checks: list[Check] = []
    bench = _Bench(ansatz, theta, x, rtol, step, rng, missing)
    for group in (bench.conventions, bench.purity, bench.tangent, bench.products, lambda: bench.space(order)):
        checks += group()
        report = AnsatzReport(title, tuple(checks), tuple(missing))
        if report.failed:
            first = report.failed[0]
            raise AnsatzError(
                f"{type(ansatz).__name__}: {first.name} is wrong{' at ' if first.where else ''}{first.where}\n{report}",
                f"correct {first.name.split(' ')[0]} first; checks that come after it may fail because of it",
            )
    return report


@dataclass(frozen=True)
class _Bench:
    ansatz: Ansatz
    theta: Array
    x: Array
    rtol: float
    step: float
    rng: np.random.Generator
    missing: list[str]

    def conventions(self) -> Iterator[Check]:
        """Shapes, dtype, memory order, finiteness, no points."""
        dtype: np.dtype[Any] = np.dtype(self.ansatz.dtype)
        n = self.x.shape[1]
        for points, label in ((self.x, ""), (self.x[:, :0], " at no points")):
            for name, lead in (("value", ()), ("tangent", (self.ansatz.size,))):
                array = getattr(self.ansatz, name)(self.theta, points)
                shape = (*lead, *self.ansatz.shape, points.shape[1])
                yield flag(f"{name} shape{label}", np.shape(array) == shape, f"{np.shape(array)}, expected {shape}")
                got = getattr(array, "dtype", type(array))
                yield flag(f"{name} dtype{label}", got == dtype, f"{got}, expected {dtype}")
                yield flag(f"{name} finite{label}", bool(np.all(np.isfinite(array))), "NaN or infinity")
                if name == "tangent":
                    yield flag(f"tangent C order{label}", np.asarray(array).flags.c_contiguous, "not contiguous")
        covered = sorted(i for part, _ in self.ansatz.slices().values() for i in range(part.start, part.stop))
        yield flag("slices", covered == list(range(self.ansatz.size)), f"cover {len(covered)} of {self.ansatz.size}")
        yield flag("points", n > 0, "give at least one point")

    def purity(self) -> Iterator[Check]:
        """Same input, same output, whatever came before; inputs untouched; every point by itself."""
        half = self.x.shape[1] // 2
        for name in ("value", "tangent"):
            method = getattr(self.ansatz, name)
            theta, x = self.theta.copy(), self.x.copy()
            first = method(theta, x)
            untouched = np.array_equal(theta, self.theta) and np.array_equal(x, self.x)
            yield flag(f"{name} leaves theta and x alone", untouched, "theta or x was written to")
            shared = [np.may_share_memory(first, other) for other in (method(theta, x), theta, x)]
            yield flag(
                f"{name} returns its own array", not any(shared), "shares memory with another call or its input"
            )
            same = []
            for array, new in ((theta, theta + 0.1 * self.rng.normal(size=theta.size)), (x, 0.9 * x)):
                array[...] = new  # an ansatz that remembers θ or x by identity is now wrong
                same.append(np.array_equal(method(theta, x), method(theta.copy(), x.copy())))
            again = method(self.theta.copy(), self.x.copy())
            same.append(np.array_equal(first, again))
            yield flag(f"{name} is repeatable", all(same), "depends on the calls before")
            apart = np.concatenate([method(self.theta, part) for part in (self.x[:, :half], self.x[:, half:])], axis=-1)
            yield self._compare(f"{name} is pointwise", apart, again)

    def tangent(self) -> Iterator[Check]:
        """Columns of the tangent."""
        yield from self._columns("tangent", self.ansatz.tangent(self.theta, self.x), self.ansatz.value)

    def products(self) -> Iterator[Check]:
        """jvp, vjp and their adjoint identity."""
        tangent = self.ansatz.tangent(self.theta, self.x)
        v, y = self.rng.normal(size=self.ansatz.size), self.rng.normal(size=tangent.shape[1:])
        if self.ansatz.dtype is complex:
            y = y + 1j * self.rng.normal(size=y.shape)
        jv, jty = self.ansatz.jvp(self.theta, self.x, v), self.ansatz.vjp(self.theta, self.x, y)
        yield self._compare("jvp (against the tangent)", jv, np.tensordot(v, tangent, 1))
        yield self._compare("vjp (against the tangent)", jty, np.tensordot(tangent, y.conj(), tangent.ndim - 1).real)
        yield flag("vjp dtype", jty.dtype == np.float64, f"{jty.dtype}, expected float64")
        left, right = np.vdot(y, jv).real, v @ jty
        scale = np.linalg.norm(jv) * np.linalg.norm(y) or 1.0
        yield Check(
            "vjp (adjoint to jvp)", abs(left - right) / scale, self.rtol, f"(Jv, y) {left:.6g}, (v, Jᵀy) {right:.6g}"
        )

    def space(self, order: int) -> Iterator[Check]:
        """Derivatives in x and their tangents."""
        dim = self.ansatz.dim
        for alpha in multi_indices(dim, order):
            if sum(alpha) > 0:
                yield from self._derivative(alpha)
            yield from self._tangent_derivative(alpha)
        if self.ansatz.one_pass:
            yield self._together([a for a in multi_indices(dim, order) if self._try("derivative", a) is not None])
        gradient = self._try("gradient")
        if gradient is None:
            return
        yield self._compare("gradient", gradient, self._slopes(self.ansatz.value))
        second = self._slopes(self.ansatz.gradient)
        hessian, laplacian = self._try("hessian"), self._try("laplacian")
        if hessian is not None:
            yield self._compare("hessian", hessian, second)
        if laplacian is not None:
            yield self._compare("laplacian", laplacian, np.einsum("ii...->...", second))

    def _together(self, alphas: list[Alpha]) -> Check:
        """Several derivatives and the tangent in one pass."""
        values, tangent = self.ansatz.evaluate(self.theta, self.x, alphas)
        each = [self.ansatz.derivative(self.theta, self.x, alpha) for alpha in alphas]
        same = np.array_equal(values, each) and np.array_equal(tangent, self.ansatz.tangent(self.theta, self.x))
        return flag("evaluate", same, "other numbers than derivative and tangent, to the last bit")

    def _derivative(self, alpha: Alpha) -> Iterator[Check]:
        axis = next(i for i, order in enumerate(alpha) if order)
        lower = tuple(order - (i == axis) for i, order in enumerate(alpha))
        values, below = self._try("derivative", alpha), self._try("derivative", lower)
        if values is not None and below is not None:
            slope = self._slope(lambda theta, x: self.ansatz.derivative(theta, x, lower), axis)
            yield self._compare(f"derivative {alpha}", values, slope, below)

    def _tangent_derivative(self, alpha: Alpha) -> Iterator[Check]:
        tangent, values = self._try("tangent_derivative", alpha), self._try("derivative", alpha)
        if tangent is None or values is None:
            return

        def derivative(theta: Array, x: Array) -> Array:
            return self.ansatz.derivative(theta, x, alpha)

        v = self.rng.normal(size=self.theta.size)
        expected = self._along(derivative, v)
        check = self._compare(f"tangent_derivative {alpha}", np.tensordot(v, tangent, 1), expected, values)
        wrong = [] if check.passed else [c for c in self._columns(check.name, tangent, derivative) if not c.passed]
        yield wrong[0] if wrong else check

    def _columns(self, name: str, tangent: Array, function: Callable[[Array, Array], Array]) -> Iterator[Check]:
        """The tangent of function(θ, x), one parameter after the other; yields the worst of each block."""
        values = function(self.theta, self.x)
        for block, (part, shape) in self.ansatz.slices().items():
            checks = []
            for j in range(part.start, part.stop):
                e = np.zeros(self.theta.size)
                e[j] = max(1.0, abs(self.theta[j]))
                column = self._along(function, e) / e[j]
                entry = np.unravel_index(j - part.start, shape)
                where = f"{block}[{', '.join(map(str, entry))}]"
                checks.append(self._compare(f"{name} {block}", tangent[j], column, values, where))
            if checks:
                yield max(checks, key=lambda c: np.inf if np.isnan(c.error) else c.error)

    def _along(self, function: Callable[[Array, Array], Array], v: Array) -> Array:
        return slope(lambda s: function(self.theta + s * v, self.x), self.step)

    def _slopes(self, function: Callable[[Array, Array], Array]) -> Array:
        return np.stack([self._slope(function, axis) for axis in range(self.ansatz.dim)])

    def _slope(self, function: Callable[[Array, Array], Array], axis: int) -> Array:
        e = np.array(multi_index(self.ansatz.dim, axis), float)[:, None]
        return slope(lambda s: function(self.theta, self.x + s * e), self.step)

    def _try(self, name: str, *alpha: Alpha) -> Array | None:
        try:
            array: Array = getattr(self.ansatz, name)(self.theta, self.x, *alpha)
        except MissingDerivative:
            label = " ".join([name, *map(str, alpha)])
            if label not in self.missing:
                self.missing.append(label)
            return None
        return array

    def _compare(self, name: str, got: Array, expected: Array, source: Array | None = None, where: str = "") -> Check:
        """Largest difference relative to the largest expected value; `source` is what was differenced."""
        if np.shape(got) != expected.shape:
            return flag(name, False, f"shape {np.shape(got)}, expected {expected.shape}")
        if not expected.size:
            return Check(name, 0.0, self.rtol, where)
        noise = 1e-4 * np.max(np.abs(source)) if source is not None else 0.0  # differences see no less: 1e-4 rtol
        difference = np.abs(got - expected)
        scale = max(np.max(np.abs(expected)), noise) or 1.0
        at = np.unravel_index(int(np.argmax(difference)), difference.shape)
        return Check(name, float(np.max(difference) / scale), self.rtol, where or f"entry {tuple(map(int, at))}")
