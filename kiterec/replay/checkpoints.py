"""States of the market at a few places of a timeline, so that going back does not mean beginning anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kiterec.clock import NS_PER_S

if TYPE_CHECKING:
    from kiterec.replay.market import Market, MarketMemory
    from kiterec.replay.transport import Target

FIRST_INTERVAL_NS: Final = 10 * NS_PER_S
MAX_BYTES: Final = 64 << 20
MAX_PLACES: Final = 128


@dataclass(frozen=True, slots=True)
class Place:
    """A place between two messages of a timeline.

    Attributes:
        seq: number of the message after it.
        due_ns: when the message before it was due.
    """

    seq: int
    due_ns: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was known at a place; `memory` is None in exact mode, which needs none."""

    place: Place
    memory: MarketMemory | None

    def size(self) -> int:
        """Give the bytes that it holds."""
        return 0 if self.memory is None else self.memory.size()


class Checkpoints:
    """Checkpoints at equal distances, at first of 10 s; when there are too many, every other one goes."""

    def __init__(self) -> None:
        self._interval_ns = FIRST_INTERVAL_NS
        self._kept: list[Checkpoint] = []

    def __len__(self) -> int:
        return len(self._kept)

    def offer(self, place: Place, market: Market | None) -> None:
        """Keep the state at a place, if it is far enough behind the last one that was kept."""
        last_ns = self._kept[-1].place.due_ns if self._kept else 0
        if place.due_ns < last_ns + self._interval_ns:
            return
        self._kept.append(Checkpoint(place, None if market is None else market.memory()))
        if len(self._kept) > MAX_PLACES or sum(each.size() for each in self._kept) > MAX_BYTES:
            self._kept = self._kept[1::2]
            self._interval_ns *= 2

    def before(self, target: Target) -> Checkpoint | None:
        """Give the last one from which a place is still ahead; None: only the start is before it."""
        for each in reversed(self._kept):
            if target.is_behind(each.place):
                return each
        return None
