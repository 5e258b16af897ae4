"""What consumers read: independent streams with a policy for those who are too slow."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, Self, TypeVar

from kiterec.feed.latency import Latency

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from kiterec.wire.transcript import Kind

DEFAULT_SIZE: Final = 256
"""At the real rate of 12 frames a second more than 20 s, and no more than 50 MB of the largest ones."""


class Frame(NamedTuple):
    """One whole message of the server, as it came.

    Attributes:
        connection: that it came on, such as main-0.
        received_at: wall clock, nanoseconds since the epoch, read right after the socket gave it.
        monotonic_ns: the monotonic clock at the same instant.
        kind: binary or text.
        payload: the bytes themselves, shared by all consumers and the recording, never copied.
    """

    connection: str
    received_at: int
    monotonic_ns: int
    kind: Kind
    payload: bytes

    @property
    def account(self) -> str:
        """Give the name of the account of the connection."""
        return self.connection.rpartition("-")[0]


class Policy(StrEnum):
    """What happens when a consumer's stream is full.

    `drop_oldest` and `drop_newest` lose what their name says, counted in `Stream.dropped`. `block` loses
    nothing: the connections stop being read until there is room, for all consumers and for the recording.
    """

    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    BLOCK = "block"


T = TypeVar("T")


class LeftAtTheEnd(ABC):
    """What is closed where its `async with` ends."""

    @abstractmethod
    def close(self) -> None:
        """Leave: nothing more is kept for this consumer."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Stream(LeftAtTheEnd, Generic[T]):
    """An asynchronous iterator over what one consumer asked for; ends after the manager stopped.

    Leave it with `close`, or use it as an async context manager. One task may read it at a time.

    Attributes:
        dropped: items that this consumer lost because it was too slow.
        delivered: items that it was given.
        latency: from the socket to the consumer, of frames.
    """

    def __init__(
        self,
        *,
        size: int,
        policy: Policy,
        monotonic_ns: Callable[[], int],
        hold: Callable[[Stream[T]], None],
        release: Callable[[Stream[T]], None],
        on_close: Callable[[Stream[T]], None],
    ) -> None:
        if size < 1:
            raise ValueError(f"a stream of {size} items holds nothing; give at least 1")
        self.dropped = 0
        self.delivered = 0
        self.latency = Latency()
        self._queue: deque[T] = deque()
        self._size = size
        self._policy = policy
        self._monotonic_ns = monotonic_ns
        self._hold = hold
        self._release = release
        self._on_close = on_close
        self._holding = False
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, item: T) -> None:
        """Take an item, on the event loop."""
        queue = self._queue
        if len(queue) >= self._size:
            if self._policy is Policy.DROP_OLDEST:
                queue.popleft()
                self.dropped += 1
            elif self._policy is Policy.DROP_NEWEST:
                self.dropped += 1
                return
            elif not self._holding:
                self._holding = True
                self._hold(self)
        queue.append(item)
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def end(self) -> None:
        """Say that nothing more comes; what is there is still delivered."""
        self._ended = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """Leave: nothing more is kept for this consumer."""
        self._queue.clear()
        self._let_go()
        self.end()
        self._on_close(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        await self._filled()
        return self._take()

    async def batch(self, limit: int = DEFAULT_SIZE) -> list[T]:
        """Wait for an item, and give all that are there, up to a limit; empty only at the end."""
        try:
            await self._filled()
        except StopAsyncIteration:
            return []
        return [self._take() for _ in range(min(limit, len(self._queue)))]

    async def _filled(self) -> None:
        while not self._queue:
            if self._ended:
                raise StopAsyncIteration
            if self._waiter is not None:
                raise RuntimeError("two tasks read the same stream; give each a stream of its own")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _take(self) -> T:
        item = self._queue.popleft()
        self.delivered += 1
        if item.__class__ is Frame:
            self.latency.add(self._monotonic_ns() - item.monotonic_ns)  # type: ignore[attr-defined]
        if self._holding and len(self._queue) <= self._size // 2:
            self._let_go()
        return item

    def _let_go(self) -> None:
        if self._holding:
            self._holding = False
            self._release(self)
