"""What is written down of a connection: its rows and its events, each counted."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiterec.feed.counters import Counters
    from kiterec.feed.events import FeedEvent
    from kiterec.feed.sink import FrameSink
    from kiterec.wire.transcript import Row

logger = logging.getLogger(__name__)


class Scribe:
    """Gives the sink what a connection has to say, whatever the sink does.

    Args:
        name: of the connection.
        sink: takes the rows; None keeps nothing.
        counters: of the connection.
        on_event: is told each event, after its row went to the sink.

    Attributes:
        append: the sink's, for each frame; what it raises is for `not_written`. None without a sink.
    """

    def __init__(
        self, name: str, sink: FrameSink | None, counters: Counters, on_event: Callable[[FeedEvent], None]
    ) -> None:
        self.append = None if sink is None else sink.append
        self._name = name
        self._counters = counters
        self._on_event = on_event

    def write(self, row: Row) -> None:
        """Put a row into the transcript."""
        if self.append is not None:
            try:
                self.append(self._name, row)
            except Exception as error:  # noqa: BLE001 -- a sink that fails must not cost the connection too
                self.not_written(error)

    def not_written(self, error: Exception) -> None:
        """Count a row that the sink did not take."""
        self._counters.unwritten += 1
        count = self._counters.unwritten
        if count & (count - 1) == 0:  # the 1st, 2nd, 4th, 8th …: a sink that is gone must not fill the log
            kind = type(error).__name__
            logger.error(
                "connection=%s unwritten=%d the sink does not take rows: %s", self._name, count, kind
            )

    def report(self, event: FeedEvent) -> None:
        """Count an event, write its row if it has one, and tell the world."""
        self._counters.note(event)
        row = event.row()
        if row is not None:
            self.write(row)
        self._on_event(event)
