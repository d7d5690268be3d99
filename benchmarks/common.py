"""What the benchmarks share: interleaved timings, the machine's rates, realistic tangents."""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # before NumPy is imported: one thread for each rank
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import resource
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.linalg.blas import dgemm

import dfpde as df


def medians(jobs: Mapping[str, Callable[[], Any]], pairs: int = 5, warm: bool = True) -> dict[str, float]:
    """Median seconds of each job; the jobs take turns, so a disturbance of the machine meets all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    if warm:
        for job in jobs.values():
            job()
    for _ in range(pairs):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def rates() -> dict[str, float]:
    """The physical limit: dgemm (GFlop/s) and gemv streaming from memory (GB/s) on one core."""
    a = np.asfortranarray(np.random.default_rng(0).standard_normal((1000, 1000)))
    big = np.ones((64, 1_000_000))
    v = np.ones(64)
    took = medians({"dgemm": lambda: dgemm(1.0, a, a), "stream": lambda: v @ big}, 5)
    return {"dgemm_gflops": 2.0 / took["dgemm"], "stream_gbs": big.nbytes / 1e9 / took["stream"]}


def peak_rss_gib() -> float:
    """Largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def allen_cahn(t: float, x: np.ndarray, u: df.Field) -> np.ndarray:
    """5e-3 u_xx + u − u³."""
    return 5e-3 * df.dx(u, 2) + u.value - u.value**3


def allen_cahn_start(x: np.ndarray) -> np.ndarray:
    """Initial data of the Allen–Cahn benchmark on [0, 2π) (Berman & Peherstorfer 2023)."""
    x = np.asarray(x)
    if x.ndim == 2:
        x = x[0]
    bumps = -np.exp(-23.5 * (x - np.pi / 2) ** 2) + np.exp(-27 * (x - 4.2) ** 2) + np.exp(-38 * (x - 5.4) ** 2)
    return np.tanh(2 * np.sin(x)) / 3 + bumps
