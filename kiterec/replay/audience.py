"""All clients of a replay together: who is there, who is awaited, and one sending to them all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kiterec.replay.client import Client
    from kiterec.replay.market import MarketBatch

_PATIENCE_S: Final = 5.0
"""Clients that never stop asking do not hold the replay up for longer than this."""


class Audience:
    """The open clients.

    Args:
        expected: how many clients the replay's clock waits for.
        silent_count: count clients that have subscribed to nothing, as in exact mode.
    """

    def __init__(self, *, expected: int, silent_count: bool) -> None:
        self._clients: list[Client] = []
        self._expected = expected
        self._silent_count = silent_count
        self._gathered = asyncio.Event()
        self._noticed_at = 0.0
        if not expected:
            self._gathered.set()

    def __len__(self) -> int:
        return len(self._clients)

    def join(self, client: Client) -> None:
        """Add a client; it gets everything from here on."""
        self._clients.append(client)
        self.noticed()

    def leave(self, client: Client) -> None:
        """Forget a client whose connection has ended."""
        client.leave()
        self._clients.remove(client)

    def noticed(self) -> None:
        """Look again whether all that are awaited are there; called after each thing that a client did."""
        self._noticed_at = asyncio.get_running_loop().time()
        here = sum(1 for client in self._clients if self._silent_count or client.subscriptions.modes)
        if here >= self._expected:
            self._gathered.set()

    async def gathered(self, *, quiet_s: float) -> None:
        """Wait until as many clients are there as were expected, and none has asked for more for a while."""
        await self._gathered.wait()
        loop = asyncio.get_running_loop()
        latest = loop.time() + _PATIENCE_S
        while self._clients:
            wait_s = min(self._noticed_at + quiet_s, latest) - loop.time()
            if wait_s <= 0:
                return
            await asyncio.sleep(wait_s)

    def deliver(self, batch: MarketBatch, begin: int, end: int) -> int:
        """Send each client its share of the messages `begin` up to, without, `end`; give how many."""
        return sum([client.deliver(batch, begin, end) for client in tuple(self._clients)])

    async def drained(self) -> None:
        """Wait until no open client has much unread."""
        for client in tuple(self._clients):
            await client.outlet.drained()

    def timeline_ended(self) -> None:
        """Let nobody wait for a snapshot, and give exact clients their heartbeats."""
        for client in tuple(self._clients):
            client.send_pending_snapshot()
            client.rejoin_life()

    def dismiss(self, code: int, reason: str) -> None:
        """Close every connection."""
        for client in tuple(self._clients):
            client.outlet.say_goodbye(code, reason)
