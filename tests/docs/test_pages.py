"""Every code block of docs/ and the notebooks runs as it stands, and every public name is in one of them.

The Python blocks of a page run one after the other in one namespace, in an empty directory that sees the repository's
`cases`, `demos` and `meshes`; blocks of JAX or PyTorch are left out where these are not installed.  Lines of
shell run too.  What is not run has a reason before it, in a comment.  README.md and docs/extending.md have test files
of their own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib

import pytest

from dfpde import errors
from dfpde.io import checkpoint
from scripts.pages import ROOT, Block, blocks, notebooks, pages, uses

OPTIONAL = ("jax", "torch", "petsc4py", "skfem", "matplotlib")
OWN = {ROOT / "README.md", ROOT / "docs" / "extending.md"}
PAGES = [page for page in [*pages(), *notebooks()] if blocks(page) and page not in OWN]
LANGUAGES = {"python", "bash", "toml", "text", "mermaid"}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working directory with links to what the pages name."""
    for name in ("cases", "demos", "meshes"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path


def available(block: Block) -> bool:
    """Whether the optional packages that a block imports are installed."""
    named = set(re.findall(r"^\s*(?:import|from) (\w+)", block.code, re.MULTILINE)) & set(OPTIONAL)
    named |= {"petsc4py"} if "df.KSP" in block.code else set()
    return all(importlib.util.find_spec(name) for name in named)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_code_runs(page, place, capsys):
    names: dict = {"__name__": "__main__"}
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{block}: a block without a language, or of an unknown one"
        if block.reason or not available(block):
            continue
        if block.language == "python":
            exec(compile(block.code, str(block), "exec"), names)
        elif block.language == "toml":
            tomllib.loads(block.code)
        elif block.language == "bash":
            shell(block)
    assert "WRONG" not in capsys.readouterr().out


def shell(block: Block) -> None:
    """Run lines of shell with this Python as `python` and `dfpde`."""
    tools = f'python() {{ "{sys.executable}" "$@"; }}\ndfpde() {{ "{sys.executable}" -m dfpde "$@"; }}\n'
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = ["bash", "-euc", tools + block.code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{block}:\n{done.stdout}\n{done.stderr}"


def test_blocks_that_do_not_run_say_why():
    assert all(len(block.reason) > 10 for page in pages() for block in blocks(page) if block.reason)


def test_lines_of_code_fit_a_page():
    """92 characters are what a page of the site shows without scrolling."""
    wide = [(str(block), line) for page in pages() for block in blocks(page) for line in block.code.splitlines()]
    assert [place for place, line in wide if len(line) > 92] == []


def test_the_policy_names_the_format_of_checkpoints():
    assert f"The format of this version is {checkpoint.VERSION}." in (ROOT / "docs" / "policy.md").read_text()


def test_notebooks_hold_no_output():
    for page in notebooks():
        cells = [cell for cell in json.loads(page.read_text())["cells"] if cell["cell_type"] == "code"]
        assert cells and all(not cell["outputs"] and cell["execution_count"] is None for cell in cells), page


def test_every_page_is_in_the_navigation_and_its_links_lead_somewhere():
    """What `mkdocs build --strict` demands too, where mkdocs is not installed."""
    listed = set(re.findall(r"([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert listed == {page.relative_to(ROOT / "docs").as_posix() for page in pages() if page.name != "README.md"}
    for page in pages():
        links = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text())
        assert [link for link in links if not (page.parent / link).exists()] == [], page


def test_troubleshooting_names_every_error():
    text = (ROOT / "docs" / "howto" / "troubleshooting.md").read_text()
    classes = [name for name, thing in vars(errors).items() if isinstance(thing, type)]
    assert len(classes) > 20 and [name for name in classes if f"`{name}`" not in text] == []


def test_every_public_name_is_shown_in_use():
    assert [name for name, where in uses().items() if not where] == []
