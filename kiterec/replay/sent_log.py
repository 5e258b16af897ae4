"""Everything that a replay sent, kept for a test to look at: a hook around another."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kiterec.wire.frames import is_heartbeat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kiterec.replay.hooks import Peer, ReplayHook, Sending


class Sent(NamedTuple):
    """A message that went out.

    Attributes:
        client: the name of whom it went to.
        payload: the message, as faults left it.
    """

    client: str
    payload: bytes | str


class SentLog:
    """A `ReplayHook` that writes down what goes out after another hook has had its say.

    Heartbeats are left out, for real time decides about them.

    Attributes:
        sent: the messages in their order.
    """

    def __init__(self, inner: ReplayHook | None = None) -> None:
        self.sent: list[Sent] = []
        self._inner = inner
        self._peers: dict[str, _WrittenDown] = {}

    async def connecting(self, number: int) -> int | None:
        """Ask the other hook."""
        return None if self._inner is None else await self._inner.connecting(number)

    def outgoing(
        self, client: Peer, payload: bytes | str, kind: Sending, *, due_ns: int, seq: int
    ) -> Sequence[bytes | str] | None:
        """Ask the other hook and write down what it says."""
        instead = None
        if self._inner is not None:
            instead = self._inner.outgoing(self._watched(client), payload, kind, due_ns=due_ns, seq=seq)
        messages = None if instead is None else list(instead)
        for message in (payload,) if messages is None else messages:
            self._write(client.name, message)
        return messages

    async def settle(self, client: Peer, *, ended: bool) -> None:
        """Wait for the other hook."""
        if self._inner is not None:
            await self._inner.settle(self._watched(client), ended=ended)

    def left(self, client: Peer) -> None:
        """Tell the other hook."""
        if self._inner is not None:
            self._inner.left(self._watched(client))
        self._peers.pop(client.name, None)

    def _watched(self, client: Peer) -> _WrittenDown:
        return self._peers.setdefault(client.name, _WrittenDown(client, self))

    def _write(self, client: str, message: bytes | str) -> None:
        if isinstance(message, str) or not is_heartbeat(message):
            self.sent.append(Sent(client, message))


class _WrittenDown:
    """A client whose late messages are written down too."""

    def __init__(self, client: Peer, log: SentLog) -> None:
        self._client = client
        self._log = log
        self.name = client.name

    def transmit(self, message: bytes | str) -> None:
        self._log._write(self.name, message)  # noqa: SLF001 -- they are one thing
        self._client.transmit(message)

    def reset(self) -> None:
        self._client.reset()

    def say_goodbye(self, code: int, reason: str) -> None:
        self._client.say_goodbye(code, reason)
