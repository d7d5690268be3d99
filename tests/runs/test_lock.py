"""A directory belongs to one job; a dead one gives it back."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from dfpde.errors import RunError
from dfpde.runs.lock import DirectoryLock, start_of


def test_a_lock_is_held_until_it_is_released(tmp_path):
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    first.acquire()
    with pytest.raises(RunError, match=rf"in use by process {os.getpid()} on ") as caught:
        second.acquire()
    assert "another directory" in caught.value.remedy
    second.release()  # which holds nothing
    with pytest.raises(RunError):
        second.acquire()
    first.release()
    second.acquire()
    assert second.stale is None


def hold(folder, then: str) -> subprocess.Popen:
    code = f"""
import time
from pathlib import Path
from dfpde.runs.lock import DirectoryLock
DirectoryLock(Path({os.fspath(folder)!r})).acquire()
print('held', flush=True)
{then}
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_live_process_is_refused_and_a_killed_one_is_not(tmp_path):
    process = hold(tmp_path, "time.sleep(60)")
    lock = DirectoryLock(tmp_path)
    with pytest.raises(RunError, match=f"process {process.pid} on "):
        lock.acquire()
    process.kill()
    process.wait()
    lock.acquire()
    assert lock.stale["process"] == process.pid


def test_a_process_that_is_dead_but_not_collected_holds_nothing(tmp_path):
    process = hold(tmp_path, "")
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    DirectoryLock(tmp_path).acquire()
    process.wait()


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, False),
        ({"start": "another boot 1"}, True),  # the number of the process has been used again
        ({"process": 2**22 + 1}, True),
        ({"host": "elsewhere"}, False),
        ({"host": "elsewhere", "process": 2**22 + 1}, False),  # of which nothing can be known here
    ],
)
def test_what_the_lock_says_decides(tmp_path, changes, taken):
    first = DirectoryLock(tmp_path)
    first.acquire()
    first.path.write_text(json.dumps(json.loads(first.path.read_text()) | changes))
    if taken:
        DirectoryLock(tmp_path).acquire()
    else:
        with pytest.raises(RunError, match="in use"):
            DirectoryLock(tmp_path).acquire()


def test_a_lock_that_was_written_half_is_nobodys(tmp_path):
    (tmp_path / ".lock").write_text('{"host": "vm", "proc')
    DirectoryLock(tmp_path).acquire()


def test_a_start_tells_processes_apart():
    assert start_of(os.getpid()) is not None and start_of(os.getpid()) != start_of(1)
    assert start_of(2**22 + 1) is None
