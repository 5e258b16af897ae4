"""The market at the replay's instant, as the REST twin asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kiterec.replay.framing import join_packets
from kiterec.replay.instrument_index import UNKNOWN
from kiterec.replay.timeline import Dated
from kiterec.ticks.decode import decode
from kiterec.ticks.sessions import SESSIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from kiterec.replay.market import Market
    from kiterec.replay.rebased import RebasedTimeline
    from kiterec.replay.stats import Tally
    from kiterec.replay.timeline import Timeline
    from kiterec.ticks.sessions import Session


class Instant:
    """What is known now, and when now is.

    Args:
        timeline: what is served.
        market: its state; None in exact mode, which keeps none.
        tally: tells the position.
        rebased: the timeline as programs see it, where its times are moved.
    """

    def __init__(
        self,
        timeline: Timeline,
        *,
        market: Market | None,
        tally: Tally,
        rebased: RebasedTimeline | None = None,
    ) -> None:
        self.timeline = timeline
        self._rebased = rebased
        self._market = market
        self._tally = tally

    @property
    def has_state(self) -> bool:
        """Tell whether quotes can be answered."""
        return self._market is not None

    @property
    def position_ns(self) -> int:
        """Give the place on the timeline."""
        return self._tally.position_ns

    @property
    def seq(self) -> int:
        """Give the number of the last message that is out."""
        return self._tally.seq

    @property
    def start_ns(self) -> int | None:
        """Give the wall clock at the timeline's start; None when it has none. May read a disk."""
        timeline = self._rebased or self.timeline
        return timeline.start_ns if isinstance(timeline, Dated) else None

    @property
    def sessions(self) -> Mapping[str, Sequence[Session]]:
        """Give the exchanges' hours; none where times are moved out of them."""
        return SESSIONS if self._rebased is None else {}

    def ticks(self, tokens: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Give the last tick of each instrument that is known, by instrument_token."""
        if self._market is None or not tokens:
            return {}
        position = self._market.index.find(np.array(tokens, np.uint32))
        rows, length = self._market.last_packets(position[position != UNKNOWN])
        known = np.flatnonzero(length)
        frames = join_packets(
            rows.reshape(-1),
            known * rows.shape[1],
            length[known].astype(np.uint8),
            np.zeros(len(known), np.int64),
        )
        return {tick["instrument_token"]: tick for tick in decode(frames).iter_rows(named=True)}
