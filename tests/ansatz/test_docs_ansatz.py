"""A custom ansatz takes at most twelve lines, in NumPy, JAX and PyTorch: docs/ansatz.md (tests/docs runs them)."""

from scripts.pages import ROOT, blocks


def test_custom_ansatz_takes_twelve_lines():
    own = [b.code for b in blocks(ROOT / "docs" / "ansatz.md") if "print(check_ansatz(" in b.code]
    backends = [next((name for name in ("jax", "torch") if f"import {name}\n" in code), None) for code in own]
    assert backends == [None, "jax", "torch"]
    for code in own:
        assert len([line for line in code.splitlines() if line.strip()]) <= 12, code
