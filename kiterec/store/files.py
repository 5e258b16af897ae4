"""Every file operation that a promise rests on, in one object that a test can log, fail or cut short."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kiterec.errors import DiskFullError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def storage_errors(doing: str, path: Path) -> Iterator[None]:
    """Turn an OSError inside into the StorageError that says what was being done to which file."""
    try:
        yield
    except OSError as error:
        reason = reason_of(error)
        if error.errno in NO_SPACE:
            raise DiskFullError(
                f"cannot {doing} {path}: {reason}; free some space, then run kiterec recover"
            ) from error
        raise StorageError(f"cannot {doing} {path}: {reason}") from error


def reason_of(error: OSError) -> str:
    """Give why the operating system, or a file system elsewhere, refused: the words of a sentence."""
    return error.strerror.lower() if error.strerror else " ".join(str(error).split())


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that is being written: its descriptor, and the name under which it was made."""

    fd: int
    path: Path


class Files:
    """The operations. A test overrides `before`, which is told of each one before it happens.

    Raises:
        DiskFullError: no space (or quota) is left; raised by every method that makes or writes.
        StorageError: any other refusal of the operating system.
    """

    def before(self, operation: str, path: Path) -> None:
        """Do nothing; the place for a test to log, to fail or to stop."""

    def make_folder(self, path: Path) -> None:
        """Make one folder, whose parent exists; that it exists already is an error."""
        self.before("make_folder", path)
        with storage_errors("make the folder", path):
            path.mkdir()

    def create(self, path: Path, *, anew: bool = False) -> OpenFile:
        """Create a file for appending; `anew` empties one that is there, otherwise that is an error."""
        self.before("create", path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (os.O_TRUNC if anew else os.O_EXCL)
        with storage_errors("create", path):
            return OpenFile(os.open(path, flags, 0o644), path)

    def append(self, file: OpenFile, buffers: Sequence[Any]) -> int:
        """Append all the buffers with writev(2), give the number of bytes; an error may leave half."""
        self.before("append", file.path)
        views = [view for buffer in buffers if (view := memoryview(buffer).cast("B")).nbytes]
        size = sum(view.nbytes for view in views)
        with storage_errors("write", file.path):
            self._write_all(file.fd, views)
        return size

    def _write_all(self, fd: int, views: list[memoryview]) -> None:
        while views:
            written = os.writev(fd, views[:512])
            while views and written >= views[0].nbytes:
                written -= views.pop(0).nbytes
            if written:
                views[0] = views[0][written:]

    def truncate(self, file: OpenFile, size: int) -> None:
        """Cut the file to its first `size` bytes."""
        self.before("truncate", file.path)
        with storage_errors("truncate", file.path):
            os.ftruncate(file.fd, size)

    def sync(self, file: OpenFile) -> None:
        """Return when the file's bytes survive a power cut (its name does after `sync_folder`)."""
        self.before("sync", file.path)
        with storage_errors("sync", file.path):
            if hasattr(fcntl, "F_FULLFSYNC"):  # macOS: fsync(2) stops at the drive's cache
                fcntl.fcntl(file.fd, fcntl.F_FULLFSYNC)
            else:
                os.fsync(file.fd)

    def close(self, file: OpenFile) -> None:
        """Close the descriptor; a network disk may say only now that a write failed."""
        with storage_errors("close", file.path):
            os.close(file.fd)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name in the same folder, replacing what has that name, in one step."""
        self.before("rename", target)
        with storage_errors("rename to", target):
            source.replace(target)

    def sync_folder(self, path: Path) -> None:
        """Return when the names in a folder survive a power cut."""
        self.before("sync_folder", path)
        with storage_errors("sync the folder", path):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def delete(self, path: Path) -> None:
        """Remove a file; that it is gone already is fine."""
        self.before("delete", path)
        with storage_errors("delete", path):
            path.unlink(missing_ok=True)

    def save(self, path: Path, content: bytes) -> None:
        """Replace a whole small file so that a crash leaves either the old or the new one."""
        draft = path.with_name(path.name + ".tmp")
        file = self.create(draft, anew=True)
        try:
            self.append(file, [content])
            self.sync(file)
        finally:
            self.close(file)
        self.rename(draft, path)
        self.sync_folder(path.parent)

    def free_bytes(self, path: Path) -> int:
        """Give the space that is left for us on the disk of `path`."""
        with storage_errors("ask the free space of", path):
            room = os.statvfs(path)
        return room.f_bavail * room.f_frsize


FILES: Final = Files()
