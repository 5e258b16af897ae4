"""Timelines written by hand or at random, and a plain client that writes down what it gets."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from kiterec.replay.timeline import InstrumentUniverse, TimelineBatch, TimelineKind
from kiterec.wire.frames import is_heartbeat, join_frame, split_frame
from kiterec.wire.packets import LAYOUTS
from kiterec.wire.requests import SetMode, Subscribe, encode_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from kiterec.wire.packets import Mode

DEADLINE_S = 30.0
MS = 1_000_000


def packet(length: int, token: int, **fields: int) -> bytes:
    """Make a packet; fields that are not given are 0."""
    data = bytearray(length)
    for field in LAYOUTS[length].fields:
        value = token if field.name == "instrument_token" else fields.pop(field.name, 0)
        struct.pack_into(">i" if field.type == "i4" else ">I", data, field.offset, value)
    assert not fields, fields
    return bytes(data)


def frame(*packets: bytes) -> bytes:
    return join_frame(packets)


class HandmadeTimeline:
    """Rows of (milliseconds, connection, message or None for a disconnect)."""

    def __init__(
        self,
        rows: Sequence[tuple[float, int, bytes | str | None]],
        *,
        connections: Sequence[str] = ("main-0",),
        csv: bytes | None = None,
        universe: Sequence[bytes] = (),
        rows_per_batch: int = 1000,
        fail_at_end: Exception | None = None,
    ) -> None:
        self.rows = list(rows)
        self.connections = tuple(connections)
        self.universe = InstrumentUniverse(frames=pa.array(universe, pa.binary())) if universe else None
        self._csv = csv
        self._step = rows_per_batch
        self._fail = fail_at_end

    def instruments_csv(self) -> bytes | None:
        return self._csv

    def batches(self) -> Iterator[TimelineBatch]:
        for begin in range(0, len(self.rows), self._step):
            yield batch_of(self.rows[begin : begin + self._step])
        if self._fail is not None:
            raise self._fail


def batch_of(rows: Sequence[tuple[float, int, bytes | str | None]]) -> TimelineBatch:
    kinds = [
        TimelineKind.DISCONNECT if message is None else TimelineKind(isinstance(message, str))
        for _, _, message in rows
    ]
    payloads = [m.encode() if isinstance(m, str) else m or b"" for _, _, m in rows]
    return TimelineBatch(
        due_ns=np.array([ms * MS for ms, _, _ in rows], np.int64),
        connection=np.array([connection for _, connection, _ in rows], np.int16),
        kind=np.array(kinds, np.uint8),
        payloads=pa.array(payloads, pa.binary()),
    )


class Listener:
    """A client that notes every message, in order."""

    def __init__(self, socket) -> None:
        self.socket = socket
        self.messages: list[bytes | str] = []
        self.close: tuple[int, str] | None = None
        self._news = asyncio.Event()

    async def run(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.messages.append(await self.socket.recv())
                self._news.set()
        self.close = (self.socket.close_code, self.socket.close_reason)
        self._news.set()

    @property
    def texts(self) -> list[str]:
        return [m for m in self.messages if isinstance(m, str)]

    @property
    def heartbeats(self) -> list[bytes]:
        return [m for m in self.messages if isinstance(m, bytes) and is_heartbeat(m)]

    @property
    def frames(self) -> list[bytes]:
        return [m for m in self.messages if isinstance(m, bytes) and not is_heartbeat(m)]

    @property
    def packets(self) -> list[bytes]:
        return [p for f in self.frames for p in split_frame(f)]

    async def ask(self, *requests) -> None:
        for request in requests:
            await self.socket.send(request if isinstance(request, str | bytes) else encode_request(request))

    async def want(self, mode: Mode, *tokens: int) -> None:
        await self.ask(Subscribe(tokens), SetMode(mode, tokens))

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds; it is looked at after each message."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def until_closed(self) -> tuple[int, str]:
        await self.until(lambda: self.close)
        assert self.close
        return self.close


@contextlib.asynccontextmanager
async def listening(url: str, query: str = "", **options) -> AsyncIterator[Listener]:
    options = {"compression": None, "max_size": None, "proxy": None, **options}
    async with connect(f"{url}{'' if '/control' in url else '/'}?{query}", **options) as socket:
        listener = Listener(socket)
        task = asyncio.create_task(listener.run())
        try:
            yield listener
        finally:
            await socket.close()
            task.cancel()
            await asyncio.wait([task])


async def eventually(condition: Callable[[], object]) -> None:
    """Wait for something that tells nobody when it happens."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


def run(coroutine) -> None:
    """Run an async test; a task or socket left open is a warning, and warnings are errors."""

    async def bounded() -> None:
        async with asyncio.timeout(3 * DEADLINE_S):
            await coroutine

    asyncio.run(bounded())
