"""Whether a connection may be read: not while anybody holds it."""

from __future__ import annotations

import asyncio


class Gate:
    """Stands open until somebody holds it, and again when every holder has released it.

    Attributes:
        holders: who holds it; asked once a message.
    """

    def __init__(self) -> None:
        self.holders: set[object] = set()
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._left: int | None = None  # messages that still pass while it is held, when it drains

    def hold(self, holder: object) -> None:
        """Close it."""
        self.holders.add(holder)
        self._is_open.clear()

    def release(self, holder: object) -> bool:
        """Give up a hold; tell whether the last one is gone, so that reading goes on."""
        self.holders.discard(holder)
        if self.holders or self._is_open.is_set():
            return False
        self._is_open.set()
        return True

    def drain(self, messages: int) -> None:
        """Let so many messages pass though it is held, and none after them."""
        self._left = messages
        self._is_open.set()

    async def passed(self) -> bool:
        """Wait until the next message may be taken; tell whether it is the last one that drains."""
        await self._is_open.wait()
        if self._left is None:
            return False
        self._left -= 1
        if self._left:
            return False
        self._is_open.clear()
        return True
