"""Locks that end with the process that holds them, so that a crash leaves none behind."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from typing import TYPE_CHECKING, Final, Self

from kiterec.errors import SetupError, StorageError
from kiterec.store.files import reason_of

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_TRIES: Final = 5
_RETRY_S: Final = 0.02
"""Who only asks whether a folder is locked holds it for some microseconds; that is no other recorder."""


class FolderLock:
    """The right to write in a folder, held by one process at a time.

    The lock is on the folder itself, so no file is left behind; with `label` it is on a small hidden file
    of that name in the folder, which stays.
    """

    def __init__(self, folder: Path, *, label: str | None = None) -> None:
        self._path = folder if label is None else folder / f".{label}.lock"
        self._is_file = label is not None
        self._fd: int | None = None

    def acquire(self) -> Self:
        """Take the lock.

        Raises:
            SetupError: another recorder (or another lock of this process) has it.
            StorageError: the folder is not there or cannot be locked.
        """
        flags = os.O_RDWR | os.O_CREAT if self._is_file else os.O_RDONLY
        fd = _open(self._path, flags)
        for left in reversed(range(_TRIES)):
            if _try(fd, fcntl.LOCK_EX, self._path):
                if _is_at(self._path, fd):
                    self._fd = fd
                    return self
                os.close(fd)  # it was removed before the lock was ours
                fd = _open(self._path, flags)
                continue
            if left:
                time.sleep(_RETRY_S)
        os.close(fd)
        raise SetupError(
            f"{self._path} is in use by another recorder; stop it, or take another label or folder"
        )

    def remove(self) -> None:
        """Delete the small file of a lock that is held, and release it."""
        if self._fd is not None and self._is_file:
            self._path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Give the lock back; once more is fine."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_locked(folder: Path) -> bool:
    """Say whether a process is writing in the folder at this moment."""
    fd = _open(folder, os.O_RDONLY)
    free = _try(fd, fcntl.LOCK_SH, folder)
    os.close(fd)
    return not free


def _is_at(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageError(f"cannot lock {path}: {reason_of(error)}") from error


def _try(fd: int, operation: int, path: Path) -> bool:
    """Take a lock if nobody has another; closes the file when that cannot be done at all."""
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        os.close(fd)
        raise StorageError(f"cannot lock {path}: {reason_of(error)}") from error
    return True
