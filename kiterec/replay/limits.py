"""How much a client of the fake Kite may ask for and leave unread."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

MIN_UNREAD_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The server's bounds: the first two are Kite's, the others protect this process.

    Attributes:
        connections_per_api_key: the next one is refused with 429.
        instruments_per_connection: new ones above it are refused with an error text.
        request_bytes: a longer request ends the connection with close code 1009.
        connections: open sockets of any kind; more are dropped before they are listened to.
        unread_bytes: a client that leaves more than this unread is cut off; 8 MiB at least, for a replay
            without deadlines fills half of that on purpose.
        stall_s: how long a client may read nothing while the replay waits for it.
        lockstep_s: how long a replay in lockstep waits for a client to take or acknowledge a message, or to
            come back; then it fails. A pause has no bound, nor has the wait for the first clients.

    Raises:
        ValueError: a bound is not positive or too small.
    """

    connections_per_api_key: int = 3
    instruments_per_connection: int = 3_000
    request_bytes: int = 1 << 20
    connections: int = 256
    unread_bytes: int = 16 << 20
    stall_s: float = 10.0
    lockstep_s: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"{field.name} must be positive, got {getattr(self, field.name)}")
        if self.unread_bytes < MIN_UNREAD_BYTES:
            raise ValueError(f"unread_bytes must be at least {MIN_UNREAD_BYTES:,}, got {self.unread_bytes:,}")
