"""Which gap of one recording another one filled, and with how much."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kiterec.store.packet_count import Gap


class Filling(msgspec.Struct, frozen=True, kw_only=True):
    """What an input received while a connection of another one was away.

    Attributes:
        source: the input's path.
        packets: packets of the instruments of the connection that was away.
        instruments: how many of its instruments had a packet.
    """

    source: str
    packets: int
    instruments: int


class FilledGap(msgspec.Struct, frozen=True, kw_only=True):
    """A gap of an input.

    Attributes:
        source: the path of the input that has it.
        connection: the connection that was away, by its name in the merged recording.
        from_ns: its beginning, ns since the epoch.
        to_ns: its end, excluded.
        reason: why it was away.
        filled_by: what others received meanwhile; empty: nothing.
    """

    source: str
    connection: str
    from_ns: int
    to_ns: int
    reason: str
    filled_by: list[Filling] = []


@dataclass(slots=True)
class OpenGap:
    """A gap whose filling is being counted.

    Attributes:
        source: number of the input that has it.
        connection: number of the connection in the merged recording.
        gap: its ends and reason.
    """

    source: int
    connection: int
    gap: Gap
    packets: dict[int, Counter[int]] = field(default_factory=dict)


class GapLedger:
    """Counts, for each gap, the packets of other inputs by instrument."""

    def __init__(self, gaps: Sequence[OpenGap]) -> None:
        self._gaps = gaps
        self._tokens: dict[int, set[int]] = {open_.connection: set() for open_ in gaps}

    def add(
        self,
        tokens: NDArray[np.uint32],
        connection: NDArray[np.int64],
        source: NDArray[np.int16],
        received_ns: NDArray[np.int64],
    ) -> None:
        """Take the next packets of the merged recording. Shape: one element a packet."""
        if not tokens.size:
            return
        for number, known in self._tokens.items():
            known.update(np.unique(tokens[connection == number]).tolist())
        begin, end = int(received_ns.min()), int(received_ns.max())
        for open_ in self._gaps:
            if open_.gap.from_ns > end or open_.gap.to_ns <= begin:
                continue
            inside = (received_ns >= open_.gap.from_ns) & (received_ns < open_.gap.to_ns)
            for other in np.unique(source[inside & (source != open_.source)]).tolist():
                found, times = np.unique(tokens[inside & (source == other)], return_counts=True)
                count = open_.packets.setdefault(other, Counter())
                count.update(dict(zip(found.tolist(), times.tolist(), strict=True)))

    def report(self, sources: Sequence[str], connections: Sequence[str]) -> list[FilledGap]:
        """Say of each gap who filled it; only instruments of the connection that was away count."""
        return [
            FilledGap(
                source=sources[open_.source],
                connection=connections[open_.connection],
                from_ns=open_.gap.from_ns,
                to_ns=open_.gap.to_ns,
                reason=open_.gap.reason,
                filled_by=self._fillings(open_, sources),
            )
            for open_ in self._gaps
        ]

    def _fillings(self, open_: OpenGap, sources: Sequence[str]) -> list[Filling]:
        mine = self._tokens[open_.connection]
        fillings = []
        for other, count in sorted(open_.packets.items()):
            packets = {token: times for token, times in count.items() if token in mine}
            if packets:
                fillings.append(
                    Filling(source=sources[other], packets=sum(packets.values()), instruments=len(packets))
                )
        return fillings
