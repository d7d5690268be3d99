"""A new user's path as README and docs/runs.md give it: run, kill, resume, plot, report; the page in a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def commands(document: str, first: str) -> list[str]:
    """The lines of a document's block of commands that begins so, without comments."""
    block = re.search(rf"```bash\n({first} .*?)```", (ROOT / document).read_text(), re.S).group(1)
    return [line.split("#")[0].strip() for line in block.strip().splitlines()]


README, DOCS = commands("README.md", "dfpde run"), commands("docs/runs.md", "dfpde check")


def command(line: str, folder: Path) -> list[str]:
    """A line of the document, with a shorter run in another place."""
    words = line.split()
    assert words[0] == "dfpde"
    places = {"cases/burgers.toml": str(folder / "burgers.toml"), "out/burgers": str(folder / "out")}
    return [sys.executable, "-m", "dfpde", *(places.get(word, word) for word in words[1:])]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The directory after all commands, the run killed on its way."""
    folder = tmp_path_factory.mktemp("user")
    text = (ROOT / "cases" / "burgers.toml").read_text()
    text = text.replace("until = 0.5", "until = 0.2").replace("outputs = 20", "outputs = 4").replace("512", "128")
    (folder / "burgers.toml").write_text(text + "every_steps = 1\n")
    check, run, *rest = [DOCS[0], *README]
    done = subprocess.run(command(check, folder), capture_output=True, text=True, check=True)
    for word in ("60 parameters, 128 points", "fit: ", "with differences hold", "n_ε", "memory", "more steps"):
        assert word in done.stdout
    process = subprocess.Popen(command(run, folder), stderr=subprocess.PIPE)
    end = time.monotonic() + 300
    while not list((folder / "out").glob("checkpoints/*.npz")) and time.monotonic() < end and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [line.split()[1] for line in rest] == ["resume", "plot", "report"]
    for line in rest:
        done = subprocess.run(command(line, folder), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return folder / "out"


def test_both_documents_give_the_same_commands():
    assert DOCS[0].split()[1] == "check" and DOCS[1:] == README


def test_the_run_is_whole(finished):
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["status"] == "done" and [entry["status"] for entry in manifest["sessions"]] == ["killed"]
    assert manifest["results"]["relative error"] < 1e-3
    assert len(list(finished.glob("outputs/*.npz"))) == 5
    figures = {path.name for path in (finished / "figures").iterdir()}
    assert figures == {"field.png", "film.gif", "history.png", "error.png", "spectrum.png"}


def test_the_page_needs_no_other_file(finished):
    class Links(HTMLParser):
        """All addresses of a page, and that its elements are closed."""

        def __init__(self):
            super().__init__()
            self.found, self.open = [], []

        def handle_starttag(self, tag, attrs):
            self.found += [value for name, value in attrs if name in ("src", "href", "action", "srcset")]
            if tag not in ("meta", "link", "img"):
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    page, links = (finished / "report.html").read_text(), Links()
    links.feed(page)
    assert links.open == [] and len(links.found) == 6  # an empty icon, four pictures, a film
    assert all(link.startswith("data:") for link in links.found)
    for text in ("Burgers: a sine steepens into a shock", "viscosity", "Dormand", "Raviola", "relative error"):
        assert text in page


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_shows_the_page_without_complaint(finished, tmp_path):
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --enable-logging=stderr --window-size=1100,3000"
    )
    command = ["chromium", *flags.split(), f"--user-data-dir={tmp_path / 'profile'}"]
    command += [f"--screenshot={tmp_path / 'page.png'}", f"file://{finished / 'report.html'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ)
    assert done.returncode == 0 and (tmp_path / "page.png").stat().st_size > 50_000
    assert "CONSOLE" not in done.stderr and "net::ERR" not in done.stderr
