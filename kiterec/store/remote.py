"""Recordings on other file systems: what a reader asks of a `pathlib.Path`, answered by `pyarrow.fs`."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from urllib.parse import parse_qsl, unquote

from kiterec.errors import NoRecordingError, StorageError
from kiterec.store.files import storage_errors
from kiterec.store.ranged_file import RangedFile

if TYPE_CHECKING:
    from collections.abc import Iterator

URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
KNOWN: Final = "file, s3, gs, abfs and hdfs"
_HARMLESS: Final = frozenset({"scheme", "region", "endpoint_override"})
"""Parameters of a URL that are no secret; what is not here is shown to nobody."""


class Size(NamedTuple):
    """What `RemotePath.stat` knows of a file."""

    st_size: int


@dataclass(slots=True)
class _Shelf:
    """A file system, and what is below one of its folders, listed once: a finished recording does not change.

    Attributes:
        files: the file system.
        root: the folder on it.
        shown: the folder as users may see it, without credentials.
        hidden: words that no message may have.
    """

    files: Any
    root: str
    shown: str
    hidden: tuple[str, ...] = ()
    _sizes: dict[str, int | None] | None = None
    held: dict[str, bytes] = field(default_factory=dict)

    def sizes(self) -> dict[str, int | None]:
        """Give the size of each file below the root, by its relative path; None for a folder."""
        if self._sizes is None:
            from pyarrow.fs import FileSelector, FileType

            found = self.files.get_file_info(FileSelector(self.root, recursive=True, allow_not_found=True))
            start = len(self.root.rstrip("/")) + 1
            self._sizes = {
                info.path[start:]: info.size if info.type == FileType.File else None
                for info in found
                if info.path[start:]
            }
        return self._sizes

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what a file system says into an OSError without secrets."""
        try:
            yield
        except FileNotFoundError:
            raise FileNotFoundError("no such file") from None
        except (OSError, ValueError, ImportError) as error:
            raise OSError(_told(error, self.hidden)) from None


class RemotePath:
    """A file or folder of a recording elsewhere; the part of `pathlib.Path` that reading a recording takes.

    It can be read only: whoever would write has to have the recording on a disk.
    """

    __slots__ = ("_below", "_shelf")

    def __init__(self, shelf: _Shelf, below: str = "") -> None:
        self._shelf = shelf
        self._below = below

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self._below or self._shelf.shown)

    @property
    def parent(self) -> RemotePath:
        """The folder that it is in; the recording's own folder is the last."""
        return RemotePath(self._shelf, posixpath.dirname(self._below))

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(self._shelf, posixpath.join(self._below, name))

    def __str__(self) -> str:
        return posixpath.join(self._shelf.shown, self._below) if self._below else self._shelf.shown

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and str(self) == str(other)

    def __lt__(self, other: RemotePath) -> bool:
        return str(self) < str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def exists(self) -> bool:
        """Say whether it is there."""
        return not self._below or self._below in self._sizes()

    def is_file(self) -> bool:
        """Say whether it is a file."""
        return self._sizes().get(self._below) is not None

    def is_dir(self) -> bool:
        """Say whether it is a folder. Object stores have none: it is one when something is in it."""
        inside = f"{self._below}/"
        return not self._below or any(name.startswith(inside) for name in self._sizes())

    def iterdir(self) -> Iterator[RemotePath]:
        """Give what is in the folder."""
        start = f"{self._below}/" if self._below else ""
        inside = {name[len(start) :].split("/")[0] for name in self._sizes() if name.startswith(start)}
        return (self / name for name in sorted(inside))

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """Give what is in the folder and has a name that fits."""
        return (path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, pattern))

    def stat(self) -> Size:
        """Give the size.

        Raises:
            FileNotFoundError: it is no file.
        """
        size = self._sizes().get(self._below)
        if size is None:
            raise FileNotFoundError(f"{self} does not exist")
        return Size(size)

    def read_bytes(self) -> bytes:
        """Give the whole content, which is fetched once.

        Raises:
            OSError: it is not there, or the file system refuses.
        """
        held = self._shelf.held
        if self._below not in held:
            with self._shelf.errors(), self._shelf.files.open_input_file(self._path()) as file:
                held[self._below] = file.read()
        return held[self._below]

    def open_ranges(self) -> RangedFile:
        """Open it for reading, a range at a time.

        Raises:
            OSError: it is not there, or the file system refuses.
        """
        with self._shelf.errors():
            file = self._shelf.files.open_input_file(self._path())
            return RangedFile(file, errors=self._read_errors)

    @contextmanager
    def _read_errors(self) -> Iterator[None]:
        with storage_errors("read", cast("Path", self)), self._shelf.errors():
            yield

    def looked_into(self, limit: int = 3) -> list[str]:
        """Give the first names of what is in the folder, without listing what is below them.

        Raises:
            StorageError: the file system refuses; for example, there is no such bucket.
        """
        from pyarrow.fs import FileSelector

        with self._read_errors():
            found = self._shelf.files.get_file_info(FileSelector(self._path(), allow_not_found=True))
        return sorted(info.base_name for info in found)[:limit]

    def _path(self) -> str:
        return posixpath.join(self._shelf.root, self._below) if self._below else self._shelf.root

    def _sizes(self) -> dict[str, int | None]:
        with self._shelf.errors():
            return self._shelf.sizes()


def open_source(path: Path) -> RangedFile:
    """Open a file for reading, wherever it is; close it.

    Raises:
        OSError: it is not there, or cannot be opened.
    """
    place: object = path
    if isinstance(place, RemotePath):
        return place.open_ranges()
    import pyarrow as pa

    return RangedFile(pa.OSFile(str(path), "rb"), errors=nullcontext)


def is_remote(path: Path) -> bool:
    """Say whether a path that a reader has is elsewhere."""
    place: object = path
    return isinstance(place, RemotePath)


def said_of(path: Path) -> str:
    """Say what is where a recording was expected."""
    place: object = path
    names = place.looked_into() if isinstance(place, RemotePath) else []
    return f"there are {', '.join(names)}" if names else "nothing is there; check the bucket and the path"


def is_url(place: Path | str) -> bool:
    """Say whether a place is named by a URL."""
    return isinstance(place, str) and URL.match(place) is not None


def place_of(place: Path | str, *, file_system: Any = None) -> Path:
    """Give a place as a path: on a disk as what it is, elsewhere as what a reader takes for one.

    Args:
        place: a path, or the URL of a file system that pyarrow knows.
        file_system: a `pyarrow.fs.FileSystem` on which the place is; None goes by the place.

    Raises:
        NoRecordingError: the URL is of no known file system, or not complete.
        StorageError: the file system cannot be reached, or refuses.
    """
    if file_system is not None:
        root = str(place).rstrip("/")
        return _as_path(_Shelf(file_system, root, root))
    if not is_url(place):
        return Path(place) if isinstance(place, str) else place
    from pyarrow import fs

    url = str(place)
    shown, hidden = _without_secrets(url)
    try:
        files, root = fs.FileSystem.from_uri(url)
    except (ValueError, ImportError) as error:  # pa.ArrowInvalid is a ValueError
        is_known = "Unrecognized filesystem" not in str(error)
        told = _told(error, hidden) if is_known else f"nothing reads such a URL; known are {KNOWN}"
        raise NoRecordingError(f"cannot open {shown}: {told}") from None
    except OSError as error:
        raise StorageError(f"cannot reach {shown}: {_told(error, hidden)}") from None
    if isinstance(files, fs.LocalFileSystem):
        return Path(root)
    if not root.strip("/"):
        raise NoRecordingError(f"{shown} names no recording; give the folder that holds recording.json")
    return _as_path(_Shelf(files, root.rstrip("/"), shown, hidden))


def _as_path(shelf: _Shelf) -> Path:
    if posixpath.basename(shelf.root) == "recording.json":
        shelf.root, shelf.shown = posixpath.dirname(shelf.root), posixpath.dirname(shelf.shown)
    return cast("Path", RemotePath(shelf))


def _without_secrets(url: str) -> tuple[str, tuple[str, ...]]:
    """Give a URL without user, password and parameters, and what must not be shown."""
    scheme, _, rest = url.partition("://")
    # A password that has an unencoded / ? # or @ ends at the last @ only; then nothing before that is shown.
    user, _, rest = rest.rpartition("@") if ":" in re.split("[/?#]", rest)[0] else ("", "", rest)
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    place, slash, path = rest.partition("/")
    # Of Azure, the container stands before the account.
    alone, _, host = ("", "", place) if scheme.startswith("abfs") else place.rpartition("@")
    words = {
        alone,
        user,
        *user.split(":", 1),
        *(value for key, value in parse_qsl(f"{query}&{fragment}") if key not in _HARMLESS),
    }
    words |= {unquote(word) for word in words}
    return f"{scheme}://{host}{slash}{path.rstrip('/')}", tuple(word for word in words if word)


def _told(error: Exception, hidden: tuple[str, ...]) -> str:
    """Give what an error says in one line; of one that repeats a secret, only what it is."""
    text = " ".join(str(error).split()) or type(error).__name__
    if "Cannot parse URI" in text or any(word in text for word in hidden):
        return "the URL does not parse; encode special characters of a password with %"
    return re.sub(r" \(Request ID: [^)]*\)", "", text)
