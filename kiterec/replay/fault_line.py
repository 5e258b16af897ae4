"""A slow line to one client: messages that leave later, one after another, in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class SlowLine:
    """Holds messages back until they have crossed a line of some latency and bandwidth.

    Args:
        transmit: called with each message when it has crossed.
    """

    def __init__(self, transmit: Callable[[bytes | str], None]) -> None:
        self._transmit = transmit
        self._held: deque[tuple[float, bytes | str]] = deque()
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._clear = asyncio.Event()
        self._clear.set()
        self.held_bytes = 0

    def __bool__(self) -> bool:
        """Tell whether something is held back; what comes after it must take the line too."""
        return bool(self._held)

    def put(self, message: bytes | str, *, latency_s: float, bytes_per_s: float | None) -> None:
        """Take a message.

        Args:
            message: what.
            latency_s: how long it travels; the order stays, whatever the latencies of others.
            bytes_per_s: how fast the line takes it; None: at once.
        """
        loop = asyncio.get_running_loop()
        if bytes_per_s is not None:
            self._free_at = max(self._free_at, loop.time()) + len(message) / bytes_per_s
        at = max(self._free_at, loop.time()) + latency_s
        self._held.append((at, message))
        self.held_bytes += len(message)
        self._clear.clear()
        if self._timer is None:
            self._timer = loop.call_at(at, self._deliver)

    def cut(self) -> None:
        """Lose what is held back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._held.clear()
        self.held_bytes = 0
        self._clear.set()

    async def clear(self) -> None:
        """Wait until nothing is held back."""
        await self._clear.wait()

    def _deliver(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._held and self._held[0][0] <= loop.time():
            _, message = self._held.popleft()
            self.held_bytes -= len(message)
            self._transmit(message)
        if self._held and self._timer is None:
            self._timer = loop.call_at(self._held[0][0], self._deliver)
        elif not self._held:
            self._clear.set()
