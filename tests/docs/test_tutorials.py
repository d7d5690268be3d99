"""The tutorial on ranks: the same script on one process and on two, with the same result to rounding."""

from __future__ import annotations

import re

from scripts.pages import ROOT, blocks


def test_the_script_of_the_tutorial_runs_on_ranks(tmp_path, mpirun, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "meshes").symlink_to(ROOT / "meshes")
    script, *_ = blocks(ROOT / "docs" / "tutorials" / "4_ranks.md")
    (tmp_path / "rotation.py").write_text(script.code)
    found = []
    for n in (1, 2):
        done = mpirun(n, "rotation.py")
        assert done.returncode == 0, done.stdout + done.stderr
        ranks, integral = re.search(r"(\d) rank\(s\), t = 1.0, \d+ steps, integral (\S+)", done.stdout).groups()
        assert int(ranks) == n
        found.append(float(integral))
    assert abs(found[0] - found[1]) <= 2e-6
    assert (tmp_path / "out" / "rotation.pvd").exists()
