"""A replay server in a thread with an event loop of its own, for programs and tests that block."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, Self, TypeVar

from kiterec.errors import ReplayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from kiterec.replay.server import ReplayServer

_START_S: Final = 60.0
_STOP_S: Final = 60.0

T = TypeVar("T")


class BackgroundReplay:
    """Runs a `ReplayServer` beside blocking code; a context manager.

    The server is touched by its own thread alone; `ask` and `wait` run something there and give the result.

    Args:
        server: not yet started.
    """

    def __init__(self, server: ReplayServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=self._live, name="kiterec-replay", daemon=True)
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        """Start the thread and wait until the server listens.

        Raises:
            ReplayError: the server could not be started.
        """
        self._thread.start()
        self._started.result(_START_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server and its thread.

        Raises:
            ReplayError: the thread does not end.
            Exception: whatever made the server's thread end early.
        """
        loop, stop = self._loop(), self._stop
        if stop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        self._thread.join(_STOP_S)
        if self._thread.is_alive():
            raise ReplayError(f"the replay's thread has not ended within {_STOP_S:g} s")
        if self._failure is not None and error is None:
            raise self._failure

    def ask(self, question: Callable[[], T]) -> T:
        """Give what a function gives that is called in the server's thread, between two messages."""

        async def answer() -> T:
            return question()

        return self.wait(answer, timeout=_START_S)

    def wait(self, question: Callable[[], Awaitable[T]], *, timeout: float) -> T:
        """Give what a coroutine function gives that is run in the server's thread.

        Raises:
            TimeoutError: it takes longer than so many seconds.
            ReplayError: the server is not started, or stopped.
        """

        async def answer() -> T:
            return await question()

        loop = self._loop()
        if loop.is_closed():
            raise ReplayError("the replay has been stopped")
        answered = asyncio.run_coroutine_threadsafe(answer(), loop)
        try:
            return answered.result(timeout)
        except TimeoutError:
            answered.cancel()
            raise

    def _loop(self) -> asyncio.AbstractEventLoop:
        if not self._started.done():
            raise ReplayError("the replay is not started; use it in `with`")
        return self._started.result()

    def _live(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as reason:  # noqa: BLE001 -- whoever started the thread gets it
            if self._started.done():
                self._failure = reason
            else:
                self._started.set_exception(reason)

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        async with self._server:
            self._started.set_result(asyncio.get_running_loop())
            await self._stop.wait()
