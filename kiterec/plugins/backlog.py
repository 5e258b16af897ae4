"""What waits for one plugin: a queue that is bounded in bytes and gives up its oldest entries, counted."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class Backlog(Generic[Entry]):
    """A bounded queue between one producer and one consumer thread.

    Adding never waits. When the bytes of what waits pass the limit, the oldest entries are lost; the newest
    one is always kept, however large. An entry of zero bytes and zero rows is never lost.

    Attributes:
        limit_bytes: how much may wait.
        lost_rows: rows of the entries that were given up.
        lost_entries: how many they were.
    """

    def __init__(self, *, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.lost_rows = 0
        self.lost_entries = 0
        self._entries: deque[tuple[Entry, int, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry, *, rows: int = 0, size: int = 0) -> None:
        """Put an entry at the end."""
        with self._changed:
            self._entries.append((entry, rows, size))
            self._bytes += size
            if self._bytes > self.limit_bytes:
                self._give_up_the_oldest()
            self._changed.notify()

    def take(self) -> Entry:
        """Wait for the oldest entry and give it."""
        with self._changed:
            while not self._entries:
                self._changed.wait()
            entry, _, size = self._entries.popleft()
            self._bytes -= size
            return entry

    def _give_up_the_oldest(self) -> None:
        newest = self._entries.pop()
        kept: deque[tuple[Entry, int, int]] = deque()
        while self._entries and self._bytes > self.limit_bytes:
            entry, rows, size = self._entries.popleft()
            if rows or size:
                self._bytes -= size
                self.lost_rows += rows
                self.lost_entries += 1
            else:
                kept.append((entry, rows, size))
        self._entries.extendleft(reversed(kept))
        self._entries.append(newest)
