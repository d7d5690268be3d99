"""A stranger's five tasks, as docs/extending.md describes them: its code runs, and the files it names exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "extending.md").read_text()


def test_the_five_tasks():
    namespace = {}
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)):
        exec(compile(block, f"docs/extending.md, block {number}", "exec"), namespace)
    assert not namespace["report"].failed
    tasks = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    assert [task.split()[-1] for task in tasks] == ["ansatz", "rule", "preconditioner", "format", "rule"]


def test_the_files_it_names_exist():
    named = {path.split("<")[0] for path in re.findall(r"`((?:dfpde|tests)/[^`]*)`", TEXT)}
    assert len(named) > 10
    for path in named:
        folder = path if path.endswith(".py") else path.rpartition("/")[0]
        assert (ROOT / folder).exists(), path
