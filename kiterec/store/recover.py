"""Makes a recording final whose writer died; deletes nothing whose rows were not read back elsewhere."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from kiterec.errors import ManifestError, NoRecordingError, SetupError, StorageError
from kiterec.store.files import FILES, Files
from kiterec.store.folder import RecordingFolder, find_recordings
from kiterec.store.lock import FolderLock, is_locked
from kiterec.store.manifest import Manifest, is_of_newer_format
from kiterec.store.recover_report import RecoverReport
from kiterec.store.recovery import Recovery

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["RecoverReport", "find_unfinished", "recover"]

logger = logging.getLogger(__name__)

_LOOKS = 5
"""How often a recording is looked at anew when its files are taken away meanwhile."""


def find_unfinished(out: Path | str) -> list[Path]:
    """Give the recordings below a folder that nobody writes and that are not final; sorted.

    A recording whose manifest cannot be read is one of them, unless it is of a newer format.
    """
    found = []
    for path in find_recordings(out):
        try:
            if not _is_finished(path) and not is_locked(path):
                found.append(path)
        except (StorageError, OSError) as error:  # it has been removed meanwhile, or is not ours
            logger.warning("a recording was skipped: path=%s because %s", path, error)
    return found


def _is_finished(path: Path) -> bool:
    try:
        return RecordingFolder(path).manifest().is_finished
    except ManifestError:
        return is_of_newer_format(path)


def recover(
    path: Path | str,
    *,
    dry_run: bool = False,
    files: Files = FILES,
    progress: Callable[[int, int], None] | None = None,
) -> RecoverReport:
    """Seal what a dead writer left, and make the manifest true.

    Running it again changes nothing. With `dry_run` nothing is written; damage is found all the same.

    Args:
        path: the folder of a recording.
        dry_run: only say what would be done.
        files: the file operations.
        progress: called with bytes of journals done and bytes of journals in all.

    Raises:
        SetupError: a recorder is writing this recording at this moment.
        NoRecordingError: there is no recording.
        ManifestError: it is of a newer format.
        StorageError: the disk refuses; what was done so far is safe, run it again.
    """
    folder = RecordingFolder(path)
    if not folder.path.is_dir():
        there = "is no folder of a recording" if folder.path.exists() else "does not exist"
        raise NoRecordingError(f"{folder.path} {there}; `kiterec ls` lists the recordings of a folder")
    busy = f"{folder.path} is being recorded at this moment; stop its recorder first"
    if dry_run:  # who only looks holds no lock that would keep a recorder, or another reader, out
        return _look(Recovery(folder, files, dry_run=True, progress=progress), busy)
    try:
        lock = FolderLock(folder.path).acquire()
    except SetupError as error:
        raise SetupError(busy) from error
    try:
        return Recovery(folder, files, dry_run=False, progress=progress).run()
    finally:
        lock.release()


def _look(recovery: Recovery, busy: str) -> RecoverReport:
    """Say what recovery would do, while somebody else may begin to recover it, or to delete it."""
    folder = recovery.folder
    for _ in range(_LOOKS):
        if is_locked(folder.path):
            raise SetupError(busy)
        try:
            report = replace(recovery, manifest=Manifest()).run()
        except (FileNotFoundError, StorageError) as error:
            if isinstance(error, NoRecordingError) or not _is_gone(error):
                raise
        else:
            if not is_locked(folder.path):
                return report
    raise StorageError(f"{folder.path} changes faster than it can be looked at; try again")


def _is_gone(error: BaseException | None) -> bool:
    """Say whether an error comes from a file that somebody has taken away."""
    return error is not None and (isinstance(error, FileNotFoundError) or _is_gone(error.__cause__))
