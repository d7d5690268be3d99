"""What belongs to a run in its directory, and the checks before a new job writes there."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..io.files import cannot_write, remove_leftovers
from ..io.manifest import FORMAT
from . import store
from .lock import DirectoryLock

log = logging.getLogger(__name__)

MANIFEST, HISTORY, CASE = "manifest.json", "history.csv", "case.toml"


def prepare(directory: Path, lock: DirectoryLock, overwrite: bool) -> None:
    """Make the directory, lock it, and see that nothing else would be overwritten; for one rank.

    Raises
    ------
    RunError
        The directory is in use, or holds files of these names that are not of a run.
    CheckpointError
        The directory cannot be made or written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(directory, error) from error
    lock.acquire()
    try:
        if lock.stale is not None:
            who = f"process {lock.stale.get('process')} on {lock.stale.get('host')}"
            log.warning("%s: the job before (%s) did not end properly", directory, who)
        _refuse_others(directory)
        for path in remove_leftovers(directory):
            log.warning("deleted %s, which a killed job had begun", path)
        if overwrite:
            for path in [*store.owned(directory), directory / HISTORY, directory / MANIFEST]:
                path.unlink(missing_ok=True)
    except OSError as error:
        lock.release()
        raise error if isinstance(error, RunError) else cannot_write(directory, error) from error


def read_manifest(directory: Path) -> dict[str, Any] | None:
    """The manifest of the run in a directory; None where there is none, or it is damaged.

    Raises
    ------
    RunError
        A file of that name that is not of a run.
    """
    path = directory / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("%s cannot be read (%s); what it said of earlier sessions is lost", path, error)
        return None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise RunError(f"{path} is not the manifest of a run", "another directory, or move that file away")
    return content


def _refuse_others(directory: Path) -> None:
    known = read_manifest(directory) is not None or (directory / MANIFEST).exists()
    strange = [path.name for path in (directory / HISTORY, *store.owned(directory)) if path.exists()]
    if strange and not known:
        raise RunError(
            f"{directory} holds {strange[0]} but no {MANIFEST}: not a run, or not all of it",
            "another directory, or move these files away",
        )
