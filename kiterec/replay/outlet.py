"""The way out to one client: hooked, bounded, counted, and closed at last."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

from kiterec.replay.hooks import Sending

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kiterec.replay.hooks import ReplayHook
    from kiterec.replay.limits import Limits
    from kiterec.replay.market import MarketBatch
    from kiterec.replay.share import Share
    from kiterec.replay.stats import Tally

logger = logging.getLogger(__name__)

HIGH_WATER_BYTES: Final = 4 << 20
"""With more than this unread by a client, a replay without deadlines waits for it."""

_POLICY_VIOLATION: Final = 1008


class Wire(Protocol):
    """The client's end of a socket, as the server gives it; nothing here waits but `drained` and `taken`."""

    def push(self, message: bytes | str) -> None:
        """Send a message; it is buffered when the peer does not read. Does nothing on a closed socket."""
        ...

    def push_frames(self, frames: bytes | memoryview) -> None:
        """Send messages that are WebSocket frames already, likewise."""
        ...

    def nudge(self) -> None:
        """Send something that the peer's library sees and its program does not."""
        ...

    def unsent_bytes(self) -> int:
        """Give how many bytes the peer has not taken."""
        ...

    def untaken_bytes(self) -> int:
        """Give how many bytes the peer's machine has not taken, as far as can be told."""
        ...

    async def drained(self) -> None:
        """Wait until few bytes are unsent, or the socket is closed."""
        ...

    async def taken(self) -> None:
        """Wait until the peer has taken everything that was pushed before, or the socket is closed."""
        ...

    def hang_up(self, code: int, reason: str) -> None:
        """Begin to close."""
        ...

    def reset(self) -> None:
        """Drop the socket."""
        ...

    def break_off(self) -> None:
        """End the connection without a close frame, after what is unsent."""
        ...


def close_code_can_be_sent(code: int) -> bool:
    """Tell whether a close frame may carry a code.

    Source:
        RFC 6455, 7.4: 1005, 1006 and 1015 stand for what was not a close frame.
    """
    return (1000 <= code <= 1014 and code not in {1004, 1005, 1006}) or 3000 <= code <= 4999


class Outlet:
    """Everything that is sent to a client goes through here; a `Peer` for hooks.

    Args:
        name: for logs and statistics; not secret.
        wire: the client's socket.
        limits: the server's bounds.
        tally: the server's counts.
        hook: asked about every message.
        digested: keep a SHA-256 over all that is sent but heartbeats, which real time decides.
    """

    def __init__(
        self,
        name: str,
        wire: Wire,
        *,
        limits: Limits,
        tally: Tally,
        hook: ReplayHook | None = None,
        digested: bool = False,
    ) -> None:
        self.name = name
        self.gone = False
        self._wire = wire
        self._limits = limits
        self._tally = tally
        self._hook = hook
        self._pushed = self._answered = 0
        self._digest = hashlib.sha256() if digested else None

    @property
    def looked_at(self) -> bool:
        """Tell whether somebody looks at each message on its way: then `send_each` is the way for a share."""
        return self._hook is not None or self._digest is not None

    @property
    def is_behind(self) -> bool:
        """Tell whether `drained` has anything to wait for."""
        return self._hook is not None or (not self.gone and self._wire.unsent_bytes() > HIGH_WATER_BYTES)

    @property
    def unanswered(self) -> bool:
        """Tell whether something was sent, other than heartbeats, that `taken` has not seen answered."""
        return self._pushed != self._answered and not self.gone

    def send(
        self, message: bytes | str, kind: Sending, *, due_ns: int | None = None, seq: int | None = None
    ) -> None:
        """Send one message, or what the hook makes of it.

        Args:
            message: the message.
            kind: what it is.
            due_ns: its instant of the timeline; None: it is not of the timeline.
            seq: its number; None likewise.
        """
        if self._hook is None or self.gone:
            self._transmit(message, counted=kind is not Sending.HEARTBEAT)
            return
        tally = self._tally
        instead = self._hook.outgoing(
            self,
            message,
            kind,
            due_ns=tally.position_ns if due_ns is None else due_ns,
            seq=tally.seq if seq is None else seq,
        )
        for each in (message,) if instead is None else instead:
            self._transmit(each, counted=kind is not Sending.HEARTBEAT)

    def send_each(self, share: Share, batch: MarketBatch) -> None:
        """Send what the client gets of a stretch of the timeline, message by message."""
        for row, message in share.messages().items():
            kind = Sending.TEXT if isinstance(message, str) else Sending.FRAME
            self.send(message, kind, due_ns=batch.due_ns(row), seq=batch.seq(row))

    def push_frames(self, frames: bytes | memoryview) -> None:
        """Send messages as WebSocket frames, past everything: ask `has_room` before, and `count` after."""
        self._wire.push_frames(frames)

    def count(self, messages: int, size: int) -> None:
        """Count messages that were pushed."""
        self._tally.sent_messages += messages
        self._tally.sent_bytes += size
        self._pushed += messages

    def transmit(self, message: bytes | str) -> None:
        """Send one message past the hook, unless the client has left too much unread: then it is cut off."""
        self._transmit(message, counted=True)

    def nudge(self) -> None:
        """Send a ping."""
        self._wire.nudge()

    async def drained(self, *, ended: bool = False) -> None:
        """Wait until the client has taken nearly all; one that takes nothing for too long is cut off.

        Args:
            ended: the timeline is over, as the hook may want to know.
        """
        await self._settled(ended=ended)
        unread = self._wire.unsent_bytes()
        while not self.gone and unread > HIGH_WATER_BYTES:
            try:
                async with asyncio.timeout(self._limits.stall_s):
                    await self._wire.drained()
            except TimeoutError:
                before, unread = unread, self._wire.unsent_bytes()
                if unread >= before:
                    self.cut_off(f"nothing read for {self._limits.stall_s:g} s, {unread:,} bytes unread")
            else:
                return

    async def taken(self) -> None:
        """Wait until the client has taken everything, however long that takes, or is gone."""
        await self._settled()
        while self.unanswered:
            pushed = self._pushed
            await self._wire.taken()
            self._answered = pushed
            await self._settled()

    async def taken_at_last(self) -> None:
        """Wait until the client has taken everything; one that takes nothing for too long is cut off."""
        taken = asyncio.create_task(self._wire.taken(), name=f"kiterec-replay-last-{self.name}")
        before, untaken = None, self._wire.untaken_bytes()
        try:
            while not taken.done() and not self.gone and (before is None or untaken < before):
                await asyncio.wait([taken], timeout=self._limits.stall_s)
                before, untaken = untaken, self._wire.untaken_bytes()
        finally:
            taken.cancel()
        if untaken and not (taken.done() or self.gone):
            self.cut_off(f"nothing read for {self._limits.stall_s:g} s at the end, {untaken:,} bytes unread")

    def cut_off(self, why: str) -> None:
        """End the connection of a client that does not read."""
        logger.warning("client cut off client=%s reason=%s", self.name, why)
        self._tally.cut_off.append(f"{self.name}: {why}")
        self.say_goodbye(_POLICY_VIOLATION, f"reads too slowly: {why}")

    def say_goodbye(self, code: int, reason: str) -> None:
        """Close the connection."""
        if not self.gone:
            self.gone = True
            self._wire.hang_up(code, reason)

    def reset(self) -> None:
        """Break the connection off."""
        self.gone = True
        self._wire.reset()

    def lose(self, how: Mapping[str, Any]) -> None:
        """Lose the connection as it was recorded: with a close frame only if there was one."""
        code = how.get("code")
        if isinstance(code, int) and close_code_can_be_sent(code):
            self.say_goodbye(code, str(how.get("reason") or ""))
        elif not self.gone:
            self.gone = True
            self._wire.break_off()

    def ended(self) -> None:
        """Note that the connection is over, and tell the hook; called once."""
        self.gone = True
        if self._hook is not None:
            self._hook.left(self)

    def digest(self) -> str | None:
        """Give the SHA-256 over all that was sent; None when it is not kept."""
        return None if self._digest is None else self._digest.hexdigest()

    async def _settled(self, *, ended: bool = False) -> None:
        if self._hook is not None and not self.gone:
            await self._hook.settle(self, ended=ended)

    def has_room(self, size: int) -> bool:
        """Tell whether so much may be sent; a client that has left too much unread is cut off."""
        if self.gone:
            return False
        unread = self._wire.unsent_bytes()
        if unread + size > self._limits.unread_bytes:
            self.cut_off(f"{unread:,} bytes unread, {self._limits.unread_bytes:,} allowed")
            return False
        return True

    def _transmit(self, message: bytes | str, *, counted: bool) -> None:
        if not self.has_room(len(message)):
            return
        self._wire.push(message)
        self._tally.sent_messages += 1
        self._tally.sent_bytes += len(message)
        self._pushed += counted
        if self._digest is not None and counted:
            data = message.encode() if isinstance(message, str) else message
            self._digest.update(b"%d %d " % (isinstance(message, str), len(data)) + data)
