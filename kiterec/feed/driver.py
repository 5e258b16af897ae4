"""The asyncio shell of one connection: it does what the protocol says, and takes every message."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from kiterec.clock import NS_PER_S
from kiterec.feed.connection import ConnectionClosed, describe_end
from kiterec.feed.counters import Counters
from kiterec.feed.dialer import Dialer
from kiterec.feed.events import Gap, Instant
from kiterec.feed.failure import Failure, of_network
from kiterec.feed.gate import Gate
from kiterec.feed.scribe import Scribe
from kiterec.feed.state import NO_CLOSE_FRAME, State
from kiterec.feed.steps import (
    Abort,
    Action,
    Close,
    Connect,
    ConnectFailed,
    Ended,
    Event,
    Hold,
    Opened,
    RefusedText,
    Release,
    Report,
    Send,
    Start,
    Stop,
    WaitUntil,
    Wake,
)
from kiterec.wire.messages import ErrorText, TextMessage, decode_text
from kiterec.wire.transcript import Kind, Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiterec.clock import Clock
    from kiterec.feed.account import Credentials
    from kiterec.feed.config import FeedConfig
    from kiterec.feed.connection import ClientConnection
    from kiterec.feed.events import FeedEvent
    from kiterec.feed.protocol import ConnectionProtocol
    from kiterec.feed.sink import FrameSink

logger = logging.getLogger(__name__)

_DRAIN_MESSAGES: Final = 64
"""More than websockets takes from a socket in advance (its `max_queue` is 16)."""

# Turns of the event loop; four are enough: poll, take bytes, wake the reader, note the message.
_READING_TURNS: Final = 8


class Driver:
    """One connection through all its reconnects: does what its protocol says.

    Args:
        sink: takes every row; None keeps nothing.
        on_event: is told each event, after its row went to the sink.
        on_text: is told each text message, decoded.

    Attributes:
        counters: what it has seen.
        scribe: writes what it has to say.
        listeners: are called with every received row, on the event loop; replaced as a whole, never changed.
    """

    def __init__(
        self,
        protocol: ConnectionProtocol,
        config: FeedConfig,
        credentials: Credentials,
        *,
        sink: FrameSink | None,
        clock: Clock,
        on_event: Callable[[FeedEvent], None],
        on_text: Callable[[str, TextMessage, Instant], None],
    ) -> None:
        self.name = protocol.name
        self.protocol = protocol
        self.counters = Counters()
        self.scribe = Scribe(self.name, sink, self.counters, on_event)
        self.listeners: tuple[Callable[[str, Row], None], ...] = ()
        self._config = config
        self._dialer = Dialer(self.name, config, credentials)
        self._clock = clock
        self._on_text = on_text
        self._todo: deque[Action] = deque()
        self._deadline: int | None = None
        self._awake = asyncio.Event()
        self._gate = Gate()
        self._socket: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None

    def instant(self) -> Instant:
        """Give this moment on both clocks."""
        return Instant(self._clock.now_ns(), self._clock.monotonic_ns())

    def apply(self, event: Event) -> None:
        """Hand an event to the protocol; what it asks for is reported at once and done soon, in order."""
        for action in self.protocol.handle(event, self.instant()):
            if isinstance(action, Report):
                self.scribe.report(action.event)
            elif isinstance(action, WaitUntil):
                self._deadline = action.monotonic_ns
            else:
                self._todo.append(action)
        self._awake.set()

    @property
    def held(self) -> bool:
        """Tell whether reading stands still on purpose."""
        return bool(self._gate.holders)

    def hold(self, holder: object) -> None:
        """Stop reading until every holder has released: the server is slowed by TCP, nothing is lost."""
        self._gate.hold(holder)
        self.apply(Hold())

    def release(self, holder: object) -> None:
        """Give up a hold; reading goes on with the last one."""
        if self._gate.release(holder):
            self.apply(Release())

    def stop(self) -> None:
        """Begin the end; `run` returns when it is done."""
        if self._gate.holders:
            # What has come already is taken, and not more: reading on could fill the memory that the hold
            # protects.
            self.apply(Release())
            self._gate.drain(_DRAIN_MESSAGES)
        self.apply(Stop())

    def recover(self) -> None:
        """Take a fault of ours for a loss, so that the connection comes back; then `run` again."""
        self._todo.clear()
        reason = "a fault of kiterec itself; the log has it"
        if self.protocol.state is State.CONNECTING:
            self.apply(ConnectFailed(of_network(reason)))
        else:
            self.apply(Ended(NO_CLOSE_FRAME, reason))

    async def run(self) -> None:
        """Live until `stop`."""
        self.apply(Start())
        try:
            while True:
                while self._todo:
                    await self._do(self._todo.popleft())
                if self.protocol.state is State.STOPPED:
                    return
                await self._sleep()
        finally:
            await self._drop()

    async def _sleep(self) -> None:
        """Wait for news or for the protocol's time."""
        deadline = self._deadline
        delay_s = None if deadline is None else (deadline - self._clock.monotonic_ns()) / NS_PER_S
        try:
            async with asyncio.timeout(delay_s):
                await self._awake.wait()
        except TimeoutError:
            # What lies in the socket since the loop was busy counts as heard: let it be read first.
            for _ in range(_READING_TURNS):
                await asyncio.sleep(0)
            self.apply(Wake())
        self._awake.clear()

    async def _do(self, action: Action) -> None:
        if isinstance(action, Connect):
            await self._drop()
            self._reading = asyncio.create_task(self._epoch(), name=f"kiterec {self.name}")
        elif isinstance(action, Send):
            await self._send(action.text)
        elif isinstance(action, Close):
            if self._socket is not None:
                await self._socket.close()
        elif isinstance(action, Abort):
            await self._drop()

    async def _send(self, text: str) -> None:
        socket = self._socket
        if socket is None:
            return
        at = self.instant()
        self.scribe.write(Row(at.received_at, at.monotonic_ns, Kind.SENT, text.encode()))
        try:
            async with asyncio.timeout(self._config.silence_limit_s):
                await socket.send(text)
        except ConnectionClosed:
            logger.debug("connection=%s ended while a request was sent", self.name)
        except TimeoutError:
            socket.transport.abort()  # the reader reports the end

    async def _drop(self) -> None:
        """End the epoch's task and socket, whatever they are doing."""
        reading, self._reading = self._reading, None
        if reading is None:
            return
        reading.cancel()
        await asyncio.wait([reading])

    async def _epoch(self) -> None:
        """Connect, and read until the connection ends."""
        socket = await self._dialer.dial()
        if isinstance(socket, Failure):
            self.apply(ConnectFailed(socket))
            return
        self._socket = socket
        try:
            self.apply(Opened())
            await self._read(socket)
        except ConnectionClosed as error:
            self.apply(describe_end(error, self._config.max_frame_bytes))
        except Exception as error:
            logger.exception("connection=%s could not take a message; it is renewed", self.name)
            self.apply(Ended(NO_CLOSE_FRAME, f"a message could not be taken ({type(error).__name__})"))
        finally:
            self._socket = None
            socket.transport.abort()  # does nothing to one that is closed
            await socket.wait_closed()

    async def _read(self, socket: ClientConnection) -> None:
        """Take messages for ever: every frame goes this way, so it does only what must be done."""
        name, counters, recv = self.name, self.counters, socket.recv
        now_ns, monotonic_ns = self._clock.now_ns, self._clock.monotonic_ns
        append, heard = self.scribe.append, self.protocol.heard
        gate, holders = self._gate, self._gate.holders
        message: Any
        while True:
            if holders and await gate.passed():
                self._report_unread()
            message = await recv()
            received_at, monotonic = now_ns(), monotonic_ns()
            if message.__class__ is bytes:
                row = Row(received_at, monotonic, Kind.BINARY, message)
                if append is not None:
                    try:
                        append(name, row)
                    except Exception as error:  # noqa: BLE001 -- as in `Scribe.write`
                        self.scribe.not_written(error)
                heard(received_at, monotonic)
                counters.frames += 1
                size = len(message)
                counters.size += size
                if size < 2:
                    counters.heartbeats += 1
                else:
                    counters.packets += (message[0] << 8) | message[1]
            else:
                row = Row(received_at, monotonic, Kind.TEXT, message.encode())
                self.scribe.write(row)
                heard(received_at, monotonic)
            for listener in self.listeners:
                listener(name, row)
            if row.kind is Kind.TEXT:  # what it means comes after the message itself
                self._take_text(row)

    def _report_unread(self) -> None:
        """Tell what stays in the socket after a stop while held: it is a gap."""
        at, since = self.instant(), self.protocol.last_heard
        self.scribe.report(
            Gap(
                connection=self.name,
                at=at,
                from_ns=since.received_at,
                to_ns=at.received_at,
                duration_ns=at.monotonic_ns - since.monotonic_ns,
                reason="it was stopped while reading stood still, and more was waiting",
            )
        )

    def _take_text(self, row: Row) -> None:
        self.counters.texts += 1
        self.counters.size += len(row.payload)
        message = decode_text(row.payload)
        if isinstance(message, ErrorText):
            self.apply(RefusedText(message.data))
        self._on_text(self.name, message, Instant(row.received_at, row.monotonic_ns))
