"""A whole RK4 step of Allen–Cahn with a periodic network: dfpde against the same step jitted in JAX, on one core.

    python benchmarks/step.py [--full] [--field]

Both start from the same fitted θ with the same ε and take the same steps: tangent, right-hand side and four solves
each.  JAX forms J by vmap(grad) and calls jax.numpy.linalg.lstsq on [√W J; εI]; the random-sparse variant (RSNG,
Berman & Peherstorfer 2023) does so with a random third of the columns.  Errors are relative L² against a Fourier
solution (exact linear part, RK4 in the interaction picture).  Then one stage of the
3 × 64 network, stored against matrix-free; with --field instead the
comparison of `publication_size`.  A table, then one JSON object; ratios > 1: dfpde is faster.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import publication_size
from common import allen_cahn, allen_cahn_start, medians, peak_rss_gib, rates
from mpi4py import MPI

import dfpde as df
from dfpde.ansatz.networks.embedding import PeriodicEmbedding
from dfpde.ansatz.networks.network import Network

COMM = MPI.COMM_SELF
DT, RHO = 5e-3, 0.97
TURN = 5  # steps of a method before the next one has its turn


def setup(widths: tuple[int, ...], n: int, iterations: int) -> tuple[df.Problem, df.State]:
    """Network on [0, 2π), fitted to the initial data."""
    ansatz = Network(1, widths, embedding=PeriodicEmbedding((2 * np.pi,), 4))
    problem = df.Problem(ansatz, df.Quadrature.periodic((0, 2 * np.pi), n, COMM), allen_cahn)
    return problem, df.fit(problem, allen_cahn_start, ansatz.initial(0), max_iterations=iterations)


def spectral(values: np.ndarray, t: float) -> np.ndarray:
    """Allen–Cahn on [0, 2π) from grid values: RK4 in the interaction picture of the heat flow, steps of 1e-4."""
    k = np.fft.rfftfreq(values.size, 1 / values.size)
    steps = max(1, round(t / 1e-4))
    h = t / steps
    half = np.exp(-5e-3 * k**2 * h / 2)

    def react(u_hat: np.ndarray) -> np.ndarray:
        u = np.fft.irfft(u_hat, values.size)
        return np.fft.rfft(u - u**3)

    u = np.fft.rfft(values)
    for _ in range(steps):
        a = react(u)
        b = react(half * (u + h / 2 * a))
        c = react(half * u + h / 2 * b)
        d = react(half * (half * u + h * c))
        u = half * (half * (u + h / 6 * a) + h / 3 * (b + c)) + h / 6 * d
    return np.fft.irfft(u, values.size)


def jax_step(problem: df.Problem, eps: float, columns: int | None) -> Any:
    """(θ, key) -> θ after one RK4 step, jitted: Tikhonov by lstsq, all columns or a random subset in every stage."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    ansatz, x, w = problem.ansatz, jnp.asarray(problem.quadrature.x[0]), jnp.asarray(problem.quadrature.w)
    slices = {name: (part, shape) for name, (part, shape) in ansatz.slices().items()}

    def u(theta: Any, point: Any) -> Any:
        block = {name: theta[part].reshape(shape) for name, (part, shape) in slices.items()}
        waves = jnp.array([wave for _, wave in ansatz.embedding.waves])
        h = jnp.cos(waves[:, None] * (point - block["shifts"].reshape(len(waves), -1))).reshape(-1)
        depth = len(ansatz.widths)
        for layer in range(depth):
            h = jnp.tanh(block[f"weights{layer}"] @ h + block[f"biases{layer}"])
        return (block[f"weights{depth}"] @ h + block[f"biases{depth}"])[0]

    xx = jax.grad(jax.grad(u, 1), 1)

    def velocity(theta: Any, key: Any) -> Any:
        value = jax.vmap(u, (None, 0))(theta, x)
        f = 5e-3 * jax.vmap(xx, (None, 0))(theta, x) + value - value**3
        tangent = jax.vmap(jax.grad(u), (None, 0))(theta, x) * jnp.sqrt(w)[:, None]
        if columns is not None:
            chosen = jax.random.choice(key, theta.size, (columns,), replace=False)
            tangent = tangent[:, chosen]
        stacked = jnp.vstack([tangent, eps * jnp.eye(tangent.shape[1])])
        v = jnp.linalg.lstsq(stacked, jnp.concatenate([jnp.sqrt(w) * f, jnp.zeros(tangent.shape[1])]))[0]
        return v if columns is None else jnp.zeros_like(theta).at[chosen].set(v)

    def step(theta: Any, key: Any) -> Any:
        keys = jax.random.split(key, 4)
        a = velocity(theta, keys[0])
        b = velocity(theta + DT / 2 * a, keys[1])
        c = velocity(theta + DT / 2 * b, keys[2])
        d = velocity(theta + DT * c, keys[3])
        return theta + DT / 6 * (a + 2 * b + 2 * c + d)

    compiled = jax.jit(step)
    assert np.allclose(
        jax.vmap(u, (None, 0))(jnp.ones(ansatz.size), x), ansatz.value(np.ones(ansatz.size), problem.quadrature.x)
    )
    return lambda theta, seed: compiled(theta, jax.random.PRNGKey(seed)).block_until_ready()


def compare(widths: tuple[int, ...], n: int, steps: int) -> dict[str, Any]:
    """Run the same steps with each method."""
    problem, start = setup(widths, n, 60)
    p, q = problem.ansatz.size, problem.quadrature
    eps = 1e-4 * float(problem.tangent(start.theta).column_norms().max())
    reference = spectral(allen_cahn_start(q.x), steps * DT)
    seconds: dict[str, list[float]] = {}
    errors: dict[str, float] = {}
    runs = {"JAX lstsq": jax_step(problem, eps, None), "JAX random sparse": jax_step(problem, eps, p // 3)}
    thetas = {name: start.theta for name in runs}
    for step in runs.values():
        step(start.theta, 0)  # compile
    ours = df.evolve(
        problem,
        start,
        until=steps * DT,
        controller=df.Fixed(DT),
        integrator=df.RK4,
        regularization=df.Inertia(eps, RHO),
    )

    def advance(name: str, k: int) -> None:
        began = time.process_time()
        thetas[name] = next(ours).theta if name == "dfpde" else runs[name](thetas[name], k)
        seconds.setdefault(name, []).append(time.process_time() - began)

    for begin in range(0, steps, TURN):  # the methods take turns
        for name in ("dfpde", *runs):
            for k in range(begin, min(begin + TURN, steps)):
                advance(name, k)
    print(f"\nnetwork {widths}, p = {p}, N = {n}, ε = {eps:.1e}, {steps} RK4 steps of {DT}; start misfit "
          f"{start.statistics.error / q.norm(reference):.1e}")  # fmt: skip
    medians_ms = {name: 1e3 * float(np.median(values)) for name, values in seconds.items()}
    for name, ms in medians_ms.items():
        value = problem.ansatz.value(np.asarray(thetas[name]), q.x)
        errors[name] = q.norm(value - reference) / q.norm(reference)
        print(f"  {name:18s} {ms:9.1f} ms a step   relative error {errors[name]:.2e}")
    return {"p": p, "n": n, "milliseconds": medians_ms, "errors": errors}


def storage(n: int) -> dict[str, float]:
    """One inertial stage of a 3 × 64 network: stored tangent, matrix-free, and what the default takes."""
    ansatz = Network(1, (64,) * 3, embedding=PeriodicEmbedding((2 * np.pi,), 4))
    q = df.Quadrature.periodic((0, 2 * np.pi), n, COMM)
    theta = ansatz.initial(0)
    print(f"\n3 × 64 network, p = {ansatz.size}, N = {n}: products with J")
    problem = df.Problem(ansatz, q, allen_cahn)
    v, y = np.ones(ansatz.size), np.ones(n)
    free = problem.tangent(theta)
    from dfpde.leastsquares import DenseRows, real_rows, root_weights

    root = root_weights(q.w, (), float)
    stored = DenseRows(real_rows(ansatz.tangent(theta, q.x), 1), root)
    took = medians(
        {
            "form J": lambda: ansatz.tangent(theta, q.x),
            "stored J v, Jᵀy": lambda: (stored.apply(v), stored.adjoint(y)),
            "matrix-free J v, Jᵀy": lambda: (free.apply(v), free.local_adjoint(y)),
        }
    )
    for name, value in took.items():
        print(f"  {name:22s} {1e3 * value:9.1f} ms")
    default = "matrix-free" if free.stored_bytes == 0 else "stored"
    iterations = 5
    stage_stored = took["form J"] + iterations * took["stored J v, Jᵀy"]
    stage_free = iterations * took["matrix-free J v, Jᵀy"]
    faster = "matrix-free" if stage_free < stage_stored else "stored"
    print(f"  a stage of {iterations} iterations: stored {1e3 * stage_stored:.0f} ms, matrix-free "
          f"{1e3 * stage_free:.0f} ms; default: {default}")  # fmt: skip
    return {
        "stored_ms": 1e3 * stage_stored,
        "matrix_free_ms": 1e3 * stage_free,
        "default_is_faster": float(default == faster),
    }


def main() -> None:
    """Tables and JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--full", action="store_true", help="three networks, more steps")
    parser.add_argument("--field", action="store_true", help="networks and points as in papers")
    options = parser.parse_args()
    full = options.full
    machine = rates()
    print(f"machine: dgemm {machine['dgemm_gflops']:.1f} GFlop/s, streaming {machine['stream_gbs']:.1f} GB/s, one core")
    if options.field:
        print(json.dumps({**publication_size.field(full), **machine, "peak_rss_gib": peak_rss_gib()}))
        return
    shapes = [((11,) * 3, 1000), ((14,) * 3, 2000), ((18,) * 3, 4000)] if full else [((14,) * 3, 2000)]
    cases = [compare(widths, n, 20 if full else 15) for widths, n in shapes]
    ratio = min(c["milliseconds"]["JAX lstsq"] / c["milliseconds"]["dfpde"] for c in cases)
    sparse = min(c["milliseconds"]["JAX random sparse"] / c["milliseconds"]["dfpde"] for c in cases)
    line = {
        "ratio_jax_step": ratio,
        "ratio_random_sparse": sparse,
        "error": max(c["errors"]["dfpde"] for c in cases),
        "error_jax": max(c["errors"]["JAX lstsq"] for c in cases),
        "error_random_sparse": max(c["errors"]["JAX random sparse"] for c in cases),
        **storage(4000),
        **machine,
        "peak_rss_gib": peak_rss_gib(),
        "cases": cases,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
