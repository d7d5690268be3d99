"""Files that are never seen half written."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import CheckpointError

_REMEDIES = {
    errno.ENOSPC: "free some space on that disk, or write elsewhere; the file that was there before is untouched",
    errno.EDQUOT: "free some of your quota, or write elsewhere; the file that was there before is untouched",
    errno.EACCES: "a folder you may write to",
    errno.EROFS: "a folder you may write to",
    errno.ENOTDIR: "a path whose parents are folders",
    errno.ELOOP: "symbolic links that end somewhere",
}
#: Seconds without a write after which what `replace` had begun counts as left by a process that was killed.
ABANDONED = 60.0

_BESIDE = re.compile(r"\.[^/]*\.\d+\.beside(\.[^./]+)?")  # what `replace` leaves where it is killed


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, force it to disk, then put it in place: old or new, never half.

    Where `path` is a symbolic link, the file it points to is replaced and the link stays.

    Raises
    ------
    CheckpointError
        The file cannot be written; an earlier file of this name is untouched.
    """
    beside: Path | None = None
    try:
        target = path.resolve(strict=False)
        if target.exists() and not target.is_file():
            raise OSError(errno.EEXIST, "it is no regular file (a folder, device or pipe)")
        beside = target.with_name(f".{target.stem}.{os.getpid()}.beside{target.suffix}")
        target.parent.mkdir(parents=True, exist_ok=True)
        write(beside)
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(target)
        _sync_folder(target.parent)
        _remove_abandoned(target)
    except BaseException as error:
        if beside is not None:
            with contextlib.suppress(OSError):
                beside.unlink()
        if not isinstance(error, OSError | RuntimeError):  # RuntimeError: a loop of links, before Python 3.13
            raise
        raise cannot_write(path, error) from error


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
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: Exception) -> CheckpointError:
    """The error of a file that cannot be written, with what to do about it."""
    number = getattr(error, "errno", None) or (errno.ELOOP if isinstance(error, RuntimeError) else 0)
    reason = getattr(error, "strerror", None) or error
    remedy = _REMEDIES.get(number, "another folder or disk; the file that was there before is untouched")
    return CheckpointError(f"cannot write {path}: {reason}", remedy)


def remove_leftovers(folder: Path) -> list[Path]:
    """Delete what `replace` had begun in this folder and below when its process was killed; returns what was deleted.

    Only for folders that no other process writes to.
    """
    left = [path for path in folder.rglob(".*") if _BESIDE.fullmatch(path.name) and path.is_file()]
    for path in left:
        path.unlink(missing_ok=True)
    return left


def _remove_abandoned(target: Path) -> None:
    """Delete what killed processes had begun to write in place of this file."""
    with contextlib.suppress(OSError):
        for left in target.parent.glob(f".{glob.escape(target.stem)}.*.beside{glob.escape(target.suffix)}"):
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()


def _sync_folder(folder: Path) -> None:
    """Force the new name to disk; not every file system can."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
