"""Command line: ``python -m dfpde info``, ``mpirun -n N script.py`` and ``check-mesh FILE``."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from . import __version__
from .errors import DfpdeError
from .parallel import environment, launch

if TYPE_CHECKING:
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
    arguments = parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except DfpdeError as error:
        print(f"dfpde: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return code


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
    return top


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
    from .domain.raw import locate_facets

    mesh = raw.mesh_type(raw.points[: raw.dim], raw.cells, sort_t=False).with_subdomains(dict(raw.subdomains))
    named = {name: mesh.t2f[place, cell] for name, (cell, place) in locate_facets(raw).items()}
    mesh.with_boundaries(named).save(path)
