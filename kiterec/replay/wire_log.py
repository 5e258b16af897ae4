"""A logger for the WebSocket library that cannot show a request's path, for both secrets are in it."""

from __future__ import annotations

import logging

_NAME = "kiterec.replay.wire"


class _WithoutPaths(logging.Filter):
    """Lets warnings through, without the tracebacks that quote what the peer sent."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        record.exc_text = None
        return record.levelno >= logging.WARNING


def wire_logger() -> logging.Logger:
    """Give the library's logger; whatever level the user sets, requests are not shown."""
    wire = logging.getLogger(_NAME)
    wire.setLevel(logging.WARNING)
    if not any(isinstance(known, _WithoutPaths) for known in wire.filters):
        wire.addFilter(_WithoutPaths())
    return wire
