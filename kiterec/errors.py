"""Every error that kiterec raises on purpose.

```
KiterecError
├── SetupError                nothing was started: the configuration or the call is wrong
│   └── CapacityError         more instruments than the connections can hold
├── PluginError               a plugin could not be loaded or misbehaves
├── FeedError                 the live feed
│   ├── AuthError             the access token is refused; trying again never helps
│   ├── TooManyConnectionsError
│   ├── ConnectionLostError
│   └── StaleFeedError        connected, but silent for too long
├── DecodeError               bytes that are no frame or packet
├── StorageError              the disk
│   ├── CorruptPartError
│   ├── ManifestError
│   │   └── NoRecordingError  the path is wrong: nothing is there, or no recording
│   └── DiskFullError
└── ReplayError
```

The sentence of each is lower case, says what was found, where, what was expected, and the next step where we
know it. The command line prints that sentence alone; anything that is not a KiterecError keeps its traceback.
"""

from __future__ import annotations


class KiterecError(Exception):
    """The base of every error raised on purpose."""


class SetupError(KiterecError):
    """Nothing was started: the configuration or the request is impossible."""


class CapacityError(SetupError):
    """More instruments were asked for than there is room.

    Attributes:
        asked: instruments that needed room.
        free: room that there was, over all connections.
        per_connection: room of each connection, by name.
    """

    def __init__(self, asked: int, free: int, per_connection: dict[str, int]) -> None:
        self.asked = asked
        self.free = free
        self.per_connection = dict(per_connection)
        super().__init__(asked, free, per_connection)

    def __str__(self) -> str:
        rooms = ", ".join(f"{name} {room:,}" for name, room in self.per_connection.items()) or "no connection"
        return (
            f"{self.asked:,} instruments asked for, room for {self.free:,} ({rooms}); "
            "use more connections (3 an account at most), add an account, or ask for fewer"
        )


class PluginError(KiterecError):
    """A plugin could not be loaded or started."""


class FeedError(KiterecError):
    """The live feed failed."""


class AuthError(FeedError):
    """The server refused the credentials; the same access token will never be accepted."""


class TooManyConnectionsError(FeedError):
    """The api_key has no free connection left."""


class ConnectionLostError(FeedError):
    """A connection ended that was wanted."""


class StaleFeedError(FeedError):
    """A connection is open, but nothing came for longer than the silence limit."""


class DecodeError(KiterecError):
    """Bytes that are no frame, packet or message.

    Attributes:
        offset: where in the frame, in bytes.
        reason: what is wrong there.
    """

    def __init__(self, reason: str, *, offset: int = 0) -> None:
        self.reason = reason
        self.offset = offset
        super().__init__(reason, offset)

    def __str__(self) -> str:
        return f"{self.reason} (at byte {self.offset:,})"


class StorageError(KiterecError):
    """The disk refused, or what is on it is not what was expected."""


class CorruptPartError(StorageError):
    """A part or journal does not check."""


class ManifestError(StorageError):
    """recording.json is missing, unreadable, or of another format."""


class NoRecordingError(ManifestError):
    """Where a recording was expected there is nothing, or something else."""


class DiskFullError(StorageError):
    """No space is left for the recording."""


class ReplayError(KiterecError):
    """A recording cannot be replayed, or the server cannot be started."""
