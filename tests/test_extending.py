"""A stranger's five tasks, as docs/extending.md describes them: its code runs, and the files it names exist."""

from __future__ import annotations

import re

from scripts.pages import ROOT, blocks

PAGE = ROOT / "docs" / "extending.md"
TEXT = PAGE.read_text()


def test_the_five_tasks():
    namespace = {}
    for block in blocks(PAGE):
        exec(compile(block.code, str(block), "exec"), namespace)
    assert not namespace["report"].failed
    tasks = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    assert [task.split()[-1] for task in tasks] == ["ansatz", "rule", "preconditioner", "format", "rule"]


def test_the_files_it_names_exist():
    named = {path.split("<")[0] for path in re.findall(r"`((?:dfpde|tests)/[^`]*)`", TEXT)}
    assert len(named) > 10
    for path in named:
        folder = path if path.endswith(".py") else path.rpartition("/")[0]
        assert (ROOT / folder).exists(), path
