"""Hénon–Heiles: wave packets with all integrals in closed form, in two and in six dimensions, and no points.

i ψ_t = −½ Δψ + V ψ, V = ½ |x|² + σ Σ_k (x_k² x_{k+1} − x_{k+1}³/3), σ = 0.111803 (M. Nest, H.-D. Meyer, J. Chem. Phys.
117 (2002) 10499).  In 2-D the autocorrelation ⟨ψ(0), ψ(t)⟩ is compared with that of a split-step Fourier method that
begins with the same packets; in 6-D norm and energy are watched.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import options_of, say
from mpi4py import MPI

import dfpde as df
from dfpde.closed_form import ClosedForm, Operator

SIGMA = 0.111803


def potential(dim: int) -> tuple[np.ndarray, ...]:
    """V as tensors of degree 0, 1, 2, 3."""
    cubic = np.zeros((dim,) * 3)
    for k in range(dim - 1):
        cubic[k, k, k + 1] += SIGMA
        cubic[k + 1, k + 1, k + 1] -= SIGMA / 3
    return np.zeros(()), np.zeros(dim), 0.5 * np.eye(dim), cubic


def packets(dim: int, n: int, center: float, apart: float, seed: int) -> tuple[df.WavePackets, np.ndarray]:
    """n coherent states around one at rest, apart in phase space, of norm about one together."""
    ansatz = df.WavePackets(dim, n)
    z = np.random.default_rng(seed).normal(size=(2, n, dim))
    z -= z.mean(axis=1, keepdims=True)
    height = 0.25 * dim * np.log(np.pi) + np.log(n)
    return ansatz, ansatz.pack(
        centers=center + apart * z[0], momenta=apart * z[1], zeta=[0.0, height], **ansatz.widths(1j * np.eye(dim))
    )


def split_step(initial: np.ndarray, x: np.ndarray, until: float, steps: int, outputs: int) -> list[np.ndarray]:
    """ψ at equal intervals, by Strang splitting with FFT, plain NumPy."""
    n, length = x.size, x.size * (x[1] - x[0])
    k = 2 * np.pi / length * np.fft.fftfreq(n, 1 / n)
    v = 0.5 * (x[:, None] ** 2 + x**2) + SIGMA * (x[:, None] ** 2 * x - x**3 / 3)
    dt = until / outputs / steps
    half, whole = np.exp(-0.5j * dt * v), np.exp(-0.5j * dt * (k[:, None] ** 2 + k**2))
    found, psi = [initial], initial
    for _ in range(outputs):
        for _ in range(steps):
            psi = half * np.fft.ifft2(whole * np.fft.fft2(half * psi))
        found.append(psi)
    return found


def run(dim: int, options: argparse.Namespace, comm: MPI.Comm) -> tuple[list[df.State], ClosedForm, dict[str, Any]]:
    """States at the output times, the model, and what is kept."""
    begin = time.process_time()
    ansatz, theta = packets(dim, options.packets, options.center, options.apart, options.seed)
    model = ClosedForm(ansatz, Operator.schroedinger(potential(dim)), comm=comm)
    theta = theta + ansatz.pack(centers=0.0, momenta=0.0, zeta=[0.0, np.log(model.norm(theta))], chirps=0.0, scales=0.0)
    start = df.State(0.0, theta)
    times = np.linspace(0, options.until, options.outputs + 1)[1:]
    rule = None if options.eps is None else df.Inertia(options.eps, options.rho)
    choices = {"times": times, "controller": df.PI(rtol=options.rtol), "regularization": rule}
    states = [start, *df.evolve(model, start, until=options.until, **choices)]
    hamiltonian = Operator(potential(dim), (), (-0.5 * np.eye(dim),))
    energy = np.array([model.inner(state.theta, hamiltonian).real for state in states])
    norms = np.array([model.norm(state) for state in states])
    return states, model, {
        "energy": float(energy[0]), "energy_drift": float(np.max(np.abs(energy / energy[0] - 1))),
        "norm_drift": float(np.max(np.abs(norms - 1))), "steps": states[-1].step, "parameters": ansatz.size,
        "seconds": round(time.process_time() - begin, 2),
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run in 2-D and 6-D, print one line."""
    parser = options_of(__doc__)
    parser.set_defaults(rtol=1e-6)
    parser.add_argument("--packets", type=int, default=4)
    parser.add_argument("--center", type=float, default=1.0)
    parser.add_argument("--apart", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--until", type=float)
    parser.add_argument("--outputs", type=int, default=20)
    parser.add_argument("--dims", type=int, nargs="+", default=[2, 6])
    options = parser.parse_known_args(argv)[0]
    options.until = options.until or (0.5 if options.quick else 5.0)
    comm, results = MPI.COMM_WORLD, {}
    with df.parallel.run(comm):
        for dim in options.dims:
            states, model, results[f"{dim}d"] = run(dim, options, comm)
            if dim == 2:
                x = np.linspace(-8.0, 8.0, 64, endpoint=False)
                plane = np.stack(np.meshgrid(x, x, indexing="ij")).reshape(2, -1)
                values = [model.field(state, plane).value.reshape(64, 64) for state in states]
                exact = split_step(values[0], x, options.until, 50, options.outputs)
                area = (x[1] - x[0]) ** 2
                ours, theirs = ([area * np.vdot(seen[0], one) for one in seen] for seen in (values, exact))
                apart = [np.sqrt(area) * np.linalg.norm(a - b) for a, b in zip(values, exact, strict=True)]
                results["2d"] |= {
                    "autocorrelation_error": float(np.max(np.abs(np.subtract(ours, theirs)))),
                    "error": float(np.max(apart)),
                }  # fmt: skip
        say("henon_heiles", results | {"t": options.until}, comm)
    return results


if __name__ == "__main__":
    main(sys.argv[1:])
