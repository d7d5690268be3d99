"""One rank of a run fails: does the whole job end, with a code, and with one message?

    python scripts/mpi_faults.py            # table of all faults, on either rank, launch commands and blocks in turn
    python scripts/mpi_faults.py --all      # every fault with every launch command, with and without the block
    python scripts/mpi_faults.py rhs loop   # faults whose names contain a word
    python scripts/mpi_faults.py --part 0/4 # every fourth of them

A fault is (what fails, on which rank, from which step on, launch command, with or without `dfpde.parallel.run`).  Each
runs on two ranks; a run that lasts longer than the time-out hangs.  A good one ends with a code other than 0 and with
one message, that of the fault.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

RAISED = ["rhs", "condition", "value", "tangent", "chunk", "derivative", "event", "action", "rescue", "initial"]
RAISED += ["writer"]
VALUES = ["rhs-nan", "rhs-shape", "rhs-complex", "condition-nan", "initial-nan", "initial-shape", "weights"]
LEAVING = ["loop-raise", "loop-exit", "loop-text", "loop-interrupt", "rhs-exit", "rhs-interrupt"]
LEAVING += ["before", "before-exit", "before-interrupt", "after"]
KILLED = ["loop-kill", "loop-_exit"]
DIFFERENT = ["theta", "guess", "until", "dt", "times", "t", "rtol", "eps", "scale", "integrator", "rule", "solver"]
FAULTS = [*RAISED, *VALUES, *LEAVING, *KILLED, *(f"other-{name}" for name in DIFFERENT)]
WORDS = {"dt": "controller.dt", "t": "state.t", "rtol": "controller.rtol", "eps": "regularization.eps",
         "theta": "state.theta", "rule": "regularization", "integrator": "integrator.tableau.name"}  # fmt: skip
LAUNCHERS = ["dfpde mpirun", "mpirun", "mpirun -m mpi4py"]


@dataclass(frozen=True)
class Fault:
    """One run."""

    what: str
    rank: int
    step: int
    launcher: str
    guarded: bool

    def command(self) -> list[str]:
        """Words that start it on two ranks."""
        from dfpde.parallel.launch import find_launcher

        guard = ["--guarded"] if self.guarded else []
        words = [__file__, "--program", self.what, "--rank", str(self.rank), "--step", str(self.step), *guard]
        if self.launcher == "dfpde mpirun":
            return [sys.executable, "-m", "dfpde", "mpirun", "-n", "2", *words]
        return find_launcher().command(2, ["-m", "mpi4py", *words] if "mpi4py" in self.launcher else words)


# -- the program that fails ------------------------------------------------------------------------------------
def program(what: str, rank: int, step: int, guarded: bool) -> None:
    """Fit and ten steps of an advection equation, with one fault on one rank."""
    import numpy as np
    from mpi4py import MPI

    import dfpde as df

    comm = MPI.COMM_WORLD
    here = comm.rank == rank

    def fails(name: str, t: float = 1.0) -> bool:
        """Whether this is the fault, the rank and the time."""
        return here and what == name and t > 0.05 * step - 1e-9

    def breaks(name: str, t: float = 1.0) -> None:
        if fails(name, t):
            raise OSError(f"disk of rank {rank}")
        if fails(f"{name}-exit", t):
            sys.exit(3)
        if fails(f"{name}-interrupt", t):
            raise KeyboardInterrupt

    def other(name: str, value: Any, different: Any) -> Any:
        """A value that one rank has otherwise."""
        return different if here and what == f"other-{name}" else value

    class Mixture(df.GaussianMixture):
        now, calls = 0.0, 0

        def evaluate(self, theta: Any, x: Any, alphas: Any) -> Any:
            breaks("derivative", self.now)
            return super().evaluate(theta, x, alphas)

        def derivative(self, theta: Any, x: Any, alpha: Any) -> Any:
            breaks("derivative", self.now)
            return super().derivative(theta, x, alpha)

        def value(self, theta: Any, x: Any) -> Any:
            breaks("value")
            return super().value(theta, x)

        def tangent(self, theta: Any, x: Any) -> Any:
            breaks("tangent", self.now)
            self.calls += 1
            if self.calls > 40:
                breaks("chunk")
            return super().tangent(theta, x)

    def rhs(t: float, x: Any, u: Any) -> Any:
        ansatz.now = t
        breaks("rhs", t)
        f = -df.dx(u)
        f = np.where(fails("rhs-nan", t) | (what == "rescue" and t > 0.05 * step), np.nan, f)
        f = f[:-1] if fails("rhs-shape", t) else f
        return f * 1j if fails("rhs-complex", t) else f

    def boundary(t: float, x: Any) -> Any:
        breaks("condition", t)
        return np.full(x.shape[1], np.nan if fails("condition-nan", t) else 0.0)

    def initial(x: Any) -> Any:
        breaks("initial")
        u = np.exp(-(x[0] ** 2)) * (np.nan if fails("initial-nan") else 1.0)
        return u[:-1] if fails("initial-shape") else u

    def happens(t: float, state: Any) -> float:
        breaks("event", t)
        return t - 0.05 * step - 0.01

    def acts(state: Any) -> None:
        breaks("action")

    def rescue(state: Any) -> None:
        breaks("rescue")

    def output(x: Any) -> Any:
        breaks("writer", ansatz.now)
        return x[0]

    ansatz = Mixture.isotropic(1, 2)
    breaks("before")  # the first collective call
    points = df.Quadrature.gauss((-4.0, 5.0), 20, 4, comm)
    if what == "weights":
        df.Quadrature(points.x, -points.w if here else points.w, comm)
    end = df.Quadrature(np.full((1, 1), -4.0 - 0.01 * comm.rank), np.ones(1), comm)
    storage = 0 if what == "chunk" else 1 << 30  # no stored tangent: it is formed within the iterations
    problem = df.Problem(ansatz, points, rhs, conditions=(df.Dirichlet(end, boundary),), storage=storage)
    guess = ansatz.pack(amplitudes=[0.7, 0.4], centers=[[-0.2], [0.3]], scales=[1.4, 1.2])
    start = df.fit(problem, initial, other("guess", guess, guess * 1.01), max_iterations=5)
    theta = other("theta", start.theta, start.theta * (1 + 1e-9))
    start = df.State(other("t", 0.0, 1e-3), theta)
    scale = np.ones(ansatz.size)
    problem = df.Problem(ansatz, points, rhs, problem.conditions, other("scale", scale, 2 * scale), storage)
    adaptive = what == "other-rtol"
    states = df.evolve(
        problem, start, until=other("until", 0.5, 0.45), times=other("times", (), (0.3,)),
        controller=df.PI(other("rtol", 1e-4, 1e-5)) if adaptive else df.Fixed(other("dt", 0.05, 0.025)),
        integrator=df.DormandPrince if adaptive else other("integrator", df.RK4, df.DormandPrince),
        regularization=other("rule", df.Inertia(other("eps", 1e-3, 1e-2), 0.9), df.Tikhonov(1e-3)),
        solver=other("solver", None, df.Dense()), rescue=rescue,
        events=(df.Event(happens, acts),),
    )  # fmt: skip
    for state in states:
        if fails("loop-raise", state.t):
            raise OSError(f"disk of rank {rank}")
        if fails("loop-exit", state.t):
            sys.exit(3)
        if fails("loop-text", state.t):
            sys.exit(f"disk of rank {rank}")
        if fails("loop-interrupt", state.t):
            raise KeyboardInterrupt
        if fails("loop-kill", state.t):
            os.kill(os.getpid(), signal.SIGKILL)
        if fails("loop-_exit", state.t):
            os._exit(3)
        if what == "writer":
            with df.parallel.collective_errors(comm):
                output(points.x)
    if fails("after"):
        raise OSError(f"disk of rank {rank}")
    comm.barrier()


def run_program(arguments: argparse.Namespace) -> None:
    """The program, in the block or without."""
    from mpi4py import MPI

    import dfpde as df

    with df.parallel.run(MPI.COMM_WORLD) if arguments.guarded else contextlib.nullcontext():
        program(arguments.program, arguments.rank, arguments.step, arguments.guarded)


# -- the table -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Outcome:
    """How a run ended; code None is a hang."""

    code: int | None
    messages: int
    seconds: float
    output: str

    def good(self, fault: Fault) -> bool:
        """Ended, with a code, and with one message, that of the fault (none from a process that is killed)."""
        told = re.search(expected(fault), self.output) is not None
        return bool(self.code) and told and self.messages == (0 if fault.what in KILLED else 1)


def expected(fault: Fault) -> str:
    """Pattern of the message."""
    kind, _, name = fault.what.partition("-")
    if kind == "other":
        return f"{WORDS.get(name, name)} is not the same on all ranks"
    if fault.what in RAISED or name in ("raise", "text") or not name:
        return "negative" if kind == "weights" else f"disk of rank {fault.rank}"
    patterns = {
        "nan": "not finite|NaN|not defined", "shape": "shape", "complex": "complex", "interrupt": "KeyboardInterrupt",
        "exit": f"rank {fault.rank} of 2 left with exit code 3",
    }  # fmt: skip
    return patterns.get(name, "")


def messages(text: str) -> int:
    """Reports in an output: tracebacks as Python prints them (chained ones count once), and lines of dfpde."""
    lines = [line for line in text.splitlines() if re.match("dfpde: ", line)]
    if lines:
        return len(lines)
    chained = r"^(The above exception was the direct cause|During handling of the above exception)"
    return len(re.findall(r"^Traceback \(most", text, re.M)) - len(re.findall(chained, text, re.M))


def run(fault: Fault, timeout: float = 120.0) -> Outcome:
    """Run one fault; all its ranks have ended afterwards."""
    from dfpde.parallel.launch import ranks_environment

    start = time.monotonic()
    pipe = subprocess.PIPE
    with subprocess.Popen(
        fault.command(), env=ranks_environment(), stdin=subprocess.DEVNULL, stdout=pipe, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            text, _ = process.communicate(timeout=timeout)
            code: int | None = process.returncode
        except subprocess.TimeoutExpired:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            text, code = "", None
    return Outcome(code, messages(text), time.monotonic() - start, text)


def run_all(faults: Sequence[Fault], jobs: int = 3) -> Iterator[Outcome]:
    """Outcomes in the order of the faults, several runs at a time: most of their seconds they wait for each other."""
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(run, faults)


def table(everything: bool = False) -> list[Fault]:
    """All faults on either rank; launch commands, blocks and steps in turn, or all of them."""
    ways = list(itertools.product(LAUNCHERS, (False, True)))
    if everything:
        return [Fault(what, rank, 1 + 5 * rank, *way) for what in FAULTS for rank in (0, 1) for way in ways]
    pairs = [(what, rank) for what in FAULTS for rank in (0, 1)]
    turns = [Fault(what, rank, 1 + n % 7, *ways[(n + n // 6) % 6]) for n, (what, rank) in enumerate(pairs)]
    leaving = [Fault(what, 1, 3, *way) for what in ("loop-raise", "loop-exit") for way in ways]
    return list(dict.fromkeys([*turns, *leaving]))


def main(arguments: argparse.Namespace, report: Callable[[str], None] = print) -> int:
    """Run the table and print it; the exit code says whether all is well."""
    faults = [f for f in table(arguments.all) if not arguments.words or any(w in f.what for w in arguments.words)]
    part, parts = (int(number) for number in arguments.part.split("/"))
    faults, bad = faults[part::parts], 0
    for fault, outcome in zip(faults, run_all(faults, arguments.jobs), strict=True):
        bad += not outcome.good(fault)
        verdict = "ok" if outcome.good(fault) else "BAD"
        code = "hangs" if outcome.code is None else str(outcome.code)
        report(
            f"{fault.what:<16} rank {fault.rank} step {fault.step}  {fault.launcher:<17}"
            f"{'run block' if fault.guarded else '':<10} code {code:>5}  messages {outcome.messages}  "
            f"{outcome.seconds:5.1f} s  {verdict}"
        )
        if verdict == "BAD" and arguments.verbose:
            report(outcome.output)
    report(f"{len(faults)} runs, {bad} bad")
    return int(bad > 0)


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of both uses of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--part", default="0/1", metavar="K/N")
    parser.add_argument("--jobs", type=int, default=3, help="runs at a time")
    parser.add_argument("--verbose", action="store_true", help="print the output of runs that went wrong")
    parser.add_argument("--program", help=argparse.SUPPRESS)
    parser.add_argument("--rank", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--step", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--guarded", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(words)


if __name__ == "__main__":
    chosen = parse()
    if chosen.program is not None:
        run_program(chosen)
    else:
        raise SystemExit(main(chosen, lambda line: print(line, flush=True)))
