"""A small exchange on 127.0.0.1 that a test moves by hand."""

from __future__ import annotations

import asyncio
import logging
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve

from kiterec.wire import SetMode, Subscribe, decode_request, join_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from websockets.http11 import Request, Response

DEADLINE_S = 60
META = '{"type":"instruments_meta","data":{"count":2,"etag":"x"}}'

QUIET = logging.getLogger("tests.record.exchange")
"""The exchange's own log, apart from all others: it shows the request path, which has both secrets."""
QUIET.propagate = False
QUIET.setLevel(logging.CRITICAL)

DUMP = (
    b"instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    b"instrument_type,segment,exchange\n"
    b"408065,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE\n"
    b"2953217,11536,TCS,TATA CONSULTANCY SERV LT,0,,0,0.05,1,EQ,NSE,NSE\n"
    b"256265,1001,NIFTY 50,NIFTY 50,0,,0,0,0,EQ,INDICES,NSE\n"
)


async def holds(condition: Callable[[], bool]) -> None:
    """Wait until something is true that nobody tells us about."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.002)


def ltp_frame(*tokens: int, price: int = 157_370) -> bytes:
    """Give a frame of one ltp packet for each token."""
    return join_frame([struct.pack(">Ii", token, price) for token in tokens])


class Exchange:
    """Answers `/instruments`, greets each connection, and sends what the test says.

    Attributes:
        dump: what `/instruments` gives; None answers 404.
        refuse: this status at each upgrade; None accepts.
        paths: the request path of each upgrade that was seen.
        subscribed: the tokens that were asked for, on any connection.
        modes: the mode requests.
    """

    def __init__(self, *, dump: bytes | None = DUMP, refuse: int | None = None) -> None:
        self.dump = dump
        self.refuse = refuse
        self.paths: list[str] = []
        self.subscribed: set[int] = set()
        self.modes: list[SetMode] = []
        self.connections: list[ServerConnection] = []
        self._news = asyncio.Event()
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._handle, "127.0.0.1", 0, process_request=self._request, logger=QUIET, compression=None
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def port(self) -> int:
        if self._server is None:
            raise RuntimeError("not started")
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that this exchange sees has happened."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await self._news.wait()

    def send(self, message: str | bytes) -> None:
        """Send to every connection."""
        broadcast(self.connections, message)

    def cut(self) -> None:
        """Break every connection off, as a network does."""
        for connection in self.connections:
            connection.transport.abort()

    def _ring(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path.startswith("/instruments"):
            if self.dump is None:
                return connection.respond(HTTPStatus.NOT_FOUND, "no dump\n")
            response = connection.respond(HTTPStatus.OK, self.dump.decode())
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = "text/csv"
            return response
        self.paths.append(request.path)
        self._ring()
        if self.refuse is not None:
            return connection.respond(HTTPStatus(self.refuse), "refused\n")
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        await connection.send(META)
        self.connections.append(connection)
        self._ring()
        try:
            async for text in connection:
                request = decode_request(text)
                if isinstance(request, Subscribe):
                    self.subscribed |= set(request.tokens)
                elif isinstance(request, SetMode):
                    self.subscribed |= set(request.tokens)
                    self.modes.append(request)
                self._ring()
        finally:
            self.connections.remove(connection)
            self._ring()
