"""The words of a transcript: everything that happens on a connection is a row of one of these kinds."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec


class Kind(StrEnum):
    """What a row of the transcript is.

    `binary` and `text` were received, byte for byte as they came; `sent` went out. The payload of all
    others is the JSON object of a lifecycle event.
    """

    BINARY = "binary"
    TEXT = "text"
    SENT = "sent"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    GAP = "gap"
    BACKPRESSURE = "backpressure"
    CLOCK = "clock"
    REFUSED = "refused"
    MARKER = "marker"


RECEIVED_KINDS: Final = frozenset({Kind.BINARY, Kind.TEXT})


class Row(NamedTuple):
    """One row of a transcript, before the writer gives it its `seq`.

    Attributes:
        received_at: wall clock, ns since the UNIX epoch, read as soon as the socket gave the message.
        monotonic_ns: the host's monotonic clock at the same instant.
        kind: what happened.
        payload: the message, or the JSON object of a lifecycle event.
    """

    received_at: int
    monotonic_ns: int
    kind: Kind
    payload: bytes


def lifecycle_payload(**fields: Any) -> bytes:
    """Give the payload of a lifecycle row: a JSON object of these fields, None left out.

    Source:
        A `gap` has `from` and `to` (nanoseconds since the epoch; `to` excluded) and `reason`.
    """
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None})


def read_lifecycle(payload: bytes) -> dict[str, Any]:
    """Give the fields of a lifecycle row; empty for a payload that is no JSON object."""
    try:
        return msgspec.json.decode(payload, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
