"""How many isotropic Gaussians does a diagonal one need?  The best that a population of fits finds, in five dimensions.

    python benchmarks/gaussian_terms.py [--terms 25 50] [--population 64] [--seconds 120] [--save FILE]

min ‖g − Σ_j a_j g_j‖/‖g‖ over amplitudes, centers and widths of n isotropic g_j, for each of the two Gaussians of
`demos/advection5d.py`; they hardly overlap, and 56 % of the terms go to the longer one.  All integrals are in closed
form.  A fit is Levenberg–Marquardt with the Gram matrix of the tangent; a population of them is improved by moving a
few terms, and by putting a half of one fit and a half of another together (cut and splice); a change is kept if it is
better.  The last line is a JSON object: terms, and for each number the relative L² error of both and of their sum.
Needs JAX, and is made for a GPU; what it finds depends on the machine by rounding.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demos"))

import advection5d as demo

jax.config.update("jax_enable_x64", True)
DIM = demo.DIM


def overlap(z: Any, w: Any) -> Any:
    """⟨g_j, g_k⟩ of isotropic Gaussians of norm one; rows of z and w: amplitude, center, logarithm of the variance."""
    v, s = jnp.exp(z[:, None, -1]), jnp.exp(w[None, :, -1])
    apart = jnp.sum((z[:, None, 1:-1] - w[None, :, 1:-1]) ** 2, axis=-1)
    return jnp.exp(DIM / 4 * jnp.log(4 * v * s / (v + s) ** 2) - apart / (2 * (v + s)))


def overlap_with(z: Any, s: Any) -> Any:
    """⟨g_j, g⟩, g of norm one, mean 0 and variances s."""
    v, c = jnp.exp(z[:, -1:]), z[:, 1:-1]
    share = v / (v + s)
    return jnp.exp(jnp.sum(jnp.log(4 * share * (1 - share)) / 4 - c**2 / (2 * (v + s)), axis=-1))


def misfit(z: Any, s: Any) -> Any:
    """‖g − Σ_j a_j g_j‖²."""
    a = z[:, 0]
    return a @ overlap(z, z) @ a - 2 * a @ overlap_with(z, s) + 1


def gram(z: Any) -> Any:
    """⟨∂u/∂z_α, ∂u/∂z_β⟩, (p, p)."""
    n, width = z.shape
    v, a = jnp.exp(z[:, -1]), z[:, 0]
    both, apart, value = v[:, None] + v, z[:, None, 1:-1] - z[None, :, 1:-1], overlap(z, z)
    share, square = v[:, None] / both, jnp.sum(apart**2, axis=-1) / both
    ends = (jnp.ones((n, n, 1)), -apart / both[..., None], (DIM / 4 * (1 - 2 * share) + share * square / 2)[..., None])
    left = jnp.concatenate(ends, axis=-1)  # derivatives of the logarithm of the overlap by the parameters of j
    cross = left[..., :, None] * left.transpose(1, 0, 2)[..., None, :]
    cross = cross.at[..., 1:-1, 1:-1].add(jnp.eye(DIM) / both[..., None, None])
    cross = cross.at[..., 1:-1, -1].add(apart * (share.T / both)[..., None])
    cross = cross.at[..., -1, 1:-1].add(-apart * (share / both)[..., None])
    cross = cross.at[..., -1, -1].add(share * share.T * (DIM / 2 - square))
    unit = jnp.repeat(a[:, None], width, axis=1).at[:, 0].set(1.0)
    return jnp.einsum("jk,jkil,ji,kl->jikl", value, cross, unit, unit).reshape(n * width, n * width)


def projected(z: Any, s: Any) -> Any:
    """The best amplitudes, with a ridge."""
    a = jnp.linalg.solve(overlap(z, z) + 1e-9 * jnp.eye(len(z)), overlap_with(z, s))
    return z.at[:, 0].set(a)


def step(z: Any, damping: Any, s: Any) -> tuple[Any, Any, Any]:
    """One step of Levenberg–Marquardt, at most one unit long, kept if it is downhill."""
    f, gradient = jax.value_and_grad(misfit)(z, s)
    matrix = gram(z)
    diagonal = jnp.diag(matrix)
    matrix += jnp.diag(damping * (diagonal + 1e-8 * diagonal.max()))
    factor = jax.scipy.linalg.cho_factor(matrix)
    change = -jax.scipy.linalg.cho_solve(factor, gradient.ravel() / 2).reshape(z.shape)
    new = z + change / jnp.maximum(1.0, jnp.abs(change[:, 1:]).max())
    f_new = misfit(new, s)
    good = f_new < f  # false for a factor that does not exist
    damping = jnp.clip(jnp.where(good, 0.3 * damping, 5 * damping), 1e-12, 1e6)
    return jnp.where(good, new, z), damping, jnp.where(good, f_new, f)


@partial(jax.jit, static_argnums=2)
def descended(population: Any, s: Any, steps: int) -> tuple[Any, Any]:
    """The fits after so many steps from their best amplitudes, and their misfits."""

    def once(_: int, now: Any) -> Any:
        return jax.vmap(step, (0, 0, None))(now[0], now[1], s)

    size = len(population)
    start = jax.vmap(projected, (0, None))(population, s), jnp.full(size, 1e-3), jnp.full(size, jnp.inf)
    found, _, f = jax.lax.fori_loop(0, steps, once, start)
    return found, jnp.where(jnp.isfinite(f), f, jnp.inf)


def changed(population: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A change of each fit: some terms go near others, all are shaken, or it is spliced with another fit."""
    new, n = population.copy(), population.shape[1]
    for z, out in zip(population, new, strict=True):
        kind = rng.random()
        if kind < 0.5:
            some = rng.choice(n, rng.integers(1, min(6, n)), replace=False)
            others = z[rng.choice(n, some.size)]
            out[some, 1:-1] = others[:, 1:-1] + rng.choice([0.1, 0.3, 0.6]) * rng.normal(size=(some.size, DIM))
            out[some, -1] = others[:, -1] + 0.2 * rng.normal(size=some.size)
        elif kind < 0.6:
            out[:, 1:] += rng.choice([0.03, 0.1, 0.2]) * rng.normal(size=(n, DIM + 1))
        else:
            other, normal = population[rng.integers(len(population))].copy(), rng.normal(size=DIM)
            other[:, 1:-1] *= rng.choice([-1, 1], DIM)  # g is even in each coordinate
            cut = rng.integers(n // 4, n - n // 4 + 1)
            order, order_other = (np.argsort(y[:, 1:-1] @ normal) for y in (z, other))
            out[:] = np.concatenate([z[order[:cut]], other[order_other[cut:]]])
            out[:, 1:] += 1e-3 * rng.normal(size=(n, DIM + 1))
    return new


def search(variance: np.ndarray, n: int, options: argparse.Namespace, rng: np.random.Generator) -> tuple[Any, float]:
    """The best fit of a population, (n, 2 + d), Π s_i = 1, and its relative error."""
    s, size = jnp.asarray(variance / np.prod(variance) ** (1 / DIM)), options.population
    z = np.zeros((size, n, DIM + 2))
    z[..., 1:-1] = rng.choice([0.15, 0.4, 0.8], (size, 1, 1)) * np.sqrt(s) * rng.normal(size=(size, n, DIM))
    z[..., -1] = 0.1 * rng.normal(size=(size, n))
    begin, rounds = time.time(), 0
    population, f = (np.array(x) for x in descended(z, s, 4 * options.steps))
    while time.time() - begin < options.seconds:
        rounds += 1
        new, f_new = (np.array(x) for x in descended(changed(population, rng), s, options.steps))
        better = f_new < f
        population[better], f[better] = new[better], f_new[better]
        if rounds % 8 == 0:  # the worst tenth become copies of the best
            order, few = np.argsort(f), size // 10
            population[order[size - few :]], f[order[size - few :]] = population[order[:few]], f[order[:few]]
    found, f = (np.array(x) for x in descended(population[np.argsort(f)[:8]], s, 1000))
    best = int(np.argmin(f))
    print(f"  {n} terms: {np.sqrt(f[best]):.5f}, {rounds * size} fits, {time.time() - begin:.0f} s", flush=True)
    return found[best], float(np.sqrt(f[best]))


def main() -> None:
    """Search and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--terms", type=int, nargs="+", default=[25, 50])
    parser.add_argument("--population", type=int, default=64)
    parser.add_argument("--steps", type=int, default=60, help="of a fit after a change")
    parser.add_argument("--seconds", type=float, default=120.0, help="for each of the two Gaussians")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="the fit with the last number of terms, θ as the demo takes it")
    options = parser.parse_args()
    print(jax.devices()[0].device_kind)
    results, shares = {}, np.prod(demo.VARIANCES, axis=1) ** -0.5
    for terms in options.terms:
        few = round(0.44 * terms)
        rng = np.random.default_rng([options.seed, terms])
        pairs = zip(demo.VARIANCES, (terms - few, few), strict=True)
        found = [search(variance, n, options, rng) for variance, n in pairs]
        errors = np.array([error for _, error in found])
        results[terms] = [*errors, np.sqrt(shares @ errors**2 / shares.sum())]
        if options.save:
            np.save(options.save, demo.assembled([z for z, _ in found]))
    print(json.dumps({str(terms): [round(float(e), 6) for e in errors] for terms, errors in results.items()}))


if __name__ == "__main__":
    main()
