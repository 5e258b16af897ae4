"""The server's ends of its sockets: pushing without waiting, and an end to each, whatever the peer does."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any, Final

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from kiterec.replay.rest.body_reader import BodyReader
from kiterec.replay.wire_frames import websocket_frame

if TYPE_CHECKING:
    from kiterec.replay.admission import Admission, Ticket

_CLOSE_S: Final = 2.0
_REASON_BYTES: Final = 120


class KiteConnection(ServerConnection):
    """A socket of the server: a `Wire` for its client, without waiting and without a queue of its own."""

    room: Room
    ticket: Ticket | None = None
    controls = False
    """Whether it is a control channel."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._writable = asyncio.Event()
        self._writable.set()
        self._bodies = BodyReader()

    def data_received(self, data: bytes) -> None:
        """Hand on what arrived, requests with a body in a form that the library reads."""
        data = self._bodies.feed(data)
        if data:
            super().data_received(data)

    def push(self, message: bytes | str) -> None:
        """Send a message into the transport's buffer; `Outlet` bounds how full that gets."""
        # Past the library's own sending, which does more than that.
        if self.protocol.state is State.OPEN:
            self.transport.write(websocket_frame(message))

    def push_frames(self, frames: bytes | memoryview) -> None:
        """Send whole WebSocket frames into the transport's buffer."""
        if self.protocol.state is State.OPEN:
            self.transport.write(frames)

    def nudge(self) -> None:
        """Send a ping."""
        if self.protocol.state is State.OPEN:
            self.protocol.send_ping(b"")
            self.send_data()

    def unsent_bytes(self) -> int:
        """Give the size of the transport's buffer."""
        return self.transport.get_write_buffer_size()

    def untaken_bytes(self) -> int:
        """Give how much is in the transport's buffer and, where it tells, in the operating system's."""
        return self.unsent_bytes() + _queued_bytes(self.transport)

    async def drained(self) -> None:
        """Wait until the transport's buffer is below its low-water mark, or the socket is lost."""
        await self._writable.wait()

    async def taken(self) -> None:
        """Wait for the pong that answers a ping: a library answers in order, after what came before."""
        with contextlib.suppress(ConnectionClosed):
            await (await self.ping())

    def reset(self) -> None:
        """Drop the socket; the peer sees a reset where there is unread data, an unclean end otherwise."""
        self.transport.abort()

    def break_off(self) -> None:
        """End the TCP connection after what is unsent; the peer sees no close frame, code 1006."""
        self.transport.close()

    def hang_up(self, code: int, reason: str) -> None:
        """Close in a task of the room; a peer that does not answer is dropped after two seconds."""
        self.room.hang_up(self, code, reason)

    async def close_within(self, seconds: float, *, code: int, reason: str) -> None:
        """Say goodbye, and drop the socket when the peer takes too long to answer."""
        try:
            async with asyncio.timeout(seconds):
                await self.close(code, reason)
        except TimeoutError:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Drop a socket too many before anything is read from it."""
        super().connection_made(transport)
        self.room.came(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give back what the connection held."""
        super().connection_lost(exc)
        self._writable.set()
        self.room.left(self)

    def pause_writing(self) -> None:
        """Note that the peer reads more slowly than is written."""
        super().pause_writing()
        self._writable.clear()

    def resume_writing(self) -> None:
        """Note that the peer has caught up."""
        super().resume_writing()
        self._writable.set()


def _queued_bytes(transport: asyncio.Transport) -> int:
    """Give what the peer's machine has not acknowledged; 0 where the system does not say so."""
    if sys.platform != "linux" or transport.is_closing():
        return 0
    import fcntl
    import termios

    answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(answer, sys.byteorder)


class Room:
    """All sockets of a server, also those that have not said anything yet."""

    def __init__(self, admission: Admission, *, limit: int) -> None:
        self._admission = admission
        self._limit = limit
        self._sockets: set[KiteConnection] = set()
        self._goodbyes: set[asyncio.Task[None]] = set()

    def connection_class(self) -> type[KiteConnection]:
        """Give the class of connections that are in this room."""
        room = self

        class RoomConnection(KiteConnection):
            """A connection of the room."""

        RoomConnection.room = room
        return RoomConnection

    def came(self, connection: KiteConnection) -> None:
        """Take a new socket in, or drop it when there are too many."""
        self._sockets.add(connection)
        if len(self._sockets) > self._limit:
            connection.transport.abort()

    def left(self, connection: KiteConnection) -> None:
        """Forget a lost socket."""
        self._sockets.discard(connection)
        if connection.ticket is not None:
            self._admission.release(connection.ticket)
            connection.ticket = None

    def hang_up(self, connection: KiteConnection, code: int, reason: str) -> None:
        """Close a socket without waiting for it."""
        goodbye = asyncio.create_task(
            connection.close_within(_CLOSE_S, code=code, reason=reason[:_REASON_BYTES]),
            name="kiterec-replay-goodbye",
        )
        self._goodbyes.add(goodbye)
        goodbye.add_done_callback(self._goodbyes.discard)

    async def goodbyes(self) -> None:
        """Wait until the connections that are being closed are closed."""
        if self._goodbyes:
            await asyncio.wait(self._goodbyes)

    async def empty(self) -> None:
        """Wait for the goodbyes, then drop every socket that is left."""
        await self.goodbyes()
        for connection in tuple(self._sockets):
            connection.transport.abort()
