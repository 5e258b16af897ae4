"""One client of the fake Kite: hears its requests, sends its share, its heartbeats and its snapshots."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

from kiterec.replay.subscriptions import Subscriptions
from kiterec.replay.texts import OVER_LIMIT
from kiterec.wire.frames import HEARTBEAT
from kiterec.wire.messages import ErrorText, encode_text
from kiterec.wire.requests import Request, UnknownRequest, decode_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiterec.replay.client_view import SubscribedView, View
    from kiterec.replay.limits import Limits
    from kiterec.replay.market import MarketBatch
    from kiterec.replay.stats import Tally

logger = logging.getLogger(__name__)

HEARTBEAT_S: Final = 3.0
SNAPSHOT_DELAY_S: Final = 0.25
HIGH_WATER_BYTES: Final = 4 << 20
"""With more than this unread by a client, a replay without deadlines waits for it."""

_POLICY_VIOLATION: Final = 1008
_IGNORED_TOLD: Final = 10
"""So many ignored requests of a client are logged; all are counted."""

_MAX_COMMAS: Final = 50_000
"""No request of a program in its senses has more instruments; reading more would keep the others waiting."""


class Wire(Protocol):
    """The client's end of a socket, as the server gives it; nothing here waits but `drained`."""

    def push(self, message: bytes | str) -> None:
        """Send a message; it is buffered when the peer does not read. Does nothing on a closed socket."""
        ...

    def nudge(self) -> None:
        """Send something that the peer's library sees and its program does not."""
        ...

    def unsent_bytes(self) -> int:
        """Give how many bytes the peer has not taken."""
        ...

    async def drained(self) -> None:
        """Wait until few bytes are unsent, or the socket is closed."""
        ...

    def hang_up(self, code: int, reason: str) -> None:
        """Begin to close."""
        ...


class Client:
    """One client.

    Args:
        name: for logs and statistics; not secret.
        wire: its socket.
        limits: the server's bounds.
        tally: the server's counts.
        on_subscribed: called after each request that changed something.
    """

    def __init__(
        self, name: str, wire: Wire, *, limits: Limits, tally: Tally, on_subscribed: Callable[[], None]
    ) -> None:
        self.name = name
        self.subscriptions = Subscriptions(limit=limits.instruments_per_connection)
        self.gone = False
        self._wire = wire
        self._limits = limits
        self._tally = tally
        self._on_subscribed = on_subscribed
        self._view: View | None = None
        self._subscribed_view: SubscribedView | None = None
        self._exact = False
        self._ignored = 0
        self._heartbeat: asyncio.TimerHandle | None = None
        self._snapshot: asyncio.TimerHandle | None = None
        self._snapshot_of: set[int] = set()

    def serve(self, view: SubscribedView, *, greeting: str) -> None:
        """Begin as Kite does: a first text, heartbeats, then whatever is asked for."""
        self._view = self._subscribed_view = view
        self.push(greeting)
        self._start_heartbeats()

    def serve_exactly(self, view: View) -> None:
        """Begin as a recorded connection: everything comes from the timeline until `rejoin_life`."""
        self._view, self._exact = view, True
        self._start_heartbeats()

    def rejoin_life(self) -> None:
        """Say that the timeline is over: from here on an exact client gets heartbeats too."""
        self._exact = False

    def hear(self, message: str | bytes) -> None:
        """Do what a request asks; what cannot be understood is ignored, as Kite does."""
        request = _read(message)
        if isinstance(request, UnknownRequest):
            self._tally.ignored_requests += 1
            self._ignored += 1
            if self._ignored <= _IGNORED_TOLD:
                logger.info("request ignored client=%s reason=%s", self.name, request.reason[:200])
            return
        view = self._subscribed_view
        if view is None:
            return
        change = self.subscriptions.apply(request)
        if change.refused:
            limit = self._limits.instruments_per_connection
            logger.info(
                "too many instruments client=%s refused=%d limit=%d", self.name, change.refused, limit
            )
            self.push(encode_text(ErrorText(OVER_LIMIT.format(limit=limit))))
        if change.tokens:
            view.refresh()
            self._ask_snapshot(change.tokens)
            self._on_subscribed()

    def deliver(self, batch: MarketBatch, begin: int, end: int) -> None:
        """Send the client's share of these messages."""
        if self._view is None:
            return
        for message in self._view.messages(batch, begin, end):
            self.push(message)

    def push(self, message: bytes | str) -> None:
        """Send one message, unless the client has left too much unread: then it is cut off."""
        if self.gone:
            return
        unread = self._wire.unsent_bytes()
        if unread + len(message) > self._limits.unread_bytes:
            self.cut_off(f"{unread:,} bytes unread, {self._limits.unread_bytes:,} allowed")
            return
        self._wire.push(message)
        self._tally.sent_messages += 1
        self._tally.sent_bytes += len(message)

    async def drained(self) -> None:
        """Wait until the client has taken nearly all; one that takes nothing for too long is cut off."""
        unread = self._wire.unsent_bytes()
        while not self.gone and unread > HIGH_WATER_BYTES:
            try:
                async with asyncio.timeout(self._limits.stall_s):
                    await self._wire.drained()
            except TimeoutError:
                before, unread = unread, self._wire.unsent_bytes()
                if unread >= before:
                    self.cut_off(f"nothing read for {self._limits.stall_s:g} s, {unread:,} bytes unread")
            else:
                return

    def cut_off(self, why: str) -> None:
        """End the connection of a client that does not read."""
        logger.warning("client cut off client=%s reason=%s", self.name, why)
        self._tally.cut_off.append(f"{self.name}: {why}")
        self.say_goodbye(_POLICY_VIOLATION, f"reads too slowly: {why}")

    def send_pending_snapshot(self) -> None:
        """Send what was asked for and is not out yet, now."""
        if self._snapshot is None or self._subscribed_view is None:
            return
        self._snapshot.cancel()
        self._snapshot = None
        asked, self._snapshot_of = self._snapshot_of, set()
        frame = self._subscribed_view.snapshot(asked)
        if frame is not None:
            self.push(frame)

    def say_goodbye(self, code: int, reason: str) -> None:
        """Close the connection."""
        self.leave()
        self._wire.hang_up(code, reason)

    def leave(self) -> None:
        """Stop everything; the connection is closed or about to be. Can be called twice."""
        self.gone = True
        for timer in (self._heartbeat, self._snapshot):
            if timer is not None:
                timer.cancel()
        self._heartbeat = self._snapshot = None

    def _ask_snapshot(self, tokens: tuple[int, ...]) -> None:
        self._snapshot_of.update(tokens)
        if self._snapshot is None:
            loop = asyncio.get_running_loop()
            self._snapshot = loop.call_later(SNAPSHOT_DELAY_S, self.send_pending_snapshot)

    def _start_heartbeats(self) -> None:
        loop = asyncio.get_running_loop()

        def beat(due: float) -> None:
            if self._exact:
                self._wire.nudge()
            else:
                self.push(HEARTBEAT)
            if not self.gone:
                # After a standstill there is one heartbeat, not all that were missed.
                coming = max(due + HEARTBEAT_S, loop.time())
                self._heartbeat = loop.call_at(coming, beat, coming)

        first = loop.time() + HEARTBEAT_S
        self._heartbeat = loop.call_at(first, beat, first)


def _read(message: str | bytes) -> Request | UnknownRequest:
    if isinstance(message, bytes):
        return UnknownRequest("", "not a text")
    if message.count(",") > _MAX_COMMAS:
        return UnknownRequest("", f"more than {_MAX_COMMAS:,} instruments in one request")
    return decode_request(message)
