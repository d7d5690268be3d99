"""Laplacian of a network against the space dimension: jets of value, d slopes and d second derivatives, 2 d + 1 passes.

    python benchmarks/network_laplacian.py
"""

from __future__ import annotations

import json
import time

import numpy as np

import dfpde as df
from dfpde.parallel.threads import one_thread

DIMS, POINTS, WIDTHS, REPEATS = (1, 2, 5, 10), 4000, (32, 32, 32), 5


def best(call: object, *arguments: object) -> float:
    """Least of a few CPU times in milliseconds."""
    seconds = []
    for _ in range(REPEATS):
        begin = time.process_time()
        call(*arguments)  # type: ignore[operator]
        seconds.append(time.process_time() - begin)
    return round(1e3 * min(seconds), 2)


@one_thread()
def main() -> None:
    """Milliseconds of value, gradient, Laplacian and tangent in each dimension."""
    for d in DIMS:
        network = df.Network(d, WIDTHS)
        theta, x = network.initial(0), np.random.default_rng(0).normal(size=(d, POINTS))
        parts = {name: best(getattr(network, name), theta, x) for name in ("value", "gradient", "laplacian", "tangent")}
        print("network_laplacian:", json.dumps({"d": d, "p": network.size, "points": POINTS} | parts), flush=True)


if __name__ == "__main__":
    main()
