"""Where the rows of every connection go: the recording, or whatever takes its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kiterec.wire.transcript import Row


class FrameSink(Protocol):
    """Takes every row of every connection, in order, on the event loop; must be quick and must not block."""

    def append(self, connection: str, row: Row) -> None:
        """Take one row."""
        ...
