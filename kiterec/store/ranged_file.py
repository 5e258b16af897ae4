"""A file of which only the ranges that are needed are fetched, each at once, and then read from memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

TAIL_BYTES: Final = 64 << 10
"""Fetched at once when a file is opened: a part's footer with its guard, or all of a small part."""


class RangedFile:
    """An open file whose tail and last fetched range are in memory; Arrow reads from it as from any file."""

    closed = False

    def __init__(self, file: Any, *, errors: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._errors = errors
        self._size: int = file.size()
        self._at = 0
        self._held: tuple[int, bytes | memoryview] = (0, b"")
        begin = max(0, self._size - TAIL_BYTES)
        self._tail = (begin, file.read_at(self._size - begin, begin))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def size(self) -> int:
        """Give the size of the file."""
        return self._size

    def fetch(self, begin: int, end: int) -> None:
        """Hold a range in memory, in place of the one before.

        Raises:
            StorageError: the file system refuses, or does not answer.
        """
        if self._cut(self._tail, begin, end) is None:
            self._held = (0, b"")  # the old one goes first: one of them is enough in memory
            with self._errors():
                self._file.seek(begin)
                # Arrow uses the memory of the one before again: fresh pages cost as much as the reading.
                self._held = (begin, memoryview(self._file.read_buffer(end - begin)))

    def release(self) -> None:
        """Hold the range in memory no longer."""
        self._held = (0, b"")

    def read_at(self, size: int, at: int) -> bytes | memoryview:
        """Give some bytes, without a copy where they are in memory; fewer at the end of the file."""
        end = min(self._size, at + size)
        for held in (self._held, self._tail):
            if (found := self._cut(held, at, end)) is not None:
                return found
        with self._errors():
            read: bytes = self._file.read_at(max(0, end - at), at)
        return read

    def read(self, size: int = -1) -> bytes | memoryview:
        """Give the next bytes."""
        found = self.read_at(self._size if size < 0 else size, self._at)
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place in the file."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        """Give the place in the file."""
        return self._at

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read from any place."""
        return True

    def close(self) -> None:
        """Close it."""
        if not self.closed:
            self.closed = True
            self._file.close()

    @staticmethod
    def _cut(held: tuple[int, bytes | memoryview], begin: int, end: int) -> bytes | memoryview | None:
        """Give a range out of one that is in memory; None: it is not all in it."""
        first, content = held
        if begin < first or end > first + len(content) or begin >= end:
            return b"" if begin >= end else None
        return memoryview(content)[begin - first : end - first]
