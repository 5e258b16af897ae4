"""Where a fault plan takes part: before each connection is answered and before each message goes out."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable


class Sending(StrEnum):
    """What a message to a client is."""

    GREETING = "greeting"
    """The first text, `instruments_meta`."""
    HEARTBEAT = "heartbeat"
    """One byte, every 3 s of real time."""
    SNAPSHOT = "snapshot"
    """The state after a subscribe, a change of mode or a seek."""
    FRAME = "frame"
    """A binary message of the timeline, cut for the client or exact."""
    TEXT = "text"
    """A text of the timeline."""
    ERROR = "error"
    """An error text that answers the client, such as the one on too many instruments."""


class Peer(Protocol):
    """What a hook may do to a client; nothing waits, and nothing is asked of the hook again."""

    @property
    def name(self) -> str:
        """Give the name of logs and statistics, `client-1`; the number counts the admitted connections."""
        ...

    def transmit(self, message: bytes | str) -> None:
        """Send a message now."""
        ...

    def reset(self) -> None:
        """Break the TCP connection off; what is unsent is lost."""
        ...

    def say_goodbye(self, code: int, reason: str) -> None:
        """Close with a close frame."""
        ...


class ReplayHook(Protocol):
    """What a `ReplayServer(hook=...)` asks. All is called on the server's event loop."""

    async def connecting(self, number: int) -> int | None:
        """Look at an attempt to connect before it is answered; wait here for a slow accept.

        Args:
            number: counts the attempts, from 1.

        Returns:
            An HTTP status that refuses the attempt; None lets the server decide.
        """
        ...

    def outgoing(
        self, client: Peer, payload: bytes | str, kind: Sending, *, due_ns: int, seq: int
    ) -> Iterable[bytes | str] | None:
        """Decide what goes out in place of a message.

        Args:
            client: to whom.
            payload: the message.
            kind: what it is.
            due_ns: its instant of the timeline; for what is not of the timeline the replay's position.
            seq: its number in the recording, or in the timeline where that has none; of the last row that
                was reached for what is not of the timeline, -1 before the first.

        Returns:
            The messages to send instead, none of them asked about again; None: the message as it is.
        """
        ...

    async def settle(self, client: Peer, *, ended: bool) -> None:
        """Wait until nothing is held back for a client; asked wherever the replay waits for it.

        Args:
            client: which.
            ended: the timeline is over: let go, too, what waits for a next message.
        """
        ...

    def left(self, client: Peer) -> None:
        """Note that a client's connection has ended; called once for each."""
        ...
