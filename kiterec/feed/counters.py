"""What one connection counts while it runs: plain numbers that the receive path adds to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kiterec.feed.events import Connected, Gap, Lost, Refused

if TYPE_CHECKING:
    from kiterec.feed.events import FeedEvent


@dataclass(slots=True)
class Counters:
    """Totals since the start.

    Attributes:
        frames: binary messages, heartbeats included.
        packets: that the frames declare.
        size: bytes of all messages.
        heartbeats: frames without packets' room.
        texts: text messages.
        connects: handshakes that succeeded.
        losses: open connections that ended unwanted.
        gaps: stretches that were missed.
        refusals: by status or by text.
        unwritten: rows that the sink did not take.
        ticks: decoded for consumers of ticks, added up over them.
        undecoded: packets that their frames declared and that gave no tick: damaged, or of unknown length.
        unknown_packets: of those, whole packets of a length without a layout.
        decode_errors: frames that do not hold what they declare.
    """

    frames: int = 0
    packets: int = 0
    size: int = 0
    heartbeats: int = 0
    texts: int = 0
    connects: int = 0
    losses: int = 0
    gaps: int = 0
    refusals: int = 0
    unwritten: int = 0
    ticks: int = 0
    undecoded: int = 0
    unknown_packets: int = 0
    decode_errors: int = 0

    def note(self, event: FeedEvent) -> None:
        """Count an event."""
        match event:
            case Connected():
                self.connects += 1
            case Lost(wanted=False):
                self.losses += 1
            case Gap():
                self.gaps += 1
            case Refused():
                self.refusals += 1
