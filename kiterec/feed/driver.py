"""The asyncio shell of one connection: it does what the protocol says, and takes every message."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from kiterec.clock import NS_PER_S
from kiterec.errors import FeedError
from kiterec.feed.connection import ConnectionClosed, describe_end, describe_failure, open_socket
from kiterec.feed.counters import Counters
from kiterec.feed.events import Gap, Instant
from kiterec.feed.failure import Failure, FailureKind, of_network, of_status
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
    from kiterec.feed.account import Credentials, Secret
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
        on_event: is told each event, after its row went to the sink.
        on_text: is told each text message, decoded.

    Attributes:
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
        self.listeners: tuple[Callable[[str, Row], None], ...] = ()
        self._config = config
        self._credentials = credentials
        self._sink = sink
        self._clock = clock
        self._on_event = on_event
        self._on_text = on_text
        self._todo: deque[Action] = deque()
        self._deadline: int | None = None
        self._awake = asyncio.Event()
        self._holders: set[object] = set()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._socket: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self._token: Secret | None = None
        self._left: int | None = None  # messages that are still taken after a stop while held

    def instant(self) -> Instant:
        """Give this moment on both clocks."""
        return Instant(self._clock.now_ns(), self._clock.monotonic_ns())

    def apply(self, event: Event) -> None:
        """Hand an event to the protocol; what it asks for is reported at once and done soon, in order."""
        for action in self.protocol.handle(event, self.instant()):
            if isinstance(action, Report):
                self._report(action.event)
            elif isinstance(action, WaitUntil):
                self._deadline = action.monotonic_ns
            else:
                self._todo.append(action)
        self._awake.set()

    @property
    def held(self) -> bool:
        """Tell whether reading stands still on purpose."""
        return bool(self._holders)

    def hold(self, holder: object) -> None:
        """Stop reading until every holder has released: the server is slowed by TCP, nothing is lost."""
        self._holders.add(holder)
        self._may_read.clear()
        self.apply(Hold())

    def release(self, holder: object) -> None:
        """Give up a hold; reading goes on with the last one."""
        self._holders.discard(holder)
        if not self._holders and not self._may_read.is_set():
            self._may_read.set()
            self.apply(Release())

    def stop(self) -> None:
        """Begin the end; `run` returns when it is done."""
        if self._holders:
            # What has come already is taken, and not more: reading on could fill the memory that the hold
            # protects.
            self.apply(Release())
            self._left = _DRAIN_MESSAGES
            self._may_read.set()
        self.apply(Stop())

    def recover(self) -> None:
        """Take a fault of ours for a loss, so that the connection comes back; then `run` again."""
        self._todo.clear()
        reason = "a fault of kiterec itself; the log has it"
        if self.protocol.state is State.CONNECTING:
            self.apply(ConnectFailed(of_network(reason)))
        else:
            self.apply(Ended(NO_CLOSE_FRAME, reason))

    def write(self, row: Row) -> None:
        """Put a row into the transcript."""
        if self._sink is not None:
            try:
                self._sink.append(self.name, row)
            except Exception as error:  # noqa: BLE001 -- a sink that fails must not cost the connection too
                self._not_written(error)

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
        self.write(Row(at.received_at, at.monotonic_ns, Kind.SENT, text.encode()))
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
        try:
            socket = await self._open()
        except FeedError as error:
            self.apply(ConnectFailed(of_network(str(error))))
            return
        except Exception as error:  # noqa: BLE001 -- whatever it is, the connection has to come back
            logger.debug("connection=%s connect failed: %s", self.name, type(error).__name__)
            self.apply(ConnectFailed(self._failure(error)))
            return
        if socket is None:
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

    async def _open(self) -> ClientConnection | None:
        token = await self._credentials.token()
        if self._credentials.is_refused(token):
            failure = of_status(HTTPStatus.FORBIDDEN)
            same = Failure(kind=FailureKind.SAME_CREDENTIALS, reason=failure.reason, status=failure.status)
            self.apply(ConnectFailed(same))
            return None
        self._token = token
        return await open_socket(self._config, api_key=self._credentials.api_key, access_token=token)

    def _failure(self, error: Exception) -> Failure:
        failure = describe_failure(error, self._config.url)
        if failure.kind is FailureKind.CREDENTIALS and self._token is not None:
            self._credentials.refuse(self._token)
        return failure

    async def _read(self, socket: ClientConnection) -> None:
        """Take messages for ever: every frame goes this way, so it does only what must be done."""
        name, counters, recv = self.name, self.counters, socket.recv
        now_ns, monotonic_ns = self._clock.now_ns, self._clock.monotonic_ns
        append = None if self._sink is None else self._sink.append
        heard, holders = self.protocol.heard, self._holders
        message: Any
        while True:
            if holders:
                await self._may_read.wait()
                if self._left is not None:
                    self._drain_one()
            message = await recv()
            received_at, monotonic = now_ns(), monotonic_ns()
            if message.__class__ is bytes:
                row = Row(received_at, monotonic, Kind.BINARY, message)
                if append is not None:
                    try:
                        append(name, row)
                    except Exception as error:  # noqa: BLE001 -- as in `write`
                        self._not_written(error)
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
                self.write(row)
                heard(received_at, monotonic)
            for listener in self.listeners:
                listener(name, row)
            if row.kind is Kind.TEXT:  # what it means comes after the message itself
                self._take_text(row)

    def _not_written(self, error: Exception) -> None:
        self.counters.unwritten += 1
        count = self.counters.unwritten
        if count & (count - 1) == 0:  # the 1st, 2nd, 4th, 8th …: a sink that is gone must not fill the log
            name = type(error).__name__
            logger.error("connection=%s unwritten=%d the sink does not take rows: %s", self.name, count, name)

    def _drain_one(self) -> None:
        """Count what is taken after a stop while held; with the last, what stays unread becomes a gap."""
        self._left = (self._left or 0) - 1
        if self._left:
            return
        self._may_read.clear()
        at, since = self.instant(), self.protocol.last_heard
        self._report(
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

    def _report(self, event: FeedEvent) -> None:
        self.counters.note(event)
        row = event.row()
        if row is not None:
            self.write(row)
        self._on_event(event)
