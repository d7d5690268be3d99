"""The README's example runs as it stands, and prints the numbers that the text names; its links lead somewhere."""

from __future__ import annotations

import re

from scripts.pages import ROOT, blocks

README = ROOT / "README.md"
TEXT = README.read_text()


def test_the_example_prints_its_numbers(tmp_path, monkeypatch, capsys):
    """Against the exact solution: the same ε and steps, with and without inertia."""
    monkeypatch.chdir(tmp_path)
    (code,) = [block.code for block in blocks(README) if block.language == "python"]
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    printed = dict(re.findall(r"(\w+) +relative error (\S+)", capsys.readouterr().out))
    said = re.search(r"It prints (\S+) for Tikhonov and (\S+) for inertia: with the same ε, (\d+) times less", TEXT)
    assert said and (said[1], said[2]) == (printed["Tikhonov"], printed["inertia"])
    assert abs(float(said[1]) / float(said[2]) / float(said[3]) - 1) < 0.05
    assert names["solution"].errors(names["exact"])[-1] < 1e-5
    assert (tmp_path / "packet.png").stat().st_size > 10_000


def test_links_exist():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", TEXT)
    assert len(links) > 8
    assert [link for link in links if not (ROOT / link).exists()] == []
