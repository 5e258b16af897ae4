"""Everything that a replay sent, kept for a test to look at: a hook around another."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

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


KEPT_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SentTotals:
    """Everything that went out, in few numbers.

    Attributes:
        messages: how many.
        size: bytes of their payloads.
        forgotten: how many of them, the oldest, are not kept any more.
        sha256: over client, kind, length and bytes of each message in their order.
    """

    messages: int
    size: int
    forgotten: int
    sha256: str


class SentLog:
    """A `ReplayHook` that writes down what goes out after another hook has had its say.

    Heartbeats are left out, for real time decides about them.

    Args:
        inner: the other hook.
        kept_bytes: when the payloads are more than this, the oldest are forgotten.

    Attributes:
        sent: the latest messages in their order.
    """

    def __init__(self, inner: ReplayHook | None = None, *, kept_bytes: int = KEPT_BYTES) -> None:
        self.sent: deque[Sent] = deque()
        self._kept_bytes = kept_bytes
        self._messages = self._size = self._kept_size = 0
        self._digest = hashlib.sha256()
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

    def totals(self) -> SentTotals:
        """Give what is known of all messages, forgotten ones included."""
        return SentTotals(
            messages=self._messages,
            size=self._size,
            forgotten=self._messages - len(self.sent),
            sha256=self._digest.hexdigest(),
        )

    def _write(self, client: str, message: bytes | str) -> None:
        if isinstance(message, bytes) and is_heartbeat(message):
            return
        data = message.encode() if isinstance(message, str) else message
        self._digest.update(f"{client} {isinstance(message, str):d} {len(data)} ".encode() + data)
        self._messages += 1
        self._size += len(data)
        self.sent.append(Sent(client, message))
        self._kept_size += len(message)
        while self._kept_size > self._kept_bytes and len(self.sent) > 1:
            self._kept_size -= len(self.sent.popleft().payload)


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
