"""The README's examples run as they stand, and do what it says; its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text()


def test_the_example_solves_burgers(tmp_path, monkeypatch):
    """Against the Cole–Hopf solution at t = 0.5 by Gauss–Hermite quadrature."""
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", TEXT, re.S):
        exec(compile(code, "README.md", "exec"), names)
    assert (tmp_path / "burgers.png").stat().st_size > 10_000
    state, problem, x = names["state"], names["problem"], names["quadrature"].x[0]
    assert state.t == 0.5
    nu, (z, w) = 0.01, np.polynomial.hermite.hermgauss(200)
    y = x[:, None] - np.sqrt(4 * nu * 0.5) * z
    weight = w * np.exp(-np.cos(np.pi * y) / (2 * np.pi * nu) - 1 / (2 * np.pi * nu))
    exact = -(weight * np.sin(np.pi * y)).sum(axis=1) / weight.sum(axis=1)
    q = names["quadrature"]
    for found in (problem.field(state).value, names["solution"](0.5, x[None])):
        assert q.norm(found - exact) < 2e-3 * q.norm(exact)


def test_links_exist():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", TEXT)
    assert len(links) > 8
    assert [link for link in links if not (ROOT / link).exists()] == []
