"""What recordings that did not go well leave behind: unfinished ones are recovered, empty ones removed."""

from __future__ import annotations

import logging
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from kiterec.errors import KiterecError, SetupError, StorageError
from kiterec.store.lock import FolderLock
from kiterec.store.recover import find_unfinished, recover

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

logger = logging.getLogger(__name__)


def recover_unfinished(out: Path, *, stopped: Callable[[], bool]) -> None:
    """Recover every recording under a folder that its recorder did not finish, and that nobody writes.

    What cannot be recovered is logged and left as it is: an old recording must not stop a new one.

    Args:
        out: the folder of all recordings.
        stopped: is asked before each; what is left then is recovered at the next start.
    """
    for path in find_unfinished(out):
        if stopped():
            return
        try:
            report = recover(path)
        except (KiterecError, OSError) as error:
            logger.warning("an unfinished recording could not be recovered: path=%s because %s", path, error)
        else:
            logger.info("recovered an unfinished recording: path=%s status=%s", path, report.status)


def remove_empty(path: Path, *, out: Path, made_out: bool) -> None:
    """Remove a recording in which nothing was received, and the folders above it that were made for it.

    Args:
        path: the recording's folder.
        out: the folder of all recordings.
        made_out: `out` was made for this recording, so nothing else belongs there.
    """
    shutil.rmtree(path)
    with suppress(OSError):  # another recording of the day is beside it
        path.parent.rmdir()
        if made_out and all(entry.name.endswith(".lock") for entry in out.iterdir()):
            _remove_with_locks(out)


def _remove_with_locks(out: Path) -> None:
    """Remove a folder in which only locks are left, unless a recorder that starts holds one of them."""
    for path in sorted(out.iterdir()):
        with suppress(SetupError, StorageError):
            FolderLock(out, label=path.name.removeprefix(".").removesuffix(".lock")).acquire().remove()
    out.rmdir()
