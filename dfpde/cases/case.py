"""A case: a whole run in one TOML file.

    [domain]           mesh = "disk.msh", order = 2                or box = [[-1.0, 1.0]], periodic = true, points = 400
    [equation]         name = "burgers", viscosity = 0.01           or function = "file.py:rhs", and its keywords
    [ansatz]           kind = "gaussians", n = 20                   or kind = "network", widths = [14, 14]
    [fit]              initial = "file.py:function"                 optional, as all below
    [regularization]   rule = "AutoInertia"                         and its arguments, as in Python
    [controller]       kind = "PI", rtol = 1e-4                     and its arguments
    [solver]           kind = "KSP"                                 and its arguments
    [time]             until = 0.5, outputs = 20, integrator = "DormandPrince"
    [output]           directory = "out/burgers"
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mpi4py import MPI

from .. import leastsquares
from .. import regularization as rules
from ..domain import Mesh
from ..errors import CaseError
from ..evolution import integrators
from ..evolution.state import State
from ..fitting import fit
from ..parallel.collective import collective_errors
from ..problem import Problem
from . import equations
from .reading import choose, read, refuse_unknown, refused
from .sections import Domain, Fit, Gaussians, Output, Perceptron, Time, stacked

SECTIONS = ("title", "domain", "equation", "ansatz", "fit", "regularization", "controller", "solver", "time", "output")
EQUATIONS: dict[str, Any] = {
    "rabi": equations.Rabi,
    "burgers": equations.Burgers,
    "allen-cahn": equations.AllenCahn,
    "advection": equations.Advection,
}
ANSATZE: dict[str, Any] = {"gaussians": Gaussians, "network": Perceptron}
RULES: dict[str, Any] = {
    name: getattr(rules, name) for name in ("AutoInertia", "Inertia", "InertiaFromMass", "Tikhonov")
}
CONTROLLERS: dict[str, Any] = {"PI": integrators.PI, "PID": integrators.PID, "Fixed": integrators.Fixed}
SOLVERS = {name: name for name in ("KSP", "LSQR", "Dense")}  # PETSc is loaded when it is asked for
SCHEMES: dict[str, Any] = {
    name: getattr(integrators, name)
    for name in (
        "DormandPrince", "BogackiShampine", "RK4", "Heun", "Euler", "SDIRK2", "SDIRK4", "RadauIIA", "ROS2",
        "ImplicitEuler", "ImplicitMidpoint",
    )
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Own:
    """An equation given by a function f(t, x, u, **parameters)."""

    rhs: Callable[..., Any]
    dim: int | None = None
    components: int = 1


@dataclass(frozen=True, eq=False)
class Setup:
    """What a case becomes on a communicator.

    Attributes
    ----------
    problem : Problem
    start : callable
        () -> State: the fit of the initial data.
    mesh : Mesh or None
    method : dict
        Arguments of `evolve`.
    """

    problem: Problem
    start: Callable[[], State]
    mesh: Mesh | None
    method: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Case:
    """A case file, read and checked; nothing is built.

    Attributes
    ----------
    folder : Path
        To which paths in the file are relative.
    text : str
        The file.
    """

    title: str
    folder: Path
    text: str
    domain: Domain
    equation: equations.Equation
    ansatz: Any
    fit: Fit
    time: Time
    output: Output
    method: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, comm: MPI.Comm, folder: Path | None = None) -> Case:
        """Read a case file; collective, rank 0 reads.

        Parameters
        ----------
        path : Path
        comm : MPI.Comm
        folder : Path, optional
            To which paths in it are relative; its own by default.

        Raises
        ------
        CaseError
            On all ranks: names the key and what to do.
        """
        text = ""
        with collective_errors(comm):
            if comm.rank == 0:
                text = _text(path)
        text = comm.bcast(text, root=0)
        with collective_errors(comm):
            return cls.parse(text, path.parent.resolve() if folder is None else folder, path.name)

    @classmethod
    def parse(cls, text: str, folder: Path, name: str) -> Case:
        """As `read`, of the text of a file."""
        try:
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise CaseError(f"{name} is not TOML: {error}", "strings in quotes, true or false, key = value") from error
        refuse_unknown(content, SECTIONS)
        for key, table in content.items():
            if (key == "title") == isinstance(table, dict):
                raise CaseError(f"{table!r}", "title = \"text\"; a section [key] for everything else", key)
        for key in ("domain", "equation", "ansatz", "time"):
            if key not in content:
                raise CaseError("is missing", f"add a section [{key}]", key)
        time, method = dict(content["time"]), {}
        if "integrator" in time:
            method["integrator"] = choose(SCHEMES, time.pop("integrator"), "time.integrator")
        for section, kind, options, default in (
            ("regularization", "rule", RULES, None), ("controller", "kind", CONTROLLERS, "PI"),
            ("solver", "kind", SOLVERS, "KSP"),
        ):  # fmt: skip
            if section in content:
                method[section] = _one_of(options, content[section], section, kind, default)
        return cls(
            str(content.get("title", Path(name).stem)), folder, text,
            read(Domain, content["domain"], "domain"), _equation(content["equation"], folder),
            _one_of(ANSATZE, content["ansatz"], "ansatz", "kind", None), read(Fit, content.get("fit", {}), "fit"),
            read(Time, time, "time", ("integrator",)), read(Output, content.get("output", {}), "output"), method,
        )  # fmt: skip

    def build(self, comm: MPI.Comm) -> Setup:
        """Mesh, quadrature, ansatz, problem; collective.

        Raises
        ------
        CaseError
            On all ranks: sections that do not fit each other, or a file that is missing.
        """
        quadrature, mesh = refused(lambda: self.domain.build(self.folder, comm), "domain")
        with collective_errors(comm):
            dim, wanted = quadrature.dim, self.equation.dim
            if wanted is not None and wanted != dim:
                raise CaseError(f"the equation has {wanted} dimensions, the domain {dim}", "equal ones", "domain")
            single = refused(lambda: self.ansatz.build(dim, self.domain), "ansatz")
            ansatz = stacked(single, self.equation.components)
            guess = refused(lambda: self._guess(single, ansatz), "fit.guess")
            initial = self._initial()
        problem = Problem(ansatz, quadrature, self.equation.rhs)
        names = ("linear", "starts", "seed", "rtol", "max_iterations")
        start = partial(fit, problem, initial, guess, **{name: getattr(self.fit, name) for name in names})
        if self.fit.scaled:
            fitted = start()
            return Setup(problem.scaled(fitted), lambda: fitted, mesh, self.method)
        return Setup(problem, start, mesh, self.method)

    def _initial(self) -> Callable[..., Any]:
        if self.fit.initial is not None:
            return function(self.fit.initial, self.folder, "fit.initial")
        found = getattr(self.equation, "initial", None)
        if found is None:
            raise CaseError("is missing", 'an equation of your own needs initial = "file.py:function"', "fit.initial")
        return found  # type: ignore[no-any-return]

    def _guess(self, single: Any, ansatz: Any) -> Any:
        """θ of the guess in the file, in which a block without a number is that of every component; None without."""
        given = self.fit.guess
        if given is None:
            return None
        refuse_unknown(given, [*ansatz.slices(), *single.slices()], "fit.guess")
        blocks = {name: given.get(name, given.get(name.split(".", 1)[-1])) for name in ansatz.slices()}
        missing = [name for name, value in blocks.items() if value is None]
        if missing:
            raise CaseError("is missing", f"all blocks of θ: {', '.join(blocks)}", f"fit.guess.{missing[0]}")
        return ansatz.pack(**blocks)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CaseError(f"cannot read {path}: {reason}", "check the path") from error


def _one_of(options: Mapping[str, Any], table: Mapping[str, Any], section: str, kind: str, default: str | None) -> Any:
    """Read a section whose class is named by one of its keys."""
    if kind not in table and default is None:
        raise CaseError("is missing", f"one of {', '.join(options)}", f"{section}.{kind}")
    maker = choose(options, table.get(kind, default), f"{section}.{kind}")
    maker = getattr(leastsquares, maker) if isinstance(maker, str) else maker
    return read(maker, {key: value for key, value in table.items() if key != kind}, section, (kind,))


def _equation(table: Mapping[str, Any], folder: Path) -> equations.Equation:
    if ("name" in table) == ("function" in table):
        remedy = f'name = one of {", ".join(EQUATIONS)}, or function = "file.py:rhs"'
        raise CaseError("needs name or function, one of them", remedy, "equation")
    if "name" in table:
        named: equations.Equation = _one_of(EQUATIONS, table, "equation", "name", None)
        return named
    rhs = function(table["function"], folder, "equation.function")
    parameters = {key: value for key, value in table.items() if key not in ("function", "components")}
    accepted = list(inspect.signature(rhs).parameters)[3:]
    refuse_unknown(parameters, [*accepted, "function", "components"], "equation")
    components = table.get("components", 1)
    if not isinstance(components, int) or components < 1:
        raise CaseError(f"{components!r}", "a number of components, 1 or more", "equation.components")
    return Own(partial(rhs, **parameters) if parameters else rhs, None, components)


def function(name: Any, folder: Path, key: str) -> Callable[..., Any]:
    """``file.py:function`` relative to the folder, or ``package.module:function``.

    Raises
    ------
    CaseError
        No such file, module or function.
    """
    if not isinstance(name, str) or name.count(":") != 1:
        raise CaseError(f"{name!r}", '"file.py:function" or "package.module:function"', key)
    where, attribute = name.split(":")
    try:
        module = _file(folder / where) if where.endswith(".py") else importlib.import_module(where)
        found = getattr(module, attribute)
    except (ImportError, OSError, AttributeError, SyntaxError) as error:
        raise CaseError(f"{name!r}: {error}", f"a function of a file in {folder}, or of a package", key) from error
    if not callable(found):
        raise CaseError(f"{name!r} is no function", "the name of a function", key)
    return found  # type: ignore[no-any-return]


def _file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"dfpde_case_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
