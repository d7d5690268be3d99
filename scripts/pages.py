"""Code blocks of the documentation, and the pages that show each public name in use.

    python scripts/pages.py            one line for each public name; exit code 1 if a name is in no block that runs

A block is a fenced one of README.md or docs/.  Before one that tests do not run stands a comment with the reason:

    <!-- not run: installs packages -->

A name counts as used where a Python block that runs mentions it as code (`df.fem.Robin`, or `Robin` after
``from dfpde.fem import Robin``); names in text or in comments do not count.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import dfpde as df

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(
    r"(?:^[ ]*<!-- not run: (?P<reason>[^\n]*?) -->\n+)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language, its code, and why it is not run ('' if it is)."""

    page: Path
    line: int
    language: str
    code: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """README.md and every page of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def notebooks() -> list[Path]:
    """Every notebook of the repository."""
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, or the code cells of a notebook, in order."""
    if page.suffix == ".ipynb":
        cells = [cell for cell in json.loads(page.read_text())["cells"] if cell["cell_type"] == "code"]
        return [Block(page, number, "python", "".join(cell["source"]), "") for number, cell in enumerate(cells, 1)]
    text, found = page.read_text(), []
    for match in _BLOCK.finditer(text):
        cut = len(match["indent"])
        code = "".join(line[cut:] if line[:cut].isspace() else line for line in match["code"].splitlines(True))
        line = text.count("\n", 0, match.start("code"))
        found.append(Block(page, line, match["language"], code, match["reason"] or ""))
    return found


def public_names() -> dict[str, object]:
    """Dotted name -> object: the flat names, the namespaces and what is in them."""
    found: dict[str, object] = {}
    for name in df.__all__:
        thing = _of(df, name)
        found[name] = thing
        if isinstance(thing, ModuleType):
            found |= {f"{name}.{inner}": _of(thing, inner) for inner in thing.__all__}
    return found


def _of(module: ModuleType, name: str) -> object:
    """The object of a name; where an optional package is missing, the name in its place."""
    try:
        return getattr(module, name)
    except df.DfpdeError:
        return name


def mentioned(code: str) -> set[str]:
    """Dotted names below dfpde that Python code mentions."""
    tree = ast.parse(code)
    bound, found = {"df": "", "dfpde": ""}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dfpde":
            home = (node.module or "").partition(".")[2]
            bound |= {a.asname or a.name: f"{home}.{a.name}".lstrip(".") for a in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and bound.get(node.id):
            found.add(bound[node.id])
        elif isinstance(node, ast.Attribute):
            dotted = ast.unparse(node)
            first, _, rest = dotted.partition(".")
            if first in bound and re.fullmatch(r"[\w.]+", dotted):
                found.add(f"{bound[first]}.{rest}".lstrip("."))
    return found


def uses() -> dict[str, list[str]]:
    """Public name -> pages whose blocks use it; another name of the same object counts."""
    names = public_names()
    shown: dict[int, set[str]] = {id(thing): set() for thing in names.values()}
    for page in [*pages(), *notebooks()]:
        code = "\n".join(b.code for b in blocks(page) if b.language == "python" and not b.reason)
        for name in mentioned(code):
            parts = name.split(".")
            for dotted in (".".join(parts[: i + 1]) for i in range(len(parts))):
                if dotted in names:
                    shown[id(names[dotted])].add(page.relative_to(ROOT).as_posix())
    return {name: sorted(shown[id(thing)]) for name, thing in names.items()}


def main() -> int:
    """Print the list."""
    found = uses()
    for name, where in sorted(found.items()):
        print(f"{name:40} {', '.join(where) or '--- MISSING'}")
    missing = [name for name, where in found.items() if not where]
    print(f"{len(found)} public names, {len(missing)} in no block that runs")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
