"""The exchange segments as data: what the low byte of an instrument_token says about prices and trading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

SEGMENT_IDS: Final = 256
"""An exchange segment is one byte of the instrument_token."""

UNKNOWN_DIVISOR: Final = 100


@dataclass(frozen=True, slots=True)
class Segment:
    """One exchange segment.

    Attributes:
        id: the low byte of each of its instrument_tokens.
        name: the vendor's word, `unknown` for one that is in no table.
        divisor: wire price / divisor = price in the segment's currency.
        tradable: false for indices.
    """

    id: int
    name: str
    divisor: int
    tradable: bool

    def __post_init__(self) -> None:
        if not 0 <= self.id < SEGMENT_IDS:
            raise ValueError(f"segment id {self.id} is no byte; give 0 to {SEGMENT_IDS - 1}")
        if self.divisor < 1:
            raise ValueError(f"segment {self.name} has the divisor {self.divisor}; give 1 or more")


class SegmentTable(Mapping[int, Segment]):
    """An immutable table of exchange segments by id.

    Iterating gives the known ids; `of` and `by_id` answer for every id.
    """

    __slots__ = ("_segments",)

    def __init__(self, segments: Iterable[Segment]) -> None:
        self._segments: dict[int, Segment] = {segment.id: segment for segment in segments}

    def __getitem__(self, segment_id: int) -> Segment:
        return self._segments[segment_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._segments)

    def __len__(self) -> int:
        return len(self._segments)

    def __hash__(self) -> int:
        return hash(frozenset(self._segments.values()))

    def __repr__(self) -> str:
        return f"SegmentTable({', '.join(f'{s.id}={s.name}/{s.divisor}' for s in self._segments.values())})"

    def with_overrides(self, overrides: Mapping[int, Segment]) -> SegmentTable:
        """Give a table in which these segments replace or join the known ones.

        Raises:
            ValueError: a key is not the id of its segment.
        """
        for segment_id, segment in overrides.items():
            if segment_id != segment.id:
                raise ValueError(f"override {segment_id} holds the segment {segment.id} ({segment.name})")
        return SegmentTable((self._segments | dict(overrides)).values())

    def by_id(self, segment_id: int) -> Segment:
        """Give the segment of an id; one that is in no table is `unknown`, never taken for another."""
        found = self._segments.get(segment_id)
        return found if found is not None else Segment(segment_id, "unknown", UNKNOWN_DIVISOR, tradable=True)

    def of(self, instrument_token: int) -> Segment:
        """Give the segment of an instrument."""
        return self.by_id(exchange_segment(instrument_token))

    def divisors(self) -> list[int]:
        """Give 256 price divisors, by segment id."""
        return [self.by_id(segment_id).divisor for segment_id in range(SEGMENT_IDS)]

    def names(self) -> list[str]:
        """Give 256 segment names, by segment id."""
        return [self.by_id(segment_id).name for segment_id in range(SEGMENT_IDS)]

    def tradables(self) -> list[bool]:
        """Give 256 truths, by segment id: can its instruments be traded?"""
        return [self.by_id(segment_id).tradable for segment_id in range(SEGMENT_IDS)]


def exchange_segment(instrument_token: int) -> int:
    """Give the exchange segment of an instrument_token: its low byte."""
    return instrument_token & 0xFF


def exchange_token(instrument_token: int) -> int:
    """Give the exchange's own number of the instrument: all but the low byte."""
    return instrument_token >> 8


SEGMENTS: Final = SegmentTable(
    [
        Segment(1, "NSE", 100, tradable=True),
        Segment(2, "NFO", 100, tradable=True),
        Segment(3, "CDS", 10_000_000, tradable=True),
        Segment(4, "BSE", 100, tradable=True),
        Segment(5, "BFO", 100, tradable=True),
        Segment(6, "BCD", 10_000, tradable=True),
        Segment(7, "MCX", 100, tradable=True),
        Segment(8, "MCXSX", 100, tradable=True),
        Segment(9, "INDICES", 100, tradable=False),
        # Only the newest Python client knows it.
        Segment(12, "NCO", 10_000, tradable=True),
    ]
)
"""The segments of Kite Connect v3.

Source:
    https://kite.trade/docs/connect/v3/websocket/ and the EXCHANGE_MAP of the official Python client.
"""
