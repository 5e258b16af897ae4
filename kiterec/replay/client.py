"""One client of the fake Kite: hears its requests, sends its share, its heartbeats and its snapshots."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from kiterec.replay.framing import mode_bit
from kiterec.replay.hooks import Sending
from kiterec.replay.stats import ClientState
from kiterec.replay.subscriptions import Subscriptions
from kiterec.replay.texts import OVER_LIMIT
from kiterec.wire.frames import HEARTBEAT
from kiterec.wire.messages import ErrorText, encode_text
from kiterec.wire.packets import Mode
from kiterec.wire.requests import Request, UnknownRequest, decode_request
from kiterec.wire.transcript import read_lifecycle

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiterec.replay.client_view import SubscribedView, View
    from kiterec.replay.limits import Limits
    from kiterec.replay.market import MarketBatch
    from kiterec.replay.outlet import Outlet
    from kiterec.replay.share import Share
    from kiterec.replay.stats import Tally

logger = logging.getLogger(__name__)

HEARTBEAT_S: Final = 3.0
SNAPSHOT_DELAY_S: Final = 0.25

_MODE_OF_BIT: Final = {mode_bit(mode): mode for mode in Mode}

_IGNORED_TOLD: Final = 10
"""So many ignored requests of a client are logged; all are counted."""

_MAX_COMMAS: Final = 50_000
"""No request of a program in its senses has more instruments; reading more would keep the others waiting."""


class Client:
    """One client.

    Args:
        outlet: the way out to it.
        limits: the server's bounds.
        tally: the server's counts.
        on_subscribed: called after each request that changed something.
        lockstep: snapshots wait for `send_pending_snapshot` instead of a timer.
    """

    def __init__(
        self,
        outlet: Outlet,
        *,
        limits: Limits,
        tally: Tally,
        on_subscribed: Callable[[], None],
        lockstep: bool = False,
        stands_still: Callable[[], bool] = lambda: False,
    ) -> None:
        self.outlet = outlet
        self._stands_still = stands_still
        self.subscriptions = Subscriptions(limit=limits.instruments_per_connection)
        self._limits = limits
        self._tally = tally
        self._on_subscribed = on_subscribed
        self._lockstep = lockstep
        self._view: View | None = None
        self._subscribed_view: SubscribedView | None = None
        self._prepared: tuple[tuple[MarketBatch, int, int, int], Share] | None = None
        self._exact = False
        self._ignored = 0
        self._heartbeat: asyncio.TimerHandle | None = None
        self._snapshot: asyncio.TimerHandle | None = None
        self._snapshot_of: set[int] = set()

    @property
    def name(self) -> str:
        """Give the name of logs and statistics."""
        return self.outlet.name

    def state(self) -> ClientState:
        """Tell what it has subscribed to."""
        return ClientState(
            name=self.name,
            modes={token: _MODE_OF_BIT[bit] for token, bit in self.subscriptions.modes.items()},
        )

    def serve(self, view: SubscribedView, *, greeting: str) -> None:
        """Begin as Kite does: a first text, heartbeats, then whatever is asked for."""
        self._view = self._subscribed_view = view
        self.outlet.send(greeting, Sending.GREETING)
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
            self.outlet.send(encode_text(ErrorText(OVER_LIMIT.format(limit=limit))), Sending.ERROR)
        if change.tokens:
            view.refresh()
            self._ask_snapshot(change.tokens)
            self._on_subscribed()

    def share(self, batch: MarketBatch, begin: int, end: int) -> Share | None:
        """Give what the client gets of these messages; None: nothing any more, or not yet."""
        if self._view is None or self.outlet.gone:
            return None
        prepared, self._prepared = self._prepared, None
        if prepared is not None and prepared[0] == (batch, begin, end, self._view.version):
            return prepared[1]
        return self._view.share(batch, begin, end)

    def prepare(self, batch: MarketBatch, begin: int, end: int) -> None:
        """Make the client's share of these messages before they are due."""
        if self._view is not None and not self.outlet.gone:
            share = self._view.share(batch, begin, end)
            share.prepare()
            # Whoever asks for something else meanwhile gets another share.
            self._prepared = ((batch, begin, end, self._view.version), share)

    def lose(self, batch: MarketBatch, row: int) -> None:
        """Lose the connection as the recorded one was lost, if that was the client's."""
        if self._view is not None and self._view.loses(batch, row):
            self.outlet.lose(read_lifecycle(batch.message(row)))

    def send_pending_snapshot(self) -> bool:
        """Send what was asked for and is not out yet, now; tell whether there was anything to send."""
        if self._snapshot is not None:
            self._snapshot.cancel()
            self._snapshot = None
        asked, self._snapshot_of = self._snapshot_of, set()
        return bool(asked) and self._send_state(asked)

    def show_state(self) -> None:
        """Send the state of all its instruments."""
        if self.subscriptions.modes:
            self._snapshot_of.clear()
            self._send_state(set(self.subscriptions.modes))

    def leave(self) -> None:
        """Stop everything, for the connection is closed."""
        for timer in (self._heartbeat, self._snapshot):
            if timer is not None:
                timer.cancel()
        self._heartbeat = self._snapshot = None
        self.outlet.ended()

    def _send_state(self, tokens: set[int]) -> bool:
        frame = None if self._subscribed_view is None else self._subscribed_view.snapshot(tokens)
        if frame is not None:
            self.outlet.send(frame, Sending.SNAPSHOT)
        return frame is not None

    def _ask_snapshot(self, tokens: tuple[int, ...]) -> None:
        self._snapshot_of.update(tokens)
        if self._snapshot is None and not self._lockstep:
            loop = asyncio.get_running_loop()
            self._snapshot = loop.call_later(SNAPSHOT_DELAY_S, self.send_pending_snapshot)

    def _start_heartbeats(self) -> None:
        loop = asyncio.get_running_loop()

        def beat(due: float) -> None:
            if self._exact and not self._stands_still():
                self.outlet.nudge()
            else:
                self.outlet.send(HEARTBEAT, Sending.HEARTBEAT)
            if not self.outlet.gone:
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
