"""Architecture, read from the import statements: layers point one way, each outside package stays where it belongs."""

from __future__ import annotations

import ast
import sys
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "dfpde"

# a file imports from its own line and from those above it; a name stands for a module or a package
LAYERS = """
errors representation validation
parallel
domain
calculus
ansatz
leastsquares
conditions
model
problem
closed_form
functional
steppers
regularization
evolution
measures
constraints
fitting
learning
fem
diagnostics
solving
io
runs
cases
cli
"""
LEVEL = {name: level for level, line in enumerate(LAYERS.split("\n")) for name in line.split()}

# lines of LAYERS that a package may not use although they are below it
FORBIDDEN = {"ansatz": {"parallel", "domain"}}

# where each package from outside may be imported; one that is not named here may be imported nowhere
HOMES = {
    "numpy": ["*"],
    "scipy": ["*"],
    "mpi4py": ["*"],
    "petsc4py": ["leastsquares/*", "fem/*"],
    "skfem": ["domain/*", "ansatz/finite_element.py", "fem/*", "io/series.py", "io/vtk.py"],
    "meshio": ["domain/*", "io/*"],
    "h5py": ["io/*", "domain/exodus.py"],
    "jax": ["ansatz/autodiff/*"],
    "torch": ["ansatz/autodiff/*"],
    "pandas": ["diagnostics/history.py"],
    "matplotlib": ["diagnostics/plot*.py"],
    "tqdm": ["io/reporting.py"],
    "pymetis": ["domain/*", "fem/*"],
    "dolfinx": ["fem/dolfinx_adapter.py"],
    "firedrake": ["fem/firedrake_adapter.py"],
    "threadpoolctl": ["parallel/*"],
}
NO_MPI = ["ansatz/*", "calculus.py", "evolution/tableaus.py"]  # these know one process only

FILES = sorted(ROOT.rglob("*.py"))
TREES = {file.relative_to(ROOT).as_posix(): ast.parse(file.read_text()) for file in FILES}
every_file = pytest.mark.parametrize("file", TREES)


def modules_of(file: str, node: ast.stmt) -> list[str]:
    """Absolute dotted names that an import statement of this file brings in."""
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    if not node.level:
        return [node.module or ""]
    package = ["dfpde", *Path(file).parts[:-1]]
    base = package[: len(package) + 1 - node.level] + (node.module.split(".") if node.module else [])
    submodules = [name.name for name in node.names if is_module([*base, name.name])]
    return [".".join([*base, name]) for name in submodules] or [".".join(base)]


def is_module(parts: list[str]) -> bool:
    path = ROOT.parent.joinpath(*parts)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def typing_only(tree: ast.AST) -> set[int]:
    """Statements under ``if TYPE_CHECKING``: they name types and run nothing."""
    blocks = [n.body for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test).endswith("TYPE_CHECKING")]
    return {id(node) for block in blocks for statement in block for node in ast.walk(statement)}


def imports(file: str) -> set[str]:
    tree = TREES[file]
    skipped = typing_only(tree)
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and id(node) not in skipped]
    return {module for node in nodes for module in modules_of(file, node)}


def layer(file: str) -> str:
    return Path(file).parts[0].removesuffix(".py")


@every_file
def test_imports_point_to_lower_layers(file):
    if file in ("__init__.py", "__main__.py"):
        pytest.skip("the front doors open on everything")
    assert layer(file) in LEVEL, f"{file}: give this module its line in LAYERS"
    for module in imports(file):
        if module.startswith("dfpde."):
            other = module.split(".")[1]
            assert LEVEL[other] <= LEVEL[layer(file)], f"{file} imports {module}, which is a higher layer"
            assert other not in FORBIDDEN.get(layer(file), ()), f"{file} imports {module}"
        assert module != "dfpde" or file == "cli.py", f"{file} imports all of dfpde"


def test_no_cycle_of_imports():
    def name(file: str) -> str:
        return ".".join(["dfpde", *Path(file).with_suffix("").parts]).removesuffix(".__init__")

    # a package's __init__ only gathers names: a module inside it may be imported without the others
    graph = {name(file): imports(file) for file in TREES if not file.endswith(("__init__.py", "__main__.py"))}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@every_file
def test_outside_packages_stay_in_their_files(file):
    for package in {module.split(".")[0] for module in imports(file)} - {"dfpde"} - set(sys.stdlib_module_names):
        homes = HOMES.get(package, [])
        assert any(fnmatch(file, home) for home in homes), f"{file} imports {package}, whose home is {homes}"
        assert package != "mpi4py" or not any(fnmatch(file, pattern) for pattern in NO_MPI), f"{file} imports mpi4py"


@every_file
def test_library_prints_nothing_asserts_nothing_and_takes_its_communicator(file):
    for node in ast.walk(TREES[file]):
        where = f"{file}:{getattr(node, 'lineno', 0)}"
        assert not isinstance(node, ast.Assert), f"{where}: assert is no validation (python -O drops it)"
        world = isinstance(node, ast.Attribute) and node.attr == "COMM_WORLD"  # a program is the whole world's
        assert not world or file in ("cli.py", "parallel/communicator.py"), f"{where}: COMM_WORLD"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and file != "cli.py":
            assert node.func.id != "print", f"{where}: print in the library"


@every_file
def test_public_names_have_docstrings_and_files_stay_short(file):
    tree = TREES[file]
    if ROOT.joinpath(file).read_text().strip():
        assert ast.get_docstring(tree), f"{file}: no module docstring"
    public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    for node in public:
        assert ast.get_docstring(node), f"{file}: {node.name} has no docstring"
        if isinstance(node, ast.ClassDef) and not node.bases:  # others inherit docstrings
            for method in node.body:
                setter = any(ast.unparse(d).endswith(".setter") for d in getattr(method, "decorator_list", []))
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_") and not setter:
                    assert ast.get_docstring(method), f"{file}: {node.name}.{method.name} has no docstring"
    lines = len(ROOT.joinpath(file).read_text().splitlines())
    assert lines < 300, f"{file} has {lines} lines: split it"
