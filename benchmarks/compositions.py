"""Figures of docs/ansatz.md: what compositions cost beside the ansatz inside, and the chunk of `JaxFunction`.

    python benchmarks/compositions.py [--autodiff]

CPU time (not wall time) of one core, best of several; one JSON line for each ansatz.
"""

import argparse
import itertools
import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np

from dfpde import ansatz as a

POINTS = 4000
rng = np.random.default_rng(0)
x = rng.uniform(-0.9, 0.9, (2, POINTS))


def best(job, repeats=7):
    """Milliseconds."""
    job()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        job()
        times.append(time.process_time() - start)
    return round(min(times) * 1e3, 2)


def line(name, u, theta, methods):
    v, y = rng.normal(size=u.size), rng.normal(size=(*u.shape, POINTS))
    jobs = {
        "value": lambda: u.value(theta, x),
        "gradient": lambda: u.gradient(theta, x),
        "laplacian": lambda: u.laplacian(theta, x),
        "tangent": lambda: u.tangent(theta, x),
        "jvp": lambda: u.jvp(theta, x, v),
        "vjp": lambda: u.vjp(theta, x, y),
    }
    if "linearize" in methods:  # once for all products of a solve, which then cost less
        kept = u.linearize(theta, x)[1]
        jobs |= {"linearize": lambda: u.linearize(theta, x), "kept jvp": lambda: kept.jvp(v)}
        jobs["kept vjp"] = lambda: kept.vjp(y)
    milliseconds = {method: best(jobs[method]) for method in methods}
    print(json.dumps({"ansatz": name, "p": u.size, "points": POINTS, "ms": milliseconds}), flush=True)


def compositions(name, inside):
    box = a.Polynomial.box([-1, -1], [1, 1])
    cases = {
        "alone": inside,
        "Masked": a.Masked(inside, box),
        "Transform": a.Transform(inside, a.exp),
        "Symmetric": a.Symmetric(inside, [((-1, 1), 1)]),
        "Frozen": a.Frozen(inside, rng.normal(size=inside.size), list(inside.slices())[1:2]),
        "Sum of two": a.Sum(inside, inside),
        "Product of two": a.Product(inside, inside),
        "Stack of two": a.Stack(inside, inside),
    }
    for case, u in cases.items():
        theta = 0.5 * rng.normal(size=u.size)
        kept = ("linearize", "kept jvp", "kept vjp")
        line(f"{name}: {case}", u, theta, ("value", "gradient", "laplacian", "tangent", "jvp", "vjp", *kept))


def chunks():
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def network(theta, x):
        for weights, biases in theta[:-1]:
            x = jnp.tanh(weights @ x + biases)
        return (theta[-1][0] @ x + theta[-1][1])[0]

    for widths in ([2, 10, 10, 1], [2, 64, 64, 64, 1]):
        pairs = itertools.pairwise(widths)
        theta0 = [(rng.normal(size=(m, n)) / np.sqrt(n), rng.normal(size=m)) for n, m in pairs]
        for chunk in (64, 256, 512, 1024, 4096):
            u = a.JaxFunction(network, theta0, dim=2, chunk=chunk)
            line(f"JaxFunction {widths}, chunk {chunk}", u, u.theta0, ("value", "laplacian", "tangent", "jvp", "vjp"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--autodiff", action="store_true", help="the chunk of JaxFunction instead")
    if parser.parse_args().autodiff:
        chunks()
    else:
        compositions("40 Gaussians", a.GaussianMixture.isotropic(2, 40))
        compositions("network 2 x 40", a.Network(2, (40, 40)))
