"""Tangent of a tanh network, dfpde's NumPy `Network` against jitted JAX, on one core.

    python benchmarks/network_tangent.py [--points 4000] [--pairs 5] [--every]

Both form ∂u/∂θ at N points for the same θ.  JAX does it in every way that is usual, and the fastest counts:

- `matrix`: one array (N, p) or (p, N), what a least-squares solver needs: vmap(grad) over a flat θ, jacfwd, jacrev;
- `arrays`: one array for each block of weights, which nobody has gathered yet: vmap(grad) over the list of blocks.

jacfwd and jacrev are tried only with --every, and on the smallest network (width 20, depth 2: 0.8 s and 5.8 s, hundreds
of times slower).  The way that is fastest in two warm runs is then timed in pairs with NumPy, interleaved; medians are
shown, and a ratio above 1 means that NumPy is faster.  Single-threaded and pinned to one core; for an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import jax
import jax.numpy as jnp
import numpy as np

from dfpde.ansatz.networks.network import Network

jax.config.update("jax_enable_x64", True)
Run = Callable[[], Any]


def jax_tangents(network: Network, theta: np.ndarray, x: np.ndarray, every: bool) -> dict[str, Run]:
    """Name -> tangent by JAX (compiled, warm)."""
    slices = list(network.slices().values())
    layers = [(theta[part].reshape(shape)) for part, shape in slices]

    def unpack(t: Any) -> list[Any]:
        return [t[part].reshape(shape) for part, shape in slices]

    def u(blocks: list[Any], point: Any) -> Any:
        h = point
        for w, b in zip(blocks[:-2:2], blocks[1:-2:2], strict=True):
            h = jnp.tanh(w @ h + b)
        return (blocks[-2] @ h + blocks[-1])[0]

    def flat(t: Any, point: Any) -> Any:
        return u(unpack(t), point)

    def field(t: Any, points: Any) -> Any:
        return jax.vmap(flat, (None, 0))(t, points)

    ways = {
        "matrix, points first": (jax.vmap(jax.grad(flat), (None, 0)), theta),
        "matrix, points last": (jax.vmap(jax.grad(flat), (None, 0), out_axes=1), theta),
        "arrays, points first": (jax.vmap(jax.grad(u), (None, 0)), layers),
        "arrays, points last": (jax.vmap(jax.grad(u), (None, 0), out_axes=-1), layers),
    }
    if every:
        ways |= {"matrix, jacfwd": (jax.jacfwd(field), theta), "matrix, jacrev": (jax.jacrev(field), theta)}
    found: dict[str, Run] = {}
    for name, (function, parameters) in ways.items():
        compiled, arguments = jax.jit(function), jax.device_put((parameters, x.T))
        found[name] = lambda run=compiled, given=arguments: jax.block_until_ready(run(*given))
        found[name]()
    return found


def seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(width: int, depth: int, points: int, pairs: int, every: bool) -> dict[str, Any]:
    """Medians of one network."""
    network = Network(1, (width,) * depth)
    theta, x = network.initial(0), np.random.default_rng(0).uniform(-1, 1, (1, points))
    ways = jax_tangents(network, theta, x, every)
    trial = {name: min(seconds(run) for _ in range(1 if "jac" in name else 2)) for name, run in ways.items()}
    row: dict[str, Any] = {"width": width, "depth": depth, "p": network.size, "trial": trial, "numpy": []}
    row["error"] = float(abs(np.asarray(ways["matrix, points last"]()) - network.tangent(theta, x)).max())
    for kind in ("matrix", "arrays"):
        best = min((name for name in ways if name.startswith(kind)), key=trial.__getitem__)
        times = [(seconds(lambda: network.tangent(theta, x)), seconds(ways[best])) for _ in range(pairs)]
        own, other = (statistics.median(column) for column in zip(*times, strict=True))
        row[kind], row[f"{kind} ms"] = other / own, 1e3 * other
        row["numpy"].append(1e3 * own)
    return row


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=4000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--every", action="store_true", help="also jacfwd and jacrev, on the smallest network")
    options = parser.parse_args(argv)
    cases = [(width, depth) for width in (20, 50, 100) for depth in (2, 3, 4)]
    print(f"{'width':>5} {'depth':>5} {'p':>6} | {'NumPy':>8} {'matrix':>8} {'arrays':>8} ms | ratio: matrix arrays")
    rows = []
    for number, (width, depth) in enumerate(cases):
        row = compare(width, depth, options.points, options.pairs, options.every and number == 0)
        print(
            f"{width:5} {depth:5} {row['p']:6} | {statistics.mean(row['numpy']):8.2f} {row['matrix ms']:8.2f} "
            f"{row['arrays ms']:8.2f}    | {row['matrix']:13.2f} {row['arrays']:6.2f}",
            flush=True,
        )
        rows.append(row)
    for name, time_ in rows[0]["trial"].items():
        if "jac" in name:
            print(f"{name}: {time_:.2f} s on the first network")
    result = {
        "benchmark": "network_tangent",
        "points": options.points,
        "ratio_min": round(min(row["matrix"] for row in rows), 3),
        "ratio_median": round(statistics.median(row["matrix"] for row in rows), 3),
        "ratio_arrays_min": round(min(row["arrays"] for row in rows), 3),
        "ratio_arrays_median": round(statistics.median(row["arrays"] for row in rows), 3),
        "error_max": max(row["error"] for row in rows),
    }
    print(json.dumps(result))
    return result


if __name__ == "__main__":
    main()
