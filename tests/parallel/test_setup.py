"""scripts/setup.sh where it cannot go on: it says why, names the way out, and leaves nothing behind."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ["bash", "cat", "dirname", "env", "find", "grep", "id", "mktemp", "rm", "sort", "tail", "xargs"]

SYSTEM = Path("/usr/bin/python3")
OLD = SYSTEM.exists() and subprocess.run([SYSTEM, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]).returncode
new_enough = pytest.mark.skipif(bool(OLD), reason="the system's Python is too old, which is said before anything else")


@pytest.fixture
def setup(tmp_path):
    """Run a copy of the script with the basic tools, and the given fake ones (name -> shell lines), on its path."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup.sh", tmp_path / "scripts")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(shutil.which(name))

    def run(fakes, **variables):
        for name, lines in fakes.items():
            (tools / name).unlink(missing_ok=True)
            (tools / name).write_text(f"#!/bin/bash\n{lines}\n")
            (tools / name).chmod(0o755)
        command = [str(tools / "bash"), str(tmp_path / "scripts" / "setup.sh")]
        environment = {"PATH": str(tools), "HOME": str(tmp_path)} | variables
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    yield run
    assert not (tmp_path / ".venv").exists()


def check(result, *words):
    assert result.returncode == 1, result.stdout + result.stderr
    assert "CANNOT GO ON" in result.stderr
    for word in (*words, "docs/installation.md"):
        assert word in result.stderr, result.stderr


def test_way_out_that_the_messages_name_is_written_down():
    assert "Building PETSc from source" in (ROOT / "docs" / "installation.md").read_text()


def test_other_system_without_petsc4py(setup):
    check(setup({"python3": "exit 1"}), "no apt-get", "building PETSc from source")


@new_enough
def test_no_rights_to_install(setup, tmp_path):
    fakes = {"python3": "exit 1", "apt-get": 'echo > "$HOME/installed"', "dpkg-query": "exit 1", "id": "echo 1000"}
    check(setup(fakes), "not root", "apt-get install --no-install-recommends python3-petsc4py")
    assert not (tmp_path / "installed").exists()


@new_enough
def test_sudo_that_refuses(setup):
    fakes = {"python3": "exit 1", "apt-get": "exit 0", "dpkg-query": "exit 1", "id": "echo 1000", "sudo": "exit 1"}
    check(setup(fakes), "sudo refuses", "With administrator's rights")


@new_enough
def test_packages_that_do_not_install(setup):
    fakes = {"python3": "exit 1", "apt-get": "echo E: Unable to locate package; exit 100", "dpkg-query": "exit 1"}
    check(setup(fakes | {"id": "echo 0"}), "E: Unable to locate package", "apt-get could not install")


def test_python_that_was_asked_for_has_no_petsc4py(setup, tmp_path):
    python = tmp_path / "bin" / "mypython"
    result = setup({"mypython": "echo No module named petsc4py >&2; exit 1"}, PYTHON=str(python))
    check(result, f"PYTHON={python} cannot import", "No module named petsc4py")
