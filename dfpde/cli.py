"""Command line: ``dfpde`` or ``python -m dfpde``.

    info, mpirun, check-mesh                        the machine, ranks, meshes
    check, run CASE.toml; resume, plot, report DIR  runs described by a case file

Exit codes: 0 done; 1 error; 2 wrong command line; 75 stopped by a signal or time limit, its state kept: start it again.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from . import __version__
from .errors import DfpdeError
from .parallel import environment, launch

if TYPE_CHECKING:
    from mpi4py import MPI

    from .domain.check import Finding
    from .domain.raw import RawMesh


class Parser(argparse.ArgumentParser):
    """argparse's parser, which also guesses what a misspelt command was meant to be."""

    def error(self, message: str) -> NoReturn:
        """End with code 2; a wrong choice comes with the closest right one."""
        wrong = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if wrong:
            close = difflib.get_close_matches(wrong[1], re.findall(r"[\w-]+", wrong[2]), n=1)
            message += f"; did you mean {close[0]!r}?" if close else ""
        super().error(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    words, petsc = _split(list(sys.argv[1:] if argv is None else argv))
    arguments = parser().parse_args(words)
    arguments.petsc = petsc
    try:
        code: int = arguments.run(arguments)
    except DfpdeError as error:
        print(f"dfpde: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return code


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Words of ours, and PETSc's after ``--``."""
    if words[:1] in (["run"], ["resume"]) and "--" in words:
        cut = words.index("--")
        return words[:cut], words[cut + 1 :]
    return words, []


def parser() -> argparse.ArgumentParser:
    """All subcommands."""
    top = Parser(prog="dfpde", description="Dirac–Frenkel dynamics with inertia for evolution equations")
    top.add_argument("--version", action="version", version=f"dfpde {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    info = commands.add_parser("info", help="what a bug report needs: versions, MPI, PETSc, BLAS; warns of mismatches")
    info.add_argument("-n", type=_positive, default=2, metavar="N", help="ranks to start as a trial (default 2)")
    info.set_defaults(run=_info)

    mpirun = commands.add_parser("mpirun", help="run Python on N ranks with the launcher that mpi4py's MPI needs")
    mpirun.add_argument("-n", type=_positive, required=True, metavar="N", help="number of ranks")
    mpirun.add_argument(
        "--timeout", type=_positive, metavar="SECONDS", help="end the job after this time (the launcher's own watch)"
    )
    mpirun.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="script.py ..., or -- -m module ...")
    mpirun.set_defaults(run=_mpirun)

    check = commands.add_parser("check-mesh", help="say what a mesh file holds and what is wrong with it")
    check.add_argument("file", type=Path, metavar="FILE", help="any format that meshio reads")
    check.add_argument("--dim", type=int, choices=(1, 2, 3), help="dimension that the mesh must have")
    check.add_argument("--repair", type=Path, metavar="OUT", help="write the mesh with all that can be mended mended")
    check.set_defaults(run=_check_mesh)
    _add_runs(commands)
    return top


def _add_runs(commands: Any) -> None:
    """Subcommands of case files and their directories."""
    look = commands.add_parser("check", help="what a case file describes, three steps, what the rest takes")
    look.add_argument("case", type=Path, metavar="CASE.toml")
    look.set_defaults(run=_check)

    run = commands.add_parser("run", help="run a case file, or go on with it", usage=_usage("run", "CASE.toml"))
    run.add_argument("case", type=Path, metavar="CASE.toml")
    run.add_argument("--directory", type=Path, help="in place of the one in the case file")
    run.add_argument("--overwrite", action="store_true", help="delete the run that is there, and start anew")
    run.add_argument("--accept-changes", action="store_true", help="go on although the case has changed")
    run.set_defaults(run=_run)

    resume = commands.add_parser("resume", help="go on with the run in a directory", usage=_usage("resume", "DIR"))
    resume.add_argument("directory", type=Path, metavar="DIR")
    resume.set_defaults(run=_resume)
    for started in (run, resume):
        started.add_argument("-n", type=_positive, default=1, metavar="N", help="number of ranks (default 1)")

    plot = commands.add_parser("plot", help="pictures and a film of a run, into DIR/figures")
    plot.add_argument("directory", type=Path, metavar="DIR")
    plot.set_defaults(run=_plot)

    report = commands.add_parser("report", help="a run as one HTML page, DIR/report.html")
    report.add_argument("directory", type=Path, metavar="DIR")
    report.add_argument("--output", type=Path, metavar="FILE", help="in place of DIR/report.html")
    report.set_defaults(run=_report)


def _usage(command: str, what: str) -> str:
    return f"dfpde {command} {what} [options] [-- PETSc options, as -dfpde_ksp_monitor]"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


def _info(arguments: argparse.Namespace) -> int:
    if launch.rank_of_launch() > 0:
        return 0  # under mpirun one report is enough
    found = environment.inspect(arguments.n)
    print(f"{'dfpde':<21} {__version__} ({Path(__file__).parent})")
    for name, text in found.facts:
        print(f"{name:<21} {text}")
    for text in found.warnings:
        print(f"WARNING: {text}")
    if not found.warnings:
        print("Everything fits together.")
    return 0 if found.usable else 1


def _mpirun(arguments: argparse.Namespace) -> int:
    words = arguments.arguments[1:] if arguments.arguments[:1] == ["--"] else arguments.arguments
    command = launch.find_launcher().command(arguments.n, words, arguments.timeout)
    sys.stdout.flush()
    os.execve(command[0], command, launch.ranks_environment())


def _check_mesh(arguments: argparse.Namespace) -> int:
    from .domain import check as mesh_check  # only here: the other commands must run without scikit-fem
    from .domain import file as mesh_file

    if launch.rank_of_launch() > 0:
        return 0
    raw = mesh_file.load(arguments.file, arguments.dim)
    findings = _describe(arguments.file, raw)
    if arguments.repair is not None and findings:
        raw = mesh_check.repair(raw)
        findings = _describe(arguments.repair, raw)
        if not findings:
            _save(arguments.repair, raw)
    return 0 if all(finding.harmless for finding in findings) else 1


def _describe(path: Path, raw: RawMesh) -> list[Finding]:
    from .domain.check import check_mesh

    print(f"{path}: {raw.dim}D, {raw.cells.shape[1]} {raw.cell_type} cells, {raw.points.shape[1]} vertices")
    print(f"boundaries: {', '.join(raw.boundaries) or '-'}; subdomains: {', '.join(raw.subdomains) or '-'}")
    findings = check_mesh(raw)
    for finding in findings:
        kind, sign = ("HARMLESS", "; ") if finding.harmless else ("WRONG", "\n  Try: ")
        print(f"{kind}: {finding}{sign}{finding.remedy}")
    if not findings:
        print("Nothing is wrong with it.")
    return findings


def _save(path: Path, raw: RawMesh) -> None:
    from .domain.facets import locate_facets

    mesh = raw.mesh_type(raw.points[: raw.dim], raw.cells, sort_t=False).with_subdomains(dict(raw.subdomains))
    named = {name: mesh.t2f[place, cell] for name, (cell, place) in locate_facets(raw).items()}
    mesh.with_boundaries(named).save(path)


# -- case files ----------------------------------------------------------------------------------------------
def _world(petsc: Sequence[str]) -> MPI.Comm:
    """All ranks; PETSc sees its own options only."""
    sys.argv[1:] = petsc  # before PETSc is imported, which reads them
    from mpi4py import MPI

    return MPI.COMM_WORLD


def _run(arguments: argparse.Namespace) -> int:
    if arguments.n > 1:
        flags = [word for word in ("--overwrite", "--accept-changes") if getattr(arguments, word[2:].replace("-", "_"))]
        where = ["--directory", str(arguments.directory)] if arguments.directory is not None else []
        return _on_ranks(arguments, ["run", str(arguments.case), *flags, *where])
    comm = _world(arguments.petsc)
    from .cases.case import Case
    from .cases.execute import directory_of, execute
    from .parallel import run

    with run(comm):
        case = Case.read(arguments.case, comm)
        directory = arguments.directory or directory_of(case, arguments.case)
        how = {"overwrite": arguments.overwrite, "accept_changes": arguments.accept_changes}
        state = execute(case, comm, directory, **how)
        _say(comm, f"{directory}: t = {state.t:.9g} after {state.step} steps; dfpde report {directory} shows it")
    return 0


def _resume(arguments: argparse.Namespace) -> int:
    if arguments.n > 1:
        return _on_ranks(arguments, ["resume", str(arguments.directory)])
    comm = _world(arguments.petsc)
    from .cases.execute import case_in, execute
    from .parallel import run

    with run(comm):
        state = execute(case_in(arguments.directory, comm), comm, arguments.directory)
        _say(comm, f"{arguments.directory}: t = {state.t:.9g} after {state.step} steps")
    return 0


def _on_ranks(arguments: argparse.Namespace, words: list[str]) -> int:
    command = ["-m", "dfpde", *words, *(["--", *arguments.petsc] if arguments.petsc else [])]
    return launch.supervise(launch.find_launcher().command(arguments.n, command))


def _check(arguments: argparse.Namespace) -> int:
    from mpi4py import MPI

    from .cases.case import Case
    from .cases.preview import preview

    for line in preview(Case.read(arguments.case, MPI.COMM_SELF), MPI.COMM_SELF):
        print(line, flush=True)
    return 0


def _plot(arguments: argparse.Namespace) -> int:
    from mpi4py import MPI

    from .cases.pictures import write
    from .cases.stored import Stored

    for path in write(Stored.read(arguments.directory, MPI.COMM_SELF), arguments.directory / "figures"):
        print(path)
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from mpi4py import MPI

    from .cases.report import page
    from .cases.stored import Stored
    from .io.files import replace

    text = page(Stored.read(arguments.directory, MPI.COMM_SELF))
    path = arguments.output or arguments.directory / "report.html"
    replace(path, lambda beside: beside.write_text(text, encoding="utf-8"))
    print(path)
    return 0


def _say(comm: MPI.Comm, text: str) -> None:
    if comm.rank == 0:
        print(text, flush=True)
