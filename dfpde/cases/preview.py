"""What a case is before it is run: mesh, ansatz, fit, a few steps, and what the whole will take."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from itertools import islice

from mpi4py import MPI

from ..ansatz import check_ansatz
from ..diagnostics.spectra import spectrum
from ..evolution import evolve
from ..evolution.state import State
from .case import Case, Setup

STEPS = 3  # tried
SAMPLE = 40  # points at which the ansatz is checked
UNRESOLVED = 0.9  # leverage above which the points do not resolve the tangent


def preview(case: Case, comm: MPI.Comm) -> Iterator[str]:
    """Lines that say what was found, as it is found; for one process.

    Raises
    ------
    CaseError, and whatever the fit or a step raises
    """
    setup = case.build(comm)
    q, problem = setup.problem.quadrature, setup.problem
    yield f"{case.title}: {problem.ansatz.size} parameters, {q.size} points, {q.dim}-D, measure {q.measure:.6g}"
    if setup.mesh is not None:
        names = (", ".join(setup.mesh.boundaries) or "-", ", ".join(setup.mesh.subdomains) or "-")
        yield f"mesh: boundaries {names[0]}; subdomains {names[1]}"
    begin = time.perf_counter()
    start = setup.start()
    norm = problem.norm(start)
    yield (
        f"fit: ‖Φ(θ) − u₀‖ = {start.statistics.error:.2e}, relative {start.statistics.error / norm:.1e}, "
        f"{time.perf_counter() - begin:.1f} s"
    )
    yield from _ansatz(setup, start)
    yield from _steps(case, setup, start)


def _ansatz(setup: Setup, start: State) -> Iterator[str]:
    q = setup.problem.quadrature
    report = check_ansatz(setup.problem.ansatz, q.x[:, :: max(1, q.n // SAMPLE)], start.theta)
    wrong = "".join(f"\n  {check}" for check in report.failed)
    held = len(report.checks) - len(report.failed)
    yield f"ansatz: {held} of {len(report.checks)} comparisons with differences hold{wrong}"


def _steps(case: Case, setup: Setup, start: State) -> Iterator[str]:
    begin = time.perf_counter()
    run = evolve(setup.problem, start, until=case.time.until, every_step=True, **setup.method)
    state = list(islice(run, STEPS))[-1]
    each = (time.perf_counter() - begin) / max(1, state.step - start.step)
    s = state.statistics
    yield f"step: dt = {s.dt:.2e}, ε = {s.eps:.1e}, ρ = {s.rho:.3g}, {s.rejected} of {state.step + s.rejected} rejected"
    yield f"defect: {s.relative_defect:.1e} of ‖f‖ = {s.rhs_norm:.2e}"
    dimension, resolution = _leverage(setup, state)
    yield f"effective dimension n_ε = {dimension:.4g} of {state.theta.size}; largest leverage of a row {resolution:.2g}"
    if resolution > UNRESOLVED:
        yield "  WARNING: one point decides a direction of θ\n  Try: more points, or fewer parameters"
    size = 8.0 * setup.problem.ansatz.size * setup.problem.quadrature.size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    yield f"memory: peak so far {peak:.2f} GiB; the tangent as an array {size / 2**30:.3f} GiB, divided over the ranks"
    left = (case.time.until - state.t) / (state.dt or s.dt)
    yield f"time: {each:.3f} s each step; at this step size {left:.0f} more steps, {_span(left * each)} (steps change)"


def _leverage(setup: Setup, state: State) -> tuple[float, float]:
    """Σ ℓ_k and max ℓ_k, ℓ_k = Σ_i σ_i²/(σ_i² + ε²) U_ki² of a row k: 1 where it alone decides a direction."""
    found = spectrum(setup.problem.tangent(state.theta), scale=setup.problem.scale)
    squares = found.values**2
    rows = found.left**2 @ (squares / (squares + state.statistics.eps**2))
    return float(rows.sum()), float(rows.max())


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
