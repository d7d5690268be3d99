"""Sizes of blocks that stay in a cache, around the values in use: CPU times of one core, for docs/least_squares.md.

    python benchmarks/blocks.py

Each constant is varied in its place, the sizes take turns; medians of five.  One line for a constant and a case, the
size in use marked; then one JSON object.  `benchmarks/compositions.py --autodiff` does the same for chunks of points of
JAX functions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from common import medians, rates
from scipy.linalg.blas import dsyrk

import dfpde as df
from dfpde.ansatz.mixtures import exponential
from dfpde.ansatz.networks import network
from dfpde.leastsquares import DenseRows, rows

MIB = 1 << 20
EVERYTHING = 1 << 40


def row(name: str, case: str, used: int, jobs: dict[int, Callable[[], Any]], unit: int = 1) -> dict[str, float]:
    """Time the sizes in turn and print milliseconds."""
    seconds = medians({str(size): job for size, job in jobs.items()})
    shown = []
    for size in jobs:
        label = "all" if size == EVERYTHING else f"{size / unit:g}"
        shown.append(f"{label}{'*' if size == used else ''}: {1e3 * seconds[str(size)]:.2f}")
    print(f"  {name:18s} {case:44s} " + ", ".join(shown), flush=True)
    return {size: 1e3 * value for size, value in seconds.items()}


def with_constant(module: ModuleType, name: str, size: int, job: Callable[[], Any]) -> None:
    """Run a job with the constant of a module changed."""
    before = getattr(module, name)
    setattr(module, name, size)
    try:
        job()
    finally:
        setattr(module, name, before)


def stored(n: int, p: int) -> DenseRows:
    """n random rows of p parameters."""
    return DenseRows(np.random.default_rng(0).standard_normal((p, n)), np.ones(n))


def gram(block: DenseRows, size: int) -> None:
    """JᵀJ by chunks of so many bytes."""
    total = np.zeros((block.columns, block.columns), order="F")
    for chunk in block.chunks(1, None, size):
        dsyrk(1.0, chunk.T, beta=1.0, c=total, trans=1, lower=1, overwrite_c=1)


def evaluations(
    module: ModuleType, ansatz: df.Ansatz, theta: np.ndarray, x: np.ndarray, sizes: Sequence[int]
) -> dict[int, Callable[[], Any]]:
    """Value, Laplacian and tangent in one pass for each size of a block."""
    alphas = [(0,) * ansatz.dim, *(tuple(2 * (axis == k) for k in range(ansatz.dim)) for axis in range(ansatz.dim))]
    job = partial(ansatz.evaluate, theta, x, alphas)
    return {size: partial(with_constant, module, "BLOCK", size, job) for size in sizes}


def main() -> None:
    """Table and JSON."""
    machine, line = rates(), {}
    print(f"machine: dgemm {machine['dgemm_gflops']:.1f} GFlop/s, streaming {machine['stream_gbs']:.1f} GB/s, one core")
    block = stored(20_000, 500)
    jobs = {size * MIB: partial(gram, block, size * MIB) for size in (1, 2, 4, 8)}
    jobs[EVERYTHING] = partial(gram, block, EVERYTHING)
    line["gram"] = row("CHUNK_BYTES, MiB", "Gram matrix, N = 20 000, p = 500", rows.CHUNK_BYTES, jobs, MIB)
    for width, n in ((14, 20_000), (64, 4000)):
        ansatz = df.Network(1, (width,) * 3, embedding=df.PeriodicEmbedding((2 * np.pi,), 4))
        x = np.linspace(0, 6, n)[None]
        jobs = evaluations(network, ansatz, ansatz.initial(0), x, (512, 1024, 2048, 4096, 8192))
        line[f"network {width}"] = row("network.BLOCK", f"network 3 × {width}, {n} points", network.BLOCK, jobs)
    mixture = df.GaussianMixture.isotropic(2, 40)
    rng = np.random.default_rng(0)
    theta = mixture.pack(amplitudes=1.0, centers=rng.standard_normal((40, 2)), scales=2.0)
    sizes = (2048, 8192, 16_384, 32_768, 65_536, EVERYTHING)
    jobs = evaluations(exponential, mixture, theta, rng.standard_normal((2, 20_000)), sizes)
    line["mixture"] = row("exponential.BLOCK", "40 Gaussians in the plane, 20 000 points", exponential.BLOCK, jobs)
    print(json.dumps({**line, **machine}))


if __name__ == "__main__":
    main()
