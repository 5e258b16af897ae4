"""One client under faults: its frames are counted, its episodes begin and end, its messages change."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from kiterec.replay.fault_episodes import Episodes
from kiterec.replay.fault_frames import rewrite
from kiterec.replay.fault_kinds import AtConnect, Close, Episode, Reorder, Reset, SplitSnapshot
from kiterec.replay.fault_line import SlowLine
from kiterec.replay.fault_triggers import Place, Trigger
from kiterec.replay.hooks import Sending
from kiterec.wire.frames import is_heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kiterec.replay.fault_kinds import Fault
    from kiterec.replay.hooks import Peer

logger = logging.getLogger(__name__)

HELD_BYTES: Final = 16 << 20
"""A client is cut off when a slow line holds more than this back, as one is that does not read."""

_POLICY_VIOLATION: Final = 1008


class Seat:
    """A client's place; one that comes back takes the lowest free seat and goes on counting there.

    Args:
        number: from 1.
        faults: of the scenario; those of connecting that count frames are armed here.
        seed: the scenario's.
        happened: called with each fault that happens, and where.
    """

    def __init__(
        self,
        number: int,
        faults: Sequence[Fault],
        *,
        seed: int,
        happened: Callable[[Fault, int, Place], None],
    ) -> None:
        self.number = number
        self._happened = happened
        mine = [
            Trigger(fault, seed=seed, index=index, seat=number)
            for index, fault in enumerate(faults)
            if not fault.clients or number in fault.clients
        ]
        self._snapshot_triggers = [each for each in mine if isinstance(each.fault, SplitSnapshot)]
        self._standing = [
            each for each in mine if isinstance(each.fault, Episode) and not each.fault.triggers()
        ]
        self._frame_triggers = [
            each for each in mine if each not in self._snapshot_triggers and _counts_frames(each.fault)
        ]
        self._frames = 0
        self._snapshots = 0
        self._leave()

    def _leave(self) -> None:
        self._client: Peer | None = None
        self._line: SlowLine | None = None
        self._episodes = Episodes()
        self._held: list[bytes | str] = []

    @property
    def taken(self) -> bool:
        """Tell whether a client sits here."""
        return self._client is not None

    def sit(self, client: Peer) -> None:
        """Give the seat to a client."""
        self._client = client
        self._line = SlowLine(client.transmit)

    def rise(self, client: Peer) -> None:
        """Free the seat, unless another client has it by now; what is held back is lost, and episodes end."""
        if self._client is not client:
            return
        if self._line is not None:
            self._line.cut()
        self._leave()

    async def settle(self, *, ended: bool) -> None:
        """Wait until the line holds nothing back; at the end also let go what waits for a next message."""
        client, line = self._client, self._line
        if client is None or line is None:
            return
        if ended:
            held, self._held = self._held, []
            for message in self._through_the_line(held, client, line):
                client.transmit(message)
        await line.clear()

    def pass_on(
        self, payload: bytes | str, kind: Sending, *, due_ns: int, seq: int
    ) -> Sequence[bytes | str] | None:
        """Give what goes out in place of a message; None: the message as it is."""
        client, line = self._client, self._line
        if client is None or line is None:
            return None
        if kind is Sending.FRAME and isinstance(payload, bytes) and is_heartbeat(payload):
            kind = Sending.HEARTBEAT  # as recorded ones are, in exact mode
        fired = self._fired(kind, due_ns, seq)
        if kind is Sending.HEARTBEAT:
            return () if self._episodes.silent() else None
        if self._episodes.heartbeats_only():
            return ()
        held, self._held = self._held, []
        messages: list[bytes | str] = [payload]
        for trigger, place in fired:
            self._happened(trigger.fault, self.number, place)
            if self._ended(trigger.fault, client):
                return ()
            messages = self._changed(messages, trigger)
        return self._through_the_line([*messages, *held], client, line)

    def _fired(self, kind: Sending, due_ns: int, seq: int) -> list[tuple[Trigger, Place]]:
        """Count a message, begin and end episodes, and give the other triggers that fire."""
        is_frame = kind is Sending.FRAME
        self._frames += is_frame
        place = Place(self._frames, due_ns, seq)
        self._episodes.forget_past(place)
        for trigger in self._standing:
            if not self._episodes.has_begun(trigger) and trigger.stands(place):
                self._begin(trigger, place, first_frame=self._frames + (not is_frame))
        if kind is Sending.SNAPSHOT:
            self._snapshots += 1
            place = Place(self._snapshots, due_ns, seq)
            return [(each, place) for each in self._snapshot_triggers if each.fires(place)]
        if not is_frame:
            return []
        fired = [each for each in self._frame_triggers if each.fires(place)]
        now = []
        for trigger in fired:
            if isinstance(trigger.fault, Episode):
                self._begin(trigger, place, first_frame=self._frames)
            elif isinstance(trigger.fault, AtConnect):
                self._happened(trigger.fault, self.number, place)
            else:
                now.append((trigger, place))
        return now

    def _begin(self, trigger: Trigger, place: Place, *, first_frame: int) -> None:
        self._happened(trigger.fault, self.number, place)
        self._episodes.begin(trigger, place, first_frame=first_frame)

    def _ended(self, fault: Fault, client: Peer) -> bool:
        """Tell whether the fault ends the connection, and end it."""
        if isinstance(fault, Reset):
            client.reset()
        elif isinstance(fault, Close):
            client.say_goodbye(fault.code, fault.reason)
        else:
            return False
        self.rise(client)
        return True

    def _changed(self, messages: list[bytes | str], trigger: Trigger) -> list[bytes | str]:
        if isinstance(trigger.fault, Reorder):
            self._held += messages
            return []
        changed: list[bytes | str] = []
        for number, message in enumerate(messages):
            # Of several copies the first is changed, so that one draw is one change.
            first = isinstance(message, bytes) and not any(isinstance(m, bytes) for m in messages[:number])
            if first and isinstance(message, bytes):
                changed += rewrite(trigger.fault, message, trigger.chance)
            else:
                changed.append(message)
        return changed

    def _through_the_line(
        self, messages: list[bytes | str], client: Peer, line: SlowLine
    ) -> Sequence[bytes | str]:
        """Give what goes out now; the rest crosses the line first."""
        now: list[bytes | str] = []
        for message in messages:
            latency_s, bytes_per_s = self._episodes.latency_s(), self._episodes.bytes_per_s()
            if not latency_s and bytes_per_s is None and not line:
                now.append(message)
            else:
                line.put(message, latency_s=latency_s, bytes_per_s=bytes_per_s)
        if line.held_bytes > HELD_BYTES:
            logger.warning("client cut off seat=%d reason=%d bytes held back", self.number, line.held_bytes)
            client.say_goodbye(_POLICY_VIOLATION, "reads too slowly: its line is too slow")
            self.rise(client)
        return now


def _counts_frames(fault: Fault) -> bool:
    if isinstance(fault, AtConnect):
        return bool(fault.triggers()) and fault.probability is None
    return bool(fault.triggers())
