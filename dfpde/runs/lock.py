"""One job at a time in a directory: a lock that a dead job cannot hold.

The lock is a file that names host, process, start of that process and job.  A process is known by its number *and* its
start, as numbers are used again.  The file is read and written under ``flock``, so that of two jobs that find the lock
of a dead one only one takes it over.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..io.files import cannot_write

_NO_FLOCK = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}


class DirectoryLock:
    """Holds ``directory/.lock`` from `acquire` to `release`; for one rank.

    Attributes
    ----------
    path : Path
        The lock's file; empty while nobody holds it.
    stale : dict or None
        After `acquire`: what the lock of a dead job said, where one was found.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / ".lock"
        self.stale: dict[str, Any] | None = None
        self._mine = ""

    def acquire(self) -> None:
        """Take the lock.

        Raises
        ------
        RunError
            A live process holds it, or one on another host, of which nothing can be known here.
        CheckpointError
            The file cannot be written.
        """
        try:
            with self._opened() as file:
                holder = _parse(file.read())
                if holder is not None and not _dead(holder):
                    raise _held(self.path, holder)
                self.stale = holder
                mine = json.dumps(_this_process())
                _overwrite(file, mine)
                self._mine = mine
        except OSError as error:
            if isinstance(error, RunError):
                raise
            raise cannot_write(self.path, error) from error

    def release(self) -> None:
        """Give the lock back if it is ours."""
        if not self._mine:
            return
        with contextlib.suppress(OSError), self._opened() as file:
            if file.read() == self._mine:
                _overwrite(file, "")
        self._mine = ""

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        number = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        with os.fdopen(number, "r+", encoding="utf-8") as file:
            try:
                fcntl.flock(number, fcntl.LOCK_EX)  # held for microseconds; closing gives it back
            except OSError as error:
                if error.errno not in _NO_FLOCK:
                    raise
            yield file


def _overwrite(file: Any, text: str) -> None:
    """Give the file this content; where that cannot be written it is left empty, as nobody's."""
    number, content = file.fileno(), text.encode()
    try:
        os.ftruncate(number, 0)
        if os.pwrite(number, content, 0) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(number)
    except OSError:
        os.ftruncate(number, 0)
        raise


def _parse(text: str) -> dict[str, Any] | None:
    """What a lock says; None for an empty one, and for one whose writer was killed half way."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _this_process() -> dict[str, Any]:
    jobs = [os.environ[name] for name in ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID") if os.environ.get(name)]
    return {
        "host": platform.node(),
        "process": os.getpid(),
        "start": start_of(os.getpid()),
        "job": jobs[0] if jobs else None,
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def start_of(process: int) -> str | None:
    """What tells a process from others of the same number: boot of the machine and ticks since; None if it is gone."""
    try:
        # the name of the program, in parentheses, may hold spaces; a zombie (Z) or dead process (X) holds no lock
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (OSError, IndexError):
        return None
    return None if fields[0] in "ZX" else f"{boot} {fields[19]}"


def _dead(holder: dict[str, Any]) -> bool:
    """Whether the job that wrote the lock is known to be dead: the same host, and no such process any more."""
    return holder.get("host") == platform.node() and start_of(int(holder.get("process", 0))) != holder.get("start")


def _held(path: Path, holder: dict[str, Any]) -> RunError:
    here = holder.get("host") == platform.node()
    job = f", job {holder['job']}" if holder.get("job") else ""
    who = f"process {holder.get('process')} on {holder.get('host')}{job}, since {holder.get('since')}"
    remedy = "wait for it or stop it, or use another directory"
    if not here:
        remedy += f"; if that job is dead (this host cannot know), delete {path}"
    return RunError(f"{path.parent} is in use by {who}", remedy)
