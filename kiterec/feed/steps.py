"""The words between a connection's protocol and its shell: what happened, and what is to be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kiterec.feed.events import FeedEvent
    from kiterec.feed.failure import Failure

# --- events: what happened ---


@dataclass(frozen=True, slots=True)
class Start:
    """Begin."""


@dataclass(frozen=True, slots=True)
class Wake:
    """The time of the last `WaitUntil` has come."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The handshake succeeded."""


@dataclass(frozen=True, slots=True)
class ConnectFailed:
    """The connect failed."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Ended:
    """The open socket ended."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class RefusedText:
    """The server sent an error text: it refuses a request; the connection stays up."""

    words: str


@dataclass(frozen=True, slots=True)
class Changed:
    """What is wanted of these instruments may have changed."""

    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """We stop reading; from now on silence is our own."""


@dataclass(frozen=True, slots=True)
class Release:
    """We read again."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """Another access token is there."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End, from whatever state."""


Event = (
    Start | Wake | Opened | ConnectFailed | Ended | RefusedText | Changed | Hold | Release | NewToken | Stop
)

# --- actions: what to do ---


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a socket; answer with `Opened` or `ConnectFailed`."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text."""

    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """Begin the closing handshake; answer with `Ended`."""


@dataclass(frozen=True, slots=True)
class Abort:
    """Drop the socket or the connect at once; no answer is expected."""


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Send `Wake` at this time of the monotonic clock; replaces the last one, None cancels it."""

    monotonic_ns: int | None


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the world, and write the row of the event if it has one."""

    event: FeedEvent


Action = Connect | Send | Close | Abort | WaitUntil | Report
