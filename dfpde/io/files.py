"""Files that are never seen half written."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

from ..errors import CheckpointError

_REMEDIES = {
    errno.ENOSPC: "free some space on that disk, or write elsewhere; the file that was there before is untouched",
    errno.EDQUOT: "free some of your quota, or write elsewhere; the file that was there before is untouched",
    errno.EACCES: "a folder you may write to",
    errno.EROFS: "a folder you may write to",
    errno.ENOTDIR: "a path whose parents are folders",
}


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, force it to disk, then put it in place: old or new, never half.

    Raises
    ------
    CheckpointError
        The file cannot be written; an earlier file of this name is untouched.
    """
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(beside)
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise _refused(path, error) from error


def append(path: Path, entry: bytes, tail: bytes) -> None:
    """Put an entry before the tail of a file that ends with it, in one write: the cost does not grow with the file.

    Raises
    ------
    CheckpointError
        The file cannot be written, or does not end with the tail; it is as it was.
    """
    try:
        with path.open("r+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END) - len(tail)
            file.seek(max(end, 0))
            if file.read() != tail:
                raise OSError(0, "another program has written to it")
            try:
                written = os.pwrite(file.fileno(), entry + tail, end)
                if written != len(entry) + len(tail):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                os.pwrite(file.fileno(), tail, end)
                file.truncate(end + len(tail))
                raise
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"cannot write {path}: {error.strerror or error}",
        _REMEDIES.get(error.errno or 0, "another folder or disk; the file that was there before is untouched"),
    )
