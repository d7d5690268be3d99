"""Steps at the size that papers publish: `python benchmarks/step.py --field`.

RSNG's network (6 × 25, rational, 3389 parameters) on the 1000 points of its Allen–Cahn problem: a Runge–Kutta 4 step
of dfpde in double precision, of jitted JAX with `lstsq` of all columns, and with 150 random columns drawn once for the
step (RSNG, Berman & Peherstorfer, arXiv 2310.04867), both in single precision as published.  Then the Vlasov problem of
arXiv 2605.00284 (B.3) with a 3 × 32 network on 128² points, in the middle of a run: a stage of dfpde against one with
Gram matrix and Cholesky of all rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import allen_cahn, allen_cahn_start
from mpi4py import MPI

import dfpde as df
from dfpde.ansatz.networks.activations import Rational
from dfpde.leastsquares import LSQR, GramCholesky, LeastSquares, singular_values

COMM = MPI.COMM_SELF
DT, COLUMNS = 5e-3, 150


def cpu(job: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a job, and what it returns."""
    begin = time.process_time()
    result = job()
    return time.process_time() - begin, result


def allen_cahn_network() -> tuple[df.Problem, df.State]:
    """RSNG's network, fitted."""
    ansatz = df.Network(1, (25,) * 6, Rational(), df.PeriodicEmbedding((2 * np.pi,), 1))
    problem = df.Problem(ansatz, df.Quadrature.periodic((0, 2 * np.pi), 1000, COMM), allen_cahn)
    return problem, df.fit(problem, allen_cahn_start, ansatz.initial(0), max_iterations=60)


def jax_step(problem: df.Problem, columns: int | None) -> Callable[[Any, int], Any]:
    """(θ, seed) -> θ after a step, jitted, single precision: lstsq of all columns, or of a random set for the step."""
    import jax
    import jax.numpy as jnp

    ansatz, x = problem.ansatz, jnp.asarray(problem.quadrature.x[0], jnp.float32)
    slices, depth = ansatz.slices(), len(ansatz.widths)
    waves = jnp.asarray([wave for _, wave in ansatz.embedding.waves], jnp.float32)

    def u(theta: Any, point: Any) -> Any:
        block = {name: theta[part].reshape(shape) for name, (part, shape) in slices.items()}
        h = jnp.cos(waves * (point - block["shifts"]))
        for layer in range(depth):
            z, c = block[f"weights{layer}"] @ h + block[f"biases{layer}"], block["coefficients"][layer]
            h = (c[0] + z * (c[1] + z * (c[2] + z * c[3]))) / (1 + (c[4] + c[5] * z) ** 2)
        return (block[f"weights{depth}"] @ h + block[f"biases{depth}"])[0]

    xx = jax.grad(jax.grad(u, 1), 1)

    @jax.jit
    def velocity(theta: Any, chosen: Any) -> Any:
        value = jax.vmap(u, (None, 0))(theta, x)
        f = 5e-3 * jax.vmap(xx, (None, 0))(theta, x) + value - value**3
        if chosen is None:
            return jnp.linalg.lstsq(jax.vmap(jax.grad(u), (None, 0))(theta, x), f)[0]
        part = jax.grad(lambda some, point: u(theta.at[chosen].set(some), point))
        sketch = jax.vmap(part, (None, 0))(theta[chosen], x)
        return jnp.zeros_like(theta).at[chosen].set(jnp.linalg.lstsq(sketch, f)[0])

    def step(theta: Any, key: Any) -> Any:
        chosen = None if columns is None else jax.random.choice(key, theta.size, (columns,), replace=False)
        a = velocity(theta, chosen)
        b = velocity(theta + DT / 2 * a, chosen)
        c = velocity(theta + DT / 2 * b, chosen)
        d = velocity(theta + DT * c, chosen)
        return theta + DT / 6 * (a + 2 * b + 2 * c + d)

    probe = np.linspace(-0.3, 0.4, ansatz.size)
    np.testing.assert_allclose(
        jax.vmap(u, (None, 0))(jnp.asarray(probe, jnp.float32), x), ansatz.value(probe, problem.quadrature.x), rtol=1e-4
    )
    return lambda theta, seed: step(jnp.asarray(theta, jnp.float32), jax.random.PRNGKey(seed)).block_until_ready()


def rsng(steps: int) -> dict[str, Any]:
    """Medians of a step, the methods in turn."""
    problem, start = allen_cahn_network()
    eps = 1e-4 * float(problem.tangent(start.theta).column_norms().max())
    sigma = singular_values(problem.tangent(start.theta))
    runs = {
        "JAX lstsq, float32": jax_step(problem, None),
        f"RSNG, {COLUMNS} columns, float32": jax_step(problem, COLUMNS),
    }
    for step in runs.values():
        step(start.theta, 0)  # compile
    ours = df.evolve(
        problem, start, until=2 * steps * DT, controller=df.Fixed(DT), integrator=df.RK4,
        regularization=df.Inertia(eps, 0.97),
    )  # fmt: skip
    for _ in range(3):
        next(ours)  # the sampling rule finds its number of rows
    seconds: dict[str, list[float]] = {"dfpde": [], **{name: [] for name in runs}}
    for k in range(steps):
        seconds["dfpde"].append(cpu(lambda: next(ours))[0])
        for name, step in runs.items():
            seconds[name].append(cpu(lambda step=step, k=k: step(start.theta, k))[0])
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    dimension = float(np.sum(sigma**2 / (sigma**2 + eps**2)))
    print(f"\nAllen–Cahn, p = {problem.ansatz.size}, N = 1000, ε = {eps:.1e}, effective dimension {dimension:.0f}, fit "
          f"misfit {start.relative_misfit:.1e}; CPU time of a step of RK4")  # fmt: skip
    for name, value in medians.items():
        print(f"  {name:28s} {1e3 * value:8.1f} ms")
    own, dense, sparse = medians.values()
    return {
        "ratio_rsng_dense": dense / own, "ratio_rsng_sparse": sparse / own, "effective_dimension": dimension,
        "step_ms": 1e3 * own, "parameters": problem.ansatz.size,
    }  # fmt: skip


def force(x: np.ndarray) -> np.ndarray:
    """φ' of φ = −0.2 (1 + cos πx⁴) − 0.1 sin πx."""
    return 0.2 * np.sin(np.pi * x**4) * 4 * np.pi * x**3 - 0.1 * np.pi * np.cos(np.pi * x)


def vlasov_start(x: np.ndarray) -> np.ndarray:
    """exp(−((x − 0.1)² + v²)/0.15²)."""
    return np.exp(-((x[0] - 0.1) ** 2 + x[1] ** 2) / 0.15**2)


def vlasov(points: int, ansatz: df.Ansatz | None = None) -> df.Problem:
    """The problem on points² points."""
    ansatz = df.Network(2, (32,) * 3, embedding=df.PeriodicEmbedding((2.0, 2.0), 8)) if ansatz is None else ansatz

    def rhs(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
        return -x[1] * u.gradient[0] + force(x[0]) * u.gradient[1]

    return df.Problem(ansatz, df.Quadrature.periodic(((-1, 1), (-1, 1)), points, COMM), rhs)


def vlasov_stage(steps: int) -> dict[str, Any]:
    """A stage in the middle of a run against all rows by Gram matrix and Cholesky."""
    problem = vlasov(128)
    theta = problem.ansatz.initial(0)
    for points, most in ((32, 150), (64, 60), (128, 10)):  # a coarse grid first: most iterations are cheap
        coarse, loose = vlasov(points, problem.ansatz), LSQR(rtol=1e-2)
        start = df.fit(coarse, vlasov_start, theta, max_iterations=most, rtol=1e-3, solver=loose)
        theta = start.theta
    eps = 1e-4 * float(problem.tangent(theta).column_norms().max())
    solver = LSQR()
    run = df.evolve(
        problem, df.State(0.0, theta), until=1.0, controller=df.Fixed(1e-2), integrator=df.RK4,
        regularization=df.Inertia(eps, 0.97), solver=solver,
    )  # fmt: skip
    for _ in range(steps):
        seconds, state = cpu(lambda: next(run))
    all_rows = LSQR(preconditioner=GramCholesky())

    def stage(used: LSQR) -> Any:
        system = problem.system(state.t, state.theta)
        rhs = system.rhs - 0.97 * system.tangent.apply(state.velocity)
        return used.solve(LeastSquares(system.tangent, rhs, eps, system.scale))

    whole, exact = cpu(lambda: stage(all_rows))
    own, found = cpu(lambda: stage(solver))
    difference = float(np.linalg.norm(found.value - exact.value) / np.linalg.norm(exact.value))
    print(f"\nVlasov, p = {problem.ansatz.size}, N = 128², ε = {eps:.1e}, t = {state.t:g}, fit misfit "
          f"{start.relative_misfit:.1e}; CPU time of a stage")  # fmt: skip
    print(f"  dfpde            {own:8.2f} s, {found.iterations} iterations; mean of the last step {seconds / 4:.2f} s")
    print(f"  Gram, all rows   {whole:8.2f} s; solutions differ by {difference:.1e}")
    return {
        "ratio_gram_vlasov": whole / own, "ratio_gram_vlasov_mean": whole / (seconds / 4), "vlasov_stage_s": own,
        "vlasov_fit": start.relative_misfit,
    }  # fmt: skip


def field(full: bool) -> dict[str, Any]:
    """Both, for the last line of step.py."""
    return {**rsng(9 if full else 5), **vlasov_stage(5 if full else 3)}
