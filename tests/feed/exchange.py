"""A fake exchange on 127.0.0.1 that does each fault on command, and a sink that keeps what it is given."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from kiterec.feed.account import Account, Secret
from kiterec.feed.config import FeedConfig
from kiterec.wire.frames import HEARTBEAT, join_frame
from kiterec.wire.messages import InstrumentsMeta, encode_text
from kiterec.wire.packets import Mode
from kiterec.wire.requests import SetMode, Subscribe, Unsubscribe, decode_request
from kiterec.wire.transcript import Kind, Row, read_lifecycle

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.http11 import Request, Response

    from kiterec.feed.events import FeedEvent

DEADLINE_S = 30

LENGTHS = {Mode.LTP: 8, Mode.QUOTE: 44, Mode.FULL: 184}


def run(main: Any) -> Any:
    """Run a test's coroutine with a deadline that only a hang can miss."""

    async def bounded() -> Any:
        async with asyncio.timeout(DEADLINE_S * 2):
            return await main

    return asyncio.run(bounded())


def packet(token: int, mode: Mode = Mode.FULL, price: int = 100) -> bytes:
    """Give a packet of an instrument, zero but for token and price."""
    return struct.pack(">Ii", token, price) + bytes(LENGTHS[mode] - 8)


def account(name: str = "main", key: str | None = None, token: Any = "token") -> Account:
    return Account(name=name, api_key=Secret(key or f"key-of-{name}"), access_token=token)


def quick(url: str, **changes: Any) -> FeedConfig:
    """Give a config whose waits are short, for tests against a server on this machine."""
    settings: dict[str, Any] = {
        "url": url,
        "max_connections": 1,
        "backoff_initial_s": 0.01,
        "backoff_max_s": 0.05,
        "subscribe_interval_s": 0.0,
        "close_timeout_s": 0.5,
    }
    return FeedConfig(**{**settings, **changes})


class Sink:
    """Keeps every row, and wakes those who wait for some."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Row]] = []
        self._news = asyncio.Event()

    def append(self, connection: str, row: Row) -> None:
        self.rows.append((connection, row))
        self._news.set()

    def payloads(self, kind: Kind, connection: str | None = None) -> list[bytes]:
        return [row.payload for name, row in self.rows if row.kind is kind and connection in {None, name}]

    def lifecycle(self, kind: Kind) -> list[dict[str, Any]]:
        return [read_lifecycle(payload) for payload in self.payloads(kind)]

    async def until(self, condition: Callable[[Sink], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition(self):
                self._news.clear()
                await self._news.wait()

    async def has(self, kind: Kind, count: int = 1) -> None:
        await self.until(lambda sink: len(sink.payloads(kind)) >= count)


class Session:
    """One client's connection as the exchange sees it."""

    def __init__(self, websocket: ServerConnection) -> None:
        self.websocket = websocket
        self.requests: list[Any] = []
        self.modes: dict[int, Mode] = {}

    @property
    def key(self) -> str:
        assert self.websocket.request is not None
        return self.websocket.request.path.partition("api_key=")[2].partition("&")[0]

    async def send(self, message: bytes | str) -> None:
        await self.websocket.send(message)

    async def send_packets(self, *packets: bytes) -> None:
        await self.send(join_frame(packets))

    async def close(self, code: int, reason: str = "") -> None:
        await self.websocket.close(code, reason)

    def hang_up(self) -> None:
        """End the TCP connection without a close frame."""
        self.websocket.transport.close()

    def reset(self) -> None:
        """Answer with a TCP reset."""
        raw = self.websocket.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.websocket.transport.abort()

    def take(self, text: str) -> None:
        request = decode_request(text)
        self.requests.append(request)
        match request:
            case Subscribe(tokens=tokens):
                for token in tokens:
                    self.modes.setdefault(token, Mode.QUOTE)
            case SetMode(mode=mode, tokens=tokens):
                self.modes.update(dict.fromkeys(tokens, mode))
            case Unsubscribe(tokens=tokens):
                for token in tokens:
                    self.modes.pop(token, None)


class Exchange:
    """The server.

    Attributes:
        answers: HTTP statuses for the next connects; 101 lets one through; an empty queue lets all in.
        tokens: access tokens that are let in; None lets all in.
        location: where a refused client is sent instead.
        heartbeat_s: None sends none.
        snapshots: answer a subscribe with a packet of each instrument.
        sessions: of all clients so far.
    """

    def __init__(
        self, *, heartbeat_s: float | None = 0.05, snapshots: bool = True, greet: bool = True
    ) -> None:
        self.answers: deque[int] = deque()
        self.tokens: set[str] | None = None
        self.location = ""
        self.heartbeat_s = heartbeat_s
        self.snapshots = snapshots
        self.greet = greet
        self.sessions: list[Session] = []
        self.requests: list[Request] = []
        self._news = asyncio.Event()
        self._server: Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            process_request=self._admit,
            compression=None,
            ping_interval=None,
            close_timeout=0.2,
            max_size=None,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def until(self, condition: Callable[[Exchange], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition(self):
                self._news.clear()
                await self._news.wait()

    async def session(self, number: int = 0) -> Session:
        await self.until(lambda exchange: len(exchange.sessions) > number)
        return self.sessions[number]

    def _admit(self, websocket: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        self._news.set()
        status = self.answers.popleft() if self.answers else 101
        token = request.path.partition("access_token=")[2].partition("&")[0]
        if self.tokens is not None and token not in self.tokens:
            status = 403
        if status == 101:
            return None
        response = websocket.respond(HTTPStatus(status), "no\n")
        if self.location:
            response.headers["Location"] = self.location
        return response

    async def _serve(self, websocket: ServerConnection) -> None:
        session = Session(websocket)
        self.sessions.append(session)
        self._news.set()
        beats = asyncio.create_task(self._beat(session))
        try:
            if self.greet:
                await session.send(encode_text(InstrumentsMeta(count=3, etag="W/1")))
            async for message in websocket:
                before = dict(session.modes)
                session.take(str(message))
                self._news.set()
                new = [token for token in session.modes if session.modes[token] is not before.get(token)]
                if self.snapshots and new:
                    await session.send_packets(*(packet(token, session.modes[token]) for token in new))
        except ConnectionClosed:
            self._news.set()
        finally:
            beats.cancel()
            await asyncio.wait([beats])

    async def _beat(self, session: Session) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                if self.heartbeat_s is not None:
                    await session.send(HEARTBEAT)
                await asyncio.sleep(self.heartbeat_s or 0.01)


def of_kind(events: list[FeedEvent], kind: type[FeedEvent]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]
