"""What happens on a connection besides messages: typed events, and the transcript rows of some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from kiterec.wire.transcript import Kind, Row, lifecycle_payload

if TYPE_CHECKING:
    from kiterec.wire.messages import TextMessage
    from kiterec.wire.orders import OrderUpdate


class Instant(NamedTuple):
    """One moment on both of the host's clocks, in nanoseconds."""

    received_at: int
    monotonic_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEvent:
    """Something that happened to a connection.

    Attributes:
        connection: its name, such as main-0.
        at: when, on both clocks.
    """

    connection: str
    at: Instant

    @property
    def account(self) -> str:
        """Give the name of the account of the connection."""
        return self.connection.rpartition("-")[0]

    def row(self) -> Row | None:
        """Give the transcript row of the event; None for one that the transcript does not keep."""
        return None

    def _row(self, kind: Kind, **fields: object) -> Row:
        return Row(self.at.received_at, self.at.monotonic_ns, kind, lifecycle_payload(**fields))


@dataclass(frozen=True, slots=True, kw_only=True)
class Connecting(FeedEvent):
    """An attempt begins; `attempt` is 1 for the first after a working connection."""

    epoch: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(FeedEvent):
    """The handshake succeeded; `epoch` counts the successful connects of this connection from 1."""

    epoch: int

    def row(self) -> Row:
        """Give the `connected` row."""
        return self._row(Kind.CONNECTED, epoch=self.epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed(FeedEvent):
    """Everything that is wanted of the connection has been told to the server."""

    instruments: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent(FeedEvent):
    """The connection is open and said nothing for too long; it is renewed."""

    silent_for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost(FeedEvent):
    """A connection that was open ended.

    Attributes:
        code: of the server's close frame; 1006 without one; 1009 when a message was too large for us.
        reason: a plain sentence.
        wanted: it ended because we asked for it.
    """

    code: int
    reason: str
    wanted: bool = False

    def row(self) -> Row:
        """Give the `disconnected` row."""
        return self._row(Kind.DISCONNECTED, code=self.code, reason=self.reason, wanted=self.wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryIn(FeedEvent):
    """The next attempt begins after `delay_s` seconds; `reason` says why the last one failed."""

    delay_s: float
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(FeedEvent):
    """A stretch that we know we missed, now over.

    Attributes:
        from_ns: wall clock of the last message before it (or of the first attempt), ns since the epoch.
        to_ns: wall clock of the moment when everything wanted was told again.
        duration_ns: the same stretch on the monotonic clock.
        reason: why it began.
    """

    from_ns: int
    to_ns: int
    duration_ns: int
    reason: str

    def row(self) -> Row:
        """Give the `gap` row."""
        return self._row(
            Kind.GAP,
            **{"from": self.from_ns, "to": self.to_ns},
            reason=self.reason,
            duration_ns=self.duration_ns,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(FeedEvent):
    """The server refuses the connection (`status` is the HTTP status) or a request (`status` is None)."""

    status: int | None
    reason: str

    def row(self) -> Row:
        """Give the `refused` row."""
        return self._row(Kind.REFUSED, status=self.status, reason=self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(FeedEvent):
    """Reading stood still on purpose, and goes on: back-pressure.

    Attributes:
        from_ns: wall clock when reading stopped, nanoseconds since the epoch.
        to_ns: wall clock when it went on.
    """

    from_ns: int
    to_ns: int

    def row(self) -> Row:
        """Give the `backpressure` row."""
        return self._row(Kind.BACKPRESSURE, **{"from": self.from_ns, "to": self.to_ns})


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved(FeedEvent):
    """Instruments went from one connection (`connection`) to another (`target`).

    Attributes:
        tokens: the instrument_tokens.
        returned: they went back to where they belong.
    """

    target: str
    tokens: tuple[int, ...]
    returned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReceived(FeedEvent):
    """An order postback; the same one on several connections of an account is given once.

    Attributes:
        update: its fields, and the untouched JSON in `update.raw`.
    """

    update: OrderUpdate


@dataclass(frozen=True, slots=True, kw_only=True)
class TextReceived(FeedEvent):
    """Any other text message, decoded; what is not understood is an `UnknownText` with the text itself."""

    message: TextMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(FeedEvent):
    """The connection will not come back by itself; `reason` says why."""

    reason: str
