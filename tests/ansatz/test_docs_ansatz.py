"""The code of docs/ansatz.md runs, and a custom ansatz takes at most twelve lines."""

import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "ansatz.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
OPTIONAL = ("jax", "torch")


def needs(block):
    return next((name for name in OPTIONAL if f"import {name}\n" in block), None)


@pytest.mark.parametrize("backend", [None, *OPTIONAL])
def test_code_runs(backend, capsys):
    """The blocks of a backend in a namespace after the first block, the others one after the other."""
    if backend is not None:
        pytest.importorskip(backend, reason=f"{backend} is not installed")
    namespace = {}
    for number, block in enumerate(BLOCKS):
        if number == 0 or needs(block) == backend:
            exec(compile(block, f"docs/ansatz.md, block {number}", "exec"), namespace)
    assert "WRONG" not in capsys.readouterr().out


def test_custom_ansatz_takes_twelve_lines():
    own = [block for block in BLOCKS if "print(check_ansatz(" in block]
    assert [needs(block) for block in own] == [None, "jax", "torch"]
    for block in own:
        lines = [line for line in block.splitlines() if line.strip()]
        assert len(lines) <= 12, block
