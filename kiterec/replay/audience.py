"""All clients of a replay together: who is there, who is awaited, and one sending to them all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from kiterec.replay.broadcast import broadcast

if TYPE_CHECKING:
    from kiterec.replay.client import Client
    from kiterec.replay.market import MarketBatch
    from kiterec.replay.stats import ClientState

_PATIENCE_S: Final = 5.0
"""Clients that never stop asking do not hold the replay up for longer than this."""

_REMEMBERED: Final = 1000
"""Digests of so many clients that have left are kept."""


class Audience:
    """The open clients.

    Args:
        expected: how many clients the replay's clock waits for.
        silent_count: count clients that have subscribed to nothing, as in exact mode.
        acknowledged: clients have taken a message when somebody has said so with `acknowledge`.
    """

    def __init__(self, *, expected: int, silent_count: bool, acknowledged: bool = False) -> None:
        self._clients: list[Client] = []
        self._expected = expected
        self._silent_count = silent_count
        self._acknowledged = acknowledged
        self._unacknowledged: set[str] = set()
        self._news = asyncio.Event()
        self._noticed_at = 0.0
        self._digests: dict[str, str] = {}
        self._left = ""

    def __len__(self) -> int:
        return len(self._clients)

    def states(self) -> list[ClientState]:
        """Tell who is there and what each has subscribed to."""
        return [client.state() for client in self._clients]

    def digests(self) -> dict[str, str]:
        """Give what is known of what was sent to each client, by name, of the last 1,000 that left too."""
        here = {client.name: client.outlet.digest() for client in self._clients}
        return self._digests | {name: digest for name, digest in here.items() if digest is not None}

    def join(self, client: Client) -> None:
        """Add a client; it gets everything from here on."""
        self._clients.append(client)
        self.noticed()

    def leave(self, client: Client) -> None:
        """Forget a client whose connection has ended."""
        client.leave()
        self._clients.remove(client)
        self._left = client.name
        self._unacknowledged.discard(client.name)
        self._news.set()
        digest = client.outlet.digest()
        if digest is not None:
            self._digests[client.name] = digest
            if len(self._digests) > _REMEMBERED:
                del self._digests[next(iter(self._digests))]

    def noticed(self) -> None:
        """Look again whether all that are awaited are there; called after each thing that a client did."""
        self._noticed_at = asyncio.get_running_loop().time()
        self._news.set()

    def listens(self) -> bool:
        """Tell whether anybody is there to whom messages go."""
        return self._here() > 0

    async def gathered(self, *, quiet_s: float) -> None:
        """Wait until as many clients are there as were expected, and none has asked for more for a while."""
        while self._here() < self._expected:
            self._news.clear()
            await self._news.wait()
        loop = asyncio.get_running_loop()
        latest = loop.time() + _PATIENCE_S
        while self._clients:
            wait_s = min(self._noticed_at + quiet_s, latest) - loop.time()
            if wait_s <= 0:
                return
            await asyncio.sleep(wait_s)

    def deliver(self, batch: MarketBatch, begin: int, end: int) -> int:
        """Send each client its share of the messages `begin` up to, without, `end`; give how many."""
        shares = {
            client.outlet: share for client in self._clients if (share := client.share(batch, begin, end))
        }
        broadcast(shares, batch)
        if self._acknowledged:
            self._unacknowledged.update(outlet.name for outlet in shares)
        return sum(map(len, shares.values()))

    def prepare(self, batch: MarketBatch, begin: int, end: int) -> None:
        """Make each client's share of these messages before they are due."""
        for client in tuple(self._clients):
            client.prepare(batch, begin, end)

    def lose(self, batch: MarketBatch, row: int) -> None:
        """Replay a recorded disconnect: for the clients that it concerns."""
        for client in tuple(self._clients):
            client.lose(batch, row)

    async def drained(self, *, ended: bool = False) -> None:
        """Wait until no open client has much unread, and no hook holds anything back.

        Args:
            ended: the timeline is over.
        """
        behind = [client.outlet for client in self._clients if ended or client.outlet.is_behind]
        if len(behind) == 1:
            await behind[0].drained(ended=ended)
        elif behind:
            # All at once: several that read nothing cost the others no more time than one.
            await asyncio.gather(*(outlet.drained(ended=ended) for outlet in behind))

    async def taken(self) -> None:
        """Wait until every client has taken everything that was sent to it, or has left."""
        while self._unacknowledged:
            self._news.clear()
            await self._news.wait()
        # What a client sent before its pong, or before its acknowledgement, has been heard by then.
        for client in tuple(self._clients):
            await client.outlet.taken()

    def awaited(self) -> str:
        """Say for whom a replay in lockstep waits."""
        names = [
            client.name
            for client in self._clients
            if client.name in self._unacknowledged or client.outlet.unanswered
        ]
        if names:
            return f"{', '.join(names)} to {'acknowledge' if self._unacknowledged else 'take'} a message"
        if self._here() < self._expected:
            left = f", after {self._left} has left" if self._left else ""
            return f"clients: {self._here()} of {self._expected} are there{left}"
        return "the clients to ask for nothing more"

    def acknowledge(self, name: str | None) -> bool:
        """Say that a client, or each for None, has dealt with its last message; False: it had none."""
        waited = bool(self._unacknowledged) if name is None else name in self._unacknowledged
        self._unacknowledged.difference_update(tuple(self._unacknowledged) if name is None else (name,))
        self._news.set()
        return waited

    def send_pending_snapshots(self) -> bool:
        """Send what clients wait for, now; tell whether anything went out."""
        return sum(client.send_pending_snapshot() for client in tuple(self._clients)) > 0

    def show_state(self) -> None:
        """Send each client the state of all its instruments, after a jump."""
        for client in tuple(self._clients):
            client.show_state()

    def timeline_ended(self, *, stays: bool) -> None:
        """Let nobody wait for a snapshot and, where the clients stay, give exact ones their heartbeats."""
        for client in tuple(self._clients):
            client.send_pending_snapshot()
            if stays:
                client.rejoin_life()

    async def taken_at_last(self) -> None:
        """Wait until each client has taken everything, as long as it goes on taking."""
        await asyncio.gather(*(client.outlet.taken_at_last() for client in self._clients))

    def dismiss(self, code: int, reason: str) -> None:
        """Close every connection."""
        for client in tuple(self._clients):
            client.outlet.say_goodbye(code, reason)

    def _here(self) -> int:
        return sum(
            1
            for client in self._clients
            if not client.outlet.gone and (self._silent_count or client.subscriptions.modes)
        )
