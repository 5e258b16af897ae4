"""Candles of a minute of every instrument, made as far as somebody has asked, and from there on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from kiterec.clock import NS_PER_S, SYSTEM_CLOCK
from kiterec.replay.timeline import TimelineKind
from kiterec.store.arrays import blobs
from kiterec.ticks.candles import candles
from kiterec.ticks.carry import Fold
from kiterec.ticks.context import Context
from kiterec.ticks.decode import decode, decode_packets
from kiterec.ticks.find import find_packets
from kiterec.ticks.sessions import SESSIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from kiterec.replay.timeline import Timeline, TimelineBatch
    from kiterec.ticks.sessions import Session

CHUNK_TICKS: Final = 200_000
"""So many are made into candles at once; about a quarter of a second."""

_COLUMNS: Final = (
    "connection", "received_at", "instrument_token", "segment", "last_price", "volume_traded", "oi",
)  # fmt: skip
_NO_END: Final = (1 << 63) - 1
_KEYS: Final = ("instrument_token", "session", "begin")
_KEPT: Final = (*_KEYS, "segment", "open", "high", "low", "close", "volume", "oi")


class CandleLog:
    """Reads a timeline once, beside the replay, however many instruments and times are asked for.

    Not for several threads at once.

    Args:
        timeline: what is served.
        sessions: hours by exchange segment.
    """

    def __init__(self, timeline: Timeline, *, sessions: Mapping[str, Sequence[Session]] = SESSIONS) -> None:
        self._timeline = timeline
        self._sessions = sessions
        self._start_ns: int | None = None
        self._reached_ns = -1
        self._begin_anew(None)

    def advance(self, until_ns: int, *, seq: int | None = None, start_ns: int, within_s: float) -> bool:
        """Read on to a place of the timeline, or anew if it is behind; tell whether it is reached.

        Args:
            until_ns: the position of the replay; what is due then is in, if it is out.
            seq: number of the last message that is out; None: all that is due is.
            start_ns: the wall clock at the timeline's start.
            within_s: how long it may take; the next call goes on from where this one ends.

        Raises:
            KiterecError: the timeline cannot be read.
        """
        if start_ns != self._start_ns or until_ns < self._reached_ns or self._is_behind(seq):
            self._begin_anew(start_ns)
        self._last_seq = _NO_END if seq is None else seq
        deadline_ns = SYSTEM_CLOCK.monotonic_ns() + round(within_s * NS_PER_S)
        try:
            while (chunk := self._chunk(until_ns, start_ns)) is not None:
                self._add(chunk)
                if SYSTEM_CLOCK.monotonic_ns() > deadline_ns:
                    return False
        except Exception:
            self._start_ns = None  # what was read of it is not known to be whole
            raise
        self._reached_ns = until_ns
        return True

    def minutes(self, token: int) -> pl.DataFrame:
        """Give the candles of an instrument so far, by begin.

        Shape:
            instrument_token, session, begin (UTC), segment, open, high, low, close, volume and oi (null
            where no packet had it).
        """
        merged = self._candles.result()
        if merged is None:
            return candles(self._last.lazy(), "1m", sessions=self._sessions).select(_KEPT).collect()
        return merged.filter(pl.col("instrument_token") == token).sort("begin")

    def _is_behind(self, seq: int | None) -> bool:
        """Tell whether messages were read that are not out any more."""
        return seq is not None and seq < self._read_seq

    def _begin_anew(self, start_ns: int | None) -> None:
        self._start_ns = start_ns
        self._reached_ns = -1
        self._source = self._timeline.batches()
        self._batch: TimelineBatch | None = None
        self._row = 0
        self._seq = np.empty(0, np.int64)
        self._read_seq = -1
        self._last_seq = _NO_END
        self._candles = Fold(_merge)
        self._last = decode(blobs([]), columns=_COLUMNS)

    def _chunk(self, until_ns: int, start_ns: int) -> pl.DataFrame | None:
        """Give the next ticks up to a place; None when there are no more."""
        tables: list[pl.DataFrame] = []
        ticks = 0
        while ticks < CHUNK_TICKS and (rows := self._due(until_ns)) is not None:
            batch, begin, end = rows
            binary = batch.kind[begin:end] == TimelineKind.BINARY
            packets = find_packets(batch.payloads.slice(begin, end - begin), binary=binary).known()
            at = Context(received_at=start_ns + batch.due_ns[begin:end])
            tables.append(decode_packets(packets, at, _COLUMNS))
            ticks += len(packets)
        return pl.concat(tables) if tables else None

    def _due(self, until_ns: int) -> tuple[TimelineBatch, int, int] | None:
        """Give the next batch with the rows of it that are due and not read yet; None without any."""
        while True:
            if self._batch is None or self._row == len(self._batch):
                self._batch, self._row = next(self._source, None), 0
                if self._batch is None:
                    return None
                self._seq = self._numbers(self._batch)
            begin, batch = self._row, self._batch
            due = int(np.searchsorted(batch.due_ns, until_ns, side="right"))
            out = int(np.searchsorted(self._seq, self._last_seq, side="right"))
            self._row = max(begin, min(due, out))
            if self._row > begin:
                self._read_seq = int(self._seq[self._row - 1])
                return batch, begin, self._row
            if len(batch):
                return None

    def _numbers(self, batch: TimelineBatch) -> npt.NDArray[np.int64]:
        """Give the messages' numbers; where a timeline has none, they are counted."""
        if batch.seq is not None:
            return batch.seq.astype(np.int64)
        first = int(self._seq[-1]) + 1 if len(self._seq) else 0
        return np.arange(first, first + len(batch))

    def _add(self, chunk: pl.DataFrame) -> None:
        # The tick before a chunk's first one tells what its volume is counted from. It is the last of the
        # chunk before and has its part in a candle there, so it changes nothing here.
        ticks = pl.concat([self._last, chunk])
        self._candles.add(candles(ticks.lazy(), "1m", sessions=self._sessions).select(_KEPT).collect())
        self._last = (
            ticks.group_by("instrument_token", maintain_order=True).agg(_last_known()).select(_COLUMNS)
        )


def _last_known() -> list[pl.Expr]:
    """Give the last tick of an instrument, with what an earlier one said where it does not say it."""
    volume = pl.col("volume_traded").drop_nulls()
    # A counter that falls a little was overtaken by a newer packet and goes on from its highest.
    shown = pl.when(volume.last() * 2 < volume.max()).then(volume.last()).otherwise(volume.max())
    others = pl.col("connection", "received_at", "segment", "last_price").last()
    return [others, pl.col("oi").drop_nulls().last(), shown.alias("volume_traded")]


def _merge(parts: pl.DataFrame) -> pl.DataFrame:
    """Join the candles of several chunks, given in the order of the chunks."""
    volume = pl.col("volume").drop_nulls()
    return parts.group_by(_KEYS, maintain_order=True).agg(
        pl.col("segment", "open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        pl.when(volume.len() > 0).then(volume.sum()).alias("volume"),
        pl.col("oi").drop_nulls().last(),
    )
